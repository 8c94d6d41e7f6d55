"""The sound of a call in a browser: 20 ms frames both ways over one websocket."""

from __future__ import annotations

import json
import logging
from typing import Annotated, Literal

from fastapi import WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from agent.call.control import CallControl, Mode, Seat, SeatClosed
from agent.call.talk import MODES
from agent.call.transport import NORMAL, Disconnected
from agent.console.answers import REFUSALS, refused, sentence
from agent.console.backend import Backend
from agent.console.guard import Guard, Refused, require
from agent.console.parts import Parts
from agent.console.presence import Presence, has
from agent.console.sessions import Signed
from agent.console.sockets import TOO_MUCH, deny, enter, first_of, signed_out
from agent.sockets import SocketTransport

FRAME = 640
"""Bytes of 20 ms."""
MOST_FRAMES = 250
"""Messages of a browser within a second, five times what sound needs, before its socket is closed."""
REPLACED = 4409

log = logging.getLogger(__name__)


class _Control(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Switch(_Control):
    """Mute or hold."""

    type: Literal["mute", "hold"]
    on: bool


class Change(_Control):
    """Another way of taking part."""

    type: Literal["mode"]
    mode: Mode


_CONTROL: TypeAdapter[Switch | Change] = TypeAdapter(Annotated[Switch | Change, Field(discriminator="type")])


class Audio:
    """Serves the sound of calls."""

    def __init__(self, backend: Backend, guard: Guard, parts: Parts, presence: Presence) -> None:
        self._backend = backend
        self._guard = guard
        self._parts = parts
        self._presence = presence

    async def serve(self, socket: WebSocket, call_id: str, mode: str) -> None:
        """Connect one browser until it goes, the call is over, or its owner is signed out."""
        signed = await enter(self._guard, socket)
        if signed is None:
            return
        try:
            try:
                seat, chosen = await self._seat(signed, call_id, mode)
            except REFUSALS as error:
                await deny(socket, refused(error))
                return
            try:
                await socket.accept()
            except (RuntimeError, WebSocketDisconnect):
                if chosen == "talk":
                    self._presence.keep(signed.name, call_id, seat)
                else:
                    seat.leave()
                return
            await _Connected(self._guard, self._presence, socket, signed, call_id, seat, chosen).run()
        finally:
            self._guard.leave_socket(signed)

    async def _seat(self, signed: Signed, call_id: str, mode: str) -> tuple[Seat, Mode]:
        """The seat at a call, for whom it may be.

        Raises:
            Exception: one of `REFUSALS`.
        """
        chosen = next((known for known in MODES if known == mode), None)
        if chosen is None:
            raise Refused(422, "invalid", f"mode is {mode[:20]!r}; give one of {', '.join(MODES)}")
        control = self._backend.control(call_id)
        if control is None or not await self._guard.may_see(signed, call_id):
            raise Refused(404, "not_found", "there is no such call now, or it is not yours to hear")
        if chosen == "talk":
            return await self._talk(signed, call_id, control), chosen
        require(signed, "supervisor")
        await self._guard.audit(signed.name, f"call_{chosen}", call_id)
        return control.join(signed.name, chosen), chosen

    async def _talk(self, signed: Signed, call_id: str, control: CallControl) -> Seat:
        """His seat at a call that he has, or that is on its way to him."""
        kept = self._presence.kept(signed.name, call_id)
        if kept is not None:
            return kept
        if not has(control, signed.name) and self._parts.given(call_id) != signed.name:
            raise Refused(409, "not_yours", "take the call over first")
        await self._guard.audit(signed.name, "call_talk", call_id)
        return await control.take_over(signed.name, self._parts.handoff(call_id))


class _Connected:
    """One browser at one call."""

    def __init__(
        self,
        guard: Guard,
        presence: Presence,
        socket: WebSocket,
        signed: Signed,
        call_id: str,
        seat: Seat,
        mode: Mode,
    ) -> None:
        self._guard = guard
        self._presence = presence
        self._socket = socket
        self._transport = SocketTransport(socket)
        self._signed = signed
        self._call_id = call_id
        self._seat = seat
        self._talks = mode == "talk"
        self._broken = True
        self._used = False
        self._second = 0.0
        self._frames = 0

    async def run(self) -> None:
        who = self._signed.name
        if self._talks:
            self._presence.sound_opened(who, self._call_id)
        try:
            await first_of(
                self._down(), self._up(), signed_out(self._guard, self._socket, self._transport, self._was_used)
            )
        finally:
            if self._talks:
                self._presence.sound_closed(who, self._call_id, self._broken)
            else:
                self._seat.leave()

    async def _down(self) -> None:
        try:
            while True:
                await self._transport.send(await self._seat.hear())
        except SeatClosed as closed:
            self._broken = False
            await self._transport.send(json.dumps({"type": "closed", "reason": closed.reason}))
            await self._transport.close(REPLACED if closed.reason == "replaced" else NORMAL, closed.reason)

    async def _up(self) -> None:
        try:
            while True:
                message = await self._transport.receive()
                if self._too_fast():
                    await self._transport.close(TOO_MUCH, "too many messages")
                    return
                try:
                    if isinstance(message, bytes):
                        self._used = True
                        self._seat.speak(message)
                    else:
                        await self._control(message)
                except ValidationError as error:
                    await self._tell("invalid", sentence(error))
                except SeatClosed:
                    return  # the other half says it
                except REFUSALS as error:
                    said = refused(error)
                    await self._tell(said.code, said.detail)
        except Disconnected as gone:
            self._broken = gone.code != NORMAL
            raise

    async def _control(self, text: str) -> None:
        asked = _CONTROL.validate_json(text[:1024])
        if isinstance(asked, Change):
            if asked.mode != "talk":
                require(self._signed, "supervisor")
                await self._guard.audit(self._signed.name, f"call_{asked.mode}", self._call_id)
            elif not self._talks:
                raise Refused(409, "not_yours", "take the call over first, then talk")
            self._seat.change(mode=asked.mode)
        elif asked.type == "mute":
            self._seat.change(muted=asked.on)
        else:
            self._seat.change(held=asked.on)

    async def _tell(self, code: str, detail: str) -> None:
        await self._transport.send(json.dumps({"type": "error", "code": code, "detail": detail}, ensure_ascii=False))

    def _was_used(self) -> bool:
        used, self._used = self._used, False
        return used

    def _too_fast(self) -> bool:
        now = self._guard.clock.now_ms()
        if now - self._second >= 1000.0:
            self._second, self._frames = now, 0
        self._frames += 1
        return self._frames > MOST_FRAMES
