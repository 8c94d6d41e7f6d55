"""Turns as a recognizer met them at a pause: whole ones and ones cut at a gap between two words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

RATE = 8_000
"""Cuts are kept as the telephone brought them, int16 at this rate in Hz."""
SILENCE_MS = 250
"""Silence at the end of every cut: what has passed when the question is asked."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A turn up to a pause.

    source: the set it is from. speaker: who spoke. said: the words of the whole turn. whole: the turn is over here.
    chosen: how the gap was picked, `quietest` of the turn or `any` quiet one; `end` where whole. text, closing and
    confidence (average log-probability) are what the recognizer made of `samples`, int16[n] at 8 kHz, which end with
    250 ms of silence. asked: the slot the agent had asked for.
    """

    source: str
    speaker: str
    said: str
    whole: bool
    chosen: str
    text: str
    closing: float | None
    confidence: float
    samples: npt.NDArray[np.int16]
    asked: str | None = None


def save_cuts(path: Path, cuts: Sequence[Cut]) -> None:
    """Write `cuts` to an .npz file."""
    rows: list[dict[str, Any]] = []
    for cut in cuts:
        row = asdict(cut)
        row["samples"] = len(cut.samples)
        rows.append(row)
    audio = np.concatenate([cut.samples for cut in cuts]) if cuts else np.zeros(0, np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, audio=audio, rows=np.frombuffer(json.dumps(rows).encode(), np.uint8))


def load_cuts(path: Path) -> list[Cut]:
    """Read what `save_cuts` wrote.

    Raises:
        FileNotFoundError: there is no such file.
    """
    with np.load(path, allow_pickle=False) as stored:
        audio, rows = stored["audio"], json.loads(stored["rows"].tobytes())
    ends = np.cumsum([row["samples"] for row in rows], dtype=np.int64)
    return [
        Cut(**{**row, "samples": audio[end - row["samples"] : end]})
        for row, end in zip(rows, ends.tolist(), strict=True)
    ]
