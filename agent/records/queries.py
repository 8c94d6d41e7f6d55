"""Reads the records, for the API, the command line, the console and export; rows are JSON-ready dictionaries."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import RowMapping, Select, select

from agent.records.database import Action, Call, Database, Event, Handoff, HandoffStep, Turn
from agent.records.redaction import redact, redact_json

TRANSCRIPT_VERSION = 1
MOST_ROWS = 1000
"""Rows one list query gives at most."""

Row = dict[str, Any]


class CallNotFound(LookupError):
    """No call has that id."""


async def list_calls(database: Database, limit: int = 50, before: datetime | None = None) -> list[Row]:
    """The latest calls, newest first: the columns of `calls`.

    Args:
        limit: 1 to `MOST_ROWS`.
        before: only calls opened earlier than this; the `opened_at` of the last row gives the next page.

    Raises:
        ValueError: `limit` is out of range.
    """
    query = select(Call.__table__).order_by(Call.opened_at.desc(), Call.id).limit(_checked(limit))
    if before is not None:
        query = query.where(Call.opened_at < (before if before.tzinfo else before.replace(tzinfo=UTC)))
    return await _rows(database, query)


async def load_call(database: Database, call_id: str) -> Row:
    """Everything about one call: `call`, `turns` and `actions` in order, `events`, `handoffs` with their steps.

    Raises:
        CallNotFound: no such call.
    """
    calls = await _rows(database, select(Call.__table__).where(Call.id == call_id))
    if not calls:
        raise CallNotFound(f"there is no call {call_id!r}; list the calls to find its id")
    return {
        "call": calls[0],
        "turns": await turns_after(database, call_id, -1),
        "actions": await _rows(
            database, select(Action.__table__).where(Action.call_id == call_id).order_by(Action.sequence)
        ),
        "events": await _rows(
            database, select(Event.__table__).where(Event.call_id == call_id).order_by(Event.sequence)
        ),
        "handoffs": await list_handoffs(database, call_id=call_id),
    }


async def turns_after(database: Database, call_id: str, number: int) -> list[Row]:
    """The turns of a call numbered above `number`, in the order they began; none where there is no such call."""
    query = select(Turn.__table__).where(Turn.call_id == call_id, Turn.number > number)
    return await _rows(database, query.order_by(Turn.number, Turn.started_ms, Turn.speaker.desc()))


async def list_handoffs(
    database: Database, state: str | None = None, call_id: str | None = None, limit: int = 200, whole: bool = True
) -> list[Row]:
    """Handoffs, most urgent first and then oldest first, each with its `steps` (state, at, detail).

    `whole`: with their `context`, which is most of what there is to read.

    Raises:
        ValueError: `limit` is out of range.
    """
    columns = [column for column in Handoff.__table__.columns if whole or column.name != "context"]
    query = select(*columns).order_by(Handoff.priority.desc(), Handoff.created_at, Handoff.id)
    if state is not None:
        query = query.where(Handoff.state == state)
    if call_id is not None:
        query = query.where(Handoff.call_id == call_id)
    handoffs = await _rows(database, query.limit(_checked(limit)))
    steps: dict[str, list[Row]] = {handoff["id"]: [] for handoff in handoffs}
    of_these = select(HandoffStep.__table__).where(HandoffStep.handoff_id.in_(list(steps)))
    for step in await _rows(database, of_these.order_by(HandoffStep.handoff_id, HandoffStep.sequence)):
        steps[step.pop("handoff_id")].append(step)
    return [handoff | {"steps": steps[handoff["id"]]} for handoff in handoffs]


async def events_of(database: Database, kind: str, domains: Collection[str], limit: int = 100_000) -> list[Row]:
    """The `data` of events of one kind in calls of `domains`, the latest calls first."""
    query = select(Event.data).join(Call, Call.id == Event.call_id)
    query = query.where(Event.kind == kind, Call.domain.in_(list(domains)))
    async with database.engine.connect() as connection:
        found = await connection.execute(query.order_by(Call.opened_at.desc(), Event.sequence).limit(limit))
        return [dict(data) for data in found.scalars()]


def transcript(loaded: Mapping[str, Any], events: Mapping[str, int]) -> Row:
    """The transcript of a call as `load_call` gives it: JSON-ready, numbers of caller and called redacted.

    `events` says how often each kind happened.
    """
    call = dict(loaded["call"])
    call.pop("owner", None)
    return {
        "version": TRANSCRIPT_VERSION,
        "call": _without_numbers(call),
        "turns": [_without_call(turn) for turn in loaded["turns"]],
        "actions": [_without_call(action) for action in loaded["actions"]],
        "events": dict(sorted(events.items())),
        "handoffs": [_without_numbers(handoff) for handoff in loaded["handoffs"]],
    }


def write_transcript(path: Path, document: Mapping[str, Any]) -> None:
    """Write a transcript as UTF-8 JSON, whole or not at all.

    Raises:
        OSError: the disk is full or gone.
    """
    draft = path.with_name(path.name + ".part")
    text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    draft.write_bytes(text.encode("utf-8", "replace"))
    draft.replace(path)


def _without_numbers(row: Mapping[str, Any]) -> Row:
    numbers = {name: None if row[name] is None else redact(row[name]) for name in ("caller", "called")}
    return dict(row) | numbers | ({"parameters": redact_json(row["parameters"])} if "parameters" in row else {})


def _without_call(row: Mapping[str, Any]) -> Row:
    return {name: value for name, value in row.items() if name != "call_id"}


def _checked(limit: int) -> int:
    if not 1 <= limit <= MOST_ROWS:
        raise ValueError(f"limit {limit} is out of range; give 1 to {MOST_ROWS}")
    return limit


async def _rows(database: Database, query: Select[Any]) -> list[Row]:
    async with database.engine.connect() as connection:
        result = await connection.execute(query)
        return [_plain(row) for row in result.mappings()]


def _plain(row: RowMapping) -> Row:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
