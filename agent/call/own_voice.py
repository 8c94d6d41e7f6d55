"""The agent's own voice in what the caller's side sends: an echo is nobody speaking."""

from __future__ import annotations

import numpy as np

from audio.codec import Pcm16
from audio.echo import RATE, EchoDetector
from audio.resample import StreamResampler, to_float
from models.contracts import Samples

HEARD_RATE = 16_000
SILENCE = 10 ** (-68 / 10)
"""Mean square below which a frame without a voice holds nothing to learn from."""
LONG_AGO_MS = 1200.0
"""An echo comes within this of what was played; later frames are not compared."""
LATE_MS = 60.0
"""Audio that goes on arriving this much later than its length says lost some before it; less is jitter."""
STEADY_MS = 500.0
"""How long it must, for audio that was only held up arrives at once afterwards."""
MOST_LATE_MS = 800.0
"""What is timed anew even while the agent is heard: the detector finds an echo that comes up to 1 s early."""


class OwnVoice:
    """What was played to a caller, compared with what comes back. Times are ms of the call's clock."""

    def __init__(self) -> None:
        self._detector = EchoDetector(RATE)
        self._narrower = StreamResampler(HEARD_RATE, RATE)
        self._played_ms = float("-inf")
        self._heard = 0
        self._began_ms: float | None = None
        self._late_ms = 0.0
        self._on_time_ms = 0.0

    def played(self, samples: Pcm16, at_ms: float) -> None:
        """The caller is played samples[n] at `RATE`, from `at_ms` on."""
        self._detector.played(to_float(samples), at_ms)
        self._played_ms = at_ms + len(samples) * 1000.0 / RATE

    def in_frame(self, frame: Samples, arrived_ms: float, voiced: bool) -> bool:
        """Whether frame[n] at 16 kHz, whose last sample arrived then, is no more than an echo.

        It wants every frame, in order; those in which there is something, voice or not, teach it what an echo is like.
        """
        at_ms = self._time(len(frame), arrived_ms)
        if at_ms - self._played_ms > LONG_AGO_MS:
            return False
        narrow = self._narrower.process(frame)
        if not voiced and float(np.dot(narrow, narrow)) < SILENCE * len(narrow):
            self._detector.heard(narrow, at_ms)
            return False
        return self._detector.explains(narrow, at_ms) >= self._detector.limit and voiced

    def _time(self, count: int, arrived_ms: float) -> float:
        """When the first of the next `count` samples was due: frames follow each other without gaps.

        None can arrive before it was spoken, so the earliest one tells how far the caller's audio is behind.
        """
        before_ms = self._heard * 1000.0 / HEARD_RATE
        self._heard += count
        length_ms = self._heard * 1000.0 / HEARD_RATE
        if self._began_ms is None or self._began_ms + length_ms > arrived_ms:
            self._began_ms = arrived_ms - length_ms
        late_ms = arrived_ms - self._began_ms - length_ms
        if late_ms <= LATE_MS:
            self._on_time_ms, self._late_ms = arrived_ms, float("inf")
        self._late_ms = min(self._late_ms, late_ms)
        silent = self._began_ms + before_ms - self._played_ms > LONG_AGO_MS
        if arrived_ms - self._on_time_ms > STEADY_MS and (silent or self._late_ms > MOST_LATE_MS):
            self._began_ms += self._late_ms
            self._on_time_ms, self._late_ms = arrived_ms, float("inf")
        return self._began_ms + before_ms
