"""Labels for unlabelled texts from a model that is sure of them, as training examples that count less."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from models.contracts import OUT_OF_SCOPE
from models.text_model import Reading, TextModel
from models.training.checks import normalised
from models.training.examples import DataError, Example, Span
from models.training.reading.source import Problems, lines_of, make_example, read_text, shown

FLOOR = 0.9
"""Confidence from which a label is believed."""
WEIGHT = 0.5
"""What a pseudo-labelled text counts, beside 1 for one that a person labelled."""
_BATCH = 64


def pseudo_label(
    model: TextModel,
    texts: Sequence[str],
    floor: float = FLOOR,
    per_intent: int | None = None,
    *,
    weight: float = WEIGHT,
    origins: Sequence[str] = (),
    known: Sequence[Example] = (),
    advance: Callable[[int], None] | None = None,
) -> list[Example]:
    """The texts of which `model` is at least `floor` sure, with the intent it reads; the surest first.

    A text that it puts out of scope is left out: as an example of an intent it would be wrong, and as one of out of
    scope it would teach the model its own blind spots. So are texts that are in `known`, and repeated ones. At most
    `per_intent` of an intent are taken, the surest, so that easy intents do not crowd out the others. Slot values are
    labelled where the model is as sure of each that it sees. `advance` is called with the number of texts read.

    origins: `file:line` of each text, where known.

    Raises:
        DataError: floor, per_intent or weight is out of range, origins are not as many as texts, or the model knows no
            intents.
    """
    _verify(model, floor, per_intent, weight, texts, origins)
    seen = {normalised(example.text) for example in known}
    sure: list[tuple[float, Example]] = []
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        for offset, (text, reading) in enumerate(zip(batch, model.read(batch), strict=True)):
            key = normalised(text)
            if not text.strip() or key in seen or not _believed(reading, model, floor):
                continue
            seen.add(key)
            origin = origins[start + offset] if origins else f"text {start + offset + 1}"
            spans = _spans(reading, text, floor) if model.info.slots else None
            sure.append((reading.confidence, Example(text, reading.intent, spans, (), origin, weight)))
        if advance is not None:
            advance(len(batch))
    sure.sort(key=lambda row: -row[0])
    taken: dict[str | None, int] = {}
    out = []
    for _, example in sure:
        taken[example.intent] = taken.get(example.intent, 0) + 1
        if per_intent is None or taken[example.intent] <= per_intent:
            out.append(example)
    return out


def _verify(
    model: TextModel, floor: float, per_intent: int | None, weight: float, texts: Sequence[str], origins: Sequence[str]
) -> None:
    problems = []
    if not 0 < floor <= 1:
        problems.append(f"floor is {floor!r}; give a confidence above 0 and up to 1, such as {FLOOR}")
    if per_intent is not None and per_intent < 1:
        problems.append(f"per_intent is {per_intent!r}; give 1 or more, or None for no limit")
    if not 0 < weight < 1:
        problems.append(f"weight is {weight!r}; give a number above 0 and below 1, such as {WEIGHT}")
    if origins and len(origins) != len(texts):
        problems.append(f"{len(origins)} origins for {len(texts)} texts; give one for each")
    if not set(model.info.intents) - {OUT_OF_SCOPE}:
        problems.append(f"model {model.info.name} {model.info.version} knows no intents; train one on labelled texts")
    if problems:
        raise DataError(problems)


def _believed(reading: Reading, model: TextModel, floor: float) -> bool:
    return reading.intent != OUT_OF_SCOPE and reading.intent in model.info.intents and reading.confidence >= floor


def _spans(reading: Reading, text: str, floor: float) -> tuple[Span, ...] | None:
    """The slot values, or None where one of them is doubtful or does not fit the text."""
    reached = 0
    out = []
    for span in sorted(reading.spans, key=lambda span: span.start):
        if span.probability < floor or not reached <= span.start < span.end <= len(text):
            return None
        out.append(Span(span.start, span.end, span.name))
        reached = span.end
    return tuple(out)


def read_texts(path: Path) -> list[Example]:
    """The unlabelled texts of a .txt (one a line) or of a .jsonl with a `text` in each object, with their origins.

    Other fields of the objects, labels too, are not read. Blank lines are passed over.

    Raises:
        DataError: the file cannot be read, is not UTF-8 or has another ending, or lines of it hold no text.
    """
    ending = path.suffix.lower()
    if ending not in {".txt", ".jsonl"}:
        raise DataError(
            [f"{path}: {ending or 'no ending'!r} is not known; give a .txt with a text a line, or a .jsonl"]
        )
    problems = Problems()
    out = []
    for number, line in enumerate(lines_of(read_text(path)), start=1):
        if not line.strip():
            continue
        origin = f"{path}:{number}"
        text = line if ending == ".txt" else _text_of(line, origin, problems)
        example = make_example(problems, origin, text) if text is not None else None
        if example is not None:
            out.append(example)
    problems.refuse()
    return out


def _text_of(line: str, origin: str, problems: Problems) -> str | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        problems.add(origin, f"not JSON ({error}); write one object on each line")
        return None
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        problems.add(origin, f'{shown(row)} has no text; write {{"text": "..."}}')
        return None
    return str(row["text"])
