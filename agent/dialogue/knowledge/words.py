"""BM25 over sections, with everything that does not depend on the question computed beforehand."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

K1, B = 1.2, 0.75
"""Robertson and Zaragoza, 2009."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Posting:
    """In which sections a term is, and what it adds to each of their scores."""

    sections: npt.NDArray[np.int32]
    scores: Floats


class WordIndex:
    """Scores of sections by the terms that a question shares with them."""

    def __init__(self, documents: Sequence[Sequence[str]]) -> None:
        """`documents`: the terms of each section."""
        self.size = len(documents)
        counts = [Counter(document) for document in documents]
        lengths = np.array([sum(count.values()) for count in counts], np.float32)
        norms = K1 * (1 - B + B * lengths / max(1.0, float(lengths.mean()) if self.size else 1.0))
        places: dict[str, list[tuple[int, int]]] = {}
        for n, count in enumerate(counts):
            for term, often in count.items():
                places.setdefault(term, []).append((n, often))
        self._idf = {term: math.log(1 + (self.size - len(at) + 0.5) / (len(at) + 0.5)) for term, at in places.items()}
        self._unseen = math.log(1 + (self.size + 0.5) / 0.5)
        self._postings: dict[str, _Posting] = {}
        for term, at in places.items():
            sections = np.array([n for n, _ in at], np.int32)
            times = np.array([often for _, often in at], np.float32)
            scores = self._idf[term] * times * (K1 + 1) / (times + norms[sections])
            self._postings[term] = _Posting(sections, scores.astype(np.float32))

    def weights(self, terms: Sequence[str]) -> Mapping[str, float]:
        """How much each term of a question tells, its inverse document frequency; most for one in no section."""
        return {term: self._idf.get(term, self._unseen) for term in terms}

    def scores(self, terms: Sequence[str]) -> Floats:
        """BM25 of every section, float32[sections]; 0 where it shares no term."""
        found = np.zeros(self.size, np.float32)
        for term in set(terms):
            posting = self._postings.get(term)
            if posting is not None:
                found[posting.sections] += posting.scores
        return found

    def has(self, term: str, section: int) -> bool:
        """Whether a section has a term."""
        posting = self._postings.get(term)
        if posting is None:
            return False
        at = int(np.searchsorted(posting.sections, section))
        return at < len(posting.sections) and int(posting.sections[at]) == section

    def known(self, term: str) -> bool:
        """Whether any section has a term."""
        return term in self._postings
