"""This machine's microphone and loudspeaker as the caller's end of a line."""

from __future__ import annotations

import numpy as np

from audio.codec import Pcm16
from audio.devices import Duplex

_LEAD_MS = 60
"""Silence queued ahead for the loudspeaker, so that a late tick makes no click."""
_LATE_MS = 240
"""Microphone audio kept for late ticks; more than that is delay that the caller would hear, so the oldest goes."""


class Microphone:
    """A `Phone` on an open `Duplex`: gives what was spoken, sounds what is heard, never blocks."""

    def __init__(self, device: Duplex) -> None:
        self._device = device
        self._spoken: Pcm16 = np.zeros(0, dtype=np.int16)
        self._most = device.rate * _LATE_MS // 1000
        device.write(np.zeros(device.rate * _LEAD_MS // 1000, dtype=np.int16))

    def take(self, count: int) -> Pcm16:
        """The next int16[count] of the microphone; silence where it is not there yet."""
        pieces = [self._spoken]
        while (piece := self._device.read(0.0)) is not None:
            pieces.append(piece)
        spoken = np.concatenate(pieces)[-self._most :]
        self._spoken = spoken[count:]
        return np.pad(spoken[:count], (0, max(0, count - len(spoken))))

    def give(self, samples: Pcm16) -> None:
        """Sound samples[n]."""
        self._device.write(samples)
