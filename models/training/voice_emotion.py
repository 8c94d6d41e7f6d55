"""Train the voice emotion heads on labelled clips, from nothing or from heads that are already good.

Linear discriminant analysis (Fisher 1936) of the strongest principal components, over all emotions at once: labels,
anger and activation follow from its probabilities, which tells anger from the rest better than a regression of anger
alone. A caller's first turn has a read-out of its own; later ones are also read against the caller's mean, which is
fitted with random histories. Needs no torch.
`agent train emotion` is the command.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from models.emotion import (
    EMOTIONS,
    HIGH,
    LABELS,
    LOW,
    MEMBERS,
    Calibration,
    Heads,
    ReadOut,
    four_scores,
    lacks,
    log_softmax,
    odds,
)
from models.training.examples import DataError
from models.training.voice_emotion_data import Dataset

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SEED = 0
INNER_FOLDS = 4
DRAWS = 2
"""Random histories of each clip in each variant."""
LONGEST_HISTORY = 6
COMPONENTS = 300
SHRINKAGE = 0.2
"""Principal components, and the share of the within-class covariance replaced by its mean variance. With the features,
the only things chosen, by cross-validation over speakers inside the training folds."""
CLIPS_A_COMPONENT = 2.5
FALSE_ALARMS = 0.05
HISTORIES = ("none", "3 neutral or calm", "3 of any", "3 angry")
_SLOPES = np.geomspace(0.25, 4.0, 81)


def known_emotions(data: Dataset) -> tuple[str, ...]:
    """The emotions of the clips, in the order of `EMOTIONS`."""
    return tuple(name for name in EMOTIONS if name in data.emotions)


def four_targets(emotions: npt.NDArray[np.str_]) -> Ints:
    """The place in `LABELS` of each emotion; -1 where it belongs to none."""
    places = {member: place for place, label in enumerate(LABELS) for member in MEMBERS[label]}
    return np.array([places.get(str(emotion), -1) for emotion in emotions], dtype=np.int64)


def anger_targets(emotions: npt.NDArray[np.str_]) -> Ints:
    """1 where the emotion is angry, else 0."""
    return np.isin(emotions, ("angry",)).astype(np.int64)


def activation_targets(emotions: npt.NDArray[np.str_]) -> Ints:
    """1 where the emotion is of high activation, 0 of low, -1 of neither."""
    known = np.isin(emotions, HIGH).astype(np.int64)
    known[~np.isin(emotions, (*HIGH, *LOW))] = -1
    return known


def check(data: Dataset) -> None:
    """Refuse clips that heads cannot be trained on.

    Raises:
        DataError: they are of one emotion, of one speaker, or none is of one of `LABELS`.
    """
    counts = Counter(data.emotions.tolist())
    if len(counts) < 2:
        raise DataError([f"all {len(data.clips)} clips are {data.emotions[0]}; add clips of other emotions"])
    lacking = lacks(tuple(counts))
    if lacking:
        wanted = "; ".join(f"{label}: {' or '.join(MEMBERS[label])}" for label in lacking)
        raise DataError([f"no clip is {' and none '.join(lacking)}; add some ({wanted}), or use --start-from"])
    if len(set(data.speakers.tolist())) < 2:
        raise DataError(
            [f"all clips are of one speaker, {data.speakers[0]}; calibration holds speakers out, add clips of others"]
        )


def draw_history(
    data: Dataset, row: int, kind: str, rng: np.random.Generator, heard: npt.NDArray[np.bool_] | None = None
) -> list[int]:
    """Other clips of the same speaker: one of `HISTORIES`, or `random`, 1-6 clips of a random choice of emotions.

    `heard[clips]` says which may be drawn.
    """
    if kind == "none":
        return []
    others = np.flatnonzero(data.speakers == data.speakers[row])
    others = others[others != row] if heard is None else others[(others != row) & heard[others]]
    if kind == "random":
        size = int(rng.integers(1, LONGEST_HISTORY + 1))
        wanted: Sequence[str] = rng.permutation(EMOTIONS)[: int(rng.integers(1, len(EMOTIONS) + 1))].tolist()
    else:
        size = 3
        wanted = {"3 neutral or calm": ("neutral", "calm"), "3 of any": EMOTIONS, "3 angry": ("angry",)}[kind]
    pool = others[np.isin(data.emotions[others], wanted)]
    return [int(i) for i in rng.choice(pool, min(size, len(pool)), replace=False)]


def against_history(features: Floats, history: Sequence[Sequence[int]], rows: Sequence[int]) -> Floats:
    """[features, features - mean of the history] of rows, float32[len(rows), 2 * width]; zero without a history."""
    means = [features[list(h)].mean(axis=0) if h else features[row] for h, row in zip(history, rows, strict=True)]
    current = features[list(rows)]
    return np.concatenate([current, current - np.stack(means)], axis=1)


@dataclass(frozen=True, slots=True)
class Rows:
    """Inputs of one read-out, float32[n, inputs], and the clip each comes from."""

    inputs: Floats
    clips: Ints


def first_rows(data: Dataset, clips: Ints) -> Rows:
    """Every clip in every variant it is heard in, without a history."""
    known = {variant: clips[data.heard(variant)[clips]] for variant in data.variants}
    return Rows(
        np.concatenate([data.features[variant][rows] for variant, rows in known.items()]),
        np.concatenate(list(known.values())),
    )


def later_rows(data: Dataset, clips: Ints, seed: int) -> Rows:
    """Every clip in every variant it is heard in, with random histories."""
    rng = np.random.default_rng(seed)
    parts, drawn = [], []
    for variant in data.variants:
        heard = data.heard(variant)
        rows = clips[heard[clips]]
        for _ in range(DRAWS):
            history = [draw_history(data, int(row), "random", rng, heard) for row in rows]
            parts.append(against_history(data.features[variant], history, rows.tolist()))
            drawn.append(rows)
    return Rows(np.concatenate(parts), np.concatenate(drawn))


@dataclass(frozen=True, slots=True)
class Basis:
    """Principal components of standardised features: (x - centre) / spread @ directions, directions[width, k]."""

    centre: Floats
    spread: Floats
    directions: Floats

    @classmethod
    def fit(cls, features: Floats, clips: int) -> Basis:
        """The strongest components of features[n, width] that come from so many clips."""
        centre, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
        plain = (features - centre) / spread
        width = features.shape[1]
        count = max(2, min(COMPONENTS, int(clips / CLIPS_A_COMPONENT), width, len(plain)))
        with threadpool_limits(1):
            if len(plain) < width:
                vectors = np.linalg.svd(plain, full_matrices=False)[2][:count].T
            else:
                product = (plain.T @ plain) / np.float32(len(plain))
                _, vectors = eigh(product, subset_by_index=(width - count, width - 1))
        return cls(centre, spread, np.ascontiguousarray(vectors, dtype=np.float32))

    def reduced(self, inputs: Floats) -> Floats:
        """Components of inputs[n, width] or, half by half, of [features, difference][n, 2 * width]."""
        width = len(self.centre)
        first = ((inputs[:, :width] - self.centre) / self.spread @ self.directions).astype(np.float32, copy=False)
        if inputs.shape[1] == width:
            return first
        return np.concatenate([first, inputs[:, width:] / self.spread @ self.directions], axis=1)

    def unfolded(self, weight: Doubles, bias: Doubles) -> tuple[Floats, Floats]:
        """Weights[classes, inputs] and bias over features, from those over components."""
        count = self.directions.shape[1]
        back = (self.directions / self.spread[:, None]).astype(np.float64)
        parts = [weight[:, start : start + count] @ back.T for start in range(0, weight.shape[1], count)]
        bias = bias - parts[0] @ self.centre.astype(np.float64)
        return np.concatenate(parts, axis=1).astype(np.float32), bias.astype(np.float32)


def discriminant(x: Floats, y: Ints, classes: int) -> tuple[Doubles, Doubles]:
    """Weights float64[classes, inputs] and bias of Fisher's discriminant, every class alike common.

    The covariance within classes is shrunk towards its mean variance (Friedman 1989).
    """
    means = np.stack([x[y == label].mean(axis=0, dtype=np.float64) for label in range(classes)])
    covariance = np.zeros((x.shape[1], x.shape[1]))
    with threadpool_limits(1):
        for label in range(classes):
            inside = x[y == label] - means[label].astype(np.float32)
            covariance += (inside.T @ inside).astype(np.float64) / len(inside) / classes
        mean_variance = np.trace(covariance) / len(covariance)
        covariance *= 1.0 - SHRINKAGE
        covariance[np.diag_indices_from(covariance)] += SHRINKAGE * mean_variance + 1e-9
        weight = np.linalg.solve(covariance, means.T).T
    return weight, -0.5 * np.einsum("ij,ij->i", weight, means)


def calibrated(
    logs: Doubles, truth: npt.NDArray[np.str_], emotions: Sequence[str], old: ReadOut | None = None
) -> tuple[float, Calibration, Calibration]:
    """Sharpness of the four labels, and the calibrations of anger and activation, from logs[n, emotions] held out.

    Probabilities follow the share of each class in the data (Platt 1999; Guo et al. 2017). What the data cannot
    say, for want of a class, stays as in `old`.
    """
    y = four_targets(truth)
    four, right = four_scores(logs, emotions)[y >= 0], y[y >= 0]
    losses = [-float(np.mean(log_softmax(slope * four)[np.arange(len(right)), right])) for slope in _SLOPES]
    active = activation_targets(truth)
    return (
        float(_SLOPES[int(np.argmin(losses))]) if len(right) else old.sharpness if old else 1.0,
        _platt(odds(logs, emotions, ("angry",)), anger_targets(truth), old.anger if old else None),
        _platt(odds(logs, emotions, HIGH, LOW)[active >= 0], active[active >= 0], old.activation if old else None),
    )


def _platt(log_odds: Doubles, y: Ints, old: Calibration | None) -> Calibration:
    if len(set(y.tolist())) < 2:
        return old or Calibration(1.0, 0.0, 1.0)
    model = LogisticRegression(C=1.0).fit(log_odds[:, None], y)
    slope, offset = float(model.coef_[0, 0]), float(model.intercept_[0])
    passed = Calibration(slope, offset, 1.0).probability(log_odds[y == 0])
    return Calibration(slope, offset, float(np.quantile(passed, 1.0 - FALSE_ALARMS)))


def fit_heads(data: Dataset, clips: Ints | None = None, seed: int = SEED) -> Heads:
    """Fit both read-outs on `clips` of the data (all, unless given), calibrated on speakers held out of an inner fit.

    Raises:
        DataError: as `check`.
    """
    clips = np.arange(len(data.clips)) if clips is None else clips
    check(Dataset(tuple(data.clips[i] for i in clips), {}))
    emotions = tuple(name for name in EMOTIONS if name in set(data.emotions[clips].tolist()))
    rows = {"first": first_rows(data, clips), "later": later_rows(data, clips, seed)}
    basis = Basis.fit(rows["first"].inputs, len(clips))
    folds = _speaker_folds(data, clips, emotions, seed)
    parts = {}
    for name, part in rows.items():
        reduced, y = basis.reduced(part.inputs), places(data, part.clips, emotions)
        logs, truth = [], []
        for fitted, held in folds:
            within, without = np.isin(part.clips, fitted), np.isin(part.clips, held)
            weight, bias = discriminant(reduced[within], y[within], len(emotions))
            logs.append(log_softmax(reduced[without] @ weight.T + bias))
            truth.append(data.emotions[part.clips[without]])
        weight, bias = discriminant(reduced, y, len(emotions))
        sharpness, anger, activation = calibrated(np.concatenate(logs), np.concatenate(truth), emotions)
        parts[name] = ReadOut(*basis.unfolded(weight, bias), sharpness, anger, activation)
    return Heads(emotions, parts["first"], parts["later"], basis.centre, basis.spread)


def _speaker_folds(data: Dataset, clips: Ints, emotions: Sequence[str], seed: int) -> list[tuple[Ints, Ints]]:
    """Clips fitted and clips held out, by speaker, where the former are of every emotion."""
    groups = data.speakers[clips]
    split = GroupKFold(min(INNER_FOLDS, len(set(groups.tolist()))), shuffle=True, random_state=seed)
    folds = [(clips[inner], clips[outer]) for inner, outer in split.split(clips, groups=groups)]
    folds = [(inner, outer) for inner, outer in folds if set(data.emotions[inner].tolist()) == set(emotions)]
    if not folds:
        raise DataError(["no speaker can be held out: each emotion needs clips of two speakers or more; add some"])
    return folds


def places(data: Dataset, clips: Ints, emotions: Sequence[str]) -> Ints:
    return np.array([emotions.index(str(name)) for name in data.emotions[clips]], dtype=np.int64)
