"""The console's HTTP interface to calls: what they are, and everything a person can do with one."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field, JsonValue

from agent.call.control import CallControl
from agent.console import kept
from agent.console.answers import REFUSALS, refused
from agent.console.api import Body
from agent.console.backend import Backend
from agent.console.guard import TAKEN, Guard, Refused, at_least, free_for, require
from agent.console.parts import Parts
from agent.console.pictures import Pictures
from agent.console.presence import Presence, has
from agent.console.sessions import Signed
from agent.handoff.callbacks import count_callbacks
from agent.handoff.people import QueueError
from agent.records.queries import list_calls

DISPOSITIONS = ("resolved", "follow_up", "callback", "transferred", "spam", "other")
LONGEST = 2_000
"""Characters of what is typed for a caller, the agent or the record."""

Text = Annotated[str, Field(min_length=1, max_length=LONGEST)]


class TakeOver(Body):
    """`handoff`: the one by which the caller waits."""

    handoff: Annotated[str, Field(max_length=64)] | None = None


class HandBack(Body):
    """What the agent should know."""

    note: Annotated[str, Field(max_length=LONGEST)] = ""


class Typed(Body):
    """Words."""

    text: Text


class Keys(Body):
    """Keys of a telephone."""

    keys: Annotated[str, Field(pattern=r"^[0-9A-D*#]{1,32}$")]


class Pause(Body):
    """Whether neither sound nor words of the call are kept."""

    on: bool


class Target(Body):
    """A number or address."""

    target: Annotated[str, Field(min_length=1, max_length=255)]


class Run(Body):
    """An action and its arguments."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    arguments: dict[Annotated[str, Field(max_length=128)], JsonValue] = Field(default_factory=dict)


class WrapUpBody(Body):
    """How a call was closed. intent: what it was really about; turn: where that was said."""

    disposition: Literal["resolved", "follow_up", "callback", "transferred", "spam", "other"]
    intent: Annotated[str, Field(max_length=128)] | None = None
    turn: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    slots: Annotated[dict[Annotated[str, Field(max_length=128)], JsonValue], Field(max_length=100)] = Field(
        default_factory=dict
    )
    rating: Annotated[int, Field(ge=1, le=5)] | None = None
    note: Annotated[str, Field(max_length=LONGEST)] = ""


class Nothing(Body):
    """No fields."""


class Calls:
    """What people see of calls and do with them. Agents: with those they have; supervisors: with all."""

    def __init__(self, backend: Backend, guard: Guard, parts: Parts, presence: Presence, pictures: Pictures) -> None:
        self._backend = backend
        self._guard = guard
        self._parts = parts
        self._presence = presence
        self._pictures = pictures

    async def live(self, signed: Signed, recorded: int = 0) -> dict[str, Any]:
        """Calls that run and that `signed` may see; for supervisors also the latest that were recorded."""
        found = []
        for call_id in self._backend.calls():
            control = self._backend.control(call_id)
            if control is None:
                continue
            state = control.state()
            mine = free_for(state, signed.name) or self._parts.may_see(signed.name, call_id)
            if mine or at_least(signed.role, "supervisor"):
                found.append(state)
        answer: dict[str, Any] = {"calls": sorted(found, key=lambda state: str(state.get("started_at")))}
        answer["topics"] = sorted(self._backend.topics)
        if recorded:
            require(signed, "supervisor")
            rows = await list_calls(self._guard.database, recorded)
            answer["recorded"] = [{name: value for name, value in row.items() if name != "owner"} for row in rows]
        return answer

    async def one(self, signed: Signed, call_id: str) -> dict[str, Any]:
        """A call, live or recorded, whole.

        Raises:
            Refused: there is none that `signed` may see.
        """
        await self._may_see(signed, call_id)
        control = self._backend.control(call_id)
        found = await kept.whole_call(self._guard.database, call_id, self._backend.topics)
        if control is None and found is None:
            raise Refused(404, "not_found", "there is no such call, or it is not yours to see")
        await self._guard.audit(signed.name, "call_opened", call_id[:128])
        row = found or {**kept.EMPTY, "notes": [], "wrap_ups": [], "history": []}
        own = [wrapped for wrapped in row["wrap_ups"] if wrapped["who"] == signed.name]
        return {
            **row,
            "live": control is not None,
            "state": None if control is None else control.state(),
            "runnable": [] if control is None else control.actions(),
            "pictures": self._pictures.of(call_id),
            "wrap_up": (own or row["wrap_ups"] or [None])[-1],
            "intents": sorted(self._backend.intents),
            "topics": sorted(self._backend.topics),
            "dispositions": list(DISPOSITIONS),
        }

    async def picture(self, signed: Signed, call_id: str, picture_id: str) -> bytes:
        """A picture that the caller sent, as JPEG.

        Raises:
            Refused: there is none that `signed` may see.
        """
        await self._may_see(signed, call_id)
        found = self._backend.picture(call_id, picture_id)
        if found is None:
            raise Refused(404, "not_found", "there is no such picture any more; pictures are kept for a short time")
        await self._guard.audit(signed.name, "picture_opened", call_id, {"picture": picture_id[:64]})
        return found

    async def take_over(self, signed: Signed, call_id: str, handoff_id: str | None) -> dict[str, Any]:
        """Give `signed` a call: an agent one that waits, a supervisor any. Of two, the second is told who has it."""
        control = await self._running(signed, call_id)
        offered = self._parts.waits(call_id) or free_for(control.state(), signed.name)
        if not offered and not at_least(signed.role, "supervisor"):
            raise Refused(403, "not_waiting", "agents take calls that wait for a person; ask a supervisor")
        handoff_id = handoff_id or self._parts.handoff(call_id)
        await self._guard.audit(signed.name, "call_take_over", call_id, {"handoff": handoff_id})
        seat = await control.take_over(signed.name, handoff_id)
        self._presence.keep(signed.name, call_id, seat)
        self._parts.took(signed.name, call_id)
        if handoff_id is None:
            self._presence.engage(signed.name, call_id)
        await self._guard.audit(signed.name, TAKEN, call_id, {"handoff": handoff_id})
        return control.state()

    async def hand_back(self, signed: Signed, call_id: str, note: str) -> dict[str, Any]:
        """Let the agent go on with the caller."""
        control = await self._his(signed, call_id)
        await self._guard.audit(signed.name, "call_hand_back", call_id)
        await control.hand_back(signed.name, note)
        self._parts.gave(call_id)
        self._presence.release(call_id)
        return control.state()

    async def instruct(self, signed: Signed, call_id: str, text: str) -> None:
        """Whisper to the agent what to do in its next turn."""
        control = await self._his(signed, call_id)
        await self._guard.audit(signed.name, "call_instruct", call_id, {"text": text})
        control.instruct(signed.name, text)

    async def say(self, signed: Signed, call_id: str, text: str) -> None:
        """Speak typed words to the caller, by our voice."""
        control = await self._his(signed, call_id)
        await self._guard.audit(signed.name, "call_say", call_id, {"characters": len(text)})
        control.say(signed.name, text)

    async def press(self, signed: Signed, call_id: str, keys: str) -> None:
        """Send keys; which ones is not written down, they may be a PIN."""
        control = await self._his(signed, call_id)
        await self._guard.audit(signed.name, "call_press", call_id, {"keys": len(keys)})
        control.press(keys)

    async def pause(self, signed: Signed, call_id: str, on: bool) -> None:
        """Keep neither sound nor words of the call, or again."""
        control = await self._his(signed, call_id)
        await self._guard.audit(signed.name, "call_pause", call_id, {"on": on})
        control.pause(signed.name, on)

    async def transfer(self, signed: Signed, call_id: str, target: str) -> None:
        """Send the caller elsewhere."""
        control = await self._his(signed, call_id)
        await self._guard.audit(signed.name, "call_transfer", call_id, {"target": target})
        await control.transfer(signed.name, target)

    async def hang_up(self, signed: Signed, call_id: str) -> None:
        """End the call."""
        control = await self._his(signed, call_id)
        await self._guard.audit(signed.name, "call_hang_up", call_id)
        await control.hang_up(signed.name)

    async def act(self, signed: Signed, call_id: str, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Run an action of the domain for the caller."""
        control = await self._his(signed, call_id)
        await self._guard.audit(signed.name, "call_action", call_id, {"action": name, "given": sorted(arguments)})
        return dict(await control.act(signed.name, name, arguments))

    async def note(self, signed: Signed, call_id: str, text: str) -> dict[str, Any]:
        """Write something down about a call, during it or after."""
        await self._may_see(signed, call_id)
        await self._guard.audit(signed.name, "call_note", call_id[:128])
        row = await kept.add_note(self._guard.database, call_id, signed.name, text, self._guard.clock)
        control = self._backend.control(call_id)
        if control is not None:
            control.note(signed.name, row["text"])
        else:
            self._backend.feed.publish("note", call_id, {"who": row["who"], "text": row["text"]})
        return row

    async def wrap_up(self, signed: Signed, call_id: str, body: WrapUpBody) -> None:
        """Close a call that one had: what became of it, what it was really about, how the agent did."""
        await self._may_see(signed, call_id)
        if body.intent and self._backend.intents and body.intent not in self._backend.intents:
            raise Refused(422, "invalid", f"intent is {body.intent[:40]!r}; give one of those that the call lists")
        await self._guard.audit(signed.name, "call_wrap_up", call_id[:128], {"disposition": body.disposition})
        handoff_id = await kept.last_handoff(self._guard.database, call_id)
        clock = self._guard.clock
        await kept.wrap_up(self._guard.database, call_id, signed.name, body.model_dump(), handoff_id, clock)
        self._presence.release(call_id)
        if handoff_id is not None and self._backend.desk is not None:
            with contextlib.suppress(QueueError):  # it was not by the queue that he had it
                self._backend.desk.wrapped_up(signed.name, handoff_id, body.disposition, body.note)

    def queue(self) -> dict[str, Any]:
        """Who waits, and who takes calls."""
        desk = self._backend.desk
        return {"queue": [], "people": []} if desk is None else dict(desk.snapshot())

    async def _may_see(self, signed: Signed, call_id: str) -> None:
        if not call_id.isprintable() or len(call_id) > 64 or not await self._guard.may_see(signed, call_id):
            raise Refused(404, "not_found", "there is no such call, or it is not yours to see")

    async def _running(self, signed: Signed, call_id: str) -> CallControl:
        await self._may_see(signed, call_id)
        control = self._backend.control(call_id)
        if control is None:
            raise Refused(404, "over", "the call is over")
        return control

    async def _his(self, signed: Signed, call_id: str) -> CallControl:
        """A running call that `signed` may steer: his own, or any for supervisors."""
        control = await self._running(signed, call_id)
        if not has(control, signed.name) and not at_least(signed.role, "supervisor"):
            raise Refused(409, "not_yours", "you do not have this call; take it over first")
        return control


def add_calls(router: APIRouter, guard: Guard, calls: Calls) -> None:
    """Serve them under `router`, whose prefix is /console/api."""
    anybody = Depends(guard.role("agent"))
    done = {"done": True}

    @router.get("/calls")
    async def live(signed: Signed = anybody, recorded: Annotated[int, Query(ge=0, le=1000)] = 0) -> dict[str, Any]:
        return await calls.live(signed, recorded)

    @router.get("/calls/{call_id}")
    async def one(call_id: str, signed: Signed = anybody) -> dict[str, Any]:
        return await calls.one(signed, call_id)

    @router.get("/calls/{call_id}/pictures/{picture_id}")
    async def picture(call_id: str, picture_id: str, signed: Signed = anybody) -> Response:
        found = await calls.picture(signed, call_id, picture_id)
        return Response(found, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    @router.get("/queue")
    async def queue(_: Signed = anybody) -> dict[str, Any]:
        return calls.queue() | {"callbacks": await count_callbacks(guard.database)}

    @router.get("/people")
    async def people(_: Signed = anybody) -> dict[str, Any]:
        return {"people": calls.queue()["people"]}

    @router.post("/calls/{call_id}/take-over")
    async def take_over(call_id: str, signed: Signed = anybody, body: TakeOver | None = None) -> dict[str, Any]:
        with _told():
            return await calls.take_over(signed, call_id, None if body is None else body.handoff)

    @router.post("/calls/{call_id}/hand-back")
    async def hand_back(call_id: str, signed: Signed = anybody, body: HandBack | None = None) -> dict[str, Any]:
        with _told():
            return await calls.hand_back(signed, call_id, "" if body is None else body.note)

    @router.post("/calls/{call_id}/instruct")
    async def instruct(call_id: str, body: Typed, signed: Signed = anybody) -> dict[str, Any]:
        with _told():
            await calls.instruct(signed, call_id, body.text)
        return done

    @router.post("/calls/{call_id}/say")
    async def say(call_id: str, body: Typed, signed: Signed = anybody) -> dict[str, Any]:
        with _told():
            await calls.say(signed, call_id, body.text)
        return done

    @router.post("/calls/{call_id}/press")
    async def press(call_id: str, body: Keys, signed: Signed = anybody) -> dict[str, Any]:
        with _told():
            await calls.press(signed, call_id, body.keys)
        return done

    @router.post("/calls/{call_id}/pause")
    async def pause(call_id: str, body: Pause, signed: Signed = anybody) -> dict[str, Any]:
        with _told():
            await calls.pause(signed, call_id, body.on)
        return done

    @router.post("/calls/{call_id}/transfer")
    async def transfer(call_id: str, body: Target, signed: Signed = anybody) -> dict[str, Any]:
        with _told():
            await calls.transfer(signed, call_id, body.target)
        return done

    @router.post("/calls/{call_id}/hang-up")
    async def hang_up(call_id: str, signed: Signed = anybody, body: Nothing | None = None) -> dict[str, Any]:
        with _told():
            await calls.hang_up(signed, call_id)
        return done

    @router.post("/calls/{call_id}/action")
    async def act(call_id: str, body: Run, signed: Signed = anybody) -> dict[str, Any]:
        with _told():
            return await calls.act(signed, call_id, body.name, body.arguments)

    @router.post("/calls/{call_id}/note")
    async def note(call_id: str, body: Typed, signed: Signed = anybody) -> dict[str, Any]:
        with _told():
            return await calls.note(signed, call_id, body.text)

    @router.post("/calls/{call_id}/wrap-up")
    async def wrap_up(call_id: str, body: WrapUpBody, signed: Signed = anybody) -> dict[str, Any]:
        with _told():
            await calls.wrap_up(signed, call_id, body)
        return done


@contextlib.contextmanager
def _told() -> Any:
    """What calls, queue and records refuse becomes an answer."""
    try:
        yield
    except REFUSALS as error:
        raise refused(error) from error
