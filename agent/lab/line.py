"""The caller's end of a websocket line: speaks and listens in real time, whatever protocol the line talks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from websockets import Subprotocol
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from agent.clock import Clock
from agent.lab.ear import Ear
from audio.codec import Pcm16
from audio.wav import write_wav

FRAME_MS = 20
_MAX_MESSAGE = 8 * 1024 * 1024
"""Largest message accepted: some servers send a whole reply as one message."""
_MAX_NOTES = 100
_GRACE_S = 2.0
"""How long a closing handshake may take."""


class LineError(Exception):
    """The line could not be opened; the message says why and what to do."""


class Unreachable(LineError):
    """Nobody answers at the address."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Audio for the caller, int16 samples[n] at the line's rate."""

    samples: Pcm16


@dataclass(frozen=True, slots=True)
class Marked:
    """The server wants to be told when the audio before `name` was played."""

    name: str


@dataclass(frozen=True, slots=True)
class Cleared:
    """The server dropped what was not played yet."""


@dataclass(frozen=True, slots=True)
class Told:
    """Any other message of the server's: captions, state, turns."""

    message: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Left:
    """The server ended the call in-band."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wrong:
    """The server broke the protocol; the message says how."""

    detail: str


@dataclass(frozen=True, slots=True)
class Respond:
    """The protocol demands that these messages are sent back now."""

    messages: Sequence[str | bytes]


FromAgent = Heard | Marked | Cleared | Told | Left | Wrong | Respond
Messages = Sequence[str | bytes]
Damage = Callable[[Pcm16, Pcm16], Sequence[Pcm16 | None]]
"""Takes 20 ms of what the caller says and hears; gives the frames that leave the phone now, None for a lost one."""


class LineProtocol(Protocol):
    """The client's half of a gateway protocol, without I/O."""

    rate: int
    """Samples a second on the line, both ways."""

    def opening(self) -> Messages:
        """What is sent first."""
        ...

    def voice(self, samples: Pcm16) -> Messages:
        """One frame of the caller's voice, int16[n]."""
        ...

    def lost(self) -> None:
        """A frame of the caller's voice was lost on the way."""
        ...

    def key(self, digit: str) -> Messages:
        """A key was pressed."""
        ...

    def text(self, text: str) -> Messages:
        """The caller typed a turn; nothing where the protocol has no text."""
        ...

    def played(self, name: str) -> Messages:
        """The audio before mark `name` was played."""
        ...

    def cleared(self, name: str) -> Messages:
        """The audio before mark `name` was dropped unheard; some gateways return the mark all the same."""
        ...

    def closing(self) -> Messages:
        """What is sent before the socket closes."""
        ...

    def receive(self, message: str | bytes) -> Sequence[FromAgent]:
        """Read one message of the server's. Never raises."""
        ...


class LineSocket(Protocol):
    """A message socket from the caller's side; `send` and iteration raise `ConnectionClosed` as websockets' do."""

    @property
    def close_code(self) -> int | None:
        """The code it closed with, None while it is open."""
        ...

    async def send(self, message: str | bytes) -> None:
        """Send one message."""
        ...

    async def close(self) -> None:
        """Close it; harmless when it is closed already."""
        ...

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Messages, until it is closed."""
        ...


Dial = Callable[[], Awaitable[LineSocket]]


class Phone(Protocol):
    """Where the caller's voice comes from and the agent's goes to, in real time, besides `CallerLine.say`."""

    def take(self, count: int) -> Pcm16:
        """The caller's next `count` samples."""
        ...

    def give(self, samples: Pcm16) -> None:
        """What the caller hears now."""
        ...


class CallerLine:
    """One call from the caller's side; an async context manager.

    Two tasks live as long as the line: one reads the socket, one ticks every 20 ms on an absolute schedule, sends
    20 ms of voice (silence when there is none) and plays 20 ms of what came. A late tick is caught up, so the line's
    own time, `now_ms`, is always whole frames sent. The line hangs up by itself after `life_s`.
    """

    def __init__(
        self,
        url: str,
        protocol: LineProtocol,
        clock: Clock,
        *,
        life_s: float = 180.0,
        headers: Mapping[str, str] | None = None,
        on_told: Callable[[Mapping[str, Any]], None] | None = None,
        phone: Phone | None = None,
        send_voice: bool = True,
        damage: Damage | None = None,
        subprotocols: Sequence[str] = (),
        dial: Dial | None = None,
    ) -> None:
        """`headers` and `subprotocols` go with the handshake. `on_told` gets messages that are neither audio nor marks.

        dial: opens another socket than a websocket to `url`.
        send_voice: False sends no audio at all, for callers who type. damage: what the line does to the voice.
        """
        self.url = url
        self.protocol = protocol
        self.ear = Ear(protocol.rate)
        self.ended: str | None = None
        """Why the line is over, None while it is up: `hung_up`, `life_over`, `agent:...` or `closed:CODE`."""
        self.wrongs: deque[str] = deque(maxlen=_MAX_NOTES)
        """How the server broke the protocol; the oldest go first."""
        self._clock = clock
        self._life_ms = life_s * 1000.0
        self._headers = dict(headers or {})
        self._on_told = on_told
        self._phone = phone
        self._send_voice = send_voice
        self._damage = damage
        self._subprotocols = [Subprotocol(name) for name in subprotocols]
        self._dial = dial or self._websocket
        self._frame = protocol.rate * FRAME_MS // 1000
        self._ticks = 0
        self._ticked = asyncio.Event()
        self._voice: deque[Pcm16] = deque()
        self._said: list[Pcm16] = []
        self._heard: list[Pcm16] = []
        self._socket: LineSocket | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def now_ms(self) -> float:
        """The line's age in ms, in whole frames."""
        return float(self._ticks * FRAME_MS)

    async def __aenter__(self) -> Self:
        """Open the line.

        Raises:
            LineError: the server is not there or refuses.
        """
        self._socket = await self._dial()
        await self._send(self.protocol.opening())
        self._tasks = [
            asyncio.create_task(self._read(self._socket), name="line-read"),
            asyncio.create_task(self._tick(), name="line-tick"),
        ]
        return self

    async def _websocket(self) -> LineSocket:
        try:
            return await connect(
                self.url,
                additional_headers=self._headers,
                subprotocols=self._subprotocols or None,
                max_size=_MAX_MESSAGE,
                close_timeout=_GRACE_S,
                proxy=None,
                compression=None,
            )
        except InvalidStatus as error:
            status, body = error.response.status_code, bytes(error.response.body or b"").decode("utf-8", "replace")
            remedy = "give a valid --token" if status in (401, 403) else "see the server's log"
            raise LineError(f"{self.url} refused the call: HTTP {status} {body[:200].strip()}; {remedy}") from error
        except (OSError, InvalidHandshake, TimeoutError) as error:
            raise Unreachable(f"{self.url} cannot be reached: {error}; is the server running there?") from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.hang_up()
        finally:
            for task in self._tasks:
                task.cancel()
            results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and error is None:
                raise result

    def say(self, samples: Pcm16) -> float:
        """Speak samples[n] at the line's rate after what is still being said; returns its start in ms."""
        start = self.now_ms + sum(len(piece) for piece in self._voice) * 1000.0 / self.protocol.rate
        self._voice.append(samples)
        return start

    @property
    def talking(self) -> bool:
        """The caller still has something to say."""
        return bool(self._voice)

    async def press(self, digit: str) -> None:
        """Press one key."""
        await self._send(self.protocol.key(digit))

    async def type(self, text: str) -> None:
        """Send a typed turn."""
        await self._send(self.protocol.text(text))

    async def until(self, true: Callable[[], bool], within_ms: float) -> bool:
        """Wait until `true()`; False when the line ended or `within_ms` of line time passed first."""
        deadline = self.now_ms + within_ms
        while not true():
            if self.ended is not None or self.now_ms >= deadline:
                return False
            await self._ticked.wait()
        return True

    async def hang_up(self) -> None:
        """End the call from the caller's side; nothing where it is over already."""
        if self.ended is None:
            await self._send(self.protocol.closing())
            self._end("hung_up")
        if self._socket is not None:
            await self._socket.close()

    def heard(self, start_ms: float, end_ms: float) -> Pcm16:
        """What the caller heard between two times, int16 samples[n] at the line's rate, to whole frames."""
        first, last = (max(0, int(at // FRAME_MS)) for at in (start_ms, end_ms + FRAME_MS - 1))
        return np.concatenate([np.zeros(0, dtype=np.int16), *self._heard[first:last]])

    def save(self, path: Path) -> None:
        """Write what both sides heard as a stereo WAV: caller left, agent right, at the line's rate.

        Raises:
            OSError: the file cannot be written.
        """
        empty = np.zeros(0, dtype=np.int16)
        write_wav(
            path,
            np.stack((np.concatenate([empty, *self._said]), np.concatenate([empty, *self._heard])), axis=1),
            self.protocol.rate,
        )

    def _end(self, reason: str) -> None:
        if self.ended is None:
            self.ended = reason
        self._ticked.set()

    async def _send(self, messages: Messages) -> None:
        if self._socket is None or self.ended is not None:
            return
        try:
            for message in messages:
                await self._socket.send(message)
        except ConnectionClosed:
            self._end(f"closed:{self._socket.close_code}")

    async def _read(self, socket: LineSocket) -> None:
        try:
            async for message in socket:
                for event in self.protocol.receive(message):
                    await self._take(event)
        except ConnectionClosed:
            pass  # the code below says how it closed
        finally:
            self._end(f"closed:{socket.close_code}")

    async def _take(self, event: FromAgent) -> None:
        match event:
            case Heard(samples):
                self.ear.put(samples)
            case Marked(name):
                self.ear.mark(name)
            case Cleared():
                for name in self.ear.clear():
                    await self._send(self.protocol.cleared(name))
            case Respond(messages):
                await self._send(messages)
            case Told(message):
                if self._on_told is not None:
                    self._on_told(message)
            case Left(reason):
                self._end(f"agent:{reason}")
            case Wrong(detail):
                self.wrongs.append(detail)

    async def _tick(self) -> None:
        try:
            await self._run()
        finally:
            self._end("failed")
        if self._socket is not None:
            await self._socket.close()

    async def _run(self) -> None:
        start = self._clock.now_ms()
        while self.ended is None:
            if self._clock.now_ms() > start + self.now_ms + FRAME_MS:
                # What came while this process was busy is there before the time it missed is caught up with.
                await asyncio.sleep(0)
            said = self._next_voice()
            heard, names = self.ear.play(self._frame)
            self._said.append(said)
            self._heard.append(heard)
            if self._phone is not None:
                self._phone.give(heard)
            if self._send_voice:
                await self._send_voiced([said] if self._damage is None else self._damage(said, heard))
            for name in names:
                await self._send(self.protocol.played(name))
            self._ticks += 1
            self._ticked.set()
            self._ticked = asyncio.Event()
            if self.now_ms >= self._life_ms:
                await self._send(self.protocol.closing())
                self._end("life_over")
            await self._clock.sleep_until(start + self.now_ms)

    async def _send_voiced(self, frames: Sequence[Pcm16 | None]) -> None:
        for frame in frames:
            if frame is None:
                self.protocol.lost()
            else:
                await self._send(self.protocol.voice(frame))

    def _next_voice(self) -> Pcm16:
        frame = self._phone.take(self._frame) if self._phone is not None else np.zeros(self._frame, dtype=np.int16)
        filled = 0
        while self._voice and filled < self._frame:
            piece = self._voice.popleft()
            part = piece[: self._frame - filled]
            frame[filled : filled + len(part)] = part
            filled += len(part)
            if len(part) < len(piece):
                self._voice.appendleft(piece[len(part) :])
        return frame
