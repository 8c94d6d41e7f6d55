"""How the words alone sound: neutral, happy, sad or angry."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.contracts import Encoder, TextEmotion
from models.errors import ModelMissing
from models.heads import LinearHead, features, load_head

LABELS = ("angry", "happy", "neutral", "sad")
WEIGHTS = Path(__file__).with_name("weights") / "text_emotion.npz"


class TextEmotionModel:
    """A linear head over sentence vectors; see weights/text_emotion.md for what it was trained on and its limits."""

    def __init__(self, encoder: Encoder, path: Path = WEIGHTS) -> None:
        """Read the weights at `path`.

        Raises:
            ModelMissing: there is no such file.
            ModelDamaged: the file is not a head.
        """
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
