"""Our own files of labelled texts: one JSON object a line, as `agent label` writes them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from models.training.examples import DataError, Example, Span
from models.training.reading.source import SPLIT_NAMES, Labelled, Problems, lines_of, make_example, read_text, shown

FIELDS = frozenset({"text", "intent", "slots", "emotion", "split", "weight"})
NOTES = frozenset({"about", "origin", "call", "turn", "at", "by", "model", "why", "suggested", "note"})
"""Fields that say where a label comes from; they are not read. Whatever else is worth keeping goes into `about`."""
_SLOT_FIELDS = frozenset({"start", "end", "name", "value"})


def read_jsonl(path: Path, problems: Problems) -> list[Labelled]:
    """The examples of a JSONL file; blank lines are passed over.

    Each line is {"text": str, "intent"?: str, "slots"?: [{"start": int, "end": int, "name": str, "value"?: str}],
    "emotion"?: str or [str], "split"?: "train" | "validation" | "test", "weight"?: number}; slots count characters, end
    excluded, and a `value` must be what they hold.

    Raises:
        DataError: the file cannot be read or is not UTF-8. Everything else is noted in `problems`.
    """
    out = []
    for number, line in enumerate(lines_of(read_text(path)), start=1):
        origin = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.add(origin, f"not JSON ({error}); write one object on each line")
            continue
        labelled = _example(row, origin, problems)
        if labelled is not None:
            out.append(labelled)
    return out


def _example(row: Any, origin: str, problems: Problems) -> Labelled | None:
    before = len(problems)
    if not isinstance(row, dict):
        problems.add(origin, f'{shown(row)} is no object; write {{"text": ..., "intent": ...}}')
        return None
    for key in sorted(set(row) - FIELDS - NOTES):
        problems.add(origin, f'unknown field {shown(key)}; known: {", ".join(sorted(FIELDS))}; put notes into "about"')
    text, intent = row.get("text"), row.get("intent")
    if not isinstance(text, str):
        problems.add(origin, f"text is {shown(text)}; give what was said, as a string")
        text = "?"
    if "intent" in row and not isinstance(intent, str):
        problems.add(origin, f"intent is {shown(intent)}; give a name, or leave the field out")
        intent = None
    spans = _spans(row["slots"], text, origin, problems) if "slots" in row else None
    emotions = _emotions(row["emotion"], origin, problems) if "emotion" in row else ()
    weight = row.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < 1e9:
        problems.add(origin, f"weight is {shown(weight)}; give a number above 0")
        weight = 1.0
    split = row.get("split", "train")
    if not isinstance(split, str) or split not in SPLIT_NAMES:
        problems.add(origin, f"split is {shown(split)}; give train, validation or test")
        split = "train"
    example = make_example(problems, origin, text, intent=intent, spans=spans, emotions=emotions, weight=float(weight))
    if example is None or len(problems) > before:
        return None
    return Labelled(example, SPLIT_NAMES[split] if "split" in row else None)


def _spans(slots: Any, text: str, origin: str, problems: Problems) -> list[Span] | None:
    if not isinstance(slots, list):
        problems.add(origin, f'slots is {shown(slots)}; give a list of {{"start", "end", "name"}}')
        return None
    spans = []
    for slot in slots:
        if not isinstance(slot, dict) or set(slot) - _SLOT_FIELDS or not {"start", "end", "name"} <= set(slot):
            problems.add(origin, f'slot {shown(slot)} is not {{"start": 0, "end": 4, "name": "..."}}; write it so')
            continue
        start, end, name = slot["start"], slot["end"], slot["name"]
        if not (type(start) is int and type(end) is int and isinstance(name, str)):
            problems.add(origin, f"slot {shown(slot)}: start and end are whole numbers, name is a string; correct it")
            continue
        if "value" in slot and slot["value"] != text[max(0, start) : max(0, end)]:
            held = text[max(0, start) : max(0, end)]
            problems.add(
                origin, f"slot {name!r}: value is {shown(slot['value'])}, but [{start}, {end}) holds {shown(held)}"
            )
            continue
        spans.append(Span(start, end, name))
    return spans


def _emotions(value: Any, origin: str, problems: Problems) -> list[str]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed or not all(isinstance(item, str) for item in listed):
        problems.add(origin, f"emotion is {shown(value)}; give a name or a list of names, or leave the field out")
        return []
    return [str(item) for item in listed]


def to_row(example: Example, split: str | None = None) -> dict[str, Any]:
    """`example` as `read_jsonl` reads it back, `origin` kept as a note."""
    row: dict[str, Any] = {"text": example.text}
    if example.intent is not None:
        row["intent"] = example.intent
    if example.spans is not None:
        row["slots"] = [{"start": span.start, "end": span.end, "name": span.name} for span in example.spans]
    if example.emotions:
        row["emotion"] = example.emotions[0] if len(example.emotions) == 1 else list(example.emotions)
    if split is not None:
        row["split"] = split
    if example.weight != 1.0:
        row["weight"] = example.weight
    if example.origin:
        row["origin"] = example.origin
    return row


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write `rows` (see `to_row`) to `path` and say how many; an older file stays until all of them are on disk.

    Raises:
        DataError: it cannot be written; `path` is as it was.
    """
    beside = path.with_name(path.name + ".part")
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise DataError(
            [f"{path}: cannot be written ({error.strerror or error}); free space or name another"]
        ) from None
    return count
