"""How evenly the agent's audio comes, judged from when its frames arrived."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

REPLY_MS = 2000.0
"""Audio that comes this long after what was there had played is another reply, not a hole in one."""
LEAST_FRAMES = 25
"""Half a second: less says nothing of how evenly frames come."""
HOLE_MS = 20.0
"""A frame this late for its time to play is missed by a phone that holds nothing back."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A piece of audio of `length_ms` came at `at_ms` of the clock."""

    at_ms: float
    length_ms: float


@dataclass(frozen=True, slots=True)
class Pacing:
    """Deviations of arrival from the schedule, ms; and holes, where a phone had nothing to play for over a frame."""

    deviations_ms: tuple[float, ...]
    holes: int


def pacing(arrivals: Sequence[Arrival], cleared_ms: Sequence[float] = ()) -> Pacing | None:
    """How evenly `arrivals` came; None where there is too little to tell.

    cleared_ms: when the sender took back what was not played.
    Within a reply a piece should come at a + (length of the pieces before it). What the sender sends ahead, in a burst
    at the beginning, is allowed for: a is the median over the pieces after it. After a hole, and after what was sent
    was taken back, the schedule begins anew.
    """
    deviations: list[float] = []
    holes = 0
    for run, dry in _runs(arrivals, sorted(cleared_ms)):
        holes += dry
        deviations += _deviations(run)
    return Pacing(tuple(deviations), holes) if deviations else None


def _runs(arrivals: Sequence[Arrival], cleared_ms: Sequence[float]) -> list[tuple[list[Arrival], bool]]:
    """Stretches in which a phone that plays at once always had something to play; and whether a hole ended each."""
    runs: list[tuple[list[Arrival], bool]] = []
    run: list[Arrival] = []
    empty_ms = 0.0
    for arrival in arrivals:
        if run and bisect_left(cleared_ms, run[-1].at_ms) < bisect_left(cleared_ms, arrival.at_ms):
            runs.append((run, False))
            run = []
        elif run and arrival.at_ms > empty_ms + HOLE_MS:
            runs.append((run, arrival.at_ms - empty_ms < REPLY_MS))
            run = []
        empty_ms = (max(empty_ms, arrival.at_ms) if run else arrival.at_ms) + arrival.length_ms
        run.append(arrival)
    return [*runs, (run, False)] if run else runs


def _deviations(run: Sequence[Arrival]) -> list[float]:
    lengths = np.array([arrival.length_ms for arrival in run])
    times = np.array([arrival.at_ms for arrival in run])
    lateness = times - (np.cumsum(lengths) - lengths)
    paced = np.flatnonzero(lateness <= np.median(lateness) + lengths[0] / 2)
    if not len(paced) or len(run) - paced[0] < LEAST_FRAMES:
        return []
    steady = lateness[paced[0] :]
    return [float(value) for value in np.abs(steady - np.median(steady))]
