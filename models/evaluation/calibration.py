"""Whether a confidence means what it says: reliability by bins, and the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BINS = 15
"""Equal-width bins, as in Guo et al. 2017."""


@dataclass(frozen=True, slots=True)
class Bin:
    """The examples with a confidence in [low, high): how many, their mean confidence, and the share that was right."""

    low: float
    high: float
    count: int
    confidence: float
    right: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """Confidence against the share that was right. `bins` leaves out empty ones."""

    bins: tuple[Bin, ...]

    @property
    def count(self) -> int:
        """Examples in all."""
        return sum(one.count for one in self.bins)

    @property
    def error(self) -> float:
        """Expected calibration error in [0, 1] (Naeini et al. 2015); NaN without examples."""
        if not self.bins:
            return float("nan")
        return sum(one.count * abs(one.confidence - one.right) for one in self.bins) / self.count


def reliability(confidence: Floats, right: npt.NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """Sort confidences in [0, 1] of n examples, and whether each was right, into equal-width bins."""
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    found = []
    for number in np.unique(place):
        here = place == number
        mean = float(confidence[here].mean())
        share = float(right[here].mean())
        found.append(Bin(number / bins, (number + 1) / bins, int(here.sum()), mean, share))
    return Reliability(tuple(found))


def calibration_error(confidence: Floats, right: npt.NDArray[np.bool_], bins: int = BINS) -> float:
    """Expected calibration error of float64[n] and bool[n], in [0, 1]; NaN where n is 0."""
    if not len(confidence):
        return float("nan")
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gap = np.bincount(place, weights=confidence - right, minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))
