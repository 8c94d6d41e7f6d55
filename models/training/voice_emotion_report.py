"""How well voice emotion heads do on speakers they never heard: cross-validation, tables and plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold

from models.emotion import HIGH, LABELS, LOW, Heads, four_scores, log_softmax, odds
from models.evaluation.calibration import calibration_error, reliability
from models.evaluation.metrics import auroc, balanced_accuracy, recall_at_alarms
from models.evaluation.plots import reliability_plot, standalone
from models.training.examples import DataError
from models.training.voice_emotion import (
    FALSE_ALARMS,
    HISTORIES,
    SEED,
    Ints,
    activation_targets,
    against_history,
    anger_targets,
    draw_history,
    fit_heads,
    four_targets,
    known_emotions,
)
from models.training.voice_emotion_adaptation import adapt_heads
from models.training.voice_emotion_data import Dataset, Progress, quiet
from models.training.voice_emotion_lines import Variant

Doubles = npt.NDArray[np.float64]

FOLDS = 5
BINS = 10
OTHER_LINE_CLIPS = 70
OTHER_LINE: Variant = "muffled"
MAIN = "telephone, no history"


@dataclass(frozen=True, slots=True)
class Answers:
    """What heads said of held-out clips: scores[n, classes] of several classes, or probability[n] of one.

    truth[n]: the class, or whether it holds. passed[n]: whether the probability passed the threshold of the training
    speakers.
    """

    truth: Ints
    scores: Doubles
    passed: npt.NDArray[np.bool_] | None = None


@dataclass(slots=True)
class Report:
    """Answers by task and condition, and rows of `Dataset.clips` they are of."""

    answers: dict[tuple[str, str], list[Answers]] = field(default_factory=dict)
    rows: dict[str, list[Ints]] = field(default_factory=dict)

    def add(self, heads: Heads, data: Dataset, rows: Ints, variant: Variant, history: str, name: str) -> None:
        """Read `rows` of a variant with heads that were not fitted on their speakers, after a kind of history."""
        rng = np.random.default_rng([SEED, HISTORIES.index(history)])
        heard = data.heard(variant)
        rows = rows[heard[rows]]
        if history == "none":
            part, inputs = heads.first, data.features[variant][rows]
        else:
            drawn = [draw_history(data, int(row), history, rng, heard) for row in rows]
            part, inputs = heads.later, against_history(data.features[variant], drawn, rows.tolist())
        logs = part.scores(inputs)
        emotions = data.emotions[rows]
        self.rows.setdefault(name, []).append(rows)
        if len(heads.emotions) > len(LABELS):
            every = np.array([heads.emotions.index(str(one)) for one in emotions])
            self._add("all emotions", name, Answers(every, logs))
        four = four_targets(emotions)
        kept = log_softmax(part.sharpness * four_scores(logs, heads.emotions))
        self._add("four labels", name, Answers(four[four >= 0], kept[four >= 0]))
        anger = part.anger.probability(odds(logs, heads.emotions, ("angry",)))
        self._add("anger", name, Answers(anger_targets(emotions), anger, anger >= part.anger.threshold))
        active, known = part.activation.probability(odds(logs, heads.emotions, HIGH, LOW)), activation_targets(emotions)
        passed = active >= part.activation.threshold
        self._add("activation", name, Answers(known[known >= 0], active[known >= 0], passed[known >= 0]))

    def _add(self, task: str, name: str, answers: Answers) -> None:
        self.answers.setdefault((task, name), []).append(answers)

    def together(self, task: str, name: str) -> Answers:
        """The answers of all folds, one after the other."""
        parts = self.answers[task, name]
        passed = [part.passed for part in parts if part.passed is not None]
        return Answers(
            np.concatenate([part.truth for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate(passed) if passed else None,
        )

    def markdown(self) -> str:
        """One table of the many-class tasks, one of the two-class tasks."""
        many = ["| test | task | clips | accuracy | UAR | ECE |", "|---|---|---|---|---|---|"]
        two = [
            "| test | task | clips | AUROC | recall at 5 % false alarms, threshold of the test scores "
            "| threshold of the training speakers: recall, false alarms | Brier | ECE |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for task, name in self.answers:
            all_of = self.together(task, name)
            y, scores = all_of.truth, all_of.scores
            if scores.ndim == 2:
                said = scores.argmax(axis=1)
                # The probabilities of all emotions are no output, so they are not calibrated.
                error = calibration_error(np.exp(scores).max(axis=1), said == y, BINS)
                shown = "-" if task == "all emotions" else f"{error:.3f}"
                many.append(
                    f"| {name} | {task} | {len(y)} | {100 * float(np.mean(said == y)):.1f} "
                    f"| {100 * balanced_accuracy(y, said, scores.shape[1]):.1f} | {shown} |"
                )
                continue
            passed = all_of.passed if all_of.passed is not None else scores >= 0.5
            two.append(
                f"| {name} | {task} | {len(y)} | {100 * auroc(scores[y == 1], scores[y == 0]):.1f} "
                f"| {100 * recall_at_alarms(scores[y == 1], scores[y == 0], FALSE_ALARMS):.1f} "
                f"| {100 * float(np.mean(passed[y == 1])):.1f}, {100 * float(np.mean(passed[y == 0])):.1f} "
                f"| {float(np.mean((scores - y) ** 2)):.3f} | {calibration_error(scores, y == 1, BINS):.3f} |"
            )
        return "\n".join([*many, "", *two])

    def plots(self, name: str = MAIN) -> dict[str, str]:
        """Reliability of the labels and of anger in a condition: file name to SVG."""
        labels, anger = self.together("four labels", name), self.together("anger", name)
        right = labels.scores.argmax(axis=1) == labels.truth
        return {
            "voice-emotion-labels.svg": standalone(
                reliability_plot(
                    reliability(np.exp(labels.scores).max(axis=1), right, BINS), f"Voice emotion, four labels: {name}"
                )
            ),
            "voice-emotion-anger.svg": standalone(
                reliability_plot(reliability(anger.scores, anger.truth == 1, BINS), f"Voice emotion, P(angry): {name}")
            ),
        }

    def save_scores(self, path: Path, data: Dataset, name: str = MAIN) -> None:
        """Keep the held-out answers of a condition for fusion: scores[n, 4], emotions and speakers of the clips."""
        rows = np.concatenate(self.rows[name])
        rows = rows[four_targets(data.emotions[rows]) >= 0]
        scores = np.exp(self.together("four labels", name).scores)
        np.savez(path, scores=scores, emotions=data.emotions[rows], speakers=data.speakers[rows])


def check_speakers(data: Dataset) -> None:
    """Refuse clips of too few speakers to hold any out.

    Raises:
        DataError: they are of 5 speakers or fewer.
    """
    speakers = len(set(data.speakers.tolist()))
    if speakers <= FOLDS:
        raise DataError(
            [f"clips are of {speakers} speakers, evaluation needs {FOLDS + 1}; add some, or use --no-evaluation"]
        )


def evaluate(train: Dataset, test: Dataset, progress: Progress = quiet) -> Report:
    """Cross-validate by speaker.

    `train` and `test` are of the same clips, the latter with other noises; clips only one has are left out. Every clip
    is tested once by heads fitted without its speaker. Where clips have exactly two texts, also: trained on one text,
    tested on the other. Where `test` has the other line, also: heads moved on 70 clips of it.

    Raises:
        DataError: there are too few speakers to hold any out.
    """
    common = {clip.path for clip in train.clips} & {clip.path for clip in test.clips}
    train, test = train.only(common), test.only(common)
    check_speakers(train)
    report = Report()
    texts = sorted({clip.text for clip in train.clips})
    by_text = np.array([clip.text for clip in train.clips])
    everything = np.arange(len(train.clips))
    folds = list(GroupKFold(FOLDS, shuffle=True, random_state=SEED).split(everything, groups=train.speakers))
    for number, (fitted, held) in enumerate(folds):
        progress(number, FOLDS, "cross-validating by speaker")
        heads = fit_heads(train, fitted, SEED + number)
        for history in HISTORIES:
            words = "no history" if history == "none" else f"history {history}"
            report.add(heads, train, held, "telephone", history, f"telephone, {words}")
        for variant in (v for v in test.variants if v not in ("telephone", OTHER_LINE)):
            for history in ("none", "3 of any"):
                words = "no history" if history == "none" else f"history {history}"
                report.add(heads, test, held, variant, history, f"{_NAMES[variant]}, {words}")
        if OTHER_LINE in test.variants:
            _other_line(report, heads, test, held, number)
        if len(texts) == 2:
            for text in texts:
                crossed = fit_heads(train, fitted[by_text[fitted] == text], SEED + number)
                there = held[by_text[held] != text]
                report.add(crossed, train, there, "telephone", "none", "telephone, other sentence, no history")
                report.add(
                    crossed, train, there, "telephone", "3 of any", "telephone, other sentence, history 3 of any"
                )
    progress(FOLDS, FOLDS, "cross-validating by speaker")
    return report


_NAMES: dict[Variant, str] = {
    "noisy": "noisy telephone",
    "wideband": "noisy wideband",
    "alaw": "noisy A-law, another speed",
    "low_rate": "noisy G.723.1",
}


def _other_line(report: Report, heads: Heads, test: Dataset, held: Ints, seed: int) -> None:
    """Move heads on 70 clips of half the held-out speakers over the other line, and test them on the other half."""
    line = Dataset(test.clips, {OTHER_LINE: test.features[OTHER_LINE]})
    speakers = sorted(set(line.speakers[held].tolist()))
    for half in (speakers[::2], speakers[1::2]):
        mine = np.isin(line.speakers[held], half)
        given = np.random.default_rng(seed).permutation(held[mine])[:OTHER_LINE_CLIPS]
        moved, _ = adapt_heads(heads, line, np.sort(given), seed)
        rest = held[~mine]
        report.add(heads, line, rest, OTHER_LINE, "none", "other line, heads as they were")
        report.add(moved, line, rest, OTHER_LINE, "none", f"other line, moved on {OTHER_LINE_CLIPS} clips of it")


def summary(data: Dataset) -> str:
    """Clips, speakers and how many clips of each emotion."""
    counts = ", ".join(f"{name} {int(np.sum(data.emotions == name))}" for name in known_emotions(data))
    return f"{len(data.clips)} clips of {len(set(data.speakers.tolist()))} speakers: {counts}"


def write_plots(folder: Path, plots: dict[str, str]) -> Sequence[Path]:
    """Write SVG files to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in plots]
    for path, svg in zip(paths, plots.values(), strict=True):
        path.write_text(svg, encoding="utf-8")
    return paths
