"""What is on its way to the gateway: in order, except that a `Clear` overtakes the sound it stops.

A gateway that reads slowly: of audio, `MOST_AUDIO_MS` wait at most, older audio is dropped with its marks and
`on_lost` is told, so that it counts as unheard. Everything else waits, `BOUND` at most. A gateway that takes nothing
for `STUCK_S` is stuck, and the call is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from agent.call.transport import Disconnected, Transport
from agent.gateways.base import Clear, Command, GatewayProtocol, Hangup, Mark, Play, Refuse, Transfer

DRAIN_S = 5.0
"""How long the end of a call waits for a peer that reads slowly, or not at all."""
FLUSH_S = 1.0
"""How long an ended call waits for its last answers to be taken."""
BOUND = 500
"""Commands waiting; answers waiting: more than a gateway that reads at all ever lets come together."""
ANSWER_BYTES = 500_000
"""Characters or bytes of answers waiting: whoever asks faster than they read the answers does not read them."""
MOST_AUDIO_MS = 2000.0
"""Audio waiting; older audio would reach the caller far too late. At 24 kHz in base64 it takes 130 kB."""
STUCK_S = 10.0
"""Time a single message may take to be taken."""


class Outbox:
    """Queue and writer of one socket. Stuck: `on_stuck` is told once and later commands are dropped."""

    def __init__(
        self,
        protocol: GatewayProtocol,
        transport: Transport,
        on_stuck: Callable[[], None],
        on_lost: Callable[[int], None] | None = None,
    ) -> None:
        """`on_lost` is told how many audio commands, of all that were put, never left or leave, the newest included."""
        self._on_stuck = on_stuck
        self._on_lost = on_lost
        self._ready = asyncio.Event()
        self._idle = asyncio.Event()
        self.lost = 0
        """Audio commands that were dropped."""
        self.attach(protocol, transport)

    def attach(self, protocol: GatewayProtocol, transport: Transport) -> None:
        """Write to this socket from now on; what waited for another is dropped."""
        self._protocol = protocol
        self._transport = transport
        self._waiting: deque[Command] = deque()
        self._answers: deque[str | bytes] = deque()
        self._answer_bytes = 0
        self._audio = 0
        self._idle.set()
        self._ready.clear()
        self._stuck = False

    def put(self, command: Command) -> None:
        """Queue a command; never blocks."""
        if self._stuck:
            return
        if isinstance(command, Clear):
            self._waiting = deque(c for c in self._waiting if not isinstance(c, Play | Mark))
            self._audio = 0
        elif isinstance(command, Play):
            self._audio += 1
            if self._audio * self._protocol.capabilities.frame_ms > MOST_AUDIO_MS:
                self._lose()
        if len(self._waiting) >= BOUND:
            self._give_up()
            return
        self._waiting.append(command)
        self._wake()

    def answer(self, message: str | bytes) -> None:
        """Queue what the protocol answers by itself; it goes out before all commands. Never blocks."""
        if self._stuck:
            return
        self._answer_bytes += len(message)
        if len(self._answers) >= BOUND or (self._answers and self._answer_bytes > ANSWER_BYTES):
            self._give_up()
            return
        self._answers.append(message)
        self._wake()

    def _wake(self) -> None:
        self._idle.clear()
        self._ready.set()

    def _lose(self) -> None:
        """Drop the older half of the audio that waits."""
        if self._on_lost is not None:
            self._on_lost(self._audio)
        drop = self._audio // 2
        self.lost += drop
        self._audio -= drop
        kept: deque[Command] = deque()
        dropping = True
        for command in self._waiting:
            if isinstance(command, Play):
                dropping = drop > 0
                drop -= dropping
            if not (dropping and isinstance(command, Play | Mark)):
                kept.append(command)
        self._waiting = kept

    def _give_up(self) -> None:
        self._stuck = True
        self._on_stuck()

    async def run(self) -> None:
        """Write until cancelled or the socket is gone."""
        protocol, transport = self._protocol, self._transport
        try:
            while True:
                while self._answers or self._waiting:
                    if self._answers:
                        answer = self._answers.popleft()
                        self._answer_bytes -= len(answer)
                        await self._send(transport, answer)
                        continue
                    command = self._waiting.popleft()
                    if isinstance(command, Play):
                        self._audio -= 1
                    for message in protocol.send(command):
                        await self._send(transport, message)
                self._idle.set()
                self._ready.clear()
                await self._ready.wait()
        except Disconnected:
            self._forget(transport)
        except TimeoutError:
            if self._forget(transport):
                self._on_stuck()
        finally:
            if self._transport is transport:
                self._idle.set()

    def _forget(self, transport: Transport) -> bool:
        """Take nothing more for `transport`; False where another socket is written to by now."""
        if self._transport is not transport:
            return False
        self._stuck = True
        self._waiting.clear()
        self._answers.clear()
        return True

    async def _send(self, transport: Transport, message: str | bytes) -> None:
        async with asyncio.timeout(STUCK_S):
            await transport.send(message)

    async def flushed(self) -> None:
        """Wait until answers that were queued are written, `FLUSH_S` at most; commands that wait are dropped."""
        self._waiting = deque(command for command in self._waiting if isinstance(command, Hangup | Transfer | Refuse))
        self._audio = 0
        if self._answers or self._waiting:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._idle.wait()

    async def drained(self) -> None:
        """Wait until everything queued was written or the socket is gone, `DRAIN_S` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self._idle.wait()
