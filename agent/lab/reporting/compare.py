"""What changed between two runs, and whether chance alone may have done it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from agent.lab.reporting.document import StoredReport, StoredShare
from agent.lab.summary import SHARES, SPREADS, Figure

Verdict = Literal["better", "worse", "within noise", "too few", "not measured"]

SURE = 0.95
"""Of runs in which nothing changed, 1 in 20 figures is called better or worse all the same."""
DRAWS = 1000
"""Resamples of each run."""
FRAME_MS = 20.0
"""The caller listens in frames of this length: a smaller change of a time cannot be heard or told."""
_FEWEST_CALLS = 5
_MIDDLE = (50 * (1 - SURE), 50 * (1 + SURE))
_FEWEST = {50: 8, 95: 20}
"""Values that a percentile needs on both sides: below, resampling says nothing about it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One figure before and after: ms at a percentile, or percent.

    low, high: where the change lies with certainty `SURE`, for times and words. chance: of a difference like this where
    nothing changed, for shares. counts: (before, of, after, of), for shares.
    """

    name: str
    words: str
    unit: Literal["ms", "%"]
    before: float | None
    after: float | None
    verdict: Verdict
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    counts: tuple[int, int, int, int] | None = None

    @property
    def change(self) -> float | None:
        """After less before."""
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True)
class Comparison:
    """All figures of two runs. `differences`: what else was not the same, so that the change may be its doing."""

    name: str
    before: str
    changes: tuple[Change, ...]
    differences: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "report": self.name,
            "at": self.before,
            "judged": JUDGED,
            "differences": list(self.differences),
            "changes": [asdict(change) | {"change": change.change} for change in self.changes],
        }


JUDGED = (
    f"times and word errors: {DRAWS} resamples of whole calls, better or worse where the middle {SURE:.0%} of the "
    f"differences lie on one side of zero (and a time changed by {FRAME_MS:.0f} ms); shares: Fisher's exact test, "
    f"p < {1 - SURE:.2f}"
)


def compare(before: StoredReport, after: StoredReport, name: str) -> Comparison:
    """Compare two runs; `name` is what the earlier one is called. The same runs always give the same verdicts."""
    chance = np.random.default_rng(0)
    first, second = _times(before), _times(after)
    changes: list[Change] = []
    for figure in SPREADS:
        for percentile in _FEWEST:
            old, new = first.get(figure.name, []), second.get(figure.name, [])
            if old or new:
                changes.append(_time(figure, percentile, old, new, chance))
    shares = (before.summary.shares, after.summary.shares)
    changes += [_share(figure, *(side.get(figure.name) for side in shares)) for figure in SHARES[:-1]]
    changes.append(_words(SHARES[-1], before, after, chance))
    at = before.at.isoformat(timespec="seconds")
    return Comparison(name, at, tuple(changes), tuple(_differences(before, after)))


def _times(report: StoredReport) -> dict[str, list[np.ndarray[Any, np.dtype[np.float64]]]]:
    """The measured times of each figure, call by call; calls without any are left out."""
    found: dict[str, dict[int, list[float]]] = {}
    for turn in report.turns:
        for name, value in turn.times().items():
            found.setdefault(name, {}).setdefault(turn.call, []).append(value)
    return {name: [np.asarray(values) for values in calls.values()] for name, calls in found.items()}


def _time(
    figure: Figure,
    percentile: int,
    old: Sequence[np.ndarray[Any, np.dtype[np.float64]]],
    new: Sequence[np.ndarray[Any, np.dtype[np.float64]]],
    chance: np.random.Generator,
) -> Change:
    words, name = f"{figure.words}, p{percentile}", f"{figure.name}.p{percentile}"
    both = [None if not side else float(np.percentile(np.concatenate(side), percentile)) for side in (old, new)]
    if both[0] is None or both[1] is None:
        return Change(name, words, "ms", both[0], both[1], "not measured")
    few = any(len(side) < _FEWEST_CALLS or sum(map(len, side)) < _FEWEST[percentile] for side in (old, new))
    if few:
        return Change(name, words, "ms", both[0], both[1], "too few")
    drawn = _drawn(new, percentile, chance) - _drawn(old, percentile, chance)
    low, high = (float(value) for value in np.percentile(drawn, _MIDDLE))
    verdict: Verdict = "within noise"
    if abs(both[1] - both[0]) >= FRAME_MS and (high < 0 or low > 0):
        verdict = "better" if high < 0 else "worse"
    return Change(name, words, "ms", both[0], both[1], verdict, low, high)


def _drawn(
    calls: Sequence[np.ndarray[Any, np.dtype[np.float64]]], percentile: int, chance: np.random.Generator
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The percentile of `DRAWS` runs, float64[DRAWS], each made of as many calls drawn from `calls` with return.

    Whole calls are drawn because turns of one call are alike. The percentile is the least value that this share of the
    run's values does not exceed.
    """
    drawn = chance.multinomial(len(calls), np.full(len(calls), 1.0 / len(calls)), size=DRAWS).astype(np.int32)
    values = np.concatenate(calls)
    order = np.argsort(values, kind="stable")
    of_call = np.repeat(np.arange(len(calls)), [len(call) for call in calls])[order]
    below = np.cumsum(drawn[:, of_call], axis=1)
    found: np.ndarray[Any, np.dtype[np.float64]] = values[order][
        np.argmax(below >= below[:, -1:] * percentile / 100.0, axis=1)
    ]
    return found


def _share(figure: Figure, old: StoredShare | None, new: StoredShare | None) -> Change:
    percents = [None if side is None or not side.of else 100.0 * side.count / side.of for side in (old, new)]
    if old is None or new is None or percents[0] is None or percents[1] is None:
        return Change(figure.name, figure.words, "%", percents[0], percents[1], "not measured")
    counts = (old.count, old.of, new.count, new.of)
    p = exact_chance(*counts)
    verdict: Verdict = "within noise"
    if p < 1 - SURE:
        verdict = "better" if (percents[1] > percents[0]) == figure.more_is_better else "worse"
    return Change(figure.name, figure.words, "%", percents[0], percents[1], verdict, chance=round(p, 4), counts=counts)


def _words(figure: Figure, before: StoredReport, after: StoredReport, chance: np.random.Generator) -> Change:
    """Word errors go with the call, not each for itself, so calls are drawn again, as for times."""
    sides = [
        np.array(
            [
                (c.word_errors.count, c.word_errors.of)
                for c in report.calls
                if c.word_errors is not None and c.word_errors.of
            ]
        )
        for report in (before, after)
    ]
    if not all(map(len, sides)):
        return Change(figure.name, figure.words, "%", None, None, "not measured")
    old, new = (100.0 * side[:, 0].sum() / side[:, 1].sum() for side in sides)
    if any(len(side) < _FEWEST_CALLS for side in sides):
        return Change(figure.name, figure.words, "%", old, new, "too few")
    drawn = []
    for side in sides:
        picked = chance.multinomial(len(side), np.full(len(side), 1.0 / len(side)), size=DRAWS) @ side
        drawn.append(100.0 * picked[:, 0] / picked[:, 1])
    low, high = (float(value) for value in np.percentile(drawn[1] - drawn[0], _MIDDLE))
    verdict: Verdict = "better" if high < 0 else "worse" if low > 0 else "within noise"
    return Change(figure.name, figure.words, "%", float(old), float(new), verdict, low, high)


def exact_chance(old: int, old_of: int, new: int, new_of: int) -> float:
    """Two-sided p of Fisher's exact test on two counts: all tables no likelier than this one, with its margins."""
    old, new = min(old, old_of), min(new, new_of)  # retracts of no turn may make more restarts than turns
    both = old + new
    tables = range(max(0, both - new_of), min(both, old_of) + 1)
    likely = [_log_ways(old_of, n) + _log_ways(new_of, both - n) for n in tables]
    bound = likely[old - tables.start] + 1e-7
    whole = _log_ways(old_of + new_of, both)
    return min(1.0, sum(math.exp(one - whole) for one in likely if one <= bound))


def _log_ways(of: int, chosen: int) -> float:
    """Natural logarithm of the ways to choose `chosen` out of `of`."""
    return math.lgamma(of + 1) - math.lgamma(chosen + 1) - math.lgamma(of - chosen + 1)


def _differences(before: StoredReport, after: StoredReport) -> Iterator[str]:
    old, new = (Counter(call.scenario for call in report.calls) for report in (before, after))
    if old != new:
        yield f"scenarios: {_names(old - new) or 'none'} only before, {_names(new - old) or 'none'} only now"
    for what, first, second in (
        ("setting", before.settings, after.settings),
        ("machine", before.machine, after.machine),
        ("version", before.versions, after.versions),
    ):
        yield from _unequal(what, first, second)


def _unequal(what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*before, *after} - {"scenarios"}):
        if before.get(name) != after.get(name):
            yield f"{what} {name}: {before.get(name)} before, {after.get(name)} now"


def _names(scenarios: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in sorted(scenarios.items()))
