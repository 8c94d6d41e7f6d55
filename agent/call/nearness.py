"""How loud this caller talks, so that voices from farther away do not stop the agent."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from models.contracts import Samples

FAR_DB = 9.0
"""A voice this much below the caller's own level is somebody else's: a television, another person in the room.

On neutral voices of eight RAVDESS actors through mu-law, after two sentences: of the same level 99 % of the voiced
frames count as near, of another actor 10 / 12 / 15 dB below 41 / 11 / 2 %. A caller who was angry before keeps 43 %
when neutral.
"""
RECENT = 10
"""Voiced frames, 320 ms, whose mean power is compared: one syllable's valley is not a far voice."""
LEAST_FRAMES = 12
"""Voiced frames of a turn, about 0.4 s, before it says how loud the caller is."""
NEW_SHARE = 0.4
"""How much a turn weighs against those before it; callers move and turn away."""


class Nearness:
    """The level of one caller's voice, learnt from turns that were answered."""

    def __init__(self) -> None:
        self._level_db: float | None = None
        self._powers: list[float] = []
        self._recent: deque[float] = deque(maxlen=RECENT)

    def far(self, frame: Samples) -> bool:
        """Whether the voice over the agent, voiced last in frame[n], is too soft to be the caller's.

        False while the caller's level is not known.
        """
        self._recent.append(_power(frame))
        return self._level_db is not None and _decibels(float(np.mean(self._recent))) < self._level_db - FAR_DB

    def voiced(self, frame: Samples) -> None:
        """A voiced frame of the open turn."""
        self._powers.append(_power(frame))

    def answered(self) -> None:
        """The open turn was the caller's."""
        if len(self._powers) >= LEAST_FRAMES:
            level = _decibels(float(np.mean(self._powers)))
            before = level if self._level_db is None else self._level_db
            self._level_db = before + NEW_SHARE * (level - before)
        self._powers.clear()
        self._recent.clear()

    def dropped(self) -> None:
        """What was open was nobody's turn."""
        self._powers.clear()
        self._recent.clear()


def _power(frame: Samples) -> float:
    return float(np.dot(frame, frame)) / max(1, len(frame))


def _decibels(power: float) -> float:
    return 10.0 * math.log10(max(power, 1e-12))
