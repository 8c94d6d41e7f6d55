"""What chance alone may do to a figure: intervals by resampling, and tests of two models on the same examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Statistic = Callable[[Ints], float]
"""A figure over the examples at the given places; NaN where they do not tell it."""

DRAWS = 1000
LEVEL = 0.95
"""Share of the draws that an interval holds (percentile bootstrap, Efron & Tibshirani 1993)."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Change of a figure: after less before, its interval, and the chance of one as large where nothing changed.

    paired: both were measured on the same examples, so that their difficulty cancels out.
    """

    change: float
    low: float
    high: float
    chance: float
    paired: bool

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def resamples(n: int, seed: int = 0, draws: int = DRAWS, groups: Sequence[str] | None = None) -> Iterator[Ints]:
    """`draws` times n places drawn with replacement; with `groups`, whole groups (speakers) are drawn.

    The same n, seed and groups give the same places, which pairs the draws of two models on the same examples.
    """
    random = np.random.default_rng([seed, n])
    if groups is None:
        for _ in range(draws):
            yield random.integers(0, n, n)
        return
    names, which = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(which == place) for place in range(len(names))]
    for _ in range(draws):
        chosen = random.integers(0, len(members), len(members))
        yield np.concatenate([members[place] for place in chosen])


def bootstrap(statistic: Statistic, n: int, seed: int = 0, groups: Sequence[str] | None = None) -> Floats:
    """The figure of each resample, float64[DRAWS]; empty where there are no examples."""
    if n == 0:
        return np.zeros(0)
    return np.array([statistic(places) for places in resamples(n, seed, DRAWS, groups)])


def interval(draws: Floats) -> tuple[float, float]:
    """The middle `LEVEL` of the draws; (NaN, NaN) where there are none."""
    known = draws[~np.isnan(draws)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def difference(before: float, after: float, old: Floats, new: Floats, paired: bool) -> Difference:
    """Compare a figure by its draws; unpaired draws are put in another order, so that they vary on their own."""
    if not paired or len(old) != len(new):
        random = np.random.default_rng(0)
        size = min(len(old), len(new))
        old, new, paired = random.permutation(old)[:size], random.permutation(new)[:size], False
    changes = new - old
    known = changes[~np.isnan(changes)]
    low, high = interval(known)
    below, above = int(np.count_nonzero(known <= 0)), int(np.count_nonzero(known >= 0))
    chance = min(1.0, 2.0 * (min(below, above) + 1) / (len(known) + 1)) if len(known) else float("nan")
    return Difference(after - before, low, high, chance, paired)


def mcnemar(before: npt.NDArray[np.bool_], after: npt.NDArray[np.bool_]) -> float:
    """Two-sided p of McNemar's exact test on which examples each model got right, bool[n]; 1 where none changed."""
    from scipy.stats import binomtest  # type: ignore[import-untyped]

    lost, won = int(np.count_nonzero(before & ~after)), int(np.count_nonzero(~before & after))
    return 1.0 if lost + won == 0 else float(binomtest(min(lost, won), lost + won, 0.5).pvalue)
