"""Tables of labelled texts, CSV or TSV with a header: our own, Banking77, Bitext, CPED and MultiDoGO."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.contracts import OUT_OF_SCOPE
from models.training.examples import Span
from models.training.reading.source import SPLIT_NAMES, Labelled, Problems, make_example, read_text, shown
from models.training.reading.tokens import joined

Row = Mapping[str, str]

TEXT_COLUMNS = ("text", "utterance", "sentence", "query")
INTENT_COLUMNS = ("intent", "category", "label")
OTHER_COLUMNS = ("emotion", "split", "weight")

_MULTIDOGO_OUTSIDE = "outofdomain"
_MULTIDOGO_BETWEEN = "<div>"


@dataclass(frozen=True, slots=True)
class Kind:
    """A known table: its name, the columns by which it is known, and how a row of it is read."""

    name: str
    columns: frozenset[str]
    read: Callable[[Row, str, Problems], Labelled | None]


def read_table(path: Path, problems: Problems) -> tuple[str, list[Labelled]]:
    """The kind of a table and its examples.

    The header decides: that of Bitext, CPED or MultiDoGO, else ours: a column of `TEXT_COLUMNS`, one of
    `INTENT_COLUMNS` or `emotion` (several parted by `|`), and if wanted `split` and `weight`. Commas, semicolons or
    tabs between the cells; a quoted cell may hold line ends. `origin` names the line where a row begins.

    Raises:
        DataError: the file cannot be read or is not UTF-8. Everything else is noted in `problems`.
    """
    text = read_text(path)
    first = next((number for number, line in enumerate(text.split("\n"), start=1) if line.strip()), None)
    if first is None:
        problems.add(f"{path}:1", "empty; give a header such as text,intent and a row for each example")
        return "table", []
    header, delimiter = _header(text.split("\n")[first - 1])
    names = [name.strip().lower() for name in header]
    kind = next((kind for kind in KINDS if kind.columns <= set(names)), None)
    if kind is None:
        wrong = _wrong_columns(names)
        if wrong:
            problems.add(f"{path}:{first}", wrong)
            return "table", []
    out = []
    for origin, cells in _rows(text, delimiter, path, problems):
        if len(cells) != len(names):
            problems.add(
                origin, f"{len(cells)} cells, the header has {len(names)}; quote cells that hold {delimiter!r}"
            )
            continue
        row = dict(zip(names, cells, strict=True))
        labelled = (kind.read if kind else _ours)(row, origin, problems)
        if labelled is not None:
            out.append(labelled)
    if kind is None:
        return "table", out
    return ("MultiDoGO, sentence level" if "sentencenumber" in names else kind.name), out


def _header(line: str) -> tuple[list[str], str]:
    """The cells of a header and what stands between them."""
    best = max(("\t", ",", ";"), key=line.count)
    return [cell.strip().strip('"') for cell in line.rstrip("\r").split(best)], best


def _rows(text: str, delimiter: str, path: Path, problems: Problems) -> Iterator[tuple[str, list[str]]]:
    """`file:line` and cells of each row after the header."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header_seen = False
    while True:
        origin = f"{path}:{rows.line_num + 1}"
        try:
            cells = next(rows, None)
        except csv.Error as error:
            problems.add(origin, f"this row cannot be read ({error}); close its quotes and double those inside a cell")
            return
        if cells is None:
            return
        if not any(cell.strip() for cell in cells) and len(cells) < 2:
            continue
        if header_seen:
            yield origin, cells
        header_seen = True


def _wrong_columns(names: Sequence[str]) -> str | None:
    """What is wrong with the header of a table of ours."""
    known = {*TEXT_COLUMNS, *INTENT_COLUMNS, *OTHER_COLUMNS}
    remedy = "name the columns text,intent (or emotion) and if wanted split,weight"
    unknown = [name for name in names if name not in known]
    if not set(names) & set(TEXT_COLUMNS):
        return f"header {shown(','.join(names))} names no column of texts; {remedy}"
    if unknown:
        return f"unknown column {shown(unknown[0])}; {remedy}"
    for columns, what in ((TEXT_COLUMNS, "text"), (INTENT_COLUMNS, "intent"), *(((n,), n) for n in OTHER_COLUMNS)):
        given = [name for name in names if name in columns]
        if len(given) > 1:
            return f"columns {' and '.join(map(repr, given))} both give the {what}; keep one"
    if not set(names) & {*INTENT_COLUMNS, "emotion"}:
        return f"header {shown(','.join(names))} names no column of labels; {remedy}"
    return None


def _ours(row: Row, origin: str, problems: Problems) -> Labelled | None:
    text = next(row[name] for name in TEXT_COLUMNS if name in row)
    intent = next((row[name] for name in INTENT_COLUMNS if name in row), None)
    emotions = row["emotion"].split("|") if "emotion" in row else ()
    weight = 1.0
    if "weight" in row:
        try:
            weight = float(row["weight"])
        except ValueError:
            problems.add(origin, f"weight is {shown(row['weight'])}; give a number above 0")
            return None
    split = row.get("split", "train").strip().lower()
    if split not in SPLIT_NAMES:
        problems.add(origin, f"split is {shown(row['split'])}; give train, validation or test")
        return None
    example = make_example(problems, origin, text, intent=intent, emotions=emotions, weight=weight)
    return Labelled(example, SPLIT_NAMES[split] if "split" in row else None) if example else None


def _bitext(row: Row, origin: str, problems: Problems) -> Labelled | None:
    """One entity a row at most; offsets count characters of the utterance."""
    text, name = row["utterance"], row["entity_type"].strip()
    spans: tuple[Span, ...] = ()
    if name:
        try:
            spans = (Span(int(row["start_offset"]), int(row["end_offset"]), name),)
        except ValueError:
            given = (row["start_offset"], row["end_offset"])
            problems.add(origin, f"offsets are {shown(given)}; give start_offset and end_offset as whole numbers")
            return None
        held = text[max(0, spans[0].start) : max(0, spans[0].end)]
        if held.lower() != row["entity_value"].lower():
            problems.add(
                origin,
                f"entity_value is {shown(row['entity_value'])}, but the offsets hold {shown(held)}; correct them",
            )
            return None
    example = make_example(problems, origin, text, intent=row["intent"], spans=spans)
    return Labelled(example) if example else None


def _cped(row: Row, origin: str, problems: Problems) -> Labelled | None:
    example = make_example(problems, origin, row["utterance"], emotions=(row["emotion"],))
    return Labelled(example) if example else None


def _multidogo(row: Row, origin: str, problems: Problems) -> Labelled | None:
    """A label for each word, parted by single spaces. The published files have a few turns without words: left out.

    Of several intents the first counts; `outofdomain` is out of scope.
    """
    tokens, labels = row["utterance"].split(" "), row["slot-labels"].split(" ")
    if not row["utterance"].strip():
        return None
    if len(tokens) != len(labels):
        problems.add(origin, f"{len(tokens)} words, but slot-labels has {len(labels)} labels; give each word one")
        return None
    intent = row["intent"].split(_MULTIDOGO_BETWEEN)[0].strip()
    text, spans = joined(tokens, labels)
    example = make_example(
        problems, origin, text, intent=OUT_OF_SCOPE if intent == _MULTIDOGO_OUTSIDE else intent, spans=spans
    )
    return Labelled(example) if example else None


KINDS = (
    Kind("MultiDoGO, turn level", frozenset({"conversationid", "utterance", "slot-labels", "intent"}), _multidogo),
    Kind(
        "Bitext",
        frozenset({"utterance", "intent", "entity_type", "entity_value", "start_offset", "end_offset"}),
        _bitext,
    ),
    Kind("CPED", frozenset({"tv_id", "sentiment", "emotion", "da", "utterance"}), _cped),
)
"""The published tables that are known by their header; further columns of theirs are not read."""
