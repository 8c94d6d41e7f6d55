"""Where a simulated caller's words come from: a WAV, the shipped pack, a cache, or the caller's voice.

A pack is a mu-law WAV and a JSON list of what lies where in it, keyed by all that decides how a text sounds.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agent.config import CONFIGS
from agent.lab.scenario import Line, Scenario
from agent.lab.spoken import RATE, Spoken, spoken
from agent.lab.steps import Step
from agent.yamlfile import FileError
from audio import g711
from audio.codec import Pcm16
from audio.resample import resample, to_pcm16
from audio.wav import read_mono, read_wav, write_wav
from models.errors import ModelError
from models.speakable.numbers import digits as digit_by_digit

SHIPPED = CONFIGS / "scenarios" / "lines.json"
CACHE = Path("var/cache/caller")
_MULAW_HEADER = struct.Struct("<4sI4s4sIHHIIHHH4sII4sI")
_WAVE_MULAW = 7
_LETTERS = {"A": "ay", ".": "dot", "@": "at", "_": "underscore", "-": "dash"}
"""What a voice would misread as a letter by itself."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A text as one voice says it in one go; everything that decides how it sounds."""

    text: str
    voice: str
    speed: float = 1.0
    seed: int = 0
    raised: bool = False

    @property
    def key(self) -> str:
        """The same for equal pieces, and only for them."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:20]


class Pack:
    """Pieces that were rendered before; `RATE`, mu-law."""

    def __init__(self, sounds: Mapping[str, Pcm16]) -> None:
        """`sounds` by the key of their piece."""
        self.sounds = dict(sounds)

    @classmethod
    def read(cls, listing: Path) -> Pack:
        """Read `listing` and the WAV of the same name beside it; an empty pack where there is no such file.

        Raises:
            FileError: the listing or its WAV is damaged.
        """
        if not listing.is_file():
            return cls({})
        try:
            data: Any = json.loads(listing.read_text(encoding="utf-8"))
            sound = read_wav(listing.with_suffix(".wav"))
            if data["rate"] != RATE or sound.rate != RATE or sound.channels != 1:
                raise ValueError(f"it must be {RATE} Hz mono")
            samples = to_pcm16(sound.samples)
            found = {}
            for entry in data["pieces"]:
                start, end = int(entry["start"]), int(entry["end"])
                if not 0 <= start < end <= len(samples):
                    raise ValueError(f"piece {entry['text']!r} at {start}-{end} is not in the WAV")
                found[str(entry["key"])] = samples[start:end]
        except (OSError, ValueError, KeyError, TypeError) as error:
            again = "render it again with: python -m agent.lab.make_lines FOLDER"
            raise FileError([f"{listing}: cannot be used: {error}; {again}"]) from error
        return cls(found)

    @staticmethod
    def write(listing: Path, sounds: Mapping[Piece, Pcm16]) -> None:
        """Write a pack: `listing`, and beside it the WAV.

        Raises:
            OSError: a file cannot be written.
        """
        entries: list[dict[str, Any]] = []
        at = 0
        for piece, samples in sounds.items():
            entries.append({"key": piece.key, **asdict(piece), "start": at, "end": at + len(samples)})
            at += len(samples)
        whole = np.concatenate([np.zeros(0, dtype=np.int16), *sounds.values()])
        _write_mulaw(listing.with_suffix(".wav"), whole)
        rows = ",\n  ".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
        listing.write_text(f'{{"rate": {RATE}, "pieces": [\n  {rows}\n]}}\n', encoding="utf-8")


class CallerSpeech:
    """Says the lines of scenarios; blocking. What was rendered is kept in the folder `cache`."""

    def __init__(self, packs: Sequence[Path] = (SHIPPED,), cache: Path | None = CACHE) -> None:
        """`packs`: listings, looked through in order.

        Raises:
            FileError: a pack is damaged.
        """
        self._sounds: dict[str, Pcm16] = {}
        for listing in reversed(packs):
            self._sounds |= Pack.read(listing).sounds
        self._cache = cache
        self._voices: dict[str, Any] = {}

    def line(self, scenario: Scenario, line: Line) -> Spoken:
        """A line as its scenario wants it.

        Raises:
            FileError: its WAV cannot be read, or it must be rendered and cannot be.
        """
        if line.id in scenario.sounds:
            return scenario.sounds[line.id]
        if line.wav is not None:
            return spoken([self.wav(scenario.folder / line.wav)])
        return spoken([self.sound(piece) for piece in pieces(scenario, line)], [ms for ms in _pauses(line) if ms])

    def step(self, scenario: Scenario, step: Step) -> Spoken | None:
        """What `step` says, None where it says nothing; raises as `line`."""
        named = step.say or step.backchannel
        if named is not None:
            return self.line(scenario, scenario.line(named))
        several = step_pieces(scenario, step)
        return spoken([self.sound(piece) for piece in several], [step.pause_ms]) if several else None

    def wav(self, path: Path) -> Pcm16:
        """A recording, int16 samples[n] at `RATE`; raises FileError."""
        try:
            return to_pcm16(read_mono(path, RATE))
        except (OSError, ValueError) as error:
            raise FileError([str(error)]) from error

    def sound(self, piece: Piece) -> Pcm16:
        """One piece, int16 samples[n] at `RATE`.

        Raises:
            FileError: it was not rendered before and cannot be now.
        """
        key = piece.key
        if key not in self._sounds:
            kept = self._cache / f"{key}.wav" if self._cache is not None else None
            if kept is not None and kept.is_file():
                self._sounds[key] = self.wav(kept)
            else:
                self._sounds[key] = self.render(piece)
                if kept is not None:
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    write_wav(kept, self._sounds[key], RATE)
        return self._sounds[key]

    def render(self, piece: Piece) -> Pcm16:
        """Speak a piece with the caller's voice; raises FileError where it cannot."""
        from agent.lab.caller_voice import RATE as VOICE_RATE
        from agent.lab.caller_voice import CallerVoice, raised

        try:
            if piece.voice not in self._voices:
                self._voices[piece.voice] = CallerVoice(piece.voice)
            said = self._voices[piece.voice].read(piece.text, piece.speed, piece.seed)
        except (ModelError, ValueError) as error:
            raise FileError([f"{piece.text!r} was not rendered before and cannot be now: {error}"]) from error
        narrow = to_pcm16(resample(raised(said) if piece.raised else said, VOICE_RATE, RATE))
        return g711.decode_mulaw(g711.encode_mulaw(narrow))


def speech_of(scenarios: Iterable[Scenario]) -> CallerSpeech:
    """Whoever says the lines of `scenarios`: from the packs beside them and the shipped one. Raises FileError."""
    beside = {scenario.folder / SHIPPED.name: None for scenario in scenarios}
    return CallerSpeech((*beside, SHIPPED))


def pieces(scenario: Scenario, line: Line) -> list[Piece]:
    """What is rendered apart for a line: what lies between its pauses."""
    voice = line.voice or scenario.script.voice
    texts: list[str] = []
    apart = [1, *_pauses(line)]
    for text, pause_ms in zip(line.text.split(",") if line.pauses_ms else [line.text], apart, strict=True):
        if pause_ms:
            texts.append(text.strip())
        else:
            texts[-1] = f"{texts[-1]}, {text.strip()}"
    return [Piece(text, voice, line.speed, line.seed, line.raised) for text in texts]


def _pauses(line: Line) -> list[int]:
    """The pause at each comma of a line, ms; none where it has no pauses."""
    count = line.text.count(",") if line.pauses_ms else 0
    return [line.pauses_ms[n % len(line.pauses_ms)] for n in range(count)]


def step_pieces(scenario: Scenario, step: Step) -> list[Piece]:
    """What is rendered apart for `dictate` and `spell`; nothing for other steps."""
    if step.dictate is not None:
        texts = [dictated(group) for group in step.dictate.split()]
    else:
        texts = [_LETTERS.get(letter.upper(), letter.upper()) for letter in step.spell or "" if letter != " "]
    return [Piece(text, scenario.script.voice) for text in texts]


def needed(scenario: Scenario) -> Iterator[Piece]:
    """Every piece that a scenario's steps need rendered."""
    for line in scenario.spoken_lines():
        if line.wav is None and line.id not in scenario.sounds:
            yield from pieces(scenario, line)
    for step in scenario.script.steps:
        yield from step_pieces(scenario, step)


def dictated(group: str) -> str:
    """A group of a dictation as it is said: "427" is "four two seven"."""
    return re.sub(r"\d+", lambda found: f" {digit_by_digit(found.group())} ".replace("-", " "), group).strip()


def _write_mulaw(path: Path, samples: Pcm16) -> None:
    """Write int16 samples[n] at `RATE` as a mu-law WAV of one channel; raises OSError."""
    data = g711.encode_mulaw(samples)
    head = _MULAW_HEADER.pack(
        *(b"RIFF", 50 + len(data), b"WAVE", b"fmt ", 18, _WAVE_MULAW, 1, RATE, RATE, 1, 8, 0),
        *(b"fact", 4, len(data), b"data", len(data)),
    )
    path.write_bytes(head + data + b"\0" * (len(data) % 2))
