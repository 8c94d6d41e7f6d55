"""Finding the section of the knowledge files that answers a question: words and meaning together.

BM25 (Robertson and Zaragoza, 2009; k1 1.2, b 0.75) and cosine similarity each rank the sections; the ranks are joined
by reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009; k 60). Ranks say which is best, not whether it is good:
that is judged by the cosine and by how much of the question's weight the section's words cover.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.dialogue.domain import Fact
from agent.dialogue.manner import KnowledgeSettings
from agent.dialogue.text import content
from models.contracts import Encoder

K1, B, FUSION = 1.2, 0.75, 60


@dataclass(frozen=True, slots=True)
class Found:
    """The best section. score in [0, 1] mixes meaning and words; `answers` and `strong` compare it to the settings."""

    fact: Fact
    score: float
    cosine: float
    coverage: float
    answers: bool
    strong: bool


class KnowledgeBase:
    """An index of a domain's facts. `find` blocks on the encoder: call it from the pool."""

    def __init__(self, facts: Sequence[Fact], encoder: Encoder, settings: KnowledgeSettings) -> None:
        self._facts = tuple(facts)
        self._encoder = encoder
        self._settings = settings
        self._owners: list[int] = []
        texts: list[str] = []
        for n, fact in enumerate(self._facts):
            for text in (fact.heading, *fact.questions, fact.text):
                texts.append(text)
                self._owners.append(n)
        self._vectors = encoder.encode(texts) if texts else np.zeros((0, encoder.width), np.float32)
        self._counts = [Counter(content(" ".join((f.heading, *f.questions, f.text)))) for f in self._facts]
        lengths = [sum(counts.values()) for counts in self._counts]
        average = sum(lengths) / max(1, len(lengths))
        self._norms = [K1 * (1 - B + B * length / max(1.0, average)) for length in lengths]
        seen = Counter(term for counts in self._counts for term in counts)
        total = len(self._facts)
        self._idf = {term: math.log(1 + (total - n + 0.5) / (n + 0.5)) for term, n in seen.items()}
        self._unseen = math.log(1 + (total + 0.5) / 0.5)

    def find(self, question: str) -> Found | None:
        """The section nearest to `question`, or None where there are no facts or no words."""
        terms = content(question)
        if not self._facts or not question.strip():
            return None
        similarity = self._vectors @ self._encoder.encode([question])[0]
        cosine = np.full(len(self._facts), -1.0)
        np.maximum.at(cosine, self._owners, similarity)
        bm25 = np.array([self._bm25(n, terms) for n in range(len(self._facts))])
        fused = 1.0 / (FUSION + _ranks(cosine)) + 1.0 / (FUSION + _ranks(bm25))
        best = int(np.argmax(fused + 1e-6 * cosine))
        weight = sum(self._idf.get(term, self._unseen) for term in set(terms))
        covered = sum(self._idf[term] for term in set(terms) if term in self._counts[best])
        coverage = covered / weight if weight else 0.0
        score = 0.7 * max(0.0, float(cosine[best])) + 0.3 * coverage
        return Found(
            self._facts[best],
            round(score, 3),
            round(float(cosine[best]), 3),
            round(coverage, 3),
            score >= self._settings.minimum,
            score >= self._settings.strong,
        )

    def _bm25(self, n: int, terms: Sequence[str]) -> float:
        counts = self._counts[n]
        return sum(
            self._idf[term] * counts[term] * (K1 + 1) / (counts[term] + self._norms[n])
            for term in set(terms)
            if term in counts
        )


def _ranks(
    scores: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    order = np.argsort(-scores, kind="stable")
    ranks = np.empty(len(scores), np.int64)
    ranks[order] = np.arange(1, len(scores) + 1)
    return ranks
