"""Labelled clips of emotional speech, brought onto telephone lines, as features."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from faster_whisper.audio import decode_audio

from models.contracts import Samples
from models.emotion import EMOTIONS, RATE, VoiceEncoder
from models.training.examples import DataError
from models.training.voice_emotion_lines import GAIN_DB, Variant, telephone, vary

Floats = npt.NDArray[np.float32]
Progress = Callable[[int, int, str], None]
"""Told how much is done, of how much, and of what."""

COLUMNS = ("file", "emotion", "actor")
_AUDIO_SUFFIXES = (".flac", ".ogg", ".wav")
_MOST_PROBLEMS = 20


def quiet(done: int, total: int, what: str) -> None:
    """A `Progress` that shows nothing."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance: its file, one of `EMOTIONS`, who said it and, where known, the words."""

    path: Path
    emotion: str
    speaker: str
    text: str


@dataclass(frozen=True)
class Dataset:
    """Clips, and for each variant their features float32[len(clips), width]; NaN where too little speech was left."""

    clips: tuple[Clip, ...]
    features: dict[Variant, Floats]

    def only(self, paths: AbstractSet[Path]) -> Dataset:
        """The clips whose file is one of `paths`, in the same order."""
        rows = [i for i, clip in enumerate(self.clips) if clip.path in paths]
        return Dataset(tuple(self.clips[i] for i in rows), {key: value[rows] for key, value in self.features.items()})

    @cached_property
    def emotions(self) -> npt.NDArray[np.str_]:
        """The emotion of each clip."""
        return np.array([clip.emotion for clip in self.clips], dtype=np.str_)

    @cached_property
    def speakers(self) -> npt.NDArray[np.str_]:
        """The speaker of each clip."""
        return np.array([clip.speaker for clip in self.clips], dtype=np.str_)

    def heard(self, variant: Variant) -> npt.NDArray[np.bool_]:
        """Which clips have features in a variant."""
        return np.isfinite(self.features[variant][:, 0])

    @property
    def variants(self) -> tuple[Variant, ...]:
        """What was measured, in order."""
        return tuple(self.features)


def read_clips(folder: Path, emotions: Sequence[str] = EMOTIONS) -> tuple[Clip, ...]:
    """Read `metadata.tsv` of a folder of clips: columns file, emotion, actor and optionally text.

    Clips of other emotions than `emotions` are left out.

    Raises:
        DataError: the table or a column is missing, it is not UTF-8, an emotion is unknown, an actor is empty, or a
            file is not there or named twice; names the lines.
    """
    table = folder / "metadata.tsv"
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        columns = ", ".join(COLUMNS)
        raise DataError([f"{folder} has no metadata.tsv; write one with the columns {columns} (and text)"]) from None
    except UnicodeDecodeError as error:
        raise DataError([f"{table}: is not UTF-8 at byte {error.start}; save it as UTF-8"]) from error
    reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    missing = sorted(set(COLUMNS) - set(reader.fieldnames or ()))
    if missing:
        raise DataError([f"{table}: column {missing[0]!r} is missing; it needs file, emotion and actor"])
    clips: list[Clip] = []
    problems: list[str] = []
    seen: dict[Path, int] = {}
    for number, row in enumerate(reader, start=2):
        path = folder / (row["file"] or "")
        if row["emotion"] not in EMOTIONS:
            problems.append(f"{table}:{number}: emotion is {row['emotion']!r}; use one of {', '.join(EMOTIONS)}")
        elif not row["actor"]:
            problems.append(f"{table}:{number}: actor is empty; write who speaks, so that speakers are kept apart")
        elif not path.is_file():
            problems.append(f"{table}:{number}: file {row['file']!r} is not in {folder}; correct or drop the line")
        elif path in seen:
            problems.append(f"{table}:{number}: file {row['file']!r} is on line {seen[path]} too; keep one of them")
        elif row["emotion"] in emotions:
            seen[path] = number
            clips.append(Clip(path, row["emotion"], f"{folder.name}/{row['actor']}", row.get("text") or ""))
    if problems:
        more = len(problems) - _MOST_PROBLEMS
        raise DataError(
            problems[:_MOST_PROBLEMS] + ([f"{table}: and {more} more lines like these"] if more > 0 else [])
        )
    if not clips:
        raise DataError([f"{table}: names no clip of {', '.join(emotions)}; add some"])
    return tuple(clips)


def read_noises(folders: Sequence[Path], seed: int) -> list[Samples]:
    """Noises at 16 kHz: every audio file under `folders`, or, without one, white, pink and brown noise and mains hum.

    Raises:
        DataError: a folder holds no audio, or a file cannot be read.
    """
    paths: list[Path] = []
    for folder in folders:
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _AUDIO_SUFFIXES)
        if not found:
            raise DataError([f"no .flac, .ogg or .wav file under {folder}; give another noise folder or none"])
        paths += found
    if paths:
        return [read_audio(path) for path in paths]
    rng = np.random.default_rng(seed)
    length = 10 * RATE
    hertz = np.fft.rfftfreq(length, 1 / RATE)
    colours = []
    for exponent in (0.0, 0.5, 1.0):
        spectrum = np.fft.rfft(rng.standard_normal(length)) / np.maximum(hertz, 50.0) ** exponent
        colours.append(np.fft.irfft(spectrum, length).astype(np.float32))
    time = np.arange(length) / RATE
    hum = sum(np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 20))
    return [*colours, np.asarray(hum, dtype=np.float32)]


def read_audio(path: Path) -> Samples:
    """Read an audio file as samples[n] at 16 kHz, mono.

    Raises:
        DataError: it cannot be read as audio, or holds NaN or infinity.
    """
    try:
        samples = np.asarray(decode_audio(str(path), sampling_rate=RATE), dtype=np.float32)
    except Exception as error:  # FFmpeg has a hierarchy of its own; whatever it says, the clip is of no use
        raise DataError([f"{path}: cannot be read as audio ({error}); replace it or drop its line"]) from error
    if not np.isfinite(samples).all():
        raise DataError([f"{path}: holds NaN or infinity; replace it or drop its line"])
    return samples


def _probe(encoder: VoiceEncoder) -> bytes:
    """The features of a made voice; they change when the encoder or the prosody does."""
    time = np.arange(RATE) / RATE
    buzz = np.sum([np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 20)], axis=0) * np.sin(8 * time) ** 2
    features = encoder.features(telephone((0.1 * buzz).astype(np.float32)))
    assert features is not None
    return features.tobytes()


def read_folders(folders: Iterable[Path], emotions: Sequence[str] = EMOTIONS) -> tuple[Clip, ...]:
    """The clips of several folders, in order.

    Raises:
        DataError: as `read_clips`.
    """
    return tuple(clip for folder in folders for clip in read_clips(folder, emotions))


def load_dataset(
    clips: tuple[Clip, ...],
    variants: Sequence[Variant],
    noises: Sequence[Samples],
    seed: int,
    cache: Path | None = None,
    progress: Progress = quiet,
) -> Dataset:
    """Measure clips in every variant.

    Each speaker has one random gain per variant, each clip one random noise. Clips with too little speech in the first
    variant are left out; in others their features are NaN.
    With `cache`, features are kept there under a key of the clips, the noises, the seed and the features of a probe.

    Raises:
        DataError: a clip cannot be read, or none holds speech.
    """
    encoder = VoiceEncoder()
    digest = hashlib.sha256(repr((clips, tuple(variants), seed)).encode())
    for sound in noises:
        digest.update(sound.tobytes())
    digest.update(_probe(encoder))
    stored = cache / f"voice_emotion_{digest.hexdigest()[:16]}.npz" if cache else None
    if stored is not None and stored.is_file():
        with np.load(stored) as arrays:
            index = arrays["kept"]
            return Dataset(tuple(clips[i] for i in index), {variant: arrays[variant] for variant in variants})
    gains: dict[tuple[str, Variant], float] = {}
    rows: dict[Variant, list[Floats]] = {variant: [] for variant in variants}
    kept: list[int] = []
    unheard = np.full(encoder.width, np.nan, dtype=np.float32)
    for number, clip in enumerate(clips):
        progress(number, len(clips), "measuring clips")
        samples = read_audio(clip.path)
        measured: dict[Variant, Floats] = {}
        for place, variant in enumerate(variants):
            rng = np.random.default_rng([seed, number, place])
            gain = gains.setdefault((clip.speaker, variant), float(rng.uniform(*GAIN_DB)))
            noise = noises[int(rng.integers(len(noises)))]
            features = encoder.features(vary(samples, variant, gain, noise, rng)) if len(samples) else None
            if features is not None:
                measured[variant] = features
        if variants[0] in measured:
            kept.append(number)
            for variant in variants:
                rows[variant].append(measured.get(variant, unheard))
    if not kept:
        raise DataError([f"{clips[0].path.parent}: no clip holds 0.4 s of voiced speech; check the recordings"])
    features_by_variant = {variant: np.stack(rows[variant]) for variant in variants}
    if stored is not None:
        stored.parent.mkdir(parents=True, exist_ok=True)
        arrays_to_store: dict[str, Any] = {"kept": np.array(kept)}
        arrays_to_store.update({str(variant): values for variant, values in features_by_variant.items()})
        np.savez(stored, **arrays_to_store)
    return Dataset(tuple(clips[i] for i in kept), features_by_variant)
