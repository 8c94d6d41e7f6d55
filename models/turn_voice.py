"""How a turn sounds where it pauses: whether the last third of a second was an end, or broke off.

The front of Whisper tiny.en, which voice emotion runs too, hears the last second; its frames are averaged over the last
0.1 s of speech and over the 0.2 s before. A word that is followed by more is shorter, louder and already shaped by the
next one. Pitch and loudness features did not carry over from read voices to people, these frames do: weights/turn.md.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models import prosody
from models.contracts import Samples
from models.emotion import RATE, VoiceEncoder

HEARD_S = 1.0
"""Speech the encoder hears before the pause."""
LOUD_S = 4.0
"""Speech whose loudness says what of it is speech."""
POOLED_FRAMES = (5, 10)
"""Frames of 20 ms in the last stretch and in the one before it."""
LEAST_S = 0.3
_STEP = RATE // 100

Vector = npt.NDArray[np.float32]


class VoiceEnd:
    """Samples to features of their end; stateless and safe to share between threads."""

    def __init__(self, encoder: VoiceEncoder | None = None) -> None:
        """`encoder` may be that of voice emotion; without one its file is loaded again.

        Raises:
            ModelMissing: the encoder's file is not there.
            ModelDamaged: onnxruntime cannot load it.
        """
        self._encoder = encoder or VoiceEncoder()

    def features(self, samples: Samples) -> Vector | None:
        """Describe the end of samples[n] at 16 kHz as float32[768]; None where there is too little speech.

        Silence after the speech is left out, so that it does not matter how long has been waited.
        """
        heard = spoken_end(samples)
        if heard is None:
            return None
        frames = self._encoder.frames(heard)
        last, before = POOLED_FRAMES
        pooled: Vector = np.concatenate([frames[-last:].mean(axis=0), frames[-last - before : -last].mean(axis=0)])
        return pooled if np.isfinite(pooled).all() else None


def spoken_end(samples: Samples) -> Samples | None:
    """The last second of samples[n] at 16 kHz before the silence at the end; None where there is too little speech."""
    recent = np.ascontiguousarray(samples[-round(LOUD_S * RATE) :], dtype=np.float32)
    if len(recent) < LEAST_S * RATE or not recent.any():
        return None
    _, speech = prosody.speech_frames(recent, _STEP)
    end = (int(np.flatnonzero(speech)[-1]) + 1) * _STEP
    heard = recent[max(0, end - round(HEARD_S * RATE)) : end]
    return heard if len(heard) >= LEAST_S * RATE else None
