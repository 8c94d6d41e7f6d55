"""Whole calls of any gateway in virtual time: its own half of the protocol on one side, a scripted call on the other.

Both halves exchange messages through memory instead of a socket, as the two would over the network.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
from callfakes import FakeCall, FakeVoice
from websockets.exceptions import ConnectionClosedError

from agent.call.session import Admission, Ended, Session
from agent.call.transport import Disconnected
from agent.gateways.catalogue import gateways
from agent.gateways.gateway import Gateway, Opening
from agent.lab.callers.catalogue import GatewayCaller, Who, gateway_callers
from agent.lab.line import CallerLine, LineProtocol
from audio.codec import Pcm16

WHO = Who("+15555550143", "+15555550100", {"tier": "gold"})
HEARS = tuple(name for name, gateway in gateways().items() if not gateway.capabilities.monitor)
"""Gateways over which we speak with a caller."""


class Wire:
    """Both ends of a message connection in memory: `agent.call.transport.Transport` and `agent.lab.line.LineSocket`."""

    def __init__(self) -> None:
        self._in: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._out: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self.close_code: int | None = None
        self.to_gateway: list[str | bytes] = []

    async def receive(self) -> str | bytes:
        message = await self._in.get()
        if message is None:
            raise Disconnected(1000)
        return message

    async def put(self, message: str | bytes) -> None:
        self.to_gateway.append(message)
        self._out.put_nowait(message)

    async def shut(self, code: int) -> None:
        if self.close_code is None:
            self.close_code = code
        self._in.put_nowait(None)
        self._out.put_nowait(None)


class OurEnd:
    """The server's end."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def receive(self) -> str | bytes:
        return await self._wire.receive()

    async def send(self, message: str | bytes) -> None:
        if self._wire.close_code is not None:
            raise Disconnected
        await self._wire.put(message)

    async def close(self, code: int, reason: str) -> None:
        await self._wire.shut(code)


class TheirEnd:
    """The gateway's end."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    @property
    def close_code(self) -> int | None:
        return self._wire.close_code

    async def send(self, message: str | bytes) -> None:
        if self._wire.close_code is not None:
            raise ConnectionClosedError(None, None)
        self._wire._in.put_nowait(message)

    async def close(self) -> None:
        await self._wire.shut(1000)

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        while (message := await self._wire._out.get()) is not None:
            yield message


class GatewayCall:
    """One scripted call over a gateway's own protocol."""

    def __init__(self, name: str) -> None:
        self.gateway: Gateway = gateways()[name]
        self.simulated: GatewayCaller = gateway_callers()[name]
        self.caller: LineProtocol = self.simulated.new(WHO)
        self.call = FakeCall()
        self.call.voice = FakeVoice(16_000)
        services = replace(self.call.services, voice=self.call.voice, asking=frozenset(gateways()))
        self.wire = Wire()
        query = dict(part.split("=", 1) for part in self.simulated.query.split("&") if part)
        headers = {key.lower(): value for key, value in self.simulated.headers.items()}
        self.protocol = self.gateway.new(Opening("c-test", headers, query))
        self.session = Session(services, self.protocol, OurEnd(self.wire), "c-test", Admission("test"))
        self.line = CallerLine("", self.caller, services.clock, life_s=120.0, dial=self._dial)
        self.running: asyncio.Task[Ended] | None = None

    async def _dial(self) -> TheirEnd:
        return TheirEnd(self.wire)

    def words(self, text: str, ms: float = 900.0) -> Pcm16:
        """`text` as the scripted recognizer hears it."""
        level = round(self.call.lines.level(text) * 32767)
        return np.full(int(self.caller.rate * ms / 1000.0), level, dtype=np.int16)

    async def say(self, text: str) -> None:
        """Say it and wait until it is out; gateways that recognize get it as text."""
        if self.simulated.speaks:
            await self.line.type(text)
            return
        self.line.say(self.words(text))
        await self.line.until(lambda: not self.line.talking, 5000)

    async def pass_ms(self, ms: float) -> None:
        """Wait in line time."""
        end = self.line.now_ms + ms
        await self.line.until(lambda: self.line.now_ms >= end, ms + 1000)

    @property
    def loud_ms(self) -> float:
        """How much of the agent's voice the caller has really heard so far."""
        heard = self.line.heard(0.0, self.line.now_ms)
        return float(np.count_nonzero(np.abs(heard.astype(np.int32)) > 3000)) * 1000.0 / self.caller.rate


@asynccontextmanager
async def gateway_call(name: str) -> AsyncIterator[GatewayCall]:
    """A call of gateway `name`, its line up; it is hung up on leaving, and the session has ended then."""
    made = GatewayCall(name)
    made.running = asyncio.create_task(made.session.run())
    try:
        async with made.line:
            yield made
    finally:
        async with asyncio.timeout(60):
            await made.running
