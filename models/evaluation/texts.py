"""Evaluating a text model: what it understands, how it stands up to worse text, how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.contracts import Encoder
from models.evaluation.bootstrap import difference
from models.evaluation.figures import Figure, Sample, amount, quantiles
from models.evaluation.frozen import cross_read
from models.evaluation.labels import choose_split, known_to
from models.evaluation.latency import one_at_a_time
from models.evaluation.plots import interval_plot
from models.evaluation.report import Evaluation, change_table, changes
from models.evaluation.tables import Table
from models.evaluation.understanding import (
    Findings,
    Progress,
    intent_sample,
    measure,
    mistakes,
    read_all,
)
from models.text_model import ModelInfo, Reading, TextModel
from models.training.examples import DataError, Example, Splits

MEASURE = "understanding"
Worsen = Callable[[str, int], str]
"""Worsens a text: (text, seed) to text."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    limit: at most so many examples, drawn by seed. worsened: how texts are made worse, by name. spoken: the same texts
    as a recognizer heard them, labelled as they were meant. timed: also measure the time of single texts.
    """

    split: str = "test"
    seed: int = 0
    limit: int | None = None
    ignore_unknown: bool = False
    worsened: Mapping[str, Worsen] = field(default_factory=dict)
    spoken: tuple[Example, ...] = ()
    timed: bool = True


def evaluate(
    model: TextModel, splits: Splits, origin: str, plan: Plan, progress: Progress, head: TextModel | None = None
) -> Evaluation:
    """Measure `model` on a split; `head`, measured on the same texts, is put beside it. origin names the data.

    Raises:
        DataError: the split is empty, or has labels the model does not know.
    """
    chosen = choose_split(splits, plan.split, origin)
    examples, notes = known_to(model.info, drawn(chosen, plan), plan.ignore_unknown)
    validation: tuple[list[Example], list[Reading]] | None = None
    # The time first: models remember the texts they read last.
    times = _times(model, examples, plan)
    readings = read_all(model, [one.text for one in examples], progress, "reading")
    if model.info.several_emotions and splits.validation and plan.split != "validation":
        held = [one for one in splits.validation if one.emotions]
        validation = held, read_all(model, [one.text for one in held], progress, "reading the validation texts")
    found = measure(model.info, examples, readings, plan.seed, validation)
    _robustness(found, model, examples, plan, progress)
    found.figures += times
    if head is not None:
        _beside(found, model, head, examples, plan, progress)
    found.notes[:0] = notes
    return _evaluation(model.info, found, examples, readings, splits.sources or (origin,), plan)


def cross_validated(
    splits: Splits, encoder: Encoder, origin: str, plan: Plan, progress: Progress, base: str
) -> Evaluation:
    """Measure frozen heads on the training examples of `splits`, each read by heads that have not seen it.

    Raises:
        DataError: there are too few examples.
    """
    progress(0, 1, "cross-validating")
    info, examples, readings = cross_read(drawn(choose_split(splits, "train", origin), plan), encoder, plan.seed, base)
    found = measure(info, examples, readings, plan.seed)
    found.notes.append("each example was read by heads trained on four fifths of the others (5 folds, by intent)")
    plan = Plan("train, 5 folds", plan.seed, plan.limit)
    return _evaluation(info, found, examples, readings, splits.sources or (origin,), plan)


def drawn(examples: Sequence[Example], plan: Plan) -> list[Example]:
    """The examples, or as many as the plan allows, drawn by its seed, in their order."""
    if plan.limit is None or plan.limit >= len(examples):
        return list(examples)
    places = np.sort(np.random.default_rng(plan.seed).permutation(len(examples))[: plan.limit])
    return [examples[int(place)] for place in places]


def _times(model: TextModel, examples: Sequence[Example], plan: Plan) -> list[Figure]:
    if not plan.timed:
        return []
    texts = one_at_a_time(model, [one.text for one in examples], plan.seed)
    return quantiles("latency", "time of one text, one thread", texts, seed=plan.seed)


def _robustness(found: Findings, model: TextModel, examples: Sequence[Example], plan: Plan, progress: Progress) -> None:
    """Intent accuracy on worse texts, beside that on the texts as they are."""
    meant = [one for one in examples if one.intent is not None]
    if not meant or not (plan.worsened or plan.spoken):
        return
    clean = next(one for one in found.figures if one.name == "accuracy")
    sample = intent_sample(meant, plan.seed)
    rows: list[tuple[str, ...]] = [("as they are", clean.shown(), clean.shown_interval(), "", "", str(clean.n))]
    shown = [clean]
    for name, worsen in plan.worsened.items():
        texts = [worsen(one.text, plan.seed + place) for place, one in enumerate(meant)]
        changed = sum(text != one.text for text, one in zip(texts, meant, strict=True))
        figure = _accuracy(model, meant, texts, sample, name, progress)
        rows.append(_robust_row(f"{name} ({changed} of {len(texts)} texts changed)", clean, figure, paired=True))
        shown.append(figure)
    if plan.spoken:
        known = {one.intent for one in meant}
        heard = [one for one in plan.spoken if one.intent in known]
        if heard:
            texts = [one.text for one in heard]
            sample = intent_sample(heard, plan.seed)
            figure = _accuracy(model, heard, texts, sample, "spoken and recognized", progress)
            rows.append(_robust_row("spoken and recognized", clean, figure, paired=False))
            shown.append(figure)
        if len(heard) < len(plan.spoken):
            found.notes.append(f"{len(plan.spoken) - len(heard)} spoken texts have other intents and were left out")
    found.figures += shown[1:]
    columns = ("texts", "intent accuracy", "95 % interval", "change", "95 % interval", "n")
    found.tables.append(Table("Robustness", columns, tuple(rows)))
    found.plots.append(interval_plot(shown, "Intent accuracy on worse texts"))


def _accuracy(
    model: TextModel, meant: Sequence[Example], texts: Sequence[str], sample: Sample, name: str, progress: Progress
) -> Figure:
    readings = read_all(model, texts, progress, f"reading, {name}")
    right = [reading.intent == one.intent for one, reading in zip(meant, readings, strict=True)]
    return sample.mean(f"accuracy_{name.replace(' ', '_')}", f"intent accuracy, {name}", right)


def _robust_row(name: str, clean: Figure, figure: Figure, paired: bool) -> tuple[str, ...]:
    change = difference(clean.value, figure.value, clean.draws, figure.draws, paired)
    between = f"{amount(change.low)} to {amount(change.high)}"
    return name, figure.shown(), figure.shown_interval(), f"{change.change:+.1f}", between, str(figure.n)


def _beside(
    found: Findings,
    model: TextModel,
    head: TextModel,
    examples: Sequence[Example],
    plan: Plan,
    progress: Progress,
) -> None:
    """Put the figures of `head` on the same intents beside those of `model`."""
    meant = [Example(one.text, one.intent) for one in examples if one.intent is not None]
    if not meant:
        raise DataError(["no example has an intent, which is all that frozen heads learn; leave out --method-head"])
    times = _times(head, meant, plan)
    readings = read_all(head, [one.text for one in meant], progress, "reading with frozen heads")
    other = measure(head.info, meant, readings, plan.seed)
    before = {one.name: one for one in (*other.figures, *times)}
    rows = changes(before, found.figures, other.answers, found.answers)
    name = f"{model.info.name} {model.info.version}".strip()
    found.tables.insert(0, change_table(rows, f"Frozen heads and {name}", "frozen heads", name))


def _evaluation(
    info: ModelInfo,
    found: Findings,
    examples: Sequence[Example],
    readings: Sequence[Reading],
    sources: tuple[str, ...],
    plan: Plan,
) -> Evaluation:
    wrong = mistakes(examples, readings)
    rows = tuple((one.text, one.meant, one.understood, f"{one.confidence:.2f}") for one in wrong)
    folded = [*found.folded]
    if rows:
        folded.insert(0, Table("Mistakes, the surest first", ("text", "meant", "understood", "confidence"), rows))
    return Evaluation(
        MEASURE,
        {
            "name": info.name,
            "version": info.version,
            "method": info.method,
            "base": info.base,
            "language": info.language,
            "created": info.created,
            "threshold": round(info.threshold, 4),
        },
        sources,
        plan.split,
        plan.seed,
        len(examples),
        tuple(found.figures),
        tuple(found.tables),
        tuple(found.plots),
        tuple(folded),
        tuple(found.notes),
        found.answers,
    )
