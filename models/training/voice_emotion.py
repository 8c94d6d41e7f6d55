"""Train the voice emotion heads on labelled clips and say how well they do on speakers they never heard.

    python -m models.training.voice_emotion --data DIR... [--noise DIR...] [--cache DIR]
        [--out FILE] [--report FILE]

Each data DIR holds `metadata.tsv` (columns file, emotion, actor and optionally text) and the clips it names.
Needs no torch.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import track
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from models.emotion import HEADS_FILE, LABELS, Heads
from models.training.voice_emotion_data import EMOTIONS, VARIANTS, Dataset, Variant, load_dataset, read_noises

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

SEED = 0
FOLDS = 5
INNER_FOLDS = 4
DRAWS = 3
LONGEST_HISTORY = 6
STRENGTH = 0.001
"""Inverse regularisation; the rows count nine times each (variants x draws), so 0.009 per clip. Set beforehand."""
FALSE_ALARMS = 0.05
FOUR = {"neutral": 0, "calm": 0, "happy": 1, "sad": 2, "angry": 3}
HIGH = ("angry", "happy", "fearful", "surprised")
LOW = ("neutral", "calm", "sad")
HISTORIES = ("none", "3 neutral or calm", "3 of any", "3 angry")


def targets(emotions: npt.NDArray[np.str_], task: str) -> Ints:
    """The class of each emotion in a task: eight, four, anger or activation; -1 where the task leaves it out."""
    if task == "eight":
        return np.array([EMOTIONS.index(str(e)) for e in emotions])
    if task == "four":
        return np.array([FOUR.get(str(e), -1) for e in emotions])
    if task == "anger":
        return np.isin(emotions, ("angry",)).astype(np.int64)
    known = np.isin(emotions, HIGH).astype(np.int64)
    known[~np.isin(emotions, (*HIGH, *LOW))] = -1
    return known


def against_history(features: Floats, history: Sequence[Sequence[int]], rows: Sequence[int]) -> Floats:
    """[features, features - mean of the history] of rows, float32[len(rows), 2 * width]; zero without a history."""
    means = [features[list(h)].mean(axis=0) if h else features[row] for h, row in zip(history, rows, strict=True)]
    current = features[list(rows)]
    return np.concatenate([current, current - np.stack(means)], axis=1)


def draw_history(data: Dataset, row: int, kind: str, rng: np.random.Generator) -> list[int]:
    """Other clips of the same speaker: one of `HISTORIES`, or `random`, 0-6 clips of a random choice of emotions."""
    if kind == "none":
        return []
    others = np.flatnonzero(data.speakers == data.speakers[row])
    others = others[others != row]
    if kind == "random":
        size = int(rng.integers(0, LONGEST_HISTORY + 1))
        wanted: Sequence[str] = rng.permutation(EMOTIONS)[: int(rng.integers(1, len(EMOTIONS) + 1))].tolist()
    else:
        size = 3
        wanted = {"3 neutral or calm": ("neutral", "calm"), "3 of any": EMOTIONS, "3 angry": ("angry",)}[kind]
    pool = others[np.isin(data.emotions[others], wanted)]
    return [int(i) for i in rng.choice(pool, min(size, len(pool)), replace=False)]


def training_rows(data: Dataset, rows: npt.NDArray[np.int64], seed: int) -> tuple[Floats, Ints]:
    """Every clip of `rows` in every variant with three random histories: features, and the clip each row comes from."""
    rng = np.random.default_rng(seed)
    parts = []
    for variant in VARIANTS:
        for _ in range(DRAWS):
            history = [draw_history(data, int(row), "random", rng) for row in rows]
            parts.append(against_history(data.features[variant], history, rows.tolist()))
    return np.concatenate(parts), np.tile(rows, len(VARIANTS) * DRAWS)


@dataclass(frozen=True, slots=True)
class Readout:
    """A linear read-out: scores = x @ weight.T + bias, weight float64[classes or 1, inputs]."""

    weight: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]

    def scores(self, x: Floats) -> npt.NDArray[np.float64]:
        """Scores float64[n, classes], or [n] for two classes."""
        out: npt.NDArray[np.float64] = x @ self.weight.T.astype(np.float32) + self.bias
        return out[:, 0] if out.shape[1] == 1 else out

    def scaled(self, slope: float, offset: float = 0.0) -> Readout:
        """The read-out whose scores are slope * scores + offset."""
        return Readout(self.weight * slope, self.bias * slope + offset)


def fit(x: Floats, y: Ints) -> Readout:
    """Fit a balanced logistic regression on standardised inputs and fold the standardisation into it."""
    known = y >= 0
    scaler = StandardScaler().fit(x[known])
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=300)
    model.fit(scaler.transform(x[known]).astype(np.float32), y[known])
    weight = model.coef_.astype(np.float64) / scaler.scale_
    return Readout(weight, model.intercept_ - weight @ scaler.mean_)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A calibrated read-out and, for two classes, the probability that 5 % of the others pass."""

    readout: Readout
    threshold: float


def fit_calibrated(data: Dataset, rows: npt.NDArray[np.int64], task: str, seed: int) -> Calibrated:
    """Fit a read-out on `rows`, then calibrate it on scores of speakers held out of an inner fit.

    Two classes: Platt's logistic fit; four: one temperature. Calibration follows the share of each class in the data.
    """
    x, clip = training_rows(data, rows, seed)
    y = targets(data.emotions[clip], task)
    readout = fit(x, y)
    known = np.flatnonzero(y >= 0)
    groups = data.speakers[clip]
    held: list[npt.NDArray[np.float64]] = []
    truth: list[Ints] = []
    speakers = len(set(groups[known].tolist()))
    if speakers < 2:
        raise ValueError(f"{task}: clips are of {speakers} speaker; calibration holds speakers out, give two or more")
    for inner, outer in GroupKFold(min(INNER_FOLDS, speakers)).split(known, groups=groups[known]):
        held.append(fit(x[known[inner]], y[known[inner]]).scores(x[known[outer]]))
        truth.append(y[known[outer]])
    scores, labels = np.concatenate(held), np.concatenate(truth)
    if scores.ndim == 1:
        platt = LogisticRegression(C=1e6).fit(scores[:, None], labels)
        slope, offset = float(platt.coef_[0, 0]), float(platt.intercept_[0])
        probability = logistic(slope * scores + offset)
        return Calibrated(readout.scaled(slope, offset), float(np.quantile(probability[labels == 0], 1 - FALSE_ALARMS)))
    slopes = np.geomspace(0.25, 4.0, 81)
    losses = [-float(np.mean(log_softmax(slope * scores)[np.arange(len(labels)), labels])) for slope in slopes]
    return Calibrated(readout.scaled(float(slopes[int(np.argmin(losses))])), float("nan"))


def logistic(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """1 / (1 + exp(-x)), float64[n]."""
    out: npt.NDArray[np.float64] = 1.0 / (1.0 + np.exp(-x))
    return out


def log_softmax(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Log of the softmax over the last axis."""
    shifted = x - x.max(axis=-1, keepdims=True)
    out: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return out


def calibration_error(probability: npt.NDArray[np.float64], y: Ints, bins: int = 10) -> float:
    """Expected calibration error over equal-width bins (Naeini et al. 2015)."""
    index = np.minimum((probability * bins).astype(int), bins - 1)
    gaps = [
        np.count_nonzero(index == b) / len(y) * abs(probability[index == b].mean() - y[index == b].mean())
        for b in np.unique(index)
    ]
    return float(sum(gaps))


class Report:
    """Pooled test scores by task and condition, as Markdown."""

    def __init__(self) -> None:
        self._scores: dict[tuple[str, str], list[tuple[Ints, npt.NDArray[np.float64], float]]] = {}

    def add(self, task: str, condition: str, y: Ints, scores: npt.NDArray[np.float64], threshold: float = 0.0) -> None:
        """Add the scores of one test fold; for two classes, calibrated ones and the threshold of their probability."""
        known = y >= 0
        self._scores.setdefault((task, condition), []).append((y[known], scores[known], threshold))

    def markdown(self) -> str:
        """One table of the many-class tasks, one of the two-class tasks."""
        many = ["| test | task | clips | accuracy | UAR |", "|---|---|---|---|---|"]
        two = [
            "| test | task | clips | AUROC | recall at 5 % false alarms, threshold of the test scores "
            "| threshold of the training speakers: recall, false alarms | Brier | ECE |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for (task, condition), parts in self._scores.items():
            y = np.concatenate([part[0] for part in parts])
            scores = np.concatenate([part[1] for part in parts])
            if scores.ndim == 2:
                guess = scores.argmax(axis=1)
                many.append(
                    f"| {condition} | {task} | {len(y)} | {100 * accuracy_score(y, guess):.1f} "
                    f"| {100 * balanced_accuracy_score(y, guess):.1f} |"
                )
                continue
            probability = logistic(scores)
            passed = np.concatenate([logistic(part[1]) >= part[2] for part in parts])
            oracle = np.quantile(scores[y == 0], 1 - FALSE_ALARMS)
            two.append(
                f"| {condition} | {task} | {len(y)} | {100 * roc_auc_score(y, scores):.1f} "
                f"| {100 * np.mean(scores[y == 1] > oracle):.1f} "
                f"| {100 * np.mean(passed[y == 1]):.1f}, {100 * np.mean(passed[y == 0]):.1f} "
                f"| {brier_score_loss(y, probability):.3f} | {calibration_error(probability, y):.3f} |"
            )
        return "\n".join([*many, "", *two])


def _test(
    report: Report,
    models: dict[str, Any],
    data: Dataset,
    rows: npt.NDArray[np.int64],
    variant: Variant,
    history: str,
    name: str,
) -> None:
    rng = np.random.default_rng([SEED, HISTORIES.index(history)])
    drawn = [draw_history(data, int(row), history, rng) for row in rows]
    x = against_history(data.features[variant], drawn, rows.tolist())
    for task, model in models.items():
        y = targets(data.emotions[rows], task)
        if isinstance(model, Calibrated):
            report.add(task, name, y, model.readout.scores(x), model.threshold)
        else:
            report.add(task, name, y, model.scores(x))


def evaluate(train: Dataset, test: Dataset) -> str:
    """Cross-validate by speaker and give the report as Markdown.

    `train` and `test` are of the same clips, the latter with other noises; clips only one has are left out. Every clip
    is tested once by models fitted without its speaker. Where clips have exactly two texts, also: trained on one text,
    tested on the other.

    Raises:
        ValueError: there are too few speakers to hold any out.
    """
    common = {clip.path for clip in train.clips} & {clip.path for clip in test.clips}
    train, test = train.only(common), test.only(common)
    least = FOLDS + 1
    if len(set(train.speakers.tolist())) < least:
        raise ValueError(f"clips are of fewer than {least} speakers; add some, or train with --no-evaluation")
    report = Report()
    texts = sorted({clip.text for clip in train.clips})
    by_text = np.array([clip.text for clip in train.clips])
    everything = np.arange(len(train.clips))
    folds = list(GroupKFold(FOLDS, shuffle=True, random_state=SEED).split(everything, groups=train.speakers))
    for number, (fitted, held) in enumerate(track(folds, description="Cross-validating by speaker")):
        models: dict[str, Any] = {
            task: fit_calibrated(train, fitted, task, SEED + number) for task in ("four", "anger", "activation")
        }
        x, clip = training_rows(train, fitted, SEED + number)
        models["eight"] = fit(x, targets(train.emotions[clip], "eight"))
        for history in HISTORIES:
            _test(report, models, train, held, "telephone", history, f"telephone, history {history}")
        for history in ("none", "3 of any"):
            _test(report, models, test, held, "noisy", history, f"noisy telephone, history {history}")
        _test(report, models, test, held, "wideband", "3 of any", "noisy wideband, history 3 of any")
        if len(texts) != 2:
            continue
        for text in texts:
            here = fitted[by_text[fitted] == text]
            x, clip = training_rows(train, here, SEED + number)
            crossed = {task: fit(x, targets(train.emotions[clip], task)) for task in ("eight", "four")}
            crossed_two = {task: fit_calibrated(train, here, task, SEED + number) for task in ("anger", "activation")}
            there = held[by_text[held] != text]
            both = {**crossed, **crossed_two}
            for history in ("none", "3 of any"):
                _test(report, both, train, there, "telephone", history, f"telephone, other sentence, history {history}")
    return report.markdown()


def fit_heads(data: Dataset) -> tuple[Heads, dict[str, float]]:
    """Fit the heads on every clip; also the thresholds of anger and activation that 5 % of the others pass."""
    rows = np.arange(len(data.clips))
    four, anger, activation = (fit_calibrated(data, rows, task, SEED) for task in ("four", "anger", "activation"))
    if four.readout.weight.shape[0] != len(LABELS):
        raise ValueError(f"clips hold {four.readout.weight.shape[0]} of the labels {', '.join(LABELS)}; add the others")
    heads = Heads(
        four_weight=four.readout.weight.astype(np.float32),
        four_bias=four.readout.bias.astype(np.float32),
        anger_weight=anger.readout.weight[0].astype(np.float32),
        anger_bias=anger.readout.bias[0].astype(np.float32),
        activation_weight=activation.readout.weight[0].astype(np.float32),
        activation_bias=activation.readout.bias[0].astype(np.float32),
    )
    return heads, {"anger": anger.threshold, "activation": activation.threshold}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders with metadata.tsv and clips")
    parser.add_argument("--noise", type=Path, nargs="+", default=(), help="folders of noise; half train, half test")
    parser.add_argument("--cache", type=Path, help="folder to keep measured features in")
    parser.add_argument("--out", type=Path, default=HEADS_FILE, help="where the heads go")
    parser.add_argument("--report", type=Path, help="where the cross-validation tables go; also printed")
    parser.add_argument("--no-evaluation", action="store_true", help="fit on everything and measure nothing")
    arguments = parser.parse_args()
    noises = read_noises(arguments.noise, SEED)
    kept, tested = noises[0::2], noises[1::2]
    train = load_dataset(arguments.data, kept, SEED, arguments.cache)
    if not arguments.no_evaluation:
        test = load_dataset(arguments.data, tested, SEED + 1, arguments.cache)
        report = evaluate(train, test)
        print(report)
        if arguments.report:
            arguments.report.write_text(report + "\n", encoding="utf-8")
    heads, thresholds = fit_heads(train)
    heads.save(arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e3:.0f} kB, {len(train.clips)} clips")
    for task, threshold in thresholds.items():
        print(f"{task} >= {threshold:.3f} passes {FALSE_ALARMS:.0%} of the others")


if __name__ == "__main__":
    main()
