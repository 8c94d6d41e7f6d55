"""Recorded speech with its words: cue sheets of simulated callers, and folders of people's speech."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from faster_whisper import decode_audio

from agent.lab.cues import RATE as CUE_RATE
from agent.lab.cues import read_cues
from agent.lab.measuring.machine import MeasureFailed
from audio.resample import resample, to_float
from models.contracts import Samples

RATE = 16_000
"""Sample rate recognizers take, Hz."""
_TEXT_COLUMNS = ("text", "digit")
_FORMS = "metadata.tsv (columns file, text), LibriSpeech's *.trans.txt, or a JSON list of filename and transcription"


@dataclass(frozen=True, slots=True)
class Recording:
    """An utterance: `text` is what was said; `sound` is a file, or int16 samples[n] at 8 kHz. speaker: where known."""

    text: str
    sound: Path | np.ndarray[Any, np.dtype[np.int16]]
    speaker: str | None = None

    @property
    def key(self) -> str:
        """What tells this utterance from the others of its set: its file's name, if it has one, and its words."""
        return f"{self.sound.name if isinstance(self.sound, Path) else ''}\t{self.text}"

    def samples(self) -> Samples:
        """The sound, float32[n] at 16 kHz.

        Raises:
            MeasureFailed: the file cannot be read.
        """
        if isinstance(self.sound, Path):
            return _decode(self.sound)
        return resample(to_float(self.sound), CUE_RATE, RATE)


def cue_lines(sheet: Path) -> list[Recording]:
    """The lines of a cue sheet, whose WAV lies beside it.

    Raises:
        CueError: the sheet or the WAV is missing or damaged.
    """
    cues = read_cues(sheet, sheet.with_suffix(".wav"))
    return [Recording(cue.text, cues.audio(cue.id)) for cue in cues.cues.values()]


def read_folder(folder: Path, limit: int | None = None, seed: int = 0) -> list[Recording]:
    """The utterances of a folder; with `limit`, that many of them drawn by `seed`, else all in order.

    Three forms are known: `metadata.tsv` with the columns `file` and `text` (or `digit`), LibriSpeech's `*.trans.txt`
    anywhere below, and a `*.json` list of `filename` and `transcription`.

    Raises:
        MeasureFailed: there is none of them, or one is damaged or names a file that is not there.
    """
    if not folder.is_dir():
        raise MeasureFailed(f"--data {folder} is no folder; give one with {_FORMS}")
    found = list(_from_table(folder)) or list(_from_libri(folder)) or list(_from_json(folder))
    if not found:
        raise MeasureFailed(f"{folder} holds no utterances with their words; it needs {_FORMS}")
    for recording in found:
        if isinstance(recording.sound, Path) and not recording.sound.is_file():
            raise MeasureFailed(f"{recording.sound} is named in the list of {folder} but is not there")
    return found if limit is None or limit >= len(found) else random.Random(seed).sample(found, limit)


def _from_table(folder: Path) -> Iterator[Recording]:
    table = folder / "metadata.tsv"
    if not table.is_file():
        return
    with table.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t")
        names = rows.fieldnames or ()
        column = next((name for name in _TEXT_COLUMNS if name in names), None)
        if column is None or "file" not in names:
            raise MeasureFailed(f"{table} has the columns {', '.join(names)}; it needs 'file' and 'text'")
        for row in rows:
            if not row["file"] or not row[column]:
                raise MeasureFailed(
                    f"{table}:{rows.line_num}: 'file' or '{column}' is empty; fill it or remove the row"
                )
            yield Recording(row[column], folder / row["file"], row.get("speaker"))


def _from_libri(folder: Path) -> Iterator[Recording]:
    for listing in sorted(folder.rglob("*.trans.txt")):
        for line in listing.read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition(" ")
            yield Recording(text, listing.parent / f"{name}.flac")


def _from_json(folder: Path) -> Iterator[Recording]:
    for listing in sorted(folder.rglob("*.json")):
        try:
            entries = json.loads(listing.read_text(encoding="utf-8"))
        except ValueError as error:
            raise MeasureFailed(f"{listing}: not JSON: {error}") from error
        if _lists_recordings(entries):
            for entry in entries:
                yield Recording(entry["transcription"], listing.parent / entry["filename"])


def _lists_recordings(entries: Any) -> bool:
    wanted = ("filename", "transcription")
    return isinstance(entries, Sequence) and all(
        isinstance(entry, dict) and all(isinstance(entry.get(name), str) for name in wanted) for entry in entries
    )


def _decode(path: Path) -> Samples:
    try:
        decoded = decode_audio(str(path), sampling_rate=RATE)
    except Exception as error:  # av raises a class of its own for each kind of damage
        raise MeasureFailed(f"{path} cannot be read as audio: {error}") from error
    assert isinstance(decoded, np.ndarray)  # a pair only where channels are asked for apart
    samples: Samples = decoded.astype(np.float32, copy=False)
    return samples
