"""Figures with their intervals, and what they are about, so that two reports can be compared."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from models.evaluation.bootstrap import Floats, Ints, Statistic, bootstrap, interval, resamples

Unit = Literal["%", "ms", "x"]
"""Percent, milliseconds, or a plain ratio."""
Better = Literal["higher", "lower"]
Values = Sequence[float] | npt.NDArray[Any]

NONE: Floats = np.zeros(0)
_DIGITS = 4
"""Decimals that are kept, also in memory, so that a report read back is equal to the one written."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a figure is: its name for programs, its words for people, its unit, and which way is better."""

    name: str
    words: str
    unit: Unit = "%"
    better: Better = "higher"


@dataclass(frozen=True)
class Figure:
    """A figure in its unit. name: for programs and limits; words: for people.

    n: examples it is over. draws: its value in each resample, empty where it has no interval. sample: what those
    examples are; figures with the same sample were measured on the same examples and have paired draws.
    """

    name: str
    words: str
    value: float
    n: int
    unit: Unit = "%"
    better: Better = "higher"
    draws: Floats = field(default_factory=lambda: NONE, repr=False)
    sample: str = ""

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where the figure lies with 95 % certainty, as far as these examples tell."""
        low, high = interval(self.draws)
        return None if math.isnan(low) or math.isnan(self.value) else (low, high)

    def shown(self) -> str:
        """The value with its unit, `-` where there is none."""
        return amount(self.value, self.unit)

    def shown_interval(self) -> str:
        """Its interval, or nothing."""
        between = self.interval
        return "" if between is None else f"{amount(between[0])} to {amount(between[1])}"

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        between = self.interval
        return {
            "words": self.words,
            "value": _number(self.value),
            "unit": self.unit,
            "better": self.better,
            "n": self.n,
            "low": None if between is None else _number(between[0]),
            "high": None if between is None else _number(between[1]),
            "sample": self.sample,
            "draws": [_number(float(value)) for value in self.draws],
        }


@dataclass(frozen=True)
class Sample:
    """The examples that figures are over: a key each (what it is and how it is labelled), and how they are resampled.

    groups: which speaker each is of, where examples of one speaker are alike and are to be drawn together.
    """

    keys: tuple[str, ...]
    seed: int = 0
    groups: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def fingerprint(self) -> str:
        """The same for the same examples in the same order, resampled the same way."""
        content = repr((self.keys, self.seed, self.groups)).encode()
        return hashlib.sha256(content).hexdigest()[:16]

    def part(self, places: Sequence[int] | Ints) -> Sample:
        """Some of the examples."""
        groups = None if self.groups is None else tuple(self.groups[int(place)] for place in places)
        return Sample(tuple(self.keys[int(place)] for place in places), self.seed, groups)

    def figure(
        self,
        name: str,
        words: str,
        statistic: Statistic,
        unit: Unit = "%",
        better: Better = "higher",
    ) -> Figure:
        """`statistic` of all examples with its interval; a share in [0, 1] where the unit is percent."""
        return self.figures((Kind(name, words, unit, better),), lambda places: (statistic(places),))[0]

    def figures(self, kinds: Sequence[Kind], statistics: Callable[[Ints], Sequence[float]]) -> list[Figure]:
        """Several figures that are found together; `statistics` gives the value of each of `kinds`."""
        count = len(self)
        nothing = [float("nan")] * len(kinds)
        values = statistics(np.arange(count)) if count else nothing
        drawn = resamples(count, self.seed, groups=self.groups) if count else ()
        draws = np.array([statistics(places) for places in drawn], dtype=np.float64).reshape(-1, len(kinds))
        found = []
        for place, kind in enumerate(kinds):
            scale = 100.0 if kind.unit == "%" else 1.0
            value, column = round(scale * values[place], _DIGITS), np.round(scale * draws[:, place], _DIGITS)
            rest = (value, count, kind.unit, kind.better, column, self.fingerprint)
            found.append(Figure(kind.name, kind.words, *rest))
        return found

    def mean(self, name: str, words: str, values: Values, better: Better = "higher") -> Figure:
        """The mean of `values`, in [0, 1] each, in percent."""
        rows = np.asarray(values, dtype=np.float64)
        return self.figure(name, words, lambda places: float(rows[places].mean()), "%", better)

    def ratio(
        self,
        name: str,
        words: str,
        above: Values,
        below: Values,
        better: Better = "higher",
    ) -> Figure:
        """The sum of `above` over that of `below`, in percent: word errors over words, for example."""
        top, bottom = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)

        def statistic(places: Ints) -> float:
            total = float(bottom[places].sum())
            return float(top[places].sum()) / total if total else float("nan")

        return self.figure(name, words, statistic, "%", better)


def quantiles(
    name: str, words: str, values: Sequence[float], shares: Sequence[float] = (0.5, 0.95), seed: int = 0
) -> list[Figure]:
    """Median and 95th percentile of times in ms, named NAME_p50 and NAME_p95, each with its interval."""
    rows = np.asarray(values, dtype=np.float64)

    def at(share: float) -> Callable[[Ints], float]:
        return lambda places: float(np.quantile(rows[places], share)) if len(places) else float("nan")

    found = []
    for share in shares:
        statistic = at(share)
        percentile = f"p{share * 100:g}"
        value = round(statistic(np.arange(len(rows))), _DIGITS)
        draws = np.round(bootstrap(statistic, len(rows), seed), _DIGITS)
        found.append(Figure(f"{name}_{percentile}", f"{words}, {percentile}", value, len(rows), "ms", "lower", draws))
    return found


def amount(value: float, unit: Unit | None = None) -> str:
    """A value as it is shown: one decimal, or two where it is small and no percentage."""
    if math.isnan(value):
        return "-"
    text = f"{value:.2f}" if unit in ("ms", "x") and abs(value) < 10 else f"{value:.1f}"
    return text if unit in (None, "x") else f"{text} {unit}"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, _DIGITS)
