"""How well the words of a section account for those of a question, by their meaning: "postage" is near "shipping".

Each word of the question is met by the word of the section nearest to it (the recall of Zhang, Kishore, Wu, Weinberger
and Artzi, 2020, with vectors of single words), and words that callers use for anything count less.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.dialogue.knowledge.vectors import encoded
from models.contracts import Encoder
from models.store import OURS

USUAL = OURS / "knowledge_usual.tsv"
RARE = 3e-4
"""Share of sentences from which a word counts as rare, and fully: that of the rarest words listed."""
NOTHING = 0.4
"""Similarity of words that have nothing to do with each other ("dog" and "box": 0.34)."""

_RARELY = (0.0, "")

Floats = npt.NDArray[np.float32]


@cache
def usual() -> Mapping[str, tuple[float, str]]:
    """Stems that are in many of callers' sentences: in what share of them, and the commonest word of each."""
    lines = USUAL.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return {stem: (float(count) / 10_000, word) for stem, count, word in rows}


def weight(term: str) -> float:
    """How much a term tells, in (0, 1]: 1 for one that is rare among callers."""
    return math.log(1.0 / (usual().get(term, _RARELY)[0] + RARE)) / math.log(1.0 / RARE)


class WordLikeness:
    """The vectors of all words of a domain's sections. Building it encodes them."""

    def __init__(self, words: Sequence[Mapping[str, str]], encoder: Encoder, cache: Path | None = None) -> None:
        """`words`: of each section, its terms and the word that each stands for; `cache`: a file for the vectors.

        With a cache the words that callers use often are encoded, too, so that no caller waits for them.
        """
        vocabulary = {term: word for section in words for term, word in section.items()}
        if cache is not None and vocabulary:
            vocabulary = {term: word for term, (_, word) in usual().items()} | vocabulary
        self._rows = {term: n for n, term in enumerate(vocabulary)}
        self._vectors = encoded(list(vocabulary.values()), encoder, cache)
        self._sections = [np.array([self._rows[term] for term in section], np.int64) for section in words]
        self._encoder = encoder

    def nearest(self, question: Mapping[str, str], sections: Sequence[int]) -> Floats:
        """Likeness of each term of `question` to the nearest word of each section: float32[sections, terms] in [0, 1].

        1 for a word that is there. Blocks on the encoder for words that no section has.
        """
        found = np.zeros((len(sections), len(question)), np.float32)
        if not question or not len(self._vectors):
            return found
        vectors = np.zeros((len(question), self._vectors.shape[1]), np.float32)
        new = [n for n, term in enumerate(question) if term not in self._rows]
        for n, term in enumerate(question):
            if term in self._rows:
                vectors[n] = self._vectors[self._rows[term]]
        if new:
            spelt = list(question.values())
            vectors[new] = self._encoder.encode([spelt[n] for n in new])
        for row, section in enumerate(sections):
            if len(self._sections[section]):
                found[row] = (self._vectors[self._sections[section]] @ vectors.T).max(axis=0)
        found = (found - NOTHING) / (1.0 - NOTHING)
        return np.clip(found, 0.0, 1.0, out=found)
