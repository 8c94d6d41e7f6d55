"""Several people on one call, 20 ms at a time: who hears whom, and how voices are put together. Pure: no clock, no I/O.

All sound here is 16 kHz, 16 bit, mono. None stands for silence: nobody says anything, and nothing has to be sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from audio.codec import Pcm16

RATE = 16_000
FRAME_MS = 20.0
FRAME = 320
"""Samples of a frame."""
FRAME_BYTES = 2 * FRAME

LEAST_MS, MOST_MS = 60.0, 200.0
"""How much of a browser's voice waits before it is passed on: little, and more where its network is uneven."""
UNEVEN_FRAMES = 25
"""A voice that is back within so many frames after it broke off, 0.5 s, was late; after more it had paused."""
WINDOW = 50
"""Frames, 1 s, in which what never was needed of what waits is found: it is left out in silence, and a frame of it in
speech."""
CALM_WINDOWS = 5
"""Windows in a row in which more waited than was needed, after which less has to."""
QUIET = 200
"""Amplitude, -44 dBFS, below which a frame counts as silence."""
KNEE = 0.7 * 32767.0
"""Amplitude from which voices put together are limited."""

Mode = Literal["listen", "whisper", "talk", "barge"]
"""listen: hears all. whisper: is heard only by people who talk with the caller. talk: speaks with the caller in place
of the agent. barge: speaks with the caller while whoever has the call goes on."""
MODES: tuple[Mode, ...] = ("listen", "whisper", "talk", "barge")


class Jitter:
    """A voice that comes unevenly, given out evenly: a frame a call of `take`.

    What waits is bounded: more than twice `most_ms` drops the oldest, down to what is needed.
    """

    def __init__(self, least_ms: float = LEAST_MS, most_ms: float = MOST_MS) -> None:
        self._least, self._most = round(least_ms * RATE / 1000), round(most_ms * RATE / 1000)
        self._needed = self._least
        self._pieces: deque[Pcm16] = deque()
        self._length = 0
        self._filling = True
        self._waited = 0
        self._lowest = self._most
        self._count = self._calm = 0
        self._surplus = 0
        self.dropped = 0
        """Samples that were dropped because too much waited."""

    @property
    def waiting_ms(self) -> float:
        """What waits, in ms."""
        return self._length * 1000.0 / RATE

    @property
    def needed_ms(self) -> float:
        """What has to wait before the voice is given out, in ms."""
        return self._needed * 1000.0 / RATE

    def put(self, samples: Pcm16) -> None:
        """Samples[n] came."""
        if not len(samples):
            return
        if self._filling and not self._length and 0 < self._waited <= UNEVEN_FRAMES:
            self._needed = min(self._most, self._needed + FRAME)
        if not self._length:
            self._waited = 0
        self._pieces.append(samples)
        self._length += len(samples)
        if self._length > 2 * self._most:
            self._drop(self._length - self._needed)

    def take(self) -> Pcm16 | None:
        """The next 320 samples; None where there are none to give out yet."""
        if self._filling:
            self._waited += 1
            enough = self._length >= self._needed
            # A voice that broke off before enough of it came is given out all the same.
            if not enough and not (self._length and self._waited * FRAME > self._needed + FRAME):
                return None
            self._filling = False
            self._lowest, self._count, self._surplus = self._length, 0, 0
        if not self._length:
            self._filling, self._waited = True, 0
            return None
        given = self._given(min(FRAME, self._length))
        while self._surplus >= FRAME and self._length >= FRAME and int(np.abs(given).max()) < QUIET:
            self._surplus -= FRAME
            self.dropped += FRAME
            given = self._given(FRAME)
        self._lowest = min(self._lowest, self._length)
        self._count += 1
        if self._count >= WINDOW:
            self._settle()
        return given if len(given) == FRAME else np.concatenate([given, np.zeros(FRAME - len(given), dtype=np.int16)])

    def _settle(self) -> None:
        """A window is over: what of it was never needed?"""
        if self._surplus >= FRAME and self._length >= FRAME:
            self._drop(FRAME)  # nobody paused meanwhile
            self._lowest = max(0, self._lowest - FRAME)
        self._calm = self._calm + 1 if self._lowest >= self._needed - FRAME and self._needed > self._least else 0
        if self._calm >= CALM_WINDOWS:
            self._calm = 0
            self._needed -= FRAME
        self._surplus = max(0, self._lowest - (self._needed - FRAME))
        self._lowest, self._count = self._length, 0

    def clear(self) -> None:
        """Forget what waits."""
        self._pieces.clear()
        self._length, self._filling, self._waited = 0, True, 0

    def _drop(self, count: int) -> None:
        self.dropped += len(self._given(count))

    def _given(self, count: int) -> Pcm16:
        given: list[Pcm16] = []
        self._length -= count
        while count > 0:
            piece = self._pieces.popleft()
            if len(piece) > count:
                self._pieces.appendleft(piece[count:])
                piece = piece[:count]
            given.append(piece)
            count -= len(piece)
        return np.concatenate(given) if given else np.zeros(0, dtype=np.int16)


@dataclass(frozen=True, slots=True)
class Stand:
    """How somebody at a console takes part. held: the caller is put on hold by him; he and the caller do not hear each
    other."""

    mode: Mode
    muted: bool = False
    held: bool = False

    @property
    def to_caller(self) -> bool:
        """Whether the caller hears him."""
        return self.mode in ("talk", "barge") and not (self.muted or self.held)

    @property
    def with_caller(self) -> bool:
        """Whether he takes part in the conversation with the caller."""
        return self.mode in ("talk", "barge")


def hears(listener: Stand, speaker: Stand) -> bool:
    """Whether one person at a console hears another."""
    if speaker.muted or speaker.mode == "listen":
        return False
    return listener.with_caller if speaker.mode == "whisper" else True


@dataclass(frozen=True, slots=True)
class Mixed:
    """20 ms for the caller and for everybody at a console; None is silence."""

    to_caller: Pcm16 | None
    to_seats: Mapping[str, Pcm16 | None] = field(default_factory=dict)


def mix(
    caller: Pcm16 | None,
    agent: Pcm16 | None,
    seats: Mapping[str, tuple[Stand, Pcm16 | None]],
    music: Pcm16 | None = None,
) -> Mixed:
    """Put 20 ms together. agent: what the agent says. seats: everybody at a console, and what came from him.

    music: what the caller hears where somebody holds the call, or it waits, and the agent says nothing.
    """
    held = any(stand.held and stand.with_caller for stand, _ in seats.values())
    spoken = [said for stand, said in seats.values() if stand.to_caller] if not held else []
    to_caller = together([agent, *spoken])
    to_seats: dict[str, Pcm16 | None] = {}
    for who, (stand, _) in seats.items():
        others = [
            said
            for other, (its, said) in seats.items()
            if other != who and hears(stand, its) and not (stand.held and its.with_caller and not its.held)
        ]
        line = [] if stand.held else [caller, agent]
        to_seats[who] = together([*line, *others])
    return Mixed(music if to_caller is None else to_caller, to_seats)


def together(voices: Sequence[Pcm16 | None]) -> Pcm16 | None:
    """Several voices as one; peaks above `KNEE` are limited, never cut. A voice alone is given as it is."""
    live = [voice for voice in voices if voice is not None]
    if len(live) <= 1:
        return live[0] if live else None
    summed = np.sum(np.stack(live).astype(np.float32), axis=0)
    over = np.abs(summed) > KNEE
    if over.any():
        room = 32767.0 - KNEE
        summed[over] = np.sign(summed[over]) * (KNEE + room * np.tanh((np.abs(summed[over]) - KNEE) / room))
    limited: Pcm16 = np.rint(summed).astype(np.int16)
    return limited


_NOTES_HZ = (261.63, 329.63, 392.0, 523.25, 392.0, 329.63)
_NOTE = RATE * 3 // 5
_MUSIC_LEVEL = 1400.0
"""-27 dBFS: below a voice."""


class Music:
    """Soft chords for a caller who waits; made here, so nobody's rights are used."""

    def __init__(self) -> None:
        self._at = 0

    def take(self) -> Pcm16:
        """The next 320 samples."""
        positions = self._at + np.arange(FRAME)
        self._at += FRAME
        note, within = positions // _NOTE, (positions % _NOTE) / RATE
        hz = np.take(np.asarray(_NOTES_HZ), note % len(_NOTES_HZ))
        fade = np.minimum(within / 0.02, 1.0) * np.exp(-3.0 * within)
        wave = np.sin(2 * np.pi * hz * within) + 0.3 * np.sin(4 * np.pi * hz * within)
        music: Pcm16 = np.rint(_MUSIC_LEVEL * fade * wave).astype(np.int16)
        return music
