"""What is on its way to the gateway: in order, except that a `Clear` overtakes the sound it stops."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from agent.call.transport import Disconnected, Transport
from agent.gateways.base import Clear, Command, GatewayProtocol, Mark, Play

DRAIN_S = 5.0
"""How long the end of a call waits for a peer that reads slowly, or not at all."""
BOUND = 500
"""Commands waiting, 10 s of audio: a socket that takes nothing for so long is stuck, and the call is ended."""


class Outbox:
    """Queue and writer of one socket. Full means stuck: `on_stuck` is told once and later commands are dropped."""

    def __init__(self, protocol: GatewayProtocol, transport: Transport, on_stuck: Callable[[], None]) -> None:
        self._protocol = protocol
        self._transport = transport
        self._on_stuck = on_stuck
        self._waiting: deque[Command] = deque()
        self._ready = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._stuck = False

    def put(self, command: Command) -> None:
        """Queue a command; never blocks."""
        if self._stuck:
            return
        if isinstance(command, Clear):
            self._waiting = deque(c for c in self._waiting if not isinstance(c, Play | Mark))
        if len(self._waiting) >= BOUND:
            self._stuck = True
            self._on_stuck()
            return
        self._waiting.append(command)
        self._idle.clear()
        self._ready.set()

    async def run(self) -> None:
        """Write until cancelled or the socket is gone."""
        try:
            while True:
                while self._waiting:
                    for message in self._protocol.send(self._waiting.popleft()):
                        await self._transport.send(message)
                self._idle.set()
                self._ready.clear()
                await self._ready.wait()
        except Disconnected:
            self._stuck = True
            self._waiting.clear()
        finally:
            self._idle.set()

    async def drained(self) -> None:
        """Wait until everything queued was written or the socket is gone, `DRAIN_S` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self._idle.wait()
