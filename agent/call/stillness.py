"""Line silence: frames in which there is no voice for certain, so that nobody has to be asked at once.

The model of voice activity remembers a call for tens of seconds, silence too, so it must not be spared any frame: those
held back are given to it later, as one run, which costs half as much a frame and leaves it in the very same state.
"""

from __future__ import annotations

import numpy as np

from agent.call.listening import SILENT_FRAME
from models.contracts import Samples

QUIET_DBFS = -62.0
"""RMS below which a frame of 32 ms is line silence. Speech lies near -26 dBFS (ITU-T P.56, the level that networks are
laid out for), the noise that an idle channel may have at -68 (-65 dBm0p, ITU-T G.712)."""
SETTLED = 8
"""Frames of line silence in a row, 0.26 s, that are judged all the same: a voice dies away in them."""
MOST_HELD = 31
"""Frames held back at most, 1 s: with the one after them they take the model 1.1 ms."""

_QUIET = 10 ** (QUIET_DBFS / 10)


class Stillness:
    """Holds back the line silence of one call, and gives it out in order before what has to be judged."""

    def __init__(self) -> None:
        self._quiet = 0
        self._held: list[Samples] = []

    def holds(self, frame: Samples, may: bool) -> bool:
        """Whether frame[n] goes on with a silence that has lasted; it is then kept. Not unless it `may` be."""
        if frame is not SILENT_FRAME and float(np.dot(frame, frame)) >= _QUIET * len(frame):
            self._quiet = 0
            return False
        self._quiet += 1
        if not may or self._quiet <= SETTLED or len(self._held) >= MOST_HELD:
            return False
        self._held.append(frame)
        return True

    def released(self) -> list[Samples]:
        """What was held back, in order; nothing is held any more."""
        held, self._held = self._held, []
        return held
