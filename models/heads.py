"""Linear heads over sentence vectors: numpy inference, saved as .npz."""

from __future__ import annotations

import os
import re
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.contracts import OUT_OF_SCOPE, Encoder
from models.encoder import normalise
from models.errors import ModelDamaged
from models.languages import CHINESE, written_in
from models.slots.chinese import digits as chinese_digits
from models.slots.digits import mask_digits

Vectors = npt.NDArray[np.float32]


NUMBER = "number"
"""What stands for any number of three or more digits when a text is classified."""

_LEXICAL_WIDTH = 1024
_LEXICAL_WEIGHT = 0.5


def classifiable(text: str) -> str:
    """`text` as heads see it, in training and in service: numbers masked, case and punctuation gone."""
    masked = chinese_digits.mask_digits(text, NUMBER) if written_in(text) == CHINESE else mask_digits(text, NUMBER)
    return normalise(masked)


_IDEOGRAPH = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def _lexical(text: str) -> Vectors:
    """Words, word pairs and 4-letter pieces of `text`, hashed with signs into a unit vector.

    Feature hashing after Weinberger et al. 2009. Chinese and Japanese write no spaces: each character is a word.
    """
    words = ["^", *_IDEOGRAPH.sub(r" \g<0> ", text).split(), "$"]
    pieces = {f"<{word}>"[i : i + 4] for word in words for i in range(max(1, len(word) - 1))}
    grams = {*words, *(f"{a} {b}" for a, b in pairwise(words)), *("#" + piece for piece in pieces)}
    vector = np.zeros(_LEXICAL_WIDTH, dtype=np.float32)
    for gram in grams:
        code = zlib.crc32(gram.encode())
        vector[code % _LEXICAL_WIDTH] += 1.0 if (code >> 16) & 1 else -1.0
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def features(texts: Sequence[str], encoder: Encoder) -> Vectors:
    """What heads read: the sentence vector, and beside it which words are there; float32[n, encoder.width + 1024]."""
    plain = [classifiable(text) for text in texts]
    lexical = np.stack([_lexical(text) for text in plain]) if plain else np.zeros((0, _LEXICAL_WIDTH), np.float32)
    return np.hstack([encoder.encode(plain), _LEXICAL_WEIGHT * lexical])


def softmax(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Row-wise probabilities of scores[n, classes]."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True), dtype=np.float64)
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


@dataclass(frozen=True, slots=True)
class LinearHead:
    """Multinomial logistic regression with a temperature.

    weights is float32[len(labels), width], bias float32[len(labels)]; probabilities softmax((w x + b) / temperature).
    """

    labels: tuple[str, ...]
    weights: Vectors
    bias: Vectors
    temperature: float = 1.0

    def probabilities(self, vectors: Vectors) -> npt.NDArray[np.float64]:
        """float64[n, len(labels)] of vectors[n, width]."""
        return softmax((vectors @ self.weights.T + self.bias) / self.temperature)


@dataclass(frozen=True, slots=True)
class IntentHead:
    """A linear head whose labels include out of scope, and the probability under which an intent is not believed."""

    head: LinearHead
    threshold: float

    @property
    def labels(self) -> tuple[str, ...]:
        """The intents, and `OUT_OF_SCOPE`."""
        return self.head.labels

    def rank(self, vectors: Vectors) -> list[tuple[tuple[str, float], ...]]:
        """(intent, probability), best first, for each of vectors[n, width]."""
        rows = self.head.probabilities(vectors)
        return [tuple((self.labels[i], float(row[i])) for i in np.argsort(-row, kind="stable")) for row in rows]

    def decide(self, ranking: Sequence[tuple[str, float]]) -> tuple[str, float]:
        """(intent, confidence): the best intent, or `OUT_OF_SCOPE` with 1 - P(best intent) where it is not believed."""
        best, probability = next((row for row in ranking if row[0] != OUT_OF_SCOPE), (OUT_OF_SCOPE, 0.0))
        outside = next((p for label, p in ranking if label == OUT_OF_SCOPE), 0.0)
        if probability < self.threshold or outside > probability:
            return OUT_OF_SCOPE, 1.0 - probability
        return best, probability


def save_head(path: Path, head: LinearHead, threshold: float = 0.0) -> None:
    """Write a head atomically: a reader sees the old file or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(
                file,
                labels=np.array(head.labels),
                weights=head.weights.astype(np.float16),
                bias=head.bias.astype(np.float32),
                numbers=np.array([head.temperature, threshold]),
            )
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def load_head(path: Path) -> tuple[LinearHead, float]:
    """Read what `save_head` wrote: the head and its threshold.

    Raises:
        FileNotFoundError: there is no such file.
        ModelDamaged: the file is not a head.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            labels = tuple(str(label) for label in file["labels"])
            weights, bias = file["weights"].astype(np.float32), file["bias"].astype(np.float32)
            temperature, threshold = (float(number) for number in file["numbers"])
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ModelDamaged(f"{path} is not a head ({error}); delete it, it is trained again") from error
    if weights.ndim != 2 or weights.shape[0] != len(labels) or bias.shape != (len(labels),):
        raise ModelDamaged(f"{path} holds {weights.shape} weights for {len(labels)} labels; delete it")
    return LinearHead(labels, weights, bias, temperature), threshold
