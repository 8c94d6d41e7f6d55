"""Where speech begins and ends, and where long speech is cut for a recognizer."""

from __future__ import annotations

import numpy as np

from models.contracts import Samples

RATE = 16_000
"""Sample rate of everything a recognizer takes, Hz."""
FULL_CONTEXT_S = 30.0
"""What Whisper was trained on; longer utterances are cut into windows."""
PADDING_S = 2.0
"""Least silence after the speech inside a short context; with less the decoder falls into loops."""
WINDOW_SEARCH_S = 8.0
"""A window ends at the quietest point of its last seconds."""
MARGIN_S = 0.2
"""Silence kept around the speech; consonants at the edges are quieter than the threshold."""


def speech_bounds(samples: Samples) -> tuple[int, int]:
    """First and past-last sample of what is loud enough to be speech, with a margin; (0, 0) where nothing is.

    Loud enough is 20 ms with an RMS within 40 dB of the loudest, and never below -65 dBFS.
    """
    size = RATE // 50
    count = len(samples) // size
    if count == 0:
        return 0, 0
    power = np.square(samples[: count * size].reshape(count, size), dtype=np.float64).mean(axis=1)
    loud = np.flatnonzero(power > max(10 ** (-65 / 10), power.max() * 1e-4))
    if not len(loud):
        return 0, 0
    margin = round(MARGIN_S * RATE)
    return max(0, int(loud[0]) * size - margin), min(len(samples), (int(loud[-1]) + 1) * size + margin)


def windows(samples: Samples) -> list[tuple[int, int]]:
    """Cut samples[n] at 16 kHz into spans of at most 30 s, each at the quietest 200 ms of the window's last seconds."""
    longest = round((FULL_CONTEXT_S - PADDING_S) * RATE)
    spans = []
    start = 0
    while len(samples) - start > FULL_CONTEXT_S * RATE:
        first = start + longest - round(WINDOW_SEARCH_S * RATE)
        energy = np.square(samples[first : start + longest], dtype=np.float64)
        width = RATE // 5
        sums = np.concatenate([[0.0], np.cumsum(energy)])
        cut = first + int(np.argmin(sums[width:] - sums[:-width])) + width // 2
        spans.append((start, cut))
        start = cut
    return [*spans, (start, len(samples))]
