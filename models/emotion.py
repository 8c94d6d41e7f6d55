"""The emotion in a caller's voice: anger, activation and an indicative label, from sound alone.

The front of Whisper tiny.en hears the utterance at its true length; mean and deviation of its frames over speech, and
prosody, go to linear heads, each feature twice: as it is, and against the mean of what this caller said before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from faster_whisper.feature_extractor import FeatureExtractor

from models import prosody
from models.contracts import Samples, VoiceEmotion
from models.errors import ModelDamaged, ModelMissing

Features = npt.NDArray[np.float32]

RATE = 16_000
ENCODER_FILE = Path(__file__).parent / "weights" / "voice_emotion_encoder.onnx"
HEADS_FILE = Path(__file__).parent / "weights" / "voice_emotion.npz"
LABELS = ("neutral", "happy", "sad", "angry")

LEAST_SPEECH_SECONDS = 0.4
LEAST_VOICED_SECONDS = 0.1
"""Less voice than this is noise, or a whisper the heads never met."""
LEAST_LEVEL_DB = -65.0
"""A peak level under this is an empty line."""
LONGEST_SECONDS = 15.0
"""Of a longer turn only the end is read: how the caller feels now, at a bounded cost."""
_FRAME = 320
_PADDING = 3200


class VoiceEncoder:
    """Samples to features of one utterance; stateless and safe to share between threads."""

    def __init__(self, path: Path = ENCODER_FILE) -> None:
        """Load the ONNX encoder; it runs on one thread.

        Raises:
            ModelMissing: there is no such file.
            ModelDamaged: onnxruntime cannot load it.
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
        self._mel = FeatureExtractor()
        self.width: int = 2 * self._session.get_outputs()[0].shape[2] + len(prosody.FEATURE_NAMES)

    def frames(self, samples: Samples) -> npt.NDArray[np.float32]:
        """Encode samples[n] at 16 kHz as float32[n // 320, 384], one frame every 20 ms, padding cut off."""
        mel = self._mel(samples, padding=_PADDING)[None].astype(np.float32)
        encoded: npt.NDArray[np.float32] = self._session.run(None, {"mel": mel})[0][0]
        return encoded[: len(samples) // _FRAME]

    def features(self, samples: Samples) -> Features | None:
        """Describe samples[n] at 16 kHz as float32[width]; None where there is too little speech.

        Mean and standard deviation of the encoder's frames over speech, then `prosody.FEATURE_NAMES`.

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
        measured = prosody.measure(samples)
        if measured.voiced_seconds < LEAST_VOICED_SECONDS:
            return None
        frames = self.frames(samples)[speech]
        return np.concatenate([frames.mean(axis=0), frames.std(axis=0), measured.features]).astype(np.float32)


@dataclass(slots=True)
class CallerHistory:
    """The running mean of one caller's features; a few kilobytes however long the call."""

    mean: Features | None = None
    count: int = 0

    def compare(self, features: Features) -> Features:
        """[features, features - mean], float32[2 * width]; the second half is 0 before anything was said."""
        return np.concatenate([features, np.zeros_like(features) if self.mean is None else features - self.mean])

    def add(self, features: Features) -> None:
        """Count one utterance in."""
        self.count += 1
        mean = np.zeros_like(features) if self.mean is None else self.mean
        self.mean = mean + (features - mean) / np.float32(self.count)


@dataclass(frozen=True, slots=True)
class Heads:
    """Linear read-outs of [features, features - mean], standardisation and calibration folded in.

    four_weight float32[4, 2 * width] and four_bias float32[4] in the order of `LABELS`; the other two are
    float32[2 * width] and float32[]. The softmax or logistic of a read-out is its probability.
    """

    four_weight: npt.NDArray[np.float32]
    four_bias: npt.NDArray[np.float32]
    anger_weight: npt.NDArray[np.float32]
    anger_bias: npt.NDArray[np.float32]
    activation_weight: npt.NDArray[np.float32]
    activation_bias: npt.NDArray[np.float32]

    @classmethod
    def load(cls, path: Path) -> Heads:
        """Read the heads from an .npz file.

        Raises:
            ModelMissing: there is no such file.
            ModelDamaged: it lacks an array or is no .npz file.
        """
        if not path.is_file():
            raise ModelMissing(f"no voice emotion heads at {path}; run python -m models.training.voice_emotion")
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(**{name: stored[name] for name in cls.__dataclass_fields__})
        except (KeyError, ValueError, OSError, EOFError) as error:
            raise ModelDamaged(f"{path} cannot be read as voice emotion heads: {error}; train them again") from error

    def save(self, path: Path) -> None:
        """Write the heads to an .npz file."""
        np.savez_compressed(path, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    def read(self, compared: Features) -> VoiceEmotion:
        """Read the emotion of float32[2 * width]."""
        four = self.four_weight @ compared + self.four_bias
        odds = np.exp(four - four.max())
        scores = dict(zip(LABELS, (odds / odds.sum()).tolist(), strict=True))
        return VoiceEmotion(
            label=max(scores, key=scores.__getitem__),
            scores=scores,
            anger=_logistic(float(self.anger_weight @ compared + self.anger_bias)),
            activation=_logistic(float(self.activation_weight @ compared + self.activation_bias)),
        )


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
        if self._heads.four_weight.shape != (len(LABELS), 2 * self.encoder.width):
            raise ModelDamaged(
                f"{heads}: four_weight has shape {self._heads.four_weight.shape}, the encoder needs "
                f"{(len(LABELS), 2 * self.encoder.width)}; train the heads again"
            )

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


def _logistic(x: float) -> float:
    return float(1.0 / (1.0 + np.exp(-np.clip(x, -60.0, 60.0))))
