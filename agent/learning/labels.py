"""What people say caller turns mean: kept in the records' database, given to teams and taken back as JSONL."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import delete, insert, select

from agent.learning.queue import Candidate
from agent.records.database import Database, Label, Turn
from agent.records.redaction import redact
from agent.records.rows import fit
from models.contracts import OUT_OF_SCOPE

MOST_PROBLEMS = 20
"""Problems of a file that are told; of more, how many."""
LONGEST_INTENT = 128
"""Characters of an intent's name, as the database keeps it."""

TurnId = tuple[str, int]
"""Call id and number of a caller turn."""


class LabelError(Exception):
    """Labels that cannot be taken; `problems` has a line each: `file:line: problem; remedy`."""

    def __init__(self, problems: Sequence[str]) -> None:
        shown = list(problems[:MOST_PROBLEMS])
        if len(problems) > MOST_PROBLEMS:
            shown.append(f"... and {len(problems) - MOST_PROBLEMS} more")
        super().__init__("\n".join(shown))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class TurnLabel:
    """What a person says a caller turn means.

    text: the turn's words as recorded, redacted. intent: None where it was looked at and skipped. understood, model:
    what it was taken for, by which version. source: `terminal`, or the file it came with.
    """

    call_id: str
    turn: int
    domain: str
    text: str
    intent: str | None
    labelled_at: datetime
    understood: str | None = None
    model: str | None = None
    source: str = "terminal"

    @property
    def id(self) -> TurnId:
        """What it labels."""
        return self.call_id, self.turn


async def save_labels(database: Database, labels: Iterable[TurnLabel]) -> None:
    """Commit labels in one transaction; an earlier one of the same turn is replaced.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database refused; none was saved.
    """
    async with database.engine.begin() as connection:
        for label in labels:
            row = {name: getattr(label, name) for name in TurnLabel.__dataclass_fields__}
            same = (Label.call_id == label.call_id) & (Label.turn == label.turn)
            await connection.execute(delete(Label).where(same))
            await connection.execute(insert(Label), [fit(Label, row | {"text": redact(label.text)})])


async def remove_label(database: Database, turn: TurnId) -> None:
    """Forget the label of a turn, if it has one."""
    async with database.engine.begin() as connection:
        await connection.execute(delete(Label).where(Label.call_id == turn[0], Label.turn == turn[1]))


async def labels_of(database: Database, domain: str) -> list[TurnLabel]:
    """The labels of a domain, skipped turns among them, in the order they were given."""
    query = select(Label.__table__).where(Label.domain == domain)
    async with database.engine.connect() as connection:
        rows = await connection.execute(query.order_by(Label.labelled_at, Label.call_id, Label.turn))
        return [TurnLabel(**row) for row in rows.mappings()]


def export_rows(candidates: Iterable[Candidate]) -> list[dict[str, Any]]:
    """Rows for a team to label: it fills in `intent`, or removes what it does not want to.

    A file of them is data for `agent train understanding` too, once it is labelled.
    """
    return [
        {
            "text": redact(candidate.text),
            "call": candidate.call_id,
            "turn": candidate.turn,
            "model": candidate.model or "",
            "why": "; ".join(candidate.why),
            "suggested": list(candidate.suggestions),
            "about": {"before": redact(candidate.before), "understood": candidate.intent, "alike": candidate.alike},
        }
        for candidate in candidates
    ]


async def import_labels(
    database: Database, path: Path, domain: str, intents: Collection[str], now: datetime, new_intents: bool = False
) -> list[TurnLabel]:
    """Take the labels of a JSONL file, all or none; rows without `intent` were not labelled and are passed over.

    Each row has `call`, `turn` and `intent`: one of `intents`, `out_of_scope`, or any name with `new_intents`.

    Raises:
        LabelError: the file cannot be read, or rows are wrong; every problem with its line. Nothing was saved.
    """
    problems: list[str] = []
    rows = [row for row in _rows(path, problems) if row.intent is not None]
    known = await _turns(database, {row.id for row in rows})
    labels: dict[TurnId, TurnLabel] = {}
    first: dict[TurnId, int] = {}
    for row in rows:
        where = f"{path}:{row.line}"
        turn = known.get(row.id)
        named = f"turn {row.turn} of call {row.call!r}"
        if turn is None:
            problems.append(f"{where}: the records have no caller {named}; export it from these records")
        problem = name_problem(row.intent or "", intents, new_intents)
        if problem:
            problems.append(f"{where}: intent {row.intent!r} {problem}")
        if row.id in first:
            problems.append(f"{where}: {named} stands on line {first[row.id]} too; keep one")
        first.setdefault(row.id, row.line)
        if turn is not None:
            labels[row.id] = TurnLabel(
                row.call,
                row.turn,
                domain,
                str(turn["text"]),
                row.intent,
                now,
                turn["intent"],
                turn["model"],
                path.name[:128],
            )
    if problems:
        raise LabelError(problems)
    await save_labels(database, labels.values())
    return list(labels.values())


def name_problem(intent: str, intents: Collection[str], new_intents: bool) -> str:
    """What is wrong with an intent's name, with the remedy; empty where it can be used."""
    if intent in intents or intent == OUT_OF_SCOPE:
        return ""
    if not intent.isidentifier() or len(intent) > LONGEST_INTENT:
        return f"is no name; use up to {LONGEST_INTENT} letters, digits and '_'"
    if new_intents:
        return ""
    return f"is not of this domain; use one of {', '.join(sorted(intents))}, {OUT_OF_SCOPE}, or allow --new-intents"


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    call: str
    turn: int
    intent: str | None

    @property
    def id(self) -> TurnId:
        return self.call, self.turn


def _rows(path: Path, problems: list[str]) -> list[_Row]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LabelError([f"{path}: cannot be read: {error.strerror or error}"]) from error
    except UnicodeDecodeError as error:
        at = error.object.count(b"\n", 0, error.start) + 1
        raise LabelError([f"{path}:{at}: not UTF-8; save the file as UTF-8"]) from error
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.append(f"{where}: not JSON ({error}); write one object on each line")
            continue
        if not isinstance(row, Mapping):
            problems.append(f'{where}: no object; write {{"call": ..., "turn": ..., "intent": ...}}')
            continue
        call, turn, intent = row.get("call"), row.get("turn"), row.get("intent")
        if not isinstance(call, str) or not call:
            problems.append(f"{where}: call is {call!r}; give the id of the call, as exported")
        elif type(turn) is not int or not 0 <= turn < 2**31:
            problems.append(f"{where}: turn is {turn!r}; give the number of the turn, as exported")
        elif intent is not None and not isinstance(intent, str):
            problems.append(f"{where}: intent is {intent!r}; give a name, or leave the field out")
        else:
            found.append(_Row(number, call, turn, intent.strip() or None if intent is not None else None))
    return found


async def _turns(database: Database, ids: set[TurnId]) -> dict[TurnId, Mapping[str, Any]]:
    """The caller turns of `ids` that the records have."""
    calls = sorted({call for call, _ in ids})
    found: dict[TurnId, Mapping[str, Any]] = {}
    async with database.engine.connect() as connection:
        for start in range(0, len(calls), 500):
            query = select(Turn.__table__).where(Turn.call_id.in_(calls[start : start + 500]), Turn.speaker == "caller")
            for row in (await connection.execute(query)).mappings():
                found[row["call_id"], row["number"]] = dict(row)
    return {key: row for key, row in found.items() if key in ids}
