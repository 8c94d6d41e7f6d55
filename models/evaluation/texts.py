"""Evaluating a text model: what it understands, how it stands up to worse text, how long it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.contracts import Encoder
from models.evaluation.bootstrap import difference
from models.evaluation.figures import Figure, quantiles
from models.evaluation.frozen import cross_read
from models.evaluation.labels import choose_split, known_to
from models.evaluation.latency import one_at_a_time
from models.evaluation.plots import interval_plot
from models.evaluation.report import Evaluation, change_table, changes
from models.evaluation.robustness import WORDS, worsened
from models.evaluation.tables import Table
from models.evaluation.understanding import (
    Findings,
    Progress,
    intent_accuracy,
    intent_sample,
    measure,
    mistakes,
    read_all,
    slot_f1,
    slot_sample,
)
from models.text_model import ModelInfo, Reading, TextModel
from models.training.examples import DataError, Example, Splits

MEASURE = "understanding"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    limit: at most so many examples, drawn by seed. worsened: strategies that make texts worse. spoken: the same texts
    as a recognizer heard them, labelled as they were meant. timed: also measure the time of single texts.
    """

    split: str = "test"
    seed: int = 0
    limit: int | None = None
    ignore_unknown: bool = False
    worsened: tuple[str, ...] = ()
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
    """Intents, and slots where there are any, on worse texts, beside those on the texts as they are."""
    clean = {one.name: one for one in found.figures if one.name in _COMPARED}
    if "accuracy" not in clean or not (plan.worsened or plan.spoken):
        return
    rows = [_robust_row("as they are", clean, clean, 0)]
    shown = [clean["accuracy"]]
    for strategy in plan.worsened:
        texts = worsened(strategy, examples, plan.seed)
        changed = sum(one.text != other.text for one, other in zip(texts, examples, strict=True))
        figures = _again(model, texts, examples, strategy, WORDS.get(strategy, strategy), plan, progress)
        rows.append(_robust_row(WORDS.get(strategy, strategy), clean, figures, changed))
        found.figures += figures.values()
        shown.append(figures["accuracy"])
    if plan.spoken:
        known = {one.intent for one in examples if one.intent is not None}
        heard = [Example(one.text, one.intent) for one in plan.spoken if one.intent in known]
        if len(heard) < len(plan.spoken):
            found.notes.append(f"{len(plan.spoken) - len(heard)} spoken texts have other intents and were left out")
        if heard:
            figures = _again(model, heard, heard, "spoken", "spoken and recognized", plan, progress)
            rows.append(_robust_row("spoken and recognized", clean, figures, len(heard)))
            found.figures += figures.values()
            shown.append(figures["accuracy"])
    slots = ("slot F1", "change") if "slot_f1" in clean else ()
    columns = ("texts", "changed", "intent accuracy", "95 % interval", "change", "95 % interval", *slots)
    found.tables.append(Table("Robustness", columns, tuple(rows)))
    found.plots.append(interval_plot(shown, "Intent accuracy on worse texts"))


_COMPARED = {"accuracy": "intent accuracy", "slot_f1": "slot F1"}
"""Figures that are told of worse texts, and in which words."""


def _again(
    model: TextModel,
    texts: Sequence[Example],
    examples: Sequence[Example],
    name: str,
    words: str,
    plan: Plan,
    progress: Progress,
) -> dict[str, Figure]:
    """The figures of `texts`, which are `examples` made worse: over the same sample, so that both can be paired."""
    readings = read_all(model, [one.text for one in texts], progress, f"reading, {words}")
    found = {"accuracy": intent_accuracy(texts, readings, intent_sample(examples, plan.seed))}
    if model.info.slots and any(one.spans is not None for one in texts):
        found["slot_f1"] = slot_f1(texts, readings, slot_sample(examples, plan.seed))
    return {key: replace(one, name=f"{key}_{name}", words=f"{_COMPARED[key]}, {words}") for key, one in found.items()}


def _robust_row(name: str, clean: Mapping[str, Figure], now: Mapping[str, Figure], changed: int) -> tuple[str, ...]:
    cells = [name, str(changed), now["accuracy"].shown(), now["accuracy"].shown_interval()]
    if clean is now:
        cells += ["", ""]
    else:
        before, after = clean["accuracy"], now["accuracy"]
        paired = before.sample == after.sample
        change = difference(before.value, after.value, before.draws, after.draws, paired)
        cells += [f"{change.change:+.1f}", f"{change.low:+.1f} to {change.high:+.1f}"]
    if "slot_f1" in clean:
        slots = now.get("slot_f1")
        cells += ["-", "-"] if slots is None else [slots.shown(), f"{slots.value - clean['slot_f1'].value:+.1f}"]
    return tuple(cells)


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
