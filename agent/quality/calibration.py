"""How near the rubric is to people who rated the same calls, and a correction towards them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from agent.quality.fitting import Numbers, ridge

LEAST_PAIRS = 10
"""With fewer rated calls no correction is fitted."""
TRUST = 20.0
"""The correction is drawn to none at all as by so many calls on which rubric and people agree."""
MOST_CALLS = 20
"""Calls told on which rubric and people differ most."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One rated call: the rubric's score and items, and the mean of what people gave. items: 0 to 1, None for none."""

    call_id: str
    score: float
    human: float
    items: Mapping[str, float | None]
    human_items: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Correction:
    """calibrated = offset + slope * score, within 0 to 100."""

    offset: float = 0.0
    slope: float = 1.0

    def apply(self, score: float | None) -> float | None:
        """The score that people would give."""
        return None if score is None else round(min(100.0, max(0.0, self.offset + self.slope * score)), 1)

    @classmethod
    def of(cls, data: Mapping[str, Any] | None) -> Correction:
        """The one that was kept; none at all where there is none."""
        return cls() if data is None else cls(float(data["offset"]), float(data["slope"]))


@dataclass(frozen=True, slots=True)
class Agreement:
    """One criterion, on calls where both judged it. kappa: Cohen's, None where both always said the same."""

    name: str
    pairs: int
    agreement: float
    kappa: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Rubric against people. bias: rubric minus people; mean_error: of the scores as they are; left_out_error: of
    corrected ones, each by a correction that did not see it. calls: (call, score, human), largest difference first."""

    pairs: int
    bias: float | None
    mean_error: float | None
    correlation: float | None
    correction: Correction
    left_out_error: float | None
    items: tuple[Agreement, ...]
    calls: tuple[tuple[str, float, float], ...]

    @property
    def better(self) -> bool:
        """Whether corrected scores are nearer to people."""
        return self.left_out_error is not None and self.mean_error is not None and self.left_out_error < self.mean_error

    def data(self) -> dict[str, Any]:
        """JSON-ready."""
        calls = [{"call_id": call, "score": score, "human_score": human} for call, score, human in self.calls]
        return asdict(self) | {"items": [asdict(one) for one in self.items], "calls": calls, "better": self.better}


def calibrate(pairs: Sequence[Pair], passes: Mapping[str, float]) -> Calibration:
    """Compare; passes: the value from which each criterion counts as met."""
    calls = sorted(pairs, key=lambda pair: (-abs(pair.score - pair.human), pair.call_id))[:MOST_CALLS]
    told = tuple((pair.call_id, round(pair.score, 1), round(pair.human, 1)) for pair in calls)
    items = tuple(one for name in passes if (one := _agreement(name, passes[name], pairs)) is not None)
    if not pairs:
        return Calibration(0, None, None, None, Correction(), None, items, told)
    scores = np.array([pair.score for pair in pairs])
    humans = np.array([pair.human for pair in pairs])
    varied = len(pairs) > 1 and scores.std() > 0 and humans.std() > 0
    correlation = round(float(np.corrcoef(scores, humans)[0, 1]), 3) if varied else None
    correction, left_out = Correction(), None
    if len(pairs) >= LEAST_PAIRS:
        correction, guesses = _corrected(scores, humans)
        left_out = round(float(np.abs(guesses - humans).mean()), 2)
    bias, error = float((scores - humans).mean()), float(np.abs(scores - humans).mean())
    return Calibration(len(pairs), round(bias, 2), round(error, 2), correlation, correction, left_out, items, told)


def _corrected(scores: Numbers, humans: Numbers) -> tuple[Correction, Numbers]:
    """A line through (score, human), drawn to the identity by `TRUST` calls; and each call by a line without it."""
    # Around 50 and in units of 50, so that offset and slope weigh alike.
    rows = np.column_stack([np.ones_like(scores), (scores - 50.0) / 50.0])
    moved, left_out = ridge(rows, (humans - scores) / 50.0, TRUST)
    slope = 1.0 + float(moved[1])
    line = Correction(round(float(moved[0]) * 50.0 + 50.0 - 50.0 * slope, 4), round(slope, 4))
    return line, np.clip(scores + 50.0 * left_out, 0.0, 100.0)


def _agreement(name: str, passes: float, pairs: Sequence[Pair]) -> Agreement | None:
    both = [
        (value >= passes, human >= 0.5)
        for pair in pairs
        if (value := pair.items.get(name)) is not None and (human := pair.human_items.get(name)) is not None
    ]
    if not both:
        return None
    agreed = sum(one == other for one, other in both) / len(both)
    ours, theirs = (sum(side) / len(both) for side in zip(*both, strict=True))
    chance = ours * theirs + (1.0 - ours) * (1.0 - theirs)
    kappa = None if chance >= 1.0 else round((agreed - chance) / (1.0 - chance), 3)
    return Agreement(name, len(both), round(agreed, 3), kappa)
