"""Ranking sections for a question: by words and by meaning, joined by reciprocal rank fusion, and what speaks for each.

Reciprocal rank fusion is of Cormack, Clarke and Büttcher (2009), k 60. Ranks say which sections may be the best, not
whether they are good: that is judged by `agent.dialogue.knowledge.answerable` on the signals made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.dialogue.domain import Fact
from agent.dialogue.knowledge.likeness import WordLikeness, weight
from agent.dialogue.knowledge.paraphrase import sharpened
from agent.dialogue.knowledge.spoken import parts_of
from agent.dialogue.knowledge.terms import surfaces, terms
from agent.dialogue.knowledge.vectors import encoded
from agent.dialogue.knowledge.words import K1, WordIndex
from models.contracts import Encoder

FUSION = 60
CANDIDATES = 8
"""Sections of each ranking that are looked at more closely: the right one is almost always among them."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Signals:
    """What speaks for a section being the answer; all but the margins in [0, 1].

    cosine: of the question with the nearest text of the section; asked: with its heading or another way to ask it;
    margin: of `cosine` over the best other section, in [-1, 1]; coverage: share of the question's weight that the
    section's words cover; heading: share that its heading and ways to ask cover; strange: share of the weight of words
    that no section has; missing: the largest share of one word that the section lacks; bm25: of what it could be at
    most; lead: of bm25 over the best other section's, in [-1, 1]; agreed: whether words and meaning both rank it first;
    alike: how well its words account for the question's by meaning; alike_heading: those of its heading and ways to
    ask; alike_lead: of `alike` over the best other section, in [-1, 1]; unlike: the weight of the word least accounted
    for, times how little it is.
    """

    cosine: float
    asked: float
    margin: float
    coverage: float
    heading: float
    strange: float
    missing: float
    bm25: float
    lead: float
    agreed: float
    alike: float
    alike_heading: float
    alike_lead: float
    unlike: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A section that may answer, and why."""

    section: int
    signals: Signals


class SearchIndex:
    """Everything about a domain's sections that does not depend on the question. Building it encodes their texts."""

    def __init__(
        self, facts: Sequence[Fact], encoder: Encoder, cache: Path | None = None, sharp: Encoder | None = None
    ) -> None:
        """`cache`: files CACHE.texts.npz and CACHE.words.npz keep the vectors; without it they are made every time.

        sharp: for texts in place of `encoder` with the map that comes with the agent.
        """
        self.facts = tuple(facts)
        self._encoder = sharp or sharpened(encoder)
        texts: list[str] = []
        owners: list[int] = []
        asking: list[bool] = []
        for n, fact in enumerate(self.facts):
            said = parts_of(fact.text)
            body = [fact.text, *said] if len(said) > 1 else [fact.text]
            for text, asks in [(fact.heading, True), *((q, True) for q in fact.questions), *((t, False) for t in body)]:
                texts.append(text)
                owners.append(n)
                asking.append(asks)
        self._vectors = encoded(texts, self._encoder, cache and cache.with_name(f"{cache.name}.texts.npz"))
        self._starts = np.searchsorted(np.array(owners, np.int64), np.arange(len(self.facts)))
        self._asking = np.array(asking, bool)
        asks_of = [dict(surfaces(" ".join((f.heading, *f.questions)))) for f in self.facts]
        whole = [words | dict(surfaces(f.text)) for f, words in zip(self.facts, asks_of, strict=True)]
        self._words = WordIndex([terms(" ".join((f.heading, *f.questions, f.text))) for f in self.facts])
        self._headings = [frozenset(words) for words in asks_of]
        self._likeness = WordLikeness([*whole, *asks_of], encoder, cache and cache.with_name(f"{cache.name}.words.npz"))

    def candidates(self, question: str, without: int | None = None) -> list[Candidate]:
        """The sections most likely to answer, best first by fused rank; none where there are no sections or no words.

        without: a section that is left out of the search. Blocks on the encoder.
        """
        words = dict(surfaces(question))
        said = list(words)
        if not self.facts or not question.strip():
            return []
        similarity = self._vectors @ self._encoder.encode([question])[0]
        cosine = np.maximum.reduceat(similarity, self._starts)
        asked = np.maximum.reduceat(np.where(self._asking, similarity, np.float32(-1.0)), self._starts)
        bm25 = self._words.scores(said)
        if without is not None:
            cosine[without] = asked[without] = -1.0
            bm25[without] = 0.0
        fused = 1.0 / (FUSION + _ranks(cosine)) + np.where(bm25 > 0, 1.0 / (FUSION + _ranks(bm25)), 0.0)
        fused += 1e-6 * cosine
        count = min(CANDIDATES, len(self.facts) - (without is not None))
        if count <= 0:
            return []
        nearest = np.unique(
            np.concatenate([_top(scores, count) for scores in (fused.astype(np.float32), cosine, bm25)])
        )
        if without is not None:
            nearest = nearest[nearest != without]
        order = nearest[np.argsort(-fused[nearest], kind="stable")]
        weights = self._words.weights(said)
        total = sum(weights.values())
        strange = sum(much for term, much in weights.items() if not self._words.known(term))
        top_cosine, top_words = _two_best(cosine), _two_best(bm25)
        usual = np.array([weight(term) for term in said], np.float32)
        whole = self._likeness.nearest(words, [*order, *(order + len(self.facts))])
        alike = whole @ usual / max(1e-9, float(usual.sum()))
        top_alike = _two_best(alike[: len(order)])
        unlike = ((1.0 - whole) * usual).max(axis=1, initial=0.0)
        found: list[Candidate] = []
        for n, section in enumerate(map(int, order)):
            missing = [much for term, much in weights.items() if not self._words.has(term, section)]
            headed = sum(much for term, much in weights.items() if term in self._headings[section])
            others = top_cosine[0] if cosine[section] < top_cosine[0] else top_cosine[1]
            other_words = top_words[0] if bm25[section] < top_words[0] else top_words[1]
            most = total * (K1 + 1)
            signals = Signals(
                cosine=max(0.0, float(cosine[section])),
                asked=max(0.0, float(asked[section])),
                margin=float(cosine[section]) - others,
                coverage=1.0 - sum(missing) / total if total else 0.0,
                heading=headed / total if total else 0.0,
                strange=strange / total if total else 0.0,
                missing=max(missing, default=0.0) / total if total else 0.0,
                bm25=float(bm25[section]) / most if most else 0.0,
                lead=(float(bm25[section]) - other_words) / most if most else 0.0,
                agreed=float(cosine[section] >= top_cosine[0] and bm25[section] >= top_words[0] > 0),
                alike=float(alike[n]),
                alike_heading=float(alike[n + len(order)]),
                alike_lead=float(alike[n]) - (top_alike[0] if alike[n] < top_alike[0] else top_alike[1]),
                unlike=float(unlike[n]),
            )
            found.append(Candidate(section, signals))
        return found


def _ranks(scores: Floats) -> npt.NDArray[np.int64]:
    order = np.argsort(-scores, kind="stable")
    ranks = np.empty(len(scores), np.int64)
    ranks[order] = np.arange(1, len(scores) + 1)
    return ranks


def _top(scores: Floats, count: int) -> npt.NDArray[np.int64]:
    return np.argpartition(-scores, count - 1)[:count]


def _two_best(scores: Floats) -> tuple[float, float]:
    if len(scores) < 2:
        return float(scores.max(initial=-1.0)), -1.0
    second, first = np.partition(scores, len(scores) - 2)[-2:]
    return float(first), float(second)
