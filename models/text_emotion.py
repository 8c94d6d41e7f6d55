"""How the words alone sound: neutral, happy, sad or angry."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.contracts import Encoder, TextEmotion
from models.errors import ModelMissing
from models.heads import LinearHead, features, load_head

LABELS = ("angry", "happy", "neutral", "sad")
WEIGHTS = Path(__file__).with_name("weights") / "text_emotion.npz"
WEIGHTS_OF = {"en": WEIGHTS, "zh": WEIGHTS.with_name("text_emotion_zh.npz")}
"""Weights by language; the encoder reads 16 languages, so those without weights of their own get the English ones."""


def weights_of(language: str) -> Path:
    """The weights for a language tag such as `zh` or `zh-CN`."""
    return WEIGHTS_OF.get(language.lower().replace("_", "-").partition("-")[0], WEIGHTS)


class TextEmotionModel:
    """A linear head over sentence vectors; the cards beside the weights say what it was trained on, and its limits."""

    def __init__(self, encoder: Encoder, path: Path | None = None, *, language: str = "en") -> None:
        """Read the weights at `path`, or, without one, those for `language`.

        Raises:
            ModelMissing: there is no such file.
            ModelDamaged: the file is not a head.
        """
        path = path or weights_of(language)
        self._encoder = encoder
        try:
            self._head, _ = load_head(path)
        except FileNotFoundError:
            remedy = "train them: python -m models.training.text_emotion --data DIR"
            raise ModelMissing(f"no text emotion weights at {path}; {remedy}") from None

    @property
    def head(self) -> LinearHead:
        """The weights."""
        return self._head

    def read(self, text: str) -> TextEmotion:
        """The emotion of one caller turn; neutral for an empty one."""
        if not text.strip():
            return TextEmotion("neutral", {label: float(label == "neutral") for label in self._head.labels})
        row = self._head.probabilities(features([text], self._encoder))[0]
        scores = {label: float(p) for label, p in zip(self._head.labels, row, strict=True)}
        return TextEmotion(self._head.labels[int(np.argmax(row))], scores)
