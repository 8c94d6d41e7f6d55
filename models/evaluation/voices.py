"""How well emotion is read off voices: classes, anger, activation; by line, history and sentence."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.contracts import Samples, VoiceEmotionModel
from models.emotion import EMOTIONS, HIGH, LABELS, LOW, MEMBERS
from models.evaluation.calibration import calibration_error, reliability
from models.evaluation.confusion import confusion
from models.evaluation.figures import Figure, Sample, quantiles
from models.evaluation.metrics import Floats, Ints, auroc, balanced_accuracy, macro_f1, recall_at_alarms
from models.evaluation.plots import confusion_plot, interval_plot, reliability_plot
from models.evaluation.report import Evaluation
from models.evaluation.tables import Table
from models.evaluation.understanding import class_table
from models.training.voice_emotion_data import Clip

MEASURE = "emotion"
MAIN = "telephone"
"""The condition that plots and tables of classes are of: a G.711 line, nothing known of the caller."""
Progress = Callable[[float, float, str], None]
LABELS_OF: Mapping[str, tuple[str, ...]] = {"all": EMOTIONS, "four": LABELS}
"""Tasks of several classes: all emotions clips can be labelled with, and the four a call tells apart."""
FALSE_ALARMS = 0.05


@dataclass
class Scored:
    """What was said of held-out clips in one task under one condition, in the order they came.

    probability: float64[classes] of a clip, or [] for P(anger) and P(high activation). passed: whether that is over
    the threshold that 5 % of the others passed where the model was calibrated; empty where there is no threshold.
    """

    task: str
    condition: str
    clips: list[Clip] = field(default_factory=list)
    truth: list[int] = field(default_factory=list)
    probability: list[npt.NDArray[np.float64]] = field(default_factory=list)
    passed: list[bool] = field(default_factory=list)

    def add(self, clips: Sequence[Clip], probability: Floats, passed: Sequence[bool] = ()) -> None:
        """Count clips in; those the task leaves out are passed over. passed: one for each clip, or none."""
        truth = truth_of(clips, self.task).tolist()
        for place, (clip, label) in enumerate(zip(clips, truth, strict=True)):
            if label >= 0:
                self.clips.append(clip)
                self.truth.append(label)
                self.probability.append(np.asarray(probability[place], dtype=np.float64))
                if len(passed):
                    self.passed.append(bool(passed[place]))

    @property
    def suffix(self) -> str:
        """What the names of its figures end with."""
        return "" if self.condition == MAIN else "_" + self.condition.replace(",", "").replace(" ", "_")


def truth_of(clips: Sequence[Clip], task: str) -> Ints:
    """The class of each clip in a task: all, four, anger or activation; -1 where the task leaves it out."""
    if task == "all":
        return np.array([EMOTIONS.index(clip.emotion) for clip in clips], dtype=np.int64)
    if task == "four":
        classes = {emotion: place for place, label in enumerate(LABELS) for emotion in MEMBERS[label]}
        return np.array([classes.get(clip.emotion, -1) for clip in clips], dtype=np.int64)
    if task == "anger":
        return np.array([int(clip.emotion == "angry") for clip in clips], dtype=np.int64)
    known = {**dict.fromkeys(LOW, 0), **dict.fromkeys(HIGH, 1)}
    return np.array([known.get(clip.emotion, -1) for clip in clips], dtype=np.int64)


def by_reader(
    reader: VoiceEmotionModel,
    clips: Sequence[Clip],
    lines: Mapping[str, Callable[[Clip, int], Samples]],
    progress: Progress,
) -> tuple[list[Scored], list[float], int]:
    """Each clip read by finished heads, without a history, over each of `lines` ((clip, place) to samples at 16 kHz).

    Gives the scores, the milliseconds of each reading, and how many clips had too little speech.
    """
    found: dict[tuple[str, str], Scored] = {}
    times: list[float] = []
    silent = 0
    for condition, line in lines.items():
        for place, clip in enumerate(clips):
            progress(place, len(clips), f"reading, {condition}")
            samples = line(clip, place)
            began = time.perf_counter()
            emotion = reader.read(samples, reader.new_history())
            times.append((time.perf_counter() - began) * 1000.0)
            if emotion is None:
                silent += 1
                continue
            four = np.array([[emotion.scores.get(label, 0.0) for label in LABELS]])
            for task, row in (
                ("four", four),
                ("anger", np.array([emotion.anger])),
                ("activation", np.array([emotion.activation])),
            ):
                scored = found.setdefault((task, condition), Scored(task, condition))
                scored.add([clip], row)
    return list(found.values()), times, silent


def summarized(
    scored: Sequence[Scored],
    model: Mapping[str, str],
    folders: Sequence[Path],
    split: str,
    seed: int,
    times: Sequence[float] = (),
    notes: Sequence[str] = (),
) -> Evaluation:
    """The figures of all tasks and conditions; intervals are drawn by speaker.

    Raises:
        ValueError: nothing was scored.
    """
    known = [one for one in scored if one.truth]
    if not known:
        raise ValueError("no clip holds enough speech of a known emotion; check the recordings and metadata.tsv")
    figures: list[Figure] = []
    shown: list[str] = []
    rows: list[tuple[str, ...]] = []
    for one in known:
        mine = list(_many(one, seed) if one.task in LABELS_OF else _two(one, seed))
        figures += mine
        shown += [figure.name for figure in mine if one.condition == MAIN]
        rows.append((one.condition, one.task, str(len(one.truth)), *_cells(mine)))
    clips = {clip.path for one in known for clip in one.clips}
    main = [one for one in known if one.condition == MAIN]
    plots, folded = [], []
    for one in main:
        truth, probability = np.array(one.truth), np.array(one.probability)
        if one.task in LABELS_OF:
            names = LABELS_OF[one.task]
            meant = [names[label] for label in one.truth]
            said = [names[int(row.argmax())] for row in one.probability]
            plots.append(confusion_plot(confusion(meant, said, names), f"Confusion of {one.task} classes"))
            folded.append(class_table(f"{one.task.capitalize()} classes", meant, said))
            sure = reliability(probability.max(axis=1), probability.argmax(axis=1) == truth)
        else:
            sure = reliability(probability, truth.astype(np.bool_))
        plots.append(reliability_plot(sure, f"Reliability: {one.task}"))
    for task in LABELS_OF:
        drawn = [one for one in figures if one.name.startswith(f"{task}_accuracy")]
        if len(drawn) > 1:
            plots.append(interval_plot(drawn, f"Accuracy of {task} classes by condition"))
    if times:
        timed = quantiles("time", "time of one utterance, one thread", times, seed=seed)
        figures += timed
        shown += [figure.name for figure in timed]
    speakers = len({clip.speaker for one in known for clip in one.clips})
    columns = (
        "condition",
        "task",
        "clips",
        "accuracy or AUROC",
        "95 % interval",
        "UAR or recall at 5 % false alarms",
        "ECE",
    )
    return Evaluation(
        MEASURE,
        dict(model),
        tuple(f"{folder.resolve().name}" for folder in folders),
        split,
        seed,
        len(clips),
        tuple(figures),
        (Table("By task and condition", columns, tuple(rows)),),
        tuple(plots),
        tuple(folded),
        (*notes, f"{speakers} speakers; intervals by drawing speakers, since the clips of one are alike"),
        main=tuple(shown),
    )


def _sample(one: Scored, seed: int) -> Sample:
    keys = tuple(f"{clip.speaker}\t{clip.path.name}\t{clip.emotion}" for clip in one.clips)
    return Sample(keys, seed, tuple(clip.speaker for clip in one.clips))


def _many(one: Scored, seed: int) -> Iterator[Figure]:
    truth, probability = np.array(one.truth), np.array(one.probability)
    said = probability.argmax(axis=1)
    sample, count = _sample(one, seed), probability.shape[1]
    right = said == truth
    task, at_end = f"{one.task} classes, {one.condition}", one.suffix
    yield sample.mean(f"{one.task}_accuracy{at_end}", f"accuracy, {task}", right)
    yield sample.figure(
        f"{one.task}_uar{at_end}",
        f"mean recall (UAR), {task}",
        lambda at: balanced_accuracy(truth[at], said[at], count),
    )
    yield sample.figure(
        f"{one.task}_macro_f1{at_end}", f"macro-F1, {task}", lambda at: macro_f1(truth[at], said[at], count)
    )
    sure = probability.max(axis=1)
    yield sample.figure(
        f"{one.task}_ece{at_end}",
        f"calibration error, {task}",
        lambda at: calibration_error(sure[at], right[at]),
        better="lower",
    )


def _two(one: Scored, seed: int) -> Iterator[Figure]:
    truth, probability = np.array(one.truth) == 1, np.array(one.probability)
    sample = _sample(one, seed)
    task, at_end = f"{one.task}, {one.condition}", one.suffix
    yield sample.figure(
        f"{one.task}_auroc{at_end}",
        f"AUROC, {task}",
        lambda at: auroc(probability[at][truth[at]], probability[at][~truth[at]]),
    )
    yield sample.figure(
        f"{one.task}_recall{at_end}",
        f"recall at {FALSE_ALARMS:.0%} false alarms of these clips, {task}",
        lambda at: recall_at_alarms(probability[at][truth[at]], probability[at][~truth[at]], FALSE_ALARMS),
    )
    if one.passed:
        passed = np.array(one.passed)
        yes, no = np.flatnonzero(truth), np.flatnonzero(~truth)
        yield sample.part(yes).mean(
            f"{one.task}_recall_own{at_end}", f"recall at the threshold of the training speakers, {task}", passed[yes]
        )
        yield sample.part(no).mean(
            f"{one.task}_alarms_own{at_end}",
            f"false alarms at the threshold of the training speakers, {task}",
            passed[no],
            "lower",
        )
    yield sample.figure(
        f"{one.task}_ece{at_end}",
        f"calibration error, {task}",
        lambda at: calibration_error(probability[at], truth[at]),
        better="lower",
    )


def _cells(figures: Sequence[Figure]) -> tuple[str, ...]:
    return (figures[0].shown(), figures[0].shown_interval(), figures[1].shown(), figures[-1].shown())
