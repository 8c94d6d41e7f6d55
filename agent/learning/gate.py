"""Whether a new version may replace the one in force: compared on the same texts, set by set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.evaluation.bootstrap import bootstrap, interval
from models.text_model import TextModel
from models.training.examples import Example

ALLOWED_DROP = 0.5
"""Points of accuracy by which an old test set may fall: no more than the noise of training again."""
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both versions on one test set; accuracies and differences in percent and points.

    low, high: 95 % interval of the difference, by a paired bootstrap over the n texts. old: it held before these labels
    came, so it shows what is forgotten; otherwise it shows what is learnt.
    """

    name: str
    old: bool
    n: int
    before: float
    after: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """Points gained."""
        return self.after - self.before


def right(model: TextModel, examples: Sequence[Example]) -> list[bool]:
    """Whether the model decides each example's intent as labelled; blocking."""
    found: list[bool] = []
    for start in range(0, len(examples), _BATCH):
        batch = examples[start : start + _BATCH]
        readings = model.read([example.text for example in batch])
        found += [reading.intent == example.intent for reading, example in zip(readings, batch, strict=True)]
    return found


def compare(name: str, old: bool, before: Sequence[bool], after: Sequence[bool], seed: int = 0) -> Comparison:
    """Compare two versions by what each got right of the same n >= 1 texts."""
    gains = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    low, high = interval(bootstrap(lambda places: float(gains[places].mean()) * 100.0, len(gains), seed))
    return Comparison(name, old, len(gains), float(np.mean(before)) * 100.0, float(np.mean(after)) * 100.0, low, high)


def refusals(comparisons: Sequence[Comparison], allowed_drop: float = ALLOWED_DROP) -> list[str]:
    """Why the new version may not replace the old one; empty where it may.

    No old set falls by more than `allowed_drop` points, and what was learnt is not worse than before.
    """
    found = []
    if not any(comparison.old for comparison in comparisons):
        found.append(
            "no old test set shows that nothing is forgotten; give one with --test, or more examples an intent"
        )
    for comparison in comparisons:
        lost = -comparison.difference
        limit = allowed_drop if comparison.old else 0.0
        if lost > limit + 1e-9:
            texts = round(lost / 100 * comparison.n)
            allowed = f"{limit:g} allowed" if comparison.old else "new labels must not fall"
            found.append(f"{comparison.name} falls by {lost:.1f} points ({texts} of {comparison.n} texts); {allowed}")
    return found
