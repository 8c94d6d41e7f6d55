"""The agent's own voice in what the caller's side sends: an echo is nobody speaking."""

from __future__ import annotations

import numpy as np

from audio.codec import Pcm16
from audio.echo import ECHO, RATE, EchoDetector
from audio.resample import StreamResampler, to_float
from models.contracts import Samples

HEARD_RATE = 16_000
SILENCE = 10 ** (-68 / 10)
"""Mean square below which a frame without a voice holds nothing to learn from."""
LONG_AGO_MS = 1200.0
"""An echo comes within this of what was played; later frames are not compared."""
DRIFT_MS = 300.0
"""The caller's audio is timed by its own length; from this far off the clock it is timed anew."""


class OwnVoice:
    """What was played to a caller, compared with what comes back. Times are ms of the call's clock."""

    def __init__(self) -> None:
        self._detector = EchoDetector(RATE)
        self._narrower = StreamResampler(HEARD_RATE, RATE)
        self._played_ms = float("-inf")
        self._began_ms = 0.0
        self._heard = 0

    def played(self, samples: Pcm16, at_ms: float) -> None:
        """The caller is played samples[n] at `RATE`, from `at_ms` on."""
        self._detector.played(to_float(samples), at_ms)
        self._played_ms = at_ms + len(samples) * 1000.0 / RATE

    def in_frame(self, frame: Samples, now_ms: float, voiced: bool) -> bool:
        """Whether frame[n] at 16 kHz, which ended about now, is no more than an echo.

        It wants every frame, in order; those in which there is something, voice or not, teach it what an echo is like.
        """
        before_ms = self._heard * 1000.0 / HEARD_RATE
        self._heard += len(frame)
        ended_ms = self._began_ms + self._heard * 1000.0 / HEARD_RATE
        if abs(now_ms - ended_ms) > DRIFT_MS:
            self._began_ms += now_ms - ended_ms
        at_ms = self._began_ms + before_ms
        if at_ms - self._played_ms > LONG_AGO_MS:
            return False
        narrow = self._narrower.process(frame)
        if not voiced and float(np.dot(narrow, narrow)) < SILENCE * len(narrow):
            self._detector.heard(narrow, at_ms)
            return False
        return self._detector.explains(narrow, at_ms) >= ECHO and voiced
