"""Callers to be called back: who, why, when, with the whole context of the call; each is taken by one person."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Literal, get_args

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.handoff.briefing import brief
from agent.handoff.machine import WAITING, HandoffState, move
from agent.handoff.people import TooLate, UnknownHandoff
from agent.records.database import Call, Database, Handoff, HandoffStep
from agent.records.queries import Row, list_handoffs
from agent.records.redaction import redact
from agent.records.rows import fit

_S = HandoffState
SETTLE_S = 300.0
"""Longer than any server takes to write down how a call ended."""

MOST_AHEAD = timedelta(days=60)
"""How far ahead a time to call again may be agreed."""
RELEASED = "released"
"""Detail of the step by which somebody gave a call-back back untried."""

CallbackOutcome = Literal["reached", "not_reached", "not_needed"]
"""reached, not_needed: done. not_reached: it goes back on the list."""


class Briefings:
    """Briefings of call-backs, each made once: what it rests on does not change while somebody is to be called."""

    def __init__(self, most: int = 1000) -> None:
        """`most`: how many are kept; the oldest go first."""
        self._most = most
        self._made: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()

    async def of(self, database: Database, row: Row) -> list[dict[str, Any]]:
        """The briefing of a handoff. They are made one by one, so that calls have their turn in between."""
        known = self._made.get(row["id"])
        if known is None:
            async with database.engine.connect() as connection:
                found = await connection.execute(select(Handoff.context).where(Handoff.id == row["id"]))
            known = self._made[row["id"]] = _briefing(row, found.scalar_one_or_none() or {})
            while len(self._made) > self._most:
                self._made.popitem(last=False)
        return known


async def list_callbacks(
    database: Database, limit: int = 200, now: datetime | None = None, briefings: Briefings | None = None
) -> list[Row]:
    """Call-backs to be made and those under way (`by` says whose), each with its `briefing` instead of its context.

    Most urgent first, then oldest first. With `now`, those agreed for later (`due_at`) come last, the next one first.
    tries: how often nobody was reached; tried_at: when last, ISO.

    Raises:
        ValueError: `limit` is out of range.
    """
    found: list[Row] = []
    for state in (_S.CALLBACK, _S.CALLING_BACK):
        found += await list_handoffs(database, state=state.value, limit=limit, whole=False)
    later = "" if now is None else now.isoformat()
    found.sort(key=lambda row: (_later(row, later), -row["priority"], row["created_at"], row["id"]))
    made = briefings or Briefings()
    return [await _shown(database, row, made) for row in found[:limit]]


async def _shown(database: Database, row: Row, briefings: Briefings) -> Row:
    return row | {"by": _by(row), "briefing": await briefings.of(database, row)} | _tries(row)


async def count_callbacks(database: Database) -> int:
    """How many callers wait to be called back and nobody has taken."""
    async with database.engine.connect() as connection:
        query = select(func.count()).where(Handoff.state == _S.CALLBACK.value)
        return int((await connection.execute(query)).scalar_one())


async def take(database: Database, handoff_id: str, who: str, now: datetime) -> Row:
    """`who` calls back: of two who try, one gets it. Gives the row, as `list_callbacks` does.

    Raises:
        UnknownHandoff: there is no such handoff.
        TooLate: it is not to be called back, or no longer; `by` is who calls, where somebody does.
    """
    async with database.engine.begin() as connection:
        claimed = await connection.execute(
            update(Handoff)
            .where(Handoff.id == handoff_id, Handoff.state == _S.CALLBACK.value)
            .values(state=move(_S.CALLBACK, _S.CALLING_BACK).value, updated_at=now)
        )
        if not claimed.rowcount:
            state = await _state(connection, handoff_id)
            raise TooLate(handoff_id, await _who(connection, handoff_id) if state is _S.CALLING_BACK else "")
        await _step(connection, handoff_id, _S.CALLING_BACK, who, now)
    call_id = await call_of(database, handoff_id)
    rows = await list_handoffs(database, call_id=call_id, limit=1000, whole=False)
    return await _shown(database, next(row for row in rows if row["id"] == handoff_id), Briefings())


async def done(
    database: Database,
    handoff_id: str,
    who: str,
    outcome: CallbackOutcome,
    now: datetime,
    again_at: datetime | None = None,
) -> None:
    """The call back was made; who did not reach anybody leaves it to the next, `again_at` where that was agreed.

    Raises:
        ValueError: `outcome` is none of `CallbackOutcome`, or `again_at` is past, too far ahead, or not for it.
        UnknownHandoff: there is no such handoff.
        TooLate: `who` is not the one who took it.
    """
    if outcome not in get_args(CallbackOutcome):
        raise ValueError(f"outcome is {outcome!r}; it must be one of {', '.join(get_args(CallbackOutcome))}")
    if again_at is not None and (outcome != "not_reached" or not now < again_at <= now + MOST_AHEAD):
        raise ValueError(f"again_at is {again_at}; give a time within {MOST_AHEAD.days} days, after not_reached only")
    to = _S.CALLBACK if outcome == "not_reached" else _S.ENDED
    async with database.engine.begin() as connection:
        await _must_have(connection, handoff_id, who)
        await _leave(connection, handoff_id, to, outcome, now, {"due_at": again_at})


async def release(database: Database, handoff_id: str, who: str | None, now: datetime) -> None:
    """`who` gives a call-back back untried; None: it is taken from whoever has it.

    Raises:
        UnknownHandoff: there is no such handoff.
        TooLate: `who` is not the one who took it, or nobody has it.
    """
    async with database.engine.begin() as connection:
        await _must_have(connection, handoff_id, who)
        await _leave(connection, handoff_id, _S.CALLBACK, RELEASED, now, {})


async def must_have(database: Database, handoff_id: str, who: str) -> None:
    """Let through who is calling this one back.

    Raises:
        UnknownHandoff: there is no such handoff.
        TooLate: it is not `who`.
    """
    async with database.engine.connect() as connection:
        await _must_have(connection, handoff_id, who)


async def call_of(database: Database, handoff_id: str) -> str:
    """The id of the call that a handoff came from.

    Raises:
        UnknownHandoff: there is no such handoff.
    """
    async with database.engine.connect() as connection:
        found = await connection.execute(select(Handoff.call_id).where(Handoff.id == handoff_id))
        call_id = found.scalar_one_or_none()
    if call_id is None:
        raise UnknownHandoff(handoff_id)
    return str(call_id)


async def recover(database: Database, now: datetime) -> int:
    """After a crash: who waited in a call that is over should be called back. Gives how many.

    To be run once the calls of dead servers are finished. What moved within `SETTLE_S` is left alone, since another
    server may be about to end it itself.
    """
    waiting = [state.value for state in WAITING]
    query = select(Handoff.id, Handoff.state, Handoff.caller).join(Call, Call.id == Handoff.call_id)
    query = query.where(
        Handoff.state.in_([*waiting, _S.BRIDGED.value]),
        Call.finished_at.is_not(None),
        Handoff.updated_at < now - timedelta(seconds=SETTLE_S),
    )
    recovered = 0
    async with database.engine.begin() as connection:
        for handoff_id, known, caller in (await connection.execute(query)).all():
            state = HandoffState(known)
            exits = [_S.ENDED] if state is _S.BRIDGED else [_S.UNAVAILABLE, *([_S.CALLBACK] if caller else [])]
            for to in exits:
                state = move(state, to)
                await _step(connection, handoff_id, state, "the server stopped", now)
            values = {"state": state.value, "updated_at": now}
            await connection.execute(update(Handoff).where(Handoff.id == handoff_id).values(values))
            recovered += state is _S.CALLBACK
    return recovered


async def _must_have(connection: AsyncConnection, handoff_id: str, who: str | None) -> None:
    """Raises unless `who`, or with None anybody, is calling this one back."""
    state, by = await _state(connection, handoff_id), await _who(connection, handoff_id)
    taken = state is _S.CALLING_BACK
    if not taken or (who is not None and by != fit(HandoffStep, {"detail": who})["detail"]):
        raise TooLate(handoff_id, by if taken else "")


async def _leave(
    connection: AsyncConnection, handoff_id: str, to: HandoffState, detail: str, now: datetime, values: dict[str, Any]
) -> None:
    """From calling back to `to`, unless somebody was faster."""
    moved = await connection.execute(
        update(Handoff)
        .where(Handoff.id == handoff_id, Handoff.state == _S.CALLING_BACK.value)
        .values(state=move(_S.CALLING_BACK, to).value, updated_at=now, **values)
    )
    if not moved.rowcount:
        raise TooLate(handoff_id, "")
    await _step(connection, handoff_id, to, detail, now)


async def _state(connection: AsyncConnection, handoff_id: str) -> HandoffState:
    found = await connection.execute(select(Handoff.state).where(Handoff.id == handoff_id))
    state = found.scalar_one_or_none()
    if state is None:
        raise UnknownHandoff(handoff_id)
    return HandoffState(state)


async def _who(connection: AsyncConnection, handoff_id: str) -> str:
    """Who took the call-back last."""
    query = select(HandoffStep.detail).where(
        HandoffStep.handoff_id == handoff_id, HandoffStep.state == _S.CALLING_BACK.value
    )
    found = await connection.execute(query.order_by(HandoffStep.sequence.desc()).limit(1))
    return found.scalar_one_or_none() or ""


async def _step(connection: AsyncConnection, handoff_id: str, to: HandoffState, detail: str, now: datetime) -> None:
    last = select(func.max(HandoffStep.sequence)).where(HandoffStep.handoff_id == handoff_id)
    sequence = (await connection.execute(last)).scalar_one()
    row = {"handoff_id": handoff_id, "sequence": (-1 if sequence is None else sequence) + 1, "state": to.value}
    await connection.execute(insert(HandoffStep), [fit(HandoffStep, row | {"at": now, "detail": redact(detail)})])


def _by(row: Row) -> str | None:
    if row["state"] != _S.CALLING_BACK.value:
        return None
    return next((str(step["detail"]) for step in reversed(row["steps"]) if step["state"] == row["state"]), None)


def _tries(row: Row) -> dict[str, Any]:
    """How often nobody was reached, and when last."""
    back = (_S.CALLING_BACK.value, _S.CALLBACK.value)
    tried = [
        step["at"]
        for before, step in pairwise(row["steps"])
        if (before["state"], step["state"]) == back and step["detail"] != RELEASED
    ]
    return {"tries": len(tried), "tried_at": tried[-1] if tried else None}


def _later(row: Row, now: str) -> str:
    """When it is due, where that is after `now`; "" sorts what is due already first."""
    due = row["due_at"] or ""
    return due if now and row["state"] == _S.CALLBACK.value and due > now else ""


def _briefing(row: Row, context: Mapping[str, Any]) -> list[dict[str, Any]]:
    return brief(
        context.get("transcript") or (),
        intent=row["intent"],
        slots=context.get("slots") or {},
        actions=context.get("actions") or (),
        emotion=context.get("emotion") or (),
        language=row["language"],
    ).rows()
