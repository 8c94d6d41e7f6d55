"""Figures of classifiers, of rejection and of slots; shares are in [0, 1]."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

MULTI_LABEL_THRESHOLD = 0.3
"""From which probability a label counts where no validation split says better (Demszky et al. 2020)."""
_THRESHOLDS = np.arange(0.05, 0.96, 0.01)


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How one class does. support: how many examples are of it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


def coded(labels: Sequence[str], names: Sequence[str]) -> Ints:
    """The place of each label in `names`; -1 where it is not there."""
    places = {name: place for place, name in enumerate(names)}
    return np.array([places.get(label, -1) for label in labels], dtype=np.int64)


def f1(hits: float, found: float, meant: float) -> float:
    """Harmonic mean of precision and recall from counts; 0 where nothing was found or meant."""
    return 2.0 * hits / (found + meant) if found + meant else 0.0


def class_scores(truth: Sequence[str], said: Sequence[str]) -> tuple[ClassScore, ...]:
    """Precision, recall and F1 of every class that occurs in `truth`, by name."""
    meant, found = Counter(truth), Counter(said)
    hits = Counter(one for one, other in zip(truth, said, strict=True) if one == other)
    return tuple(
        ClassScore(
            label,
            hits[label] / found[label] if found[label] else 0.0,
            hits[label] / meant[label],
            f1(hits[label], found[label], meant[label]),
            meant[label],
        )
        for label in sorted(meant)
    )


def macro_f1(truth: Ints, said: Ints, classes: int) -> float:
    """Mean F1 of the classes in `truth`, int[n] in [0, classes); -1 in `said` is none of them. NaN where n is 0."""
    meant = np.bincount(truth, minlength=classes)
    found = np.bincount(said[said >= 0], minlength=classes)
    hits = np.bincount(truth[truth == said], minlength=classes)
    there = meant > 0
    if not there.any():
        return float("nan")
    return float(np.mean(2.0 * hits[there] / (meant[there] + found[there])))


def balanced_accuracy(truth: Ints, said: Ints, classes: int) -> float:
    """Mean recall of the classes in `truth` (unweighted average recall); NaN where n is 0."""
    meant = np.bincount(truth, minlength=classes)
    hits = np.bincount(truth[truth == said], minlength=classes)
    there = meant > 0
    return float(np.mean(hits[there] / meant[there])) if there.any() else float("nan")


def label_f1(truth: Bools, said: Bools) -> Floats:
    """F1 of each label of bool[n, labels], float64[labels]; 0 where it neither occurs nor is said."""
    hits, total = (truth & said).sum(axis=0), truth.sum(axis=0) + said.sum(axis=0)
    return np.where(total > 0, 2.0 * hits / np.maximum(total, 1), 0.0)


def label_threshold(truth: Bools, probabilities: Floats) -> float:
    """The threshold for `above` with the best macro-F1 over bool[n, labels], to be chosen on a validation split."""
    scores = [float(label_f1(truth, above(probabilities, threshold)).mean()) for threshold in _THRESHOLDS]
    return float(_THRESHOLDS[int(np.argmax(scores))])


def above(probabilities: Floats, threshold: float) -> Bools:
    """The labels from `threshold` on, and of a row without any the likeliest; bool[n, labels]."""
    said = probabilities >= threshold
    empty = ~said.any(axis=1)
    said[empty, probabilities[empty].argmax(axis=1)] = True
    return said


def auroc(positive: Floats, negative: Floats) -> float:
    """Chance that a positive scores above a negative, ties half (Mann-Whitney); NaN where one side is empty."""
    if not len(positive) or not len(negative):
        return float("nan")
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)].sum()
    return float((ranks - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative)))


def recall_at_alarms(positive: Floats, negative: Floats, alarms: float) -> float:
    """Share of `positive` above the threshold that the share `alarms` of `negative` passes; NaN where one is empty."""
    if not len(positive) or not len(negative):
        return float("nan")
    return float(np.mean(positive > np.quantile(negative, 1.0 - alarms, method="higher")))


def recall_at_accuracy(inside: Floats, right: Bools, outside: Floats, least: float) -> float:
    """Share of `outside` that can be rejected while in-scope accuracy stays at `least`; NaN where it is never reached.

    inside, outside: P(best intent) of texts in and out of scope; right: whether that intent is the one meant. A text is
    rejected where its P is below a threshold, and an in-scope text then counts as wrong. The threshold is the highest
    one that these very scores allow, so the figure says what the ranking could do, not what a set threshold does.
    """
    needed = int(np.ceil(least * len(inside) - 1e-9))
    kept = np.sort(inside[right])[::-1]
    if needed > len(kept) or not len(outside) or not len(inside):
        return float("nan")
    return float(np.mean(outside < kept[needed - 1])) if needed else 1.0


@dataclass(frozen=True, slots=True)
class SpanCounts:
    """Slot values that were right, that the model found, and that are there."""

    hits: int = 0
    found: int = 0
    meant: int = 0

    def __add__(self, other: SpanCounts) -> SpanCounts:
        return SpanCounts(self.hits + other.hits, self.found + other.found, self.meant + other.meant)

    @property
    def precision(self) -> float:
        """Share of the values found that are right."""
        return self.hits / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """Share of the values there that were found."""
        return self.hits / self.meant if self.meant else 0.0

    @property
    def f1(self) -> float:
        """Span-exact F1; 1 where there was nothing to find and nothing was found."""
        return f1(self.hits, self.found, self.meant) if self.found + self.meant else 1.0


Marked = tuple[int, int, str]
"""A slot value: characters [start, end) and its name."""


def span_counts(meant: Iterable[Marked], found: Iterable[Marked]) -> SpanCounts:
    """Compare the slot values of one text; a value is right where start, end and name are (conlleval's rule)."""
    first, second = set(meant), set(found)
    return SpanCounts(len(first & second), len(second), len(first))


def span_counts_by_name(meant: Iterable[Marked], found: Iterable[Marked]) -> dict[str, SpanCounts]:
    """As `span_counts`, for each slot name."""
    first, second = list(meant), list(found)
    names = {name for _, _, name in (*first, *second)}
    return {
        name: span_counts((one for one in first if one[2] == name), (one for one in second if one[2] == name))
        for name in names
    }
