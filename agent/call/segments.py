"""Where turns of a speaker begin and end who is only listened to: by voice and silence, nothing else. Pure.

Nobody waits for an answer of ours, so a turn may end late: words are never guessed at to end it sooner.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.call.floor import FRAME_MS, FloorSettings
from agent.call.listening import FREEZE_S, LONGEST_S

SILENCE_MS = 700.0
"""Silence that ends a turn: speakers pause up to so long inside one."""
BREATH_MS = 250.0
"""Silence that ends a turn of `FREEZE_S` or more: its words are waited for, and a recognizer hears no longer pieces."""


@dataclass(frozen=True, slots=True)
class Began:
    """A turn began with frame `begin`, `back` frames before the end of the newest."""

    begin: int
    back: int


@dataclass(frozen=True, slots=True)
class Over:
    """A turn is over: frames [begin, end). cut: the speaker had not paused."""

    begin: int
    end: int
    cut: bool = False


class Segmenter:
    """Cuts the frames of one speaker into turns."""

    def __init__(self, settings: FloorSettings, silence_ms: float = SILENCE_MS) -> None:
        """settings: what counts as speech, as in calls of ours."""
        self._speech = settings.speech_ms
        self._resume = settings.resume_frames
        self._silence_ms = silence_ms
        self._mask = (1 << max(1, round(settings.window_ms / FRAME_MS))) - 1
        self._history = 0
        self._run = 0
        self._count = 0
        self._begin: int | None = None
        self._end = 0

    @property
    def open(self) -> bool:
        """Whether a turn is under way."""
        return self._begin is not None

    @property
    def speaking(self) -> bool:
        """Whether a turn is under way and its speaker does not pause."""
        return self._begin is not None and self._run > 0

    def frame(self, voiced: bool) -> Began | Over | None:
        """One more frame, `FRAME_MS` long; what follows from it."""
        self._count += 1
        self._history = ((self._history << 1) | voiced) & self._mask
        self._run = self._run + 1 if voiced else 0
        if self._begin is None:
            return self._may_begin() if voiced else None
        if self._run >= self._resume:
            self._end = self._count
        length_s = (self._count - self._begin) * FRAME_MS / 1000.0
        if length_s >= LONGEST_S:
            return self._over(cut=True)
        patience = BREATH_MS if length_s >= FREEZE_S else self._silence_ms
        return self._over() if (self._count - self._end) * FRAME_MS >= patience else None

    def finish(self) -> Over | None:
        """No more frames come for now; the turn that was under way."""
        self._history = self._run = 0
        return None if self._begin is None else self._over()

    def _may_begin(self) -> Began | None:
        if self._history.bit_count() * FRAME_MS < self._speech:
            return None
        self._begin = max(self._end, self._count - self._history.bit_length())
        self._end = self._count
        return Began(self._begin, self._count - self._begin)

    def _over(self, cut: bool = False) -> Over:
        assert self._begin is not None
        begin, self._begin = self._begin, None
        return Over(begin, self._end, cut)
