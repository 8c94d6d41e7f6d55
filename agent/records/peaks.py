"""The waveform of a recording, as a player draws it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.records.muting import FRAME, HEADER, MutedWav, Span, merged

MOST_PEAKS = 4000
"""Points a waveform has at most: more than a screen has columns."""
USUAL_PEAKS = 1000
BLOCK_FRAMES = 1 << 18
"""Frames read at a time: 1 MiB."""


def peaks(path: Path, spans: Sequence[Span] = (), count: int = USUAL_PEAKS) -> dict[str, Any]:
    """The highest level of each of `count` equal stretches: JSON-ready, levels in [0, 1]; muted spans are silent.

    `channels` holds the caller's and then the agent's; `muted` the spans in seconds with their kinds. Reads a block at
    a time and blocks on the disk.

    Raises:
        OSError, ValueError: as `MutedWav`; or `count` is not 1 to `MOST_PEAKS`.
    """
    if not 1 <= count <= MOST_PEAKS:
        raise ValueError(f"count {count} is out of range; give 1 to {MOST_PEAKS}")
    wav = MutedWav(path, spans)
    count = min(count, wav.frames)
    highest: npt.NDArray[np.int32] = np.zeros((count, 2), dtype=np.int32)
    for first in range(0, wav.frames, BLOCK_FRAMES):
        stop = min(wav.frames, first + BLOCK_FRAMES)
        block = np.frombuffer(wav.read(HEADER + first * FRAME, HEADER + stop * FRAME), dtype="<i2").reshape(-1, 2)
        places = np.arange(first, stop, dtype=np.int64) * count // wav.frames
        starts = np.flatnonzero(np.diff(places, prepend=-1))
        levels = np.maximum.reduceat(np.abs(block.astype(np.int32)), starts, axis=0)
        highest[places[starts]] = np.maximum(highest[places[starts]], levels)
    shown = np.round(np.minimum(highest, 32767) / 32767.0, 3)
    length_s = wav.duration_ms / 1000.0
    return {
        "duration_s": round(length_s, 3),
        "channels": [shown[:, side].tolist() for side in (0, 1)],
        "muted": [
            [round(span.from_ms / 1000, 3), round(min(span.to_ms / 1000, length_s), 3), span.kind]
            for span in merged(spans)
            if span.from_ms / 1000 < length_s
        ],
    }
