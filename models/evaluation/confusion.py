"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.evaluation.metrics import coded


@dataclass(frozen=True, slots=True)
class Confusion:
    """counts[meant, understood], int64[labels, labels]; every class that was meant or understood is a label."""

    labels: tuple[str, ...]
    counts: npt.NDArray[np.int64]

    def confused(self, most: int = 20) -> list[tuple[str, str, int, int]]:
        """(meant, understood, how often, how often the first was meant) of the commonest mistakes, commonest first."""
        wrong = self.counts.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        support = self.counts.sum(axis=1)
        found = []
        for place in order:
            row, column = divmod(int(place), len(self.labels))
            if wrong[row, column] == 0:
                break
            found.append((self.labels[row], self.labels[column], int(wrong[row, column]), int(support[row])))
        return found


def confusion(truth: Sequence[str], said: Sequence[str], labels: Sequence[str] = ()) -> Confusion:
    """Count what was understood for what was meant; `labels` come first and in their order, others after by name."""
    names = (*labels, *sorted({*truth, *said} - set(labels)))
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(counts, (coded(truth, names), coded(said, names)), 1)
    return Confusion(names, counts)
