"""The feed's websocket: what happens in calls down, going on duty and taking callers up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Literal

from fastapi import WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from agent.call.transport import Disconnected
from agent.console.accounts import checked_words
from agent.console.answers import REFUSALS, refused, sentence
from agent.console.backend import Backend, QueueDesk
from agent.console.feed import Message, Subscription
from agent.console.guard import TAKEN, Guard, Refused, at_least
from agent.console.parts import Parts
from agent.console.presence import Presence
from agent.console.sessions import Limit, Signed
from agent.sockets import SocketTransport

TICK_MS = 50.0
"""Messages to one page go together this often at most."""
TOGETHER = 8
"""Messages that are sent before calls have their turn."""
SEND_S = 20.0
"""How long a page may take to read what is sent before its socket is dropped."""
LONGEST = 4096
"""Characters of a page's message."""
UP_MOST, UP_S = 100, 10.0
"""Messages of one page within a time."""
SIGNED_OUT, TOO_MUCH = 4401, 1008

log = logging.getLogger(__name__)


class _Up(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Duty(_Up):
    """Going on or off duty. Without skills or languages, those of the account."""

    type: Literal["duty"]
    on: bool
    skills: list[str] = []
    languages: list[str] = []
    capacity: int = Field(1, ge=1, le=20)


class Reply(_Up):
    """Taking a caller who waits, or not."""

    type: Literal["accept", "decline"]
    handoff: str = Field(min_length=1, max_length=64)


class Typing(_Up):
    """Somebody writes to a caller."""

    type: Literal["typing"]
    call: str = Field(min_length=1, max_length=64)
    on: bool = True


class Ping(_Up):
    """A page that wants to know whether its socket is alive."""

    type: Literal["ping"]


_UP: TypeAdapter[Duty | Reply | Typing | Ping] = TypeAdapter(
    Annotated[Duty | Reply | Typing | Ping, Field(discriminator="type")]
)


class Sockets:
    """Serves the feed to pages."""

    def __init__(self, backend: Backend, guard: Guard, parts: Parts, presence: Presence) -> None:
        self._backend = backend
        self._guard = guard
        self._parts = parts
        self._presence = presence
        self.limit = Limit(UP_MOST, UP_S, guard.clock)

    async def feed(self, socket: WebSocket, call_id: str | None) -> None:
        """Serve one page until it goes or its owner is signed out."""
        signed = await enter(self._guard, socket)
        if signed is None:
            return
        try:
            if call_id is not None:
                if not await self._guard.may_see(signed, call_id):
                    raise Refused(404, "not_found", "there is no such call, or it is not yours to see")
                await self._guard.audit(signed.name, "call_watched", call_id[:128])
            await socket.accept()
        except Refused as error:
            await deny(socket, error)
            self._guard.leave_socket(signed)
            return
        except (RuntimeError, WebSocketDisconnect):
            self._guard.leave_socket(signed)
            return
        subscription = self._backend.feed.subscribe(call_id, self._wanted(signed))
        self._presence.page_opened(signed.name)
        transport = SocketTransport(socket)
        try:
            await first_of(
                self._down(transport, subscription),
                self._up(transport, signed),
                signed_out(self._guard, socket, transport, lambda: False),
            )
        finally:
            subscription.close()
            self._presence.page_closed(signed.name)
            self._guard.leave_socket(signed)

    def _wanted(self, signed: Signed) -> Callable[[Message], bool] | None:
        if at_least(signed.role, "supervisor"):
            return None
        return lambda message: self._parts.may_hear(signed.name, message)

    async def _down(self, transport: SocketTransport, subscription: Subscription) -> None:
        clock = self._guard.clock
        while batch := await subscription.batch():
            sent_ms = clock.now_ms()
            async with asyncio.timeout(SEND_S):
                for number, message in enumerate(batch, start=1):
                    await transport.send(message.text)
                    if number % TOGETHER == 0:
                        await asyncio.sleep(0)
            await clock.sleep_until(sent_ms + TICK_MS)
        await transport.close(1001, "server_stopping")

    async def _up(self, transport: SocketTransport, signed: Signed) -> None:
        while True:
            message = await transport.receive()
            if not isinstance(message, str) or len(message) > LONGEST:
                await transport.close(TOO_MUCH, "send JSON texts of at most 4096 characters")
                return
            key = f"{signed.session}:{id(transport)}"
            if self.limit.wait_s(key):
                await transport.close(TOO_MUCH, "too many messages")
                return
            self.limit.count(key)
            about = ""
            try:
                asked = _UP.validate_json(message)
                about = getattr(asked, "handoff", "") or getattr(asked, "call", "")
                await self._do(transport, signed, asked)
            except ValidationError as error:
                await transport.send(_error("invalid", sentence(error), about))
            except REFUSALS as error:
                said = refused(error)
                await transport.send(_error(said.code, said.detail, about))

    async def _do(self, transport: SocketTransport, signed: Signed, asked: Duty | Reply | Typing | Ping) -> None:
        if isinstance(asked, Ping):
            await transport.send('{"type": "pong"}')
        elif isinstance(asked, Typing):
            if self._parts.human(asked.call) != signed.name:
                raise Refused(409, "not_yours", "you do not have this call")
            self._backend.feed.publish("typing", asked.call, {"who": signed.name, "on": asked.on})
        elif isinstance(asked, Duty):
            await self._duty(signed, asked)
        elif asked.type == "accept":
            await self._accept(signed, asked.handoff)
        else:
            desk = self._desk()
            await self._guard.audit(signed.name, "handoff_declined", asked.handoff)
            desk.decline(signed.name, asked.handoff)

    async def _duty(self, signed: Signed, asked: Duty) -> None:
        desk = self._desk()
        if not asked.on:
            await self._guard.audit(signed.name, "off_duty", "")
            desk.off_duty(signed.name)
            return
        chosen: dict[str, list[str]] = {}
        for field, own in (("skills", signed.skills), ("languages", signed.languages)):
            given = checked_words(getattr(asked, field), field) or list(own)
            beyond = [word for word in given if own and word not in own]
            if beyond:
                raise Refused(403, "not_yours", f"{field} has {beyond[0]!r}; your account has {', '.join(own)}")
            chosen[field] = given
        await self._guard.audit(signed.name, "on_duty", "", {**chosen, "capacity": asked.capacity})
        desk.on_duty(signed.name, chosen["skills"], chosen["languages"], asked.capacity)

    async def _accept(self, signed: Signed, handoff_id: str) -> None:
        desk = self._desk()
        rows = desk.snapshot()["queue"]
        call_id = next((row.get("call") for row in rows if row.get("id") == handoff_id), None)
        await self._guard.audit(signed.name, "handoff_accepted", handoff_id)
        desk.accept(signed.name, handoff_id)
        if isinstance(call_id, str):
            self._parts.took(signed.name, call_id)
            await self._guard.audit(signed.name, TAKEN, call_id, {"handoff": handoff_id})

    def _desk(self) -> QueueDesk:
        desk = self._backend.desk
        if desk is None:
            raise Refused(409, "no_queue", "this server has no queue")
        return desk


async def enter(guard: Guard, socket: WebSocket) -> Signed | None:
    """Who opens a socket; None where he was turned away."""
    try:
        return await guard.let_in_socket(socket)
    except Refused as error:
        await deny(socket, error)
        return None


async def deny(socket: WebSocket, error: Refused) -> None:
    """Turn a socket away before it is one."""
    answer = JSONResponse({"code": error.code, "detail": error.detail}, error.status_code, error.headers)
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await socket.send_denial_response(answer)


async def signed_out(guard: Guard, socket: WebSocket, transport: SocketTransport, used: Callable[[], bool]) -> None:
    """Returns when whoever opened the socket is no longer signed in, after closing it. `used`: it was used since."""
    while True:
        await guard.clock.sleep_until(guard.clock.now_ms() + guard.limits.check_s * 1000.0)
        if await guard.still(socket, used()) is None:
            await transport.close(SIGNED_OUT, "signed_out")
            return


async def first_of(*work: Coroutine[Any, Any, None]) -> None:
    """Run until the first is done, end the others; a connection that is gone is no error."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        expected = result is None or isinstance(result, asyncio.CancelledError | Disconnected | TimeoutError)
        if not expected and isinstance(result, BaseException):
            raise result


def _error(code: str, detail: str, about: str) -> str:
    return json.dumps({"type": "error", "code": code, "detail": detail, "for": about}, ensure_ascii=False)
