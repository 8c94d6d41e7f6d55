"""The cue sheet of a caller's WAV: which line lies where."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audio.codec import Pcm16
from audio.resample import to_pcm16
from audio.wav import read_wav

RATE = 8000
"""Sample rate of a caller's WAV, Hz."""


class CueError(Exception):
    """A cue sheet or its WAV cannot be used; the message says which value and what to do."""


@dataclass(frozen=True, slots=True)
class Cue:
    """One line of the caller's: `text` is what is said between the two times, ms from the start of the WAV."""

    id: str
    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class CueSheet:
    """A caller's lines and the audio that says them."""

    cues: Mapping[str, Cue]
    samples: Pcm16

    def audio(self, cue: str) -> Pcm16:
        """The line `cue`, int16 samples[n] at `RATE`."""
        found = self.cues[cue]
        return self.samples[found.start_ms * RATE // 1000 : found.end_ms * RATE // 1000]


def read_cues(sheet: Path, wav: Path) -> CueSheet:
    """Read a cue sheet and its WAV.

    Raises:
        CueError: a file is missing or damaged, the WAV is not 8 kHz mono, or a cue lies outside it.
    """
    again = "render both again with: python -m agent.lab.make_demo_caller"
    try:
        data: Any = json.loads(sheet.read_text(encoding="utf-8"))
        sound = read_wav(wav)
    except (OSError, ValueError) as error:
        raise CueError(f"{sheet}: cannot be used: {error}; {again}") from error
    if sound.rate != RATE or sound.channels != 1:
        raise CueError(f"{wav}: {sound.rate} Hz with {sound.channels} channels; it must be 8000 Hz mono; {again}")
    samples = to_pcm16(sound.samples)
    try:
        cues = {cue.id: cue for cue in (Cue(**entry) for entry in data["cues"])}
    except (KeyError, TypeError) as error:
        raise CueError(f"{sheet}: no list 'cues' of id, text, start_ms, end_ms: {error}; {again}") from error
    for cue in cues.values():
        if not 0 <= cue.start_ms < cue.end_ms <= len(samples) * 1000 // RATE:
            raise CueError(f"{sheet}: cue {cue.id!r} at {cue.start_ms}-{cue.end_ms} ms is not in {wav.name}; {again}")
    return CueSheet(cues, samples)


def write_cues(sheet: Path, voice: str, cues: list[Cue]) -> None:
    """Write a cue sheet beside its WAV.

    Raises:
        OSError: the file cannot be written.
    """
    data = {"rate": RATE, "voice": voice, "cues": [asdict(cue) for cue in cues]}
    sheet.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def silence(ms: int) -> Pcm16:
    """`ms` of silence at `RATE`."""
    return np.zeros(ms * RATE // 1000, dtype=np.int16)
