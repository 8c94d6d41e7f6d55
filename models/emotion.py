"""The emotion in a caller's voice: anger, activation and an indicative label, from sound alone.

The front of Whisper tiny.en hears the utterance at its true length; mean and deviation of the frames of its stem and of
both blocks over speech, and prosody, go to a linear head, each feature twice: as it is, and against the mean of what
this caller said before.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from faster_whisper.feature_extractor import FeatureExtractor

from models import prosody
from models.contracts import Samples, VoiceEmotion
from models.errors import ModelDamaged, ModelMissing

Features = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

RATE = 16_000
ENCODER_FILE = Path(__file__).parent / "weights" / "voice_emotion_encoder.onnx"
HEADS_FILE = Path(__file__).parent / "weights" / "voice_emotion.npz"
LAYER_NAMES = ("stem", "block1")
"""Outputs of the encoder beside `frames`, which is after its second block."""
LABELS = ("neutral", "happy", "sad", "angry")
EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""What clips can be labelled with."""
MEMBERS = {"neutral": ("neutral", "calm"), "happy": ("happy",), "sad": ("sad",), "angry": ("angry",)}
"""The emotions of each of `LABELS`."""
HIGH = ("angry", "happy", "fearful", "surprised")
LOW = ("neutral", "calm", "sad")
"""Emotions of high and of low activation; disgust is either."""

LEAST_SPEECH_SECONDS = 0.4
LEAST_VOICED_SECONDS = 0.1
"""Less voice than this is noise, or a whisper the heads never met."""
LEAST_LEVEL_DB = -65.0
"""A peak level under this is an empty line."""
LONGEST_SECONDS = 15.0
"""Of a longer turn only the end is read: how the caller feels now, at a bounded cost."""
_FRAME = 320
_PADDING = 3200
_MARGIN_FRAMES = 25
"""Frames of 20 ms kept before the first and after the last frame of speech; silence beyond them is not heard."""


class VoiceEncoder:
    """Samples to features of one utterance; stateless and safe to share between threads."""

    def __init__(self, path: Path = ENCODER_FILE) -> None:
        """Load the ONNX encoder; it runs on one thread.

        Raises:
            ModelMissing: there is no such file.
            ModelDamaged: onnxruntime cannot load it, or it lacks an output.
        """
        if not path.is_file():
            raise ModelMissing(f"no encoder at {path}; run python -m models.training.voice_emotion_encoder")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelDamaged(f"{path} cannot be loaded: {error}; export it again") from error
        outputs = {output.name: output.shape[2] for output in self._session.get_outputs()}
        missing = [name for name in ("frames", *LAYER_NAMES) if name not in outputs]
        if missing:
            raise ModelDamaged(f"{path} has no output {', '.join(missing)}; export it again")
        self._layers = [*LAYER_NAMES, "frames"]
        self._mel = FeatureExtractor()
        self.width: int = 2 * sum(outputs[name] for name in self._layers) + len(prosody.FEATURE_NAMES)

    def frames(self, samples: Samples) -> npt.NDArray[np.float32]:
        """Encode samples[n] at 16 kHz as float32[n // 320, 384], one frame every 20 ms, padding cut off."""
        return self._run(samples, ["frames"])[0]

    def features(self, samples: Samples) -> Features | None:
        """Describe samples[n] at 16 kHz as float32[width]; None where there is too little speech.

        Mean and standard deviation over speech of the stem's, the first block's and the second block's frames, then
        `prosody.FEATURE_NAMES`. Silence before and after the speech changes nothing and costs nothing.

        Raises:
            ValueError: samples is not one-dimensional or not finite.
        """
        if samples.ndim != 1:
            raise ValueError(f"samples has shape {samples.shape}; give mono samples[n] at 16 kHz")
        samples = np.ascontiguousarray(samples[-int(LONGEST_SECONDS * RATE) :], dtype=np.float32)
        if len(samples) < LEAST_SPEECH_SECONDS * RATE:
            return None
        if not np.isfinite(samples).all():
            raise ValueError("samples holds NaN or infinity; give finite samples in [-1, 1]")
        level, speech = prosody.speech_frames(samples, _FRAME)
        if np.percentile(level, 95) < LEAST_LEVEL_DB or np.count_nonzero(speech) * _FRAME < LEAST_SPEECH_SECONDS * RATE:
            return None
        at = np.flatnonzero(speech)
        first, last = max(0, int(at[0]) - _MARGIN_FRAMES), min(len(speech), int(at[-1]) + 1 + _MARGIN_FRAMES)
        samples, speech = samples[first * _FRAME : last * _FRAME], speech[first:last]
        measured = prosody.measure(samples)
        if measured.voiced_seconds < LEAST_VOICED_SECONDS:
            return None
        spoken = [layer[speech] for layer in self._run(samples, self._layers)]
        pooled = [part for layer in spoken for part in (layer.mean(axis=0), layer.std(axis=0))]
        return np.concatenate([*pooled, measured.features]).astype(np.float32)

    def _run(self, samples: Samples, names: list[str]) -> list[npt.NDArray[np.float32]]:
        mel = self._mel(samples, padding=_PADDING)[None].astype(np.float32)
        outputs: list[npt.NDArray[np.float32]] = self._session.run(names, {"mel": mel})
        return [output[0][: len(samples) // _FRAME] for output in outputs]


@dataclass(slots=True)
class CallerHistory:
    """The running mean of one caller's features; a few kilobytes however long the call."""

    mean: Features | None = None
    count: int = 0

    def compare(self, features: Features) -> Features:
        """[features, features - mean], float32[2 * width]; features alone before anything was said."""
        return features if self.mean is None else np.concatenate([features, features - self.mean])

    def add(self, features: Features) -> None:
        """Count one utterance in."""
        self.count += 1
        mean = np.zeros_like(features) if self.mean is None else self.mean
        self.mean = mean + (features - mean) / np.float32(self.count)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Log-odds to a probability, logistic(slope * log-odds + offset); 5 % of the others pass `threshold`."""

    slope: float
    offset: float
    threshold: float

    def probability(self, odds: Floats) -> Floats:
        """float64[n] of log-odds[n]."""
        out: Floats = 1.0 / (1.0 + np.exp(-np.clip(self.slope * odds + self.offset, -60.0, 60.0)))
        return out


@dataclass(frozen=True, slots=True)
class ReadOut:
    """A linear read-out of features into emotions, and how labels, anger and activation follow.

    weight float32[emotions, inputs] and bias float32[emotions] give log-probabilities up to a constant. sharpness
    multiplies the log-odds of the four labels.
    """

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    sharpness: float
    anger: Calibration
    activation: Calibration

    def scores(self, inputs: npt.NDArray[np.float32]) -> Floats:
        """Log-probability of each emotion, float64[n, emotions], of inputs[n, inputs]."""
        return log_softmax(inputs @ self.weight.T + self.bias)

    def arrays(self, name: str) -> dict[str, npt.NDArray[Any]]:
        """What `from_arrays` reads, under names that begin with `name`."""
        numbers = (self.sharpness, *(getattr(self.anger, part) for part in _NUMBERS))
        numbers = (*numbers, *(getattr(self.activation, part) for part in _NUMBERS))
        return {
            f"{name}_weight": self.weight.astype(np.float32),
            f"{name}_bias": self.bias.astype(np.float32),
            f"{name}_numbers": np.array(numbers, dtype=np.float64),
        }

    @classmethod
    def from_arrays(cls, name: str, stored: Mapping[str, npt.NDArray[Any]]) -> ReadOut:
        """Read what `arrays` gave.

        Raises:
            KeyError, ValueError: an array is missing or of another length.
        """
        sharpness, *rest = (float(number) for number in stored[f"{name}_numbers"])
        if len(rest) != 2 * len(_NUMBERS):
            raise ValueError(f"{name}_numbers has {len(rest) + 1} values")
        weight, bias = (stored[f"{name}_{part}"].astype(np.float32) for part in ("weight", "bias"))
        return cls(weight, bias, sharpness, Calibration(*rest[:3]), Calibration(*rest[3:]))


_NUMBERS = ("slope", "offset", "threshold")


@dataclass(frozen=True, slots=True)
class Heads:
    """What reads emotions off features: one for a caller's first turn, one for later ones, against what came before.

    emotions: those it knows, of `EMOTIONS`; every one of `LABELS` has a member among them. `first` reads
    float32[width], `later` [features, features - mean], float32[2 * width]. centre and spread, float32[width], are mean
    and deviation of each feature over the clips the heads were fitted on; only training on further clips needs them.
    """

    emotions: tuple[str, ...]
    first: ReadOut
    later: ReadOut
    centre: npt.NDArray[np.float32]
    spread: npt.NDArray[np.float32]

    @classmethod
    def load(cls, path: Path) -> Heads:
        """Read the heads from an .npz file.

        Raises:
            ModelMissing: there is no such file.
            ModelDamaged: it lacks an array, is no .npz file, or its parts do not fit each other.
        """
        if not path.is_file():
            raise ModelMissing(f"no voice emotion heads at {path}; run agent train emotion")
        try:
            with np.load(path, allow_pickle=False) as stored:
                heads = cls(
                    tuple(str(name) for name in stored["emotions"]),
                    ReadOut.from_arrays("first", stored),
                    ReadOut.from_arrays("later", stored),
                    stored["centre"].astype(np.float32),
                    stored["spread"].astype(np.float32),
                )
        except (KeyError, ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ModelDamaged(f"{path} cannot be read as voice emotion heads: {error}; train them again") from error
        count, width = len(heads.emotions), len(heads.centre)
        for name, part, inputs in (("first", heads.first, width), ("later", heads.later, 2 * width)):
            if part.weight.shape != (count, inputs) or part.bias.shape != (count,) or heads.spread.shape != (width,):
                raise ModelDamaged(
                    f"{path}: {name}_weight has shape {part.weight.shape}, {count} emotions of {inputs} features need "
                    f"{(count, inputs)}; train the heads again"
                )
        if set(heads.emotions) - set(EMOTIONS) or lacks(heads.emotions):
            raise ModelDamaged(f"{path}: its emotions are {', '.join(heads.emotions)}; train the heads again")
        return heads

    def save(self, path: Path) -> None:
        """Write the heads to an .npz file; a reader sees the old file or the new one, whole.

        Raises:
            OSError: it cannot be written; the old file stays.
        """
        arrays = self.first.arrays("first") | self.later.arrays("later")
        arrays |= {"centre": self.centre.astype(np.float32), "spread": self.spread.astype(np.float32)}
        arrays["emotions"] = np.array(self.emotions)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def read(self, compared: Features) -> VoiceEmotion:
        """Read the emotion of what `CallerHistory.compare` gives: float32[width] or float32[2 * width]."""
        part = self.first if len(compared) == len(self.centre) else self.later
        logs = part.scores(compared[None])
        four = np.exp(log_softmax(part.sharpness * four_scores(logs, self.emotions)))[0]
        scores = dict(zip(LABELS, four.tolist(), strict=True))
        return VoiceEmotion(
            label=max(scores, key=scores.__getitem__),
            scores=scores,
            anger=float(part.anger.probability(odds(logs, self.emotions, ("angry",)))[0]),
            activation=float(part.activation.probability(odds(logs, self.emotions, HIGH, LOW))[0]),
        )


def lacks(emotions: Sequence[str]) -> list[str]:
    """The `LABELS` that none of `emotions` belongs to."""
    return [label for label, members in MEMBERS.items() if not set(members) & set(emotions)]


def log_softmax(x: npt.NDArray[np.floating[Any]]) -> Floats:
    """Log of the softmax over the last axis, float64."""
    shifted = np.asarray(x - x.max(axis=-1, keepdims=True), dtype=np.float64)
    out: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return out


def _together(logs: Floats, emotions: Sequence[str], members: Sequence[str]) -> Floats:
    """Log of the summed probability of `members`, float64[n]."""
    columns = [emotions.index(name) for name in members if name in emotions]
    out: Floats = np.logaddexp.reduce(logs[:, columns], axis=1)
    return out


def four_scores(logs: Floats, emotions: Sequence[str]) -> Floats:
    """Log-probability of each of `LABELS` up to a constant, float64[n, 4], from logs[n, emotions]."""
    return np.stack([_together(logs, emotions, MEMBERS[label]) for label in LABELS], axis=1)


def odds(logs: Floats, emotions: Sequence[str], these: Sequence[str], others: Sequence[str] = ()) -> Floats:
    """Log-odds of `these` against `others` (all the rest, unless given), float64[n], from logs[n, emotions]."""
    others = others or tuple(name for name in emotions if name not in these)
    return _together(logs, emotions, these) - _together(logs, emotions, others)


class VoiceEmotionReader:
    """The embedded voice emotion model; implements `models.contracts.VoiceEmotionModel`."""

    def __init__(self, encoder: Path = ENCODER_FILE, heads: Path = HEADS_FILE) -> None:
        """Load the encoder and the heads.

        Raises:
            ModelMissing: a file is not there.
            ModelDamaged: a file cannot be read, or the heads belong to another encoder.
        """
        self.encoder = VoiceEncoder(encoder)
        self._heads = Heads.load(heads)
        if len(self._heads.centre) != self.encoder.width:
            raise ModelDamaged(
                f"{heads}: the heads read {len(self._heads.centre)} features, the encoder gives "
                f"{self.encoder.width}; train the heads again"
            )

    @property
    def heads(self) -> Heads:
        """The read-out, its calibration and thresholds."""
        return self._heads

    def new_history(self) -> CallerHistory:
        """An empty history; the call owns it and passes it to every `read`."""
        return CallerHistory()

    def read(self, samples: Samples, history: CallerHistory) -> VoiceEmotion | None:
        """Read one caller turn, samples[n] at 16 kHz, and count it into `history`.

        None, and no change of the history, under 0.4 s of speech. Of a turn over 15 s only the end is read.

        Raises:
            ValueError: samples is not one-dimensional or not finite.
        """
        features = self.encoder.features(samples)
        if features is None:
            return None
        emotion = self._heads.read(history.compare(features))
        history.add(features)
        return emotion
