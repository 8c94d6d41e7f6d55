"""What the records have of calls, for the console: a call whole, its notes, wrap-ups, and its caller's other calls."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select

from agent.clock import Clock
from agent.console.tables import Note, WrapUp
from agent.learning.labels import TurnLabel, save_labels
from agent.records.database import Call, Database, Handoff, Turn
from agent.records.queries import CallNotFound, Row, load_call
from agent.records.redaction import redact, redact_json
from agent.records.rows import fit

MOST_NOTES = 200
"""Notes of one call that are shown, and written."""
HISTORY = 5
"""Earlier calls of a caller that are shown."""
EMPTY: Row = {"call": None, "turns": [], "actions": [], "events": [], "handoffs": []}


async def whole_call(database: Database, call_id: str, topics: Collection[str] = ()) -> Row | None:
    """Everything the records have of a call, with `notes`, `wrap_ups` and `history`; None for nothing.

    topics: the intents that say what a call was about; without any, the last of each counts.
    """
    try:
        loaded = await load_call(database, call_id)
    except CallNotFound:
        return None
    call = {name: value for name, value in loaded["call"].items() if name != "owner"}
    return {
        **loaded,
        "call": call,
        "notes": await notes_of(database, call_id),
        "wrap_ups": await wrap_ups_of(database, call_id),
        "history": await history(database, call_id, call["caller"], topics),
    }


async def notes_of(database: Database, call_id: str) -> list[Row]:
    """The notes of a call, oldest first."""
    query = select(Note.who, Note.text, Note.at).where(Note.call_id == call_id).order_by(Note.id).limit(MOST_NOTES)
    return await _rows(database, query)


async def wrap_ups_of(database: Database, call_id: str) -> list[Row]:
    """The wrap-ups of a call, oldest first."""
    return await _rows(database, select(WrapUp.__table__).where(WrapUp.call_id == call_id).order_by(WrapUp.at))


async def history(database: Database, call_id: str, caller: str | None, topics: Collection[str] = ()) -> list[Row]:
    """The latest other calls from the number `caller`, the latest first; intent: what each was about last."""
    if not caller:
        return []
    query = (
        select(Call.id, Call.opened_at, Call.outcome)
        .where(Call.caller == caller, Call.id != call_id)
        .order_by(Call.opened_at.desc(), Call.id)
        .limit(HISTORY)
    )
    found = await _rows(database, query)
    ids = [row["id"] for row in found]
    turns = select(Turn.call_id, Turn.intent).where(Turn.call_id.in_(ids), Turn.intent.is_not(None))
    turns = turns.where(Turn.intent.in_(topics)) if topics else turns
    intents = {row["call_id"]: row["intent"] for row in await _rows(database, turns.order_by(Turn.number))}
    summaries = select(Handoff.call_id, Handoff.summary).where(Handoff.call_id.in_(ids)).order_by(Handoff.created_at)
    told = {row["call_id"]: row["summary"] for row in await _rows(database, summaries)}
    return [row | {"intent": intents.get(row["id"]), "summary": told.get(row["id"], "")} for row in found]


async def add_note(database: Database, call_id: str, who: str, text: str, clock: Clock) -> Row:
    """Write down a note; returns it as it is kept, redacted.

    Raises:
        CallNotFound: the records have no such call.
        ValueError: the call has `MOST_NOTES` notes.
    """
    now, written = clock.wall(), redact(text)
    row = {"call_id": call_id, "who": who, "text": written, "at": now}
    async with database.engine.begin() as connection:
        await _must_exist(connection, call_id)
        kept = (await connection.execute(select(Note.id).where(Note.call_id == call_id).limit(MOST_NOTES))).all()
        if len(kept) >= MOST_NOTES:
            raise ValueError(f"the call has {MOST_NOTES} notes, the most it may have")
        await connection.execute(insert(Note), [fit(Note, row)])
    return {"who": who, "text": written, "at": now.isoformat()}


async def wrap_up(
    database: Database,
    call_id: str,
    who: str,
    given: Mapping[str, Any],
    handoff_id: str | None,
    clock: Clock,
) -> None:
    """Keep how `who` closed a call; an earlier wrap-up of his is replaced.

    A corrected `intent` also becomes the label of a caller turn: of turn `turn` where that is given, else of the last
    one to which the agent gave an intent. It is what the next fine-tuning learns from.

    Raises:
        CallNotFound: the records have no such call.
        ValueError: there is no such caller turn.
    """
    now, values = clock.wall(), {key: value for key, value in given.items() if key != "turn"}
    values |= {"slots": redact_json(values.get("slots") or {}), "note": redact(values.get("note") or "")}
    row = {"call_id": call_id, "who": who, "handoff_id": handoff_id, "at": now, **values}
    label = None
    if values.get("intent"):
        label = await _label(database, call_id, who, str(values["intent"]), given.get("turn"), clock)
    async with database.engine.begin() as connection:
        await _must_exist(connection, call_id)
        await connection.execute(delete(WrapUp).where(WrapUp.call_id == call_id, WrapUp.who == who))
        await connection.execute(insert(WrapUp), [fit(WrapUp, row)])
    if label is not None:
        await save_labels(database, [label])


async def last_handoff(database: Database, call_id: str) -> str | None:
    """The id of the latest handoff of a call."""
    query = select(Handoff.id).where(Handoff.call_id == call_id).order_by(Handoff.created_at.desc()).limit(1)
    async with database.engine.connect() as connection:
        return (await connection.execute(query)).scalar_one_or_none()


async def _label(
    database: Database, call_id: str, who: str, intent: str, turn: int | None, clock: Clock
) -> TurnLabel | None:
    query = (
        select(Turn.number, Turn.text, Turn.intent, Turn.model, Call.domain)
        .join(Call, Call.id == Turn.call_id)
        .where(Turn.call_id == call_id, Turn.speaker == "caller")
        .order_by(Turn.number.desc())
        .limit(1)
    )
    query = query.where(Turn.intent.is_not(None)) if turn is None else query.where(Turn.number == turn)
    async with database.engine.connect() as connection:
        found = (await connection.execute(query)).one_or_none()
    if found is None:
        if turn is not None:
            raise ValueError(f"turn is {turn}; the caller has no such turn in this call")
        return None
    at, source = clock.wall(), f"console:{who}"
    return TurnLabel(call_id, found.number, found.domain, found.text, intent, at, found.intent, found.model, source)


async def _must_exist(connection: Any, call_id: str) -> None:
    if (await connection.execute(select(Call.id).where(Call.id == call_id))).scalar_one_or_none() is None:
        raise CallNotFound("the records have no such call yet; try again in a moment")


async def _rows(database: Database, query: Any) -> list[Row]:
    async with database.engine.connect() as connection:
        rows: Sequence[Any] = (await connection.execute(query)).mappings().all()
    return [{key: _plain(value) for key, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
