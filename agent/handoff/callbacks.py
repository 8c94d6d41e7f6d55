"""Callers to be called back: who, why, with the whole context of the call; each is taken by one person."""

from __future__ import annotations

from datetime import datetime, timedelta
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

CallbackOutcome = Literal["reached", "not_reached", "not_needed"]
"""reached, not_needed: done. not_reached: it goes back on the list."""


async def list_callbacks(database: Database, limit: int = 200) -> list[Row]:
    """Call-backs to be made and those under way (`by` says whose), most urgent first, each with its `briefing`.

    Raises:
        ValueError: `limit` is out of range.
    """
    found: list[Row] = []
    for state in (_S.CALLBACK, _S.CALLING_BACK):
        found += await list_handoffs(database, state=state.value, limit=limit)
    found.sort(key=lambda row: (-row["priority"], row["created_at"], row["id"]))
    return [row | {"by": _by(row), "tries": _tries(row), "briefing": _briefing(row)} for row in found[:limit]]


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
    return next(row for row in await list_callbacks(database, 1000) if row["id"] == handoff_id)


async def done(database: Database, handoff_id: str, who: str, outcome: CallbackOutcome, now: datetime) -> None:
    """The call back was made; who did not reach anybody leaves it to the next.

    Raises:
        ValueError: `outcome` is none of `CallbackOutcome`.
        UnknownHandoff: there is no such handoff.
        TooLate: `who` is not the one who took it.
    """
    if outcome not in get_args(CallbackOutcome):
        raise ValueError(f"outcome is {outcome!r}; it must be one of {', '.join(get_args(CallbackOutcome))}")
    to = move(_S.CALLING_BACK, _S.CALLBACK if outcome == "not_reached" else _S.ENDED)
    async with database.engine.begin() as connection:
        state, by = await _state(connection, handoff_id), await _who(connection, handoff_id)
        if state is not _S.CALLING_BACK or by != fit(HandoffStep, {"detail": who})["detail"]:
            raise TooLate(handoff_id, by if state is _S.CALLING_BACK else "")
        moved = await connection.execute(
            update(Handoff)
            .where(Handoff.id == handoff_id, Handoff.state == _S.CALLING_BACK.value)
            .values(state=to.value, updated_at=now)
        )
        if not moved.rowcount:
            raise TooLate(handoff_id, "")
        await _step(connection, handoff_id, to, outcome, now)


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


def _tries(row: Row) -> int:
    return sum(step["state"] == _S.CALLING_BACK.value for step in row["steps"])


def _briefing(row: Row) -> list[dict[str, Any]]:
    context = row["context"]
    return brief(
        context.get("transcript") or (),
        intent=row["intent"],
        slots=context.get("slots") or {},
        actions=context.get("actions") or (),
        emotion=context.get("emotion") or (),
        language=row["language"],
    ).rows()
