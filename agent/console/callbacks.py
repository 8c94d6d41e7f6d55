"""The console's HTTP interface to call-backs: callers whom nobody could take, and who wait to be called."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, Field
from sqlalchemy import select

from agent.console import kept
from agent.console.answers import REFUSALS, refused
from agent.console.api import Body
from agent.console.backend import Backend
from agent.console.feed import Message
from agent.console.guard import TAKEN, Guard, Refused, at_least
from agent.console.sessions import Signed
from agent.console.tables import Note
from agent.handoff import callbacks
from agent.records.queries import Row

SHOWN = ("id", "call_id", "state", "priority", "reason", "caller", "language", "intent", "created_at", "due_at")
"""Columns of a handoff that the list has, beside `by`, `tries`, `tried_at`, `briefing`, `notes`, and `live`: the caller
is still on the line."""
READ_S = 5.0
"""How long what was read stands, where nothing was told: other servers may have changed it."""
MOST_NOTES = 3
"""Notes of a call that the list has, the latest."""
LONGEST_NOTE = 2_000

Do = Literal["take", "release", "note", "reached", "not_reached", "not_needed"]


class CallbackBody(Body):
    """take: I call him; release: somebody else should; note: something to know. The others: I called, and what became
    of it. note: goes with any of them but release. again_at: when to call again, with not_reached.
    """

    do: Do
    note: Annotated[str, Field(max_length=LONGEST_NOTE)] = ""
    again_at: AwareDatetime | None = None


class Callbacks:
    """What people see of call-backs and do with them."""

    def __init__(self, backend: Backend, guard: Guard) -> None:
        self._backend = backend
        self._guard = guard
        self._briefings = callbacks.Briefings()
        self._reading = asyncio.Lock()
        self._changes = 0
        self._read: tuple[int, float, list[Row]] | None = None

    def follow(self, message: Message) -> bool:
        """Learn from the feed that the list has changed. It wants no message for itself."""
        self._changes += message.kind == "callbacks"
        return False

    async def listed(self) -> list[Row]:
        """Those to be made and under way, most urgent first. All pages ask at once: it is read for them together."""
        async with self._reading:
            changes, now_ms = self._changes, self._guard.clock.now_ms()
            if self._read is None or self._read[0] != changes or now_ms >= self._read[1]:
                now = self._guard.clock.wall()
                rows = await callbacks.list_callbacks(self._guard.database, now=now, briefings=self._briefings)
                notes = await self._notes([row["call_id"] for row in rows])
                self._read = (changes, now_ms + READ_S * 1000.0, [self._shown(row, notes) for row in rows])
            rows = self._read[2]
        return [row | {"live": self._backend.control(row["call_id"]) is not None} for row in rows]

    async def change(self, signed: Signed, handoff_id: str, body: CallbackBody) -> dict[str, Any]:
        """Do what `body` says.

        Raises:
            Refused, ValueError, agent.handoff.people.QueueError, agent.records.queries.CallNotFound
        """
        database, now, do = self._guard.database, self._guard.clock.wall(), body.do
        about = handoff_id if handoff_id.isprintable() else ""
        _check(body)
        data = {} if body.again_at is None else {"again_at": body.again_at.isoformat()}
        await self._guard.audit(signed.name, f"callback_{do}", about, data)
        answer: dict[str, Any] = {"done": True}
        if do == "take":
            row = await callbacks.take(database, handoff_id, signed.name, now)
            # From now on he may read the call.
            await self._guard.audit(signed.name, TAKEN, row["call_id"], {"handoff": handoff_id})
            answer = self._shown(row, await self._notes([row["call_id"]]))
            answer["live"] = self._backend.control(row["call_id"]) is not None
        elif do == "release":
            anybodys = at_least(signed.role, "supervisor")
            await callbacks.release(database, handoff_id, None if anybodys else signed.name, now)
        elif do == "note":
            await callbacks.must_have(database, handoff_id, signed.name)
        else:
            await callbacks.done(database, handoff_id, signed.name, do, now, body.again_at)
        if body.note.strip():
            await self._note(signed, handoff_id, body.note.strip())
        self._backend.feed.publish("callbacks", None, {"waiting": await callbacks.count_callbacks(database)})
        return answer

    async def _note(self, signed: Signed, handoff_id: str, text: str) -> None:
        """A note of the call itself, where whoever opens the call finds it."""
        call_id = await callbacks.call_of(self._guard.database, handoff_id)
        row = await kept.add_note(self._guard.database, call_id, signed.name, text, self._guard.clock)
        self._backend.feed.publish("note", call_id, {"who": row["who"], "text": row["text"]})

    async def _notes(self, call_ids: Sequence[str]) -> dict[str, list[Row]]:
        """The latest notes of calls, oldest first."""
        query = select(Note.call_id, Note.who, Note.text, Note.at).where(Note.call_id.in_(call_ids)).order_by(Note.id)
        found: dict[str, list[Row]] = {}
        async with self._guard.database.engine.connect() as connection:
            for call_id, who, text, at in (await connection.execute(query)).all():
                found.setdefault(call_id, []).append({"who": who, "text": text, "at": at.isoformat()})
        return {call_id: notes[-MOST_NOTES:] for call_id, notes in found.items()}

    def _shown(self, row: Row, notes: Mapping[str, list[Row]]) -> Row:
        names, call_id = (*SHOWN, "by", "tries", "tried_at", "briefing"), row["call_id"]
        return {name: row[name] for name in names} | {"notes": notes.get(call_id, []), "live": False}


def add_callbacks(router: APIRouter, guard: Guard, served: Callbacks) -> None:
    """Serve them under `router`, whose prefix is /console/api, for everybody who takes calls."""
    anybody = Depends(guard.role("agent"))

    @router.get("/callbacks", dependencies=[anybody])
    async def listed() -> JSONResponse:
        return JSONResponse({"callbacks": await served.listed()})  # as it is: encoding it twice takes long

    @router.post("/callbacks/{handoff_id}")
    async def change(handoff_id: str, body: CallbackBody, signed: Signed = anybody) -> dict[str, Any]:
        try:
            return await served.change(signed, handoff_id[:64], body)
        except REFUSALS as error:
            raise refused(error) from error


def _check(body: CallbackBody) -> None:
    if body.do == "note" and not body.note.strip():
        raise Refused(422, "invalid", "note is empty; write something")
    if body.do == "release" and body.note:
        raise Refused(422, "invalid", "note does not go with release; send it before, with do: note")
    if body.again_at is not None and body.do != "not_reached":
        raise Refused(422, "invalid", "again_at goes with not_reached only")
