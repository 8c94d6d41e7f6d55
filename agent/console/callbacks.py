"""The console's HTTP interface to call-backs: callers whom nobody could take, and who wait to be called."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Depends

from agent.console.answers import REFUSALS, refused
from agent.console.api import Body
from agent.console.guard import TAKEN, Guard
from agent.console.sessions import Signed
from agent.handoff import callbacks

SHOWN = ("id", "call_id", "state", "priority", "reason", "caller", "language", "intent", "created_at")
"""Columns of a handoff that the list has, beside `by`, `tries` and `briefing`."""


class CallbackBody(Body):
    """take: I call him; the others: I did, and what became of it."""

    do: Literal["take", "reached", "not_reached", "not_needed"]


def add_callbacks(router: APIRouter, guard: Guard) -> None:
    """Serve them under `router`, whose prefix is /console/api, for everybody who takes calls."""
    anybody = Depends(guard.role("agent"))

    @router.get("/callbacks", dependencies=[anybody])
    async def listed() -> dict[str, Any]:
        return {"callbacks": [_shown(row) for row in await callbacks.list_callbacks(guard.database)]}

    @router.post("/callbacks/{handoff_id}")
    async def change(handoff_id: str, body: CallbackBody, signed: Signed = anybody) -> dict[str, Any]:
        try:
            return await _change(guard, signed, handoff_id[:64], body.do)
        except REFUSALS as error:
            raise refused(error) from error


async def _change(
    guard: Guard, signed: Signed, handoff_id: str, do: Literal["take", "reached", "not_reached", "not_needed"]
) -> dict[str, Any]:
    about, now = handoff_id if handoff_id.isprintable() else "", guard.clock.wall()
    await guard.audit(signed.name, f"callback_{do}", about)
    if do != "take":
        await callbacks.done(guard.database, handoff_id, signed.name, do, now)
        return {"done": True}
    row = await callbacks.take(guard.database, handoff_id, signed.name, now)
    # From now on he may read the call.
    await guard.audit(signed.name, TAKEN, row["call_id"], {"handoff": handoff_id})
    return _shown(row)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in (*SHOWN, "by", "tries", "briefing")}
