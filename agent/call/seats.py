"""One browser at one call: what it hears, what it says, and how its owner takes part."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import numpy as np

from agent.call.talk import FRAME_BYTES, MODES, Jitter, Mode, Stand
from audio.codec import Pcm16

MOST_HEARD = 25
"""Frames that wait for a browser that reads slowly, 0.5 s; the oldest goes for one more."""
_SILENCE = bytes(FRAME_BYTES)


class SeatClosed(Exception):
    """The call or the seat is over. reason: `call_over`, `left`, `replaced`, `lost` or `handed_back`."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the seat is closed: {reason}")


class LiveSeat:
    """See `agent.call.control.Seat`."""

    def __init__(
        self, who: str, stand: Stand, changed: Callable[[LiveSeat, Stand], None], left: Callable[[LiveSeat], None]
    ) -> None:
        """`changed` may refuse how it wants to take part from now on, by raising; `left` is told when it leaves."""
        self.who = who
        self.stand = stand
        self._changed = changed
        self._left = left
        self._jitter = Jitter()
        self._heard: deque[bytes] = deque()
        self._ready = asyncio.Event()
        self._closed: str | None = None
        self.dropped = 0
        """Frames that the browser did not take in time."""
        self.used = False
        """Whether a browser ever listened or spoke."""

    @property
    def mode(self) -> Mode:
        """How it takes part."""
        return self.stand.mode

    @property
    def muted(self) -> bool:
        """Whether its voice goes nowhere."""
        return self.stand.muted

    @property
    def held(self) -> bool:
        """Whether its owner put the caller on hold."""
        return self.stand.held

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return self._closed is not None

    @property
    def waiting_ms(self) -> float:
        """How much of its voice waits to be passed on."""
        return self._jitter.waiting_ms

    async def hear(self) -> bytes:
        """The next 20 ms; see `agent.call.control.Seat`."""
        self.used = True
        while not self._heard:
            if self._closed is not None:
                raise SeatClosed(self._closed)
            self._ready.clear()
            await self._ready.wait()
        return self._heard.popleft()

    def speak(self, frame: bytes) -> None:
        """20 ms from the browser; see `agent.call.control.Seat`."""
        if len(frame) != FRAME_BYTES:
            raise ValueError(
                f"an audio frame has {len(frame)} bytes; send {FRAME_BYTES}: 20 ms of 16-bit mono at 16 kHz"
            )
        if self._closed is None:
            self.used = True
            self._jitter.put(np.frombuffer(frame, dtype="<i2").astype(np.int16, copy=False))

    def change(self, *, mode: Mode | None = None, muted: bool | None = None, held: bool | None = None) -> None:
        """Take part in another way; see `agent.call.control.Seat`."""
        if mode is not None and mode not in MODES:
            raise ValueError(f"mode {mode!r} is unknown; use one of {', '.join(MODES)}")
        if self._closed is not None:
            raise SeatClosed(self._closed)
        wanted = Stand(
            self.stand.mode if mode is None else mode,
            self.stand.muted if muted is None else muted,
            self.stand.held if held is None else held,
        )
        if wanted != self.stand:
            self._changed(self, wanted)
            self.stand = wanted

    def leave(self) -> None:
        """Go; harmless when it is over."""
        if self._closed is None:
            self.close("left")
            self._left(self)

    def take(self) -> Pcm16 | None:
        """The next 20 ms of its voice; None for silence."""
        frame = self._jitter.take()
        return frame if frame is not None and frame.any() else None

    def give(self, frame: Pcm16 | None) -> None:
        """20 ms for the browser; never blocks."""
        if self._closed is not None:
            return
        if len(self._heard) >= MOST_HEARD:
            self._heard.popleft()
            self.dropped += 1
        self._heard.append(_SILENCE if frame is None else frame.astype("<i2", copy=False).tobytes())
        self._ready.set()

    def close(self, reason: str) -> None:
        """End it; whoever waits in `hear` is told once what waits was heard."""
        if self._closed is None:
            self._closed = reason
            self._jitter.clear()
            self._ready.set()
