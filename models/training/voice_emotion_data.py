"""Labelled clips of emotional speech, brought onto a telephone line, as features."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from faster_whisper.audio import decode_audio
from rich.progress import track

from audio import g711
from audio.resample import resample, to_float, to_pcm16
from models.contracts import Samples
from models.emotion import RATE, VoiceEncoder

Floats = npt.NDArray[np.float32]
Variant = Literal["telephone", "noisy", "wideband"]

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
VARIANTS: tuple[Variant, ...] = ("telephone", "noisy", "wideband")
"""telephone: the clip through a G.711 line; noisy: with noise and a gain before it; wideband: both, no line."""

LINE_RATE = 8_000
LINE_LOW_HZ = 200.0
LINE_ORDER = 4
NOISE_DB = (12.0, 25.0)
GAIN_DB = (-12.0, 6.0)
_AUDIO_SUFFIXES = (".flac", ".ogg", ".wav")


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance: its file, one of `EMOTIONS`, who said it and, where known, the words."""

    path: Path
    emotion: str
    speaker: str
    text: str


@dataclass(frozen=True)
class Dataset:
    """Clips, and for each variant their features float32[len(clips), width]."""

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


def read_clips(folder: Path) -> tuple[Clip, ...]:
    """Read `metadata.tsv` of a folder of clips: columns file, emotion, actor and optionally text.

    Raises:
        ValueError: the table or a column is missing, an emotion is unknown or a file is not there; names the line.
    """
    table = folder / "metadata.tsv"
    if not table.is_file():
        raise ValueError(f"{folder} has no metadata.tsv; write one with the columns file, emotion, actor (and text)")
    clips = []
    with table.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines, delimiter="\t")
        missing = {"file", "emotion", "actor"} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{table}: column {sorted(missing)[0]!r} is missing; it needs file, emotion and actor")
        for number, row in enumerate(reader, start=2):
            if row["emotion"] not in EMOTIONS:
                raise ValueError(f"{table}:{number}: emotion is {row['emotion']!r}; use one of {', '.join(EMOTIONS)}")
            path = folder / (row["file"] or "")
            if not path.is_file():
                raise ValueError(f"{table}:{number}: file {row['file']!r} is not in {folder}; correct or drop the line")
            speaker = f"{folder.name}/{row['actor']}"
            clips.append(Clip(path, row["emotion"], speaker, row.get("text") or ""))
    return tuple(clips)


def read_noises(folders: Sequence[Path], seed: int) -> list[Samples]:
    """Noises at 16 kHz: every audio file under `folders`, or, without one, white, pink and brown noise and mains hum.

    Raises:
        ValueError: a folder holds no audio.
    """
    paths: list[Path] = []
    for folder in folders:
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _AUDIO_SUFFIXES)
        if not found:
            raise ValueError(f"no .flac, .ogg or .wav file under {folder}; give another noise folder or none")
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
    """Read an audio file as samples[n] at 16 kHz, mono."""
    return np.asarray(decode_audio(str(path), sampling_rate=RATE), dtype=np.float32)


def telephone(samples: Samples) -> Samples:
    """Take samples[n] at 16 kHz over a line and back: 200 Hz high-pass, 8 kHz, mu-law, 16 kHz."""
    spectrum = np.fft.rfft(samples)
    ratio = np.fft.rfftfreq(len(samples), 1 / RATE) / LINE_LOW_HZ
    high_pass = ratio**LINE_ORDER / np.sqrt(1.0 + ratio ** (2 * LINE_ORDER))
    narrow = resample(np.fft.irfft(spectrum * high_pass, len(samples)).astype(np.float32), RATE, LINE_RATE)
    heard = to_float(g711.decode_mulaw(g711.encode_mulaw(to_pcm16(narrow))))
    return resample(heard, LINE_RATE, RATE)


def add_noise(samples: Samples, noise: Samples, rng: np.random.Generator) -> Samples:
    """Add a random stretch of `noise` at 12-25 dB below the mean power of samples[n]."""
    start = int(rng.integers(0, max(1, len(noise) - len(samples))))
    stretch = np.resize(noise[start:], len(samples)).astype(np.float64)
    power = float(np.mean(samples.astype(np.float64) ** 2)) / 10 ** (rng.uniform(*NOISE_DB) / 10)
    scale = np.sqrt(power / (float(np.mean(stretch**2)) + 1e-12))
    noisy: Samples = (samples + scale * stretch).astype(np.float32)
    return noisy


def vary(samples: Samples, variant: Variant, gain_db: float, noise: Samples, rng: np.random.Generator) -> Samples:
    """Bring samples[n] at 16 kHz into a variant; gain_db and noise play no part in `telephone`."""
    if variant == "telephone":
        return telephone(samples)
    loud = (add_noise(samples, noise, rng) * 10 ** (gain_db / 20)).astype(np.float32)
    return telephone(loud) if variant == "noisy" else np.clip(loud, -1.0, 1.0)


def _probe(encoder: VoiceEncoder) -> bytes:
    """The features of a made voice; they change when the encoder or the prosody does."""
    time = np.arange(RATE) / RATE
    buzz = np.sum([np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 20)], axis=0) * np.sin(8 * time) ** 2
    features = encoder.features(telephone((0.1 * buzz).astype(np.float32)))
    assert features is not None
    return features.tobytes()


def load_dataset(folders: Sequence[Path], noises: Sequence[Samples], seed: int, cache: Path | None = None) -> Dataset:
    """Read the clips of `folders` and measure them in every variant.

    Each speaker has one random gain per variant, each clip one random noise. Clips with too little speech are left out.
    With `cache`, features are kept there under a key of the clips, the noises, the seed and the features of a probe.

    Raises:
        ValueError: as `read_clips`, or no clip holds speech.
    """
    clips = tuple(clip for folder in folders for clip in read_clips(folder))
    encoder = VoiceEncoder()
    digest = hashlib.sha256(repr((clips, seed)).encode())
    for sound in noises:
        digest.update(sound.tobytes())
    digest.update(_probe(encoder))
    stored = cache / f"voice_emotion_{digest.hexdigest()[:16]}.npz" if cache else None
    if stored is not None and stored.is_file():
        with np.load(stored) as arrays:
            index = arrays["kept"]
            return Dataset(tuple(clips[i] for i in index), {variant: arrays[variant] for variant in VARIANTS})
    gains: dict[tuple[str, Variant], float] = {}
    rows: dict[Variant, list[Floats]] = {variant: [] for variant in VARIANTS}
    kept: list[int] = []
    for number, clip in enumerate(track(clips, description="Measuring clips")):
        samples = read_audio(clip.path)
        measured: dict[Variant, Floats] = {}
        for place, variant in enumerate(VARIANTS):
            rng = np.random.default_rng([seed, number, place])
            gain = gains.setdefault((clip.speaker, variant), float(rng.uniform(*GAIN_DB)))
            noise = noises[int(rng.integers(len(noises)))]
            features = encoder.features(vary(samples, variant, gain, noise, rng))
            if features is not None:
                measured[variant] = features
        if len(measured) == len(VARIANTS):
            kept.append(number)
            for variant in VARIANTS:
                rows[variant].append(measured[variant])
    if not kept:
        raise ValueError(f"{folders[0]}: no clip holds 0.4 s of voiced speech; check the recordings")
    features_by_variant = {variant: np.stack(rows[variant]) for variant in VARIANTS}
    if stored is not None:
        stored.parent.mkdir(parents=True, exist_ok=True)
        arrays_to_store: dict[str, Any] = {"kept": np.array(kept)}
        arrays_to_store.update({str(variant): values for variant, values in features_by_variant.items()})
        np.savez(stored, **arrays_to_store)
    return Dataset(tuple(clips[i] for i in kept), features_by_variant)
