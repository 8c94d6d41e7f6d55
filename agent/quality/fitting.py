"""Ridge regression with the errors on what was left out. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def ridge(rows: Numbers, given: Numbers, trust: float) -> tuple[Numbers, Numbers]:
    """Weights w[p] with rows[n, p] @ w near given[n], drawn to 0 as by `trust` calls shared among all weights.

    Also gives, for each row, what weights fitted without it would say of it: exactly, by the leverages of the fit
    (PRESS), so that n fits cost one.
    """
    penalty = np.eye(rows.shape[1]) * trust / rows.shape[1]
    inverse = np.linalg.inv(rows.T @ rows + penalty)
    weights = inverse @ rows.T @ given
    leverage = np.einsum("np,pq,nq->n", rows, inverse, rows)
    missed = (given - rows @ weights) / (1.0 - leverage)
    return np.asarray(weights, dtype=np.float64), np.asarray(given - missed, dtype=np.float64)
