"""How well a model understands texts: intents, rejection, slots, emotion of the words, calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.contracts import OUT_OF_SCOPE
from models.evaluation.calibration import calibration_error, reliability
from models.evaluation.confusion import confusion
from models.evaluation.figures import Figure, Sample
from models.evaluation.metrics import (
    MULTI_LABEL_THRESHOLD,
    Bools,
    Floats,
    Ints,
    SpanCounts,
    above,
    auroc,
    class_scores,
    coded,
    label_f1,
    label_threshold,
    macro_f1,
    recall_at_accuracy,
    span_counts,
    span_counts_by_name,
)
from models.evaluation.plots import Plot, confusion_plot, reliability_plot
from models.evaluation.report import Answers
from models.evaluation.tables import Table
from models.text_model import ModelInfo, Reading, TextModel
from models.training.examples import Example

Progress = Callable[[float, float, str], None]
"""Told how much of how much is done, and what is done now."""

IN_SCOPE_LEVELS = (0.90, 0.94, 0.96)
"""In-scope accuracies at which out-of-scope recall is told; 96 % is what BERT reaches on CLINC150."""
_BATCH = 64
_CONFUSED = 15


@dataclass
class Findings:
    """What was found out so far; parts of an `Evaluation`."""

    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    folded: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    answers: Answers | None = None


@dataclass(frozen=True, slots=True)
class Mistake:
    """A text whose intent was not understood as it was meant, and how sure the model was."""

    text: str
    meant: str
    understood: str
    confidence: float


def read_all(model: TextModel, texts: Sequence[str], progress: Progress, what: str) -> list[Reading]:
    """Read `texts` in batches; the longest last, so that those of a batch are of about one length."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    found: dict[int, Reading] = {}
    for start in range(0, len(order), _BATCH):
        progress(start, len(order), what)
        places = order[start : start + _BATCH]
        found.update(zip(places, model.read([texts[place] for place in places]), strict=True))
    return [found[place] for place in range(len(texts))]


def measure(
    info: ModelInfo,
    examples: Sequence[Example],
    readings: Sequence[Reading],
    seed: int = 0,
    validation: tuple[Sequence[Example], Sequence[Reading]] | None = None,
) -> Findings:
    """Compare what was meant with what was read, for every kind of label that the examples have.

    validation: examples and readings on which the threshold of several emotions a text is chosen.
    """
    found = Findings()
    if any(one.intent is not None for one in examples):
        _intents(found, info, examples, readings, seed)
    if info.slots and any(one.spans is not None for one in examples):
        _slots(found, examples, readings, seed)
    if info.emotions and any(one.emotions for one in examples):
        _emotions(found, info, examples, readings, seed, validation)
    return found


def mistakes(examples: Sequence[Example], readings: Sequence[Reading]) -> list[Mistake]:
    """The intents that were not understood, the surest first."""
    wrong = [
        Mistake(example.text, example.intent, reading.intent, reading.confidence)
        for example, reading in zip(examples, readings, strict=True)
        if example.intent is not None and example.intent != reading.intent
    ]
    return sorted(wrong, key=lambda one: -one.confidence)


def intent_sample(examples: Sequence[Example], seed: int) -> Sample:
    """The examples that have an intent, as figures on intents are over them."""
    return Sample(tuple(f"{one.intent}\t{one.text}" for one in examples if one.intent is not None), seed)


def slot_sample(examples: Sequence[Example], seed: int) -> Sample:
    """The examples whose slots are labelled, as figures on slots are over them."""
    return Sample(tuple(f"{one.text}\t{_marked(one)}" for one in examples if one.spans is not None), seed)


def _marked(example: Example) -> list[tuple[int, int, str]]:
    return [(span.start, span.end, span.name) for span in example.spans or ()]


def intent_accuracy(examples: Sequence[Example], readings: Sequence[Reading], sample: Sample) -> Figure:
    """Share of the labelled texts whose intent was understood, out of scope counted as one."""
    pairs = [(one.intent, read.intent) for one, read in zip(examples, readings, strict=True) if one.intent is not None]
    mixed = any(meant == OUT_OF_SCOPE for meant, _ in pairs)
    words = "intent accuracy" + (", out of scope as a class" if mixed else "")
    return sample.mean("accuracy", words, [meant == said for meant, said in pairs])


def slot_f1(examples: Sequence[Example], readings: Sequence[Reading], sample: Sample) -> Figure:
    """Span-exact F1 over the texts whose slots are labelled."""
    hits, there, told = _slot_counts(examples, readings)
    return sample.ratio("slot_f1", "slot F1, span exact", 2 * hits, there + told)


def _slot_counts(examples: Sequence[Example], readings: Sequence[Reading]) -> tuple[Ints, Ints, Ints]:
    """Values right, there and found in each text whose slots are labelled, int64[n] each."""
    counts = [
        span_counts(_marked(one), ((span.start, span.end, span.name) for span in read.spans))
        for one, read in zip(examples, readings, strict=True)
        if one.spans is not None
    ]
    rows = np.array([(one.hits, one.meant, one.found) for one in counts], dtype=np.int64).reshape(-1, 3)
    return rows[:, 0], rows[:, 1], rows[:, 2]


def best_intent(reading: Reading) -> tuple[str, float]:
    """The likeliest intent of the domain and its probability, believed or not."""
    return next((row for row in reading.ranking if row[0] != OUT_OF_SCOPE), (OUT_OF_SCOPE, 0.0))


def _intents(
    found: Findings, info: ModelInfo, examples: Sequence[Example], readings: Sequence[Reading], seed: int
) -> None:
    places = [place for place, one in enumerate(examples) if one.intent is not None]
    truth = [str(examples[place].intent) for place in places]
    read = [readings[place] for place in places]
    said = [one.intent for one in read]
    sample = intent_sample(examples, seed)
    right = np.array([one == other for one, other in zip(truth, said, strict=True)])
    outside = np.array([one == OUT_OF_SCOPE for one in truth])
    inside = np.flatnonzero(~outside)
    names = tuple(sorted({*truth, *said}))
    codes, guesses = coded(truth, names), coded(said, names)
    best = [best_intent(one) for one in read]
    unrejected = np.array([one == other for one, (other, _) in zip(truth, best, strict=True)])
    mixed = outside.any()
    found.figures.append(intent_accuracy(examples, readings, sample))
    found.answers = Answers("accuracy", sample.fingerprint, tuple(bool(one) for one in right))
    found.figures.append(
        sample.figure("macro_f1", "intent macro-F1", lambda at: macro_f1(codes[at], guesses[at], len(names)))
    )
    within = sample.part(inside)
    if mixed:
        found.figures.append(
            within.mean("in_scope_accuracy", f"in-scope accuracy, threshold {info.threshold:.2f}", right[inside])
        )
    if mixed or info.rejects:
        found.figures.append(
            within.mean("in_scope_unrejected", "in-scope accuracy, nothing rejected", unrejected[inside])
        )
    if mixed:
        scores = np.array([probability for _, probability in best])
        _rejection(found, sample, scores, right, unrejected, outside, np.array([one == OUT_OF_SCOPE for one in said]))
    believed = np.flatnonzero([one != OUT_OF_SCOPE for one in said])
    confidence = np.array([one.confidence for one in read])
    _calibration(found, sample.part(believed), confidence[believed], right[believed], "intent")
    matrix = confusion(truth, said)
    found.plots.append(confusion_plot(matrix, "Confusion of intents"))
    pairs = matrix.confused(_CONFUSED)
    if pairs:
        found.tables.append(
            Table(
                "Most confused intents",
                ("meant", "understood", "times", "of"),
                tuple((meant, other, str(count), str(of)) for meant, other, count, of in pairs),
            )
        )
    found.folded.append(class_table("Intents", truth, said))


def _rejection(
    found: Findings, sample: Sample, scores: Floats, right: Bools, unrejected: Bools, outside: Bools, rejected: Bools
) -> None:
    """Figures of out-of-scope texts, which are few and far between: each threshold trades them against the others."""
    beyond = np.flatnonzero(outside)
    found.figures.append(sample.part(beyond).mean("oos_recall", "out-of-scope recall, own threshold", right[beyond]))
    turned = np.flatnonzero(rejected)
    found.figures.append(
        sample.part(turned).mean("oos_precision", "out-of-scope precision, own threshold", outside[turned])
    )

    def ranked(at: Ints) -> float:
        here = outside[at]
        return auroc(-scores[at][here], -scores[at][~here])

    found.figures.append(sample.figure("oos_auroc", "out-of-scope AUROC", ranked))
    for level in IN_SCOPE_LEVELS:

        def reached(at: Ints, level: float = level) -> float:
            here = outside[at]
            return recall_at_accuracy(scores[at][~here], unrejected[at][~here], scores[at][here], level)

        name = f"oos_recall_at_{100 * level:.0f}"
        found.figures.append(
            sample.figure(name, f"out-of-scope recall where in-scope accuracy is {level:.0%}", reached)
        )
    found.notes.append(
        "out-of-scope recall at a fixed in-scope accuracy takes the threshold that these texts allow; `-` where that "
        "accuracy is not reached even without rejecting"
    )


def _calibration(found: Findings, sample: Sample, confidence: Floats, right: Bools, what: str) -> None:
    if not len(confidence):
        return
    name = "ece" if what == "intent" else f"{what}_ece"
    found.figures.append(
        sample.figure(
            name,
            f"{what} calibration error (ECE)",
            lambda at: calibration_error(confidence[at], right[at]),
            better="lower",
        )
    )
    found.plots.append(reliability_plot(reliability(confidence, right), f"Reliability of the {what}"))


def class_table(title: str, truth: Sequence[str], said: Sequence[str]) -> Table:
    """Precision, recall, F1 and support of every class."""
    rows = tuple(
        (one.label, *(f"{100 * value:.1f}" for value in (one.precision, one.recall, one.f1)), str(one.support))
        for one in class_scores(truth, said)
    )
    return Table(f"{title}, class by class", ("class", "precision %", "recall %", "F1 %", "examples"), rows)


def _slots(found: Findings, examples: Sequence[Example], readings: Sequence[Reading], seed: int) -> None:
    pairs = [(one, read) for one, read in zip(examples, readings, strict=True) if one.spans is not None]
    meant = [_marked(one) for one, _ in pairs]
    said = [[(span.start, span.end, span.name) for span in read.spans] for _, read in pairs]
    sample = slot_sample(examples, seed)
    hits, there, told = _slot_counts(examples, readings)
    found.figures.append(slot_f1(examples, readings, sample))
    found.figures.append(sample.ratio("slot_precision", "slot precision", hits, told))
    found.figures.append(sample.ratio("slot_recall", "slot recall", hits, there))
    meaning = np.array([one.intent is None or one.intent == read.intent for one, read in pairs])
    whole = meaning & (hits == there) & (hits == told)
    found.figures.append(sample.mean("whole", "texts with intent and all slots right", whole))
    total: dict[str, SpanCounts] = {}
    for one, other in zip(meant, said, strict=True):
        for name, count in span_counts_by_name(one, other).items():
            total[name] = total.get(name, SpanCounts()) + count
    rows = tuple(
        (name, *(f"{100 * value:.1f}" for value in (count.precision, count.recall, count.f1)), str(count.meant))
        for name, count in sorted(total.items())
    )
    found.folded.append(Table("Slots, name by name", ("slot", "precision %", "recall %", "F1 %", "values"), rows))


def _emotions(
    found: Findings,
    info: ModelInfo,
    examples: Sequence[Example],
    readings: Sequence[Reading],
    seed: int,
    validation: tuple[Sequence[Example], Sequence[Reading]] | None,
) -> None:
    labels = info.emotions
    truth, scores, places = _emotion_rows(labels, examples, readings)
    sample = Sample(tuple(f"{examples[place].emotions}\t{examples[place].text}" for place in places), seed)
    several = info.several_emotions
    if several:
        threshold, chosen = MULTI_LABEL_THRESHOLD, "as the GoEmotions paper has it"
        if validation is not None:
            seen, probable, rows = _emotion_rows(labels, *validation)
            if len(rows):
                threshold, chosen = label_threshold(seen, probable), f"chosen on {len(rows)} validation texts"
        found.notes.append(
            f"emotions count from a probability of {threshold:.2f} on, {chosen}; where none does, the likeliest"
        )
        said = above(scores, threshold)
    else:
        said = np.zeros_like(truth)
        said[np.arange(len(truth)), scores.argmax(axis=1)] = True
    occurring = truth.any(axis=0)
    found.figures.append(
        sample.figure(
            "emotion_macro_f1",
            "emotion macro-F1",
            lambda at: float(label_f1(truth[at], said[at])[occurring].mean()),
        )
    )
    right = (truth == said).all(axis=1)
    found.figures.append(sample.mean("emotion_accuracy", "texts with exactly the right emotions", right))
    if not several:
        _calibration(found, sample, scores.max(axis=1), right, "emotion")
    each = label_f1(truth, said)
    hits, told, there = (truth & said).sum(axis=0), said.sum(axis=0), truth.sum(axis=0)
    rows_shown = tuple(
        (
            label,
            f"{100 * hits[n] / max(1, told[n]):.1f}",
            f"{100 * hits[n] / max(1, there[n]):.1f}",
            f"{100 * each[n]:.1f}",
            str(int(there[n])),
        )
        for n, label in enumerate(labels)
    )
    found.tables.append(Table("Emotions", ("emotion", "precision %", "recall %", "F1 %", "texts"), rows_shown))
    single = np.flatnonzero((truth.sum(axis=1) == 1) & (said.sum(axis=1) == 1))
    matrix = confusion(
        [labels[int(truth[place].argmax())] for place in single],
        [labels[int(said[place].argmax())] for place in single],
        labels,
    )
    found.plots.append(confusion_plot(matrix, "Confusion of emotions"))


def _emotion_rows(
    labels: Sequence[str], examples: Sequence[Example], readings: Sequence[Reading]
) -> tuple[Bools, Floats, list[int]]:
    """What was meant bool[n, labels], what was read float64[n, labels], and the places of the n labelled texts."""
    places = [place for place, one in enumerate(examples) if one.emotions]
    truth = np.array([[label in examples[place].emotions for label in labels] for place in places], dtype=np.bool_)
    scores = np.array([[readings[place].emotions.get(label, 0.0) for label in labels] for place in places])
    return truth.reshape(len(places), len(labels)), scores.reshape(len(places), len(labels)), places
