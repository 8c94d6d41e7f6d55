"""Move voice emotion heads that are already good towards few labelled clips of a line, as little as those need.

A read-out's weights get a Gaussian prior around what they are, and the clips' likelihood moves them: the maximum of
both, how strong the prior is being found by cross-validation of the clips (compare Chelba and Acero 2006).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize  # type: ignore[import-untyped]
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from models.emotion import Heads, ReadOut, log_softmax
from models.training.examples import DataError
from models.training.voice_emotion import (
    INNER_FOLDS,
    SEED,
    Doubles,
    Floats,
    Ints,
    Rows,
    calibrated,
    first_rows,
    later_rows,
    places,
)
from models.training.voice_emotion_data import Dataset

STIFFNESS = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03)
"""How hard the read-outs resist clips that move them: the precision of a Gaussian prior around them, on standardised
features of about unit length; the best of these is found by cross-validation of the clips."""


def adapt_heads(heads: Heads, data: Dataset, clips: Ints | None = None, seed: int = SEED) -> tuple[Heads, float]:
    """Move heads towards few clips of a line, and how hard they resisted, one of `STIFFNESS`; infinity moves nothing.

    How hard is found by cross-validation, by speaker where there are four or more, and calibration is fitted on its
    held-out scores. The clips need not be of every emotion.

    Raises:
        DataError: fewer than 8 clips, or of one emotion, or of one that the heads do not know.
    """
    clips = np.arange(len(data.clips)) if clips is None else clips
    truth, groups = data.emotions[clips], data.speakers[clips]
    unknown = sorted(set(truth.tolist()) - set(heads.emotions))
    if unknown:
        raise DataError(
            [f"the heads know {', '.join(heads.emotions)}, not {', '.join(unknown)}; leave those clips out"]
        )
    if len(clips) < 2 * INNER_FOLDS or len(set(truth.tolist())) < 2:
        raise DataError(
            [f"{len(clips)} clips of {', '.join(sorted(set(truth.tolist())))}: give 8 or more, of two emotions"]
        )
    folds = _few_folds(truth, groups, seed)
    rows = {"first": first_rows(data, clips), "later": later_rows(data, clips, seed)}
    held = {
        (name, s): _held_out(getattr(heads, name), heads, rows[name], data, clips, folds, s)
        for name in rows
        for s in STIFFNESS
    }
    kept = {name: getattr(heads, name).scores(part.inputs) for name, part in rows.items()}
    losses = {s: sum(_loss(held[name, s], rows[name], data, heads.emotions) for name in rows) for s in STIFFNESS}
    stiffness = min(losses, key=losses.__getitem__)
    if losses[stiffness] >= sum(_loss(kept[name], rows[name], data, heads.emotions) for name in rows):
        return heads, float("inf")
    parts = {}
    for name, part in rows.items():
        old: ReadOut = getattr(heads, name)
        x, y = _standardised(part.inputs, heads), places(data, part.clips, heads.emotions)
        change, bias = _moved(x, kept[name], y, stiffness * len(data.variants))
        weight, offset = _unstandardised(change, bias, heads)
        parts[name] = ReadOut(
            old.weight + weight,
            old.bias + offset,
            *calibrated(held[name, stiffness], data.emotions[part.clips], heads.emotions, old),
        )
    return Heads(heads.emotions, parts["first"], parts["later"], heads.centre, heads.spread), stiffness


def _few_folds(truth: npt.NDArray[np.str_], groups: npt.NDArray[np.str_], seed: int) -> list[tuple[Ints, Ints]]:
    """Places fitted and held out: by speaker where there are enough, else each emotion dealt out over the folds."""
    if len(set(groups.tolist())) >= INNER_FOLDS:
        split = GroupKFold(INNER_FOLDS, shuffle=True, random_state=seed).split(truth, groups=groups)
        return [(inner, outer) for inner, outer in split]
    shuffled = np.random.default_rng(seed).permutation(len(truth))
    dealt = shuffled[np.argsort(truth[shuffled], kind="stable")]
    parts = [np.sort(dealt[start::INNER_FOLDS]) for start in range(INNER_FOLDS)]
    return [(np.setdiff1d(dealt, part), part) for part in parts]


def _moved(x: Floats, base: Doubles, y: Ints, stiffness: float) -> tuple[Doubles, Doubles]:
    """The change of weights[classes, inputs] and bias that clips ask for: the maximum of likelihood and prior.

    x[n, inputs] standardised, base[n, classes] the log-probabilities they have now, y their classes; every class weighs
    alike. Solved in the span of the clips, which holds the solution (the representer theorem).
    """
    classes = base.shape[1]
    _, singular, right = np.linalg.svd(x.astype(np.float64), full_matrices=False)
    directions = right[singular > 1e-6 * singular[0]]
    z = x @ directions.T
    counts = np.bincount(y, minlength=classes)
    weights = (len(y) / np.count_nonzero(counts) / np.maximum(counts, 1))[y]

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        change = flat.reshape(classes, -1)
        logs = log_softmax(base + z @ change[:, :-1].T + change[:, -1])
        slope = np.exp(logs) * weights[:, None]
        slope[np.arange(len(y)), y] -= weights
        gradient = np.concatenate([slope.T @ z, slope.sum(axis=0)[:, None]], axis=1) + stiffness * change
        value = -float(weights @ logs[np.arange(len(y)), y]) + 0.5 * stiffness * float(np.sum(change**2))
        return value, gradient.ravel()

    with threadpool_limits(1):
        found = minimize(loss, np.zeros(classes * (len(directions) + 1)), jac=True, method="L-BFGS-B")
    change = found.x.reshape(classes, -1)
    return change[:, :-1] @ directions, change[:, -1]


def _loss(logs: Doubles, rows: Rows, data: Dataset, emotions: Sequence[str]) -> float:
    y = places(data, rows.clips, emotions)
    by_class = [float(logs[y == label, label].mean()) for label in np.unique(y)]
    return -float(np.mean(by_class))


def _standardised(inputs: Floats, heads: Heads) -> Floats:
    """[features] or [features, difference] over centre and spread, divided by the root of their number."""
    width = len(heads.centre)
    parts = [(inputs[:, :width] - heads.centre) / heads.spread]
    if inputs.shape[1] > width:
        parts.append(inputs[:, width:] / heads.spread)
    together: Floats = (np.concatenate(parts, axis=1) / np.sqrt(width)).astype(np.float32)
    return together


def _unstandardised(change: Doubles, bias: Doubles, heads: Heads) -> tuple[Floats, Floats]:
    width = len(heads.centre)
    spread = np.tile(heads.spread.astype(np.float64), change.shape[1] // width) * np.sqrt(width)
    weight = change / spread
    return weight.astype(np.float32), (bias - weight[:, :width] @ heads.centre.astype(np.float64)).astype(np.float32)


def _held_out(
    part: ReadOut,
    heads: Heads,
    rows: Rows,
    data: Dataset,
    clips: Ints,
    folds: Sequence[tuple[Ints, Ints]],
    stiffness: float,
) -> Doubles:
    """Log-probabilities of every row by the read-out moved on the other folds' clips."""
    x, y = _standardised(rows.inputs, heads), places(data, rows.clips, heads.emotions)
    base = part.scores(rows.inputs)
    out = base.copy()
    for inner, outer in folds:
        within, without = np.isin(rows.clips, clips[inner]), np.isin(rows.clips, clips[outer])
        change, bias = _moved(x[within], base[within], y[within], stiffness * len(data.variants))
        out[without] = log_softmax(base[without] + x[without] @ change.T + bias)
    return out
