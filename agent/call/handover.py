"""Giving a call to a person: ask the desk, then move the caller by what the gateway can do."""

from __future__ import annotations

import logging
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol

from agent.call.notes import Notes
from agent.call.outbox import Outbox
from agent.call.services import CallServices
from agent.dialogue.contracts import Dialogue, HandOff
from agent.gateways.base import GatewayProtocol, Transfer
from agent.handoff.contracts import HandoffRequest, HandoffResult
from agent.records.contracts import CallOpened

MOST_CONTEXT = 1000
"""Characters of one value that travels in a gateway's own messages; SIP headers and output variables hold no more."""

log = logging.getLogger(__name__)


class Announced(Protocol):
    """Something that a caller who waits is told; see `agent.handoff`."""

    @property
    def kind(self) -> str:
        """What about."""
        ...

    @property
    def values(self) -> Mapping[str, Any]:
        """The values of it."""
        ...


class Queue(Protocol):
    """What a desk can do besides, whose people take calls at our own console."""

    def listen(self, handoff_id: str, callback: Callable[[Announced], None]) -> None:
        """Have `callback` told what the caller is to hear while he waits."""
        ...

    def accept(self, who: str, handoff_id: str) -> None:
        """`who` takes it; raises where he may not, with `by` naming who was first."""
        ...

    def choose_callback(self, handoff_id: str) -> None:
        """The caller wants to be called back."""
        ...

    async def human_lost(self, who: str, handoff_id: str) -> HandoffResult:
        """`who`, who had the call, is gone: find another."""
        ...


class Handover:
    """The handoffs of one call, one at a time."""

    def __init__(
        self,
        services: CallServices,
        protocol: GatewayProtocol,
        outbox: Outbox,
        notes: Notes,
        dialogue: Dialogue,
        call: CallOpened,
    ) -> None:
        self._services = services
        self._protocol = protocol
        self._outbox = outbox
        self._notes = notes
        self._dialogue = dialogue
        self._call = call
        self.stage: Literal["none", "asking", "moving"] = "none"
        self._handoff_id = ""
        self._rule = ""
        self._reason = ""
        self._open = False
        self._bridged = False
        self._withdrawn: deque[str] = deque()
        desk: Any = services.desk
        self.queue: Queue | None = desk if hasattr(desk, "listen") and hasattr(desk, "human_lost") else None
        """The desk, where people take calls at our own console."""

    @property
    def handoff_id(self) -> str:
        """Which handoff it is about."""
        return self._handoff_id

    async def ask(self, handoff: HandOff, told: Callable[[Announced], None]) -> HandoffResult:
        """Ask the desk for a person; an outcome other than `accepted` leaves the caller with the agent.

        `told` is given what the caller is to hear meanwhile.
        """
        self.stage, self._open, self._bridged = "asking", True, False
        self._rule = handoff.rule
        self._reason = handoff.reason
        self._handoff_id = f"h-{uuid.uuid4().hex[:16]}"
        try:
            request = self._request(handoff, await self._dialogue.told())
            if self._notes.record is not None:
                await self._notes.record.flush()
            if self.queue is not None:
                self.queue.listen(self._handoff_id, told)
            result = await self._services.desk.request(request)
        except Exception as error:
            self._notes.fault("handoff_failed", f"{type(error).__name__}: {error}")
            result = HandoffResult("failed", detail=str(error))
        if result.outcome != "accepted":
            self._settled(result)
        return result

    async def lost(self, who: str, handoff: HandOff, told: Callable[[Announced], None]) -> HandoffResult:
        """The person who had the call is gone: ask for another, ahead of others where the desk can; see `ask`."""
        if self.queue is None or not self._bridged:
            return await self.ask(handoff, told)
        self.stage, self._open, self._bridged = "asking", True, False
        self._rule, self._reason = handoff.rule, handoff.reason
        try:
            self.queue.listen(self._handoff_id, told)
            result = await self.queue.human_lost(who, self._handoff_id)
        except Exception as error:
            self._notes.fault("handoff_failed", f"{type(error).__name__}: {error}")
            result = HandoffResult("failed", detail=str(error))
        if result.outcome != "accepted":
            self._settled(result)
        return result

    def withdraw(self) -> None:
        """Nobody has to be found any more: somebody took the call by himself. `tell_withdrawn` tells the desk."""
        if self._open:
            self._open, self.stage = False, "none"
            self._notes.event("handoff", id=self._handoff_id, rule=self._rule, outcome="withdrawn")
            self._withdrawn.append(self._handoff_id)

    async def tell_withdrawn(self) -> None:
        """Tell the desk of what was withdrawn, as far as it does not know."""
        while self._withdrawn:
            handoff_id = self._withdrawn[0]
            await self._told(self._services.desk.caller_left(handoff_id))
            if self._withdrawn and self._withdrawn[0] == handoff_id:
                self._withdrawn.popleft()

    async def handed_back(self) -> None:
        """The person that the desk found gave the call back."""
        await self._ended("handed_back")

    async def _ended(self, how: str) -> None:
        if self._bridged:
            self._bridged = False
            await self._finished(how)

    async def _finished(self, how: str) -> None:
        await self._told(self._services.desk.finished(self._handoff_id, how))

    async def _told(self, telling: Awaitable[None]) -> None:
        """A desk that cannot be told costs the call nothing."""
        try:
            await telling
        except Exception as error:
            log.exception("the desk was not told of handoff %s", self._handoff_id)
            self._notes.fault("desk_not_told", f"{type(error).__name__}: {error}")

    async def move(self, result: HandoffResult) -> HandoffResult:
        """Move the caller to the person found. After `accepted` the gateway ends the stream, or the session closes it;
        `failed` leaves the caller with the agent."""
        result = await self._move(result)
        self._settled(result)
        return result

    def _settled(self, result: HandoffResult) -> None:
        self._services.metrics.handoffs.labels(self._rule, result.outcome).inc()
        self._notes.event("handoff", id=self._handoff_id, rule=self._rule, outcome=result.outcome)
        self._open = False
        if result.outcome != "accepted":
            self.stage = "none"

    async def send_on(self, target: str, reason: str) -> HandoffResult:
        """Send the caller to `target` for a person who has the call; `failed` leaves the call with that person."""
        bridged, self._rule, self._reason = self._bridged, "human", reason
        if not self._handoff_id:
            self._handoff_id = f"h-{uuid.uuid4().hex[:16]}"
        result = await self._carry(HandoffResult("accepted", target))
        self._services.metrics.handoffs.labels(self._rule, result.outcome).inc()
        self._notes.event("transfer", target=target, outcome=result.outcome, detail=result.detail)
        if result.outcome != "accepted":
            self.stage = "none"
        elif bridged:
            await self._ended("ended")
        return result

    async def stream_ended(self) -> None:
        """The stream is over: tell the desk what became of a handoff that was under way."""
        await self.tell_withdrawn()
        if not self._open:
            await self._ended("ended")
            return
        if self.stage == "asking":
            self._open = False
            await self._told(self._services.desk.caller_left(self._handoff_id))
        else:
            # A carrier ends the stream as soon as it takes the caller, often before it answers the request to.
            self._settled(HandoffResult("accepted"))
            await self._finished("bridged")

    async def _move(self, result: HandoffResult) -> HandoffResult:
        if result.human is not None:
            self.stage, self._bridged = "none", True
            await self._finished("bridged")
            return result
        result = await self._carry(result)
        await self._finished("bridged" if result.outcome == "accepted" else "transfer_failed")
        return result

    async def _carry(self, result: HandoffResult) -> HandoffResult:
        """Send the caller to `result.transfer_to` by what the gateway can do."""
        self.stage = "moving"
        how = self._protocol.capabilities.transfer
        gateway = self._protocol.name
        carrier = self._services.carriers.get(gateway)
        try:
            if how == "rest" and carrier is not None and result.transfer_to:
                context = self.context(self._reason)
                await carrier.transfer(self._call.gateway_call_id, result.transfer_to, context)
            elif how in ("rest", "close") and result.transfer_to:
                if how == "rest" and gateway not in self._services.asking:
                    raise RuntimeError(f"set gateways.{gateway}.account and its key: {gateway} transfers by REST only")
                self._services.transfers.put(gateway, self._call.gateway_call_id, result.transfer_to)
            elif how == "message":
                if result.transfer_to and gateway in self._services.asking:
                    self._services.transfers.put(gateway, self._call.gateway_call_id, result.transfer_to)
                self._outbox.put(Transfer(result.transfer_to or "desk", self.context(self._reason)))
                await self._outbox.drained()
            elif how == "none":
                raise RuntimeError(f"gateway {gateway} cannot transfer calls")
        except Exception as error:
            self._notes.fault("transfer_failed", f"{type(error).__name__}: {error}")
            return HandoffResult("failed", detail=str(error))
        return result

    def context(self, reason: str) -> dict[str, str]:
        """What travels with the caller inside the gateway's own messages: short texts, redacted."""
        try:
            summary = self._dialogue.summary()
        except Exception as error:
            self._notes.fault("summary_failed", f"{type(error).__name__}: {error}")
            summary = {}
        redact = self._services.redact
        given = {
            "call_id": self._call.call_id,
            "handoff_id": self._handoff_id if self._open or self.stage == "moving" else "",
            "reason": reason,
            "rule": self._rule,
            "intent": summary.get("intent"),
            "language": summary.get("language"),
            "summary": summary.get("paragraph"),
        }
        return {name: redact(str(value))[:MOST_CONTEXT] for name, value in given.items() if value}

    def _request(self, handoff: HandOff, summary: Mapping[str, Any]) -> HandoffRequest:
        redact = self._services.redact
        rows = [{**row, "text": redact(str(row["text"]))} for row in self._notes.transcript.rows()]
        recording = self._notes.record.recording if self._notes.record is not None else None
        return HandoffRequest(
            handoff_id=self._handoff_id,
            call_id=self._call.call_id,
            gateway=self._call.gateway,
            gateway_call_id=self._call.gateway_call_id,
            reason=handoff.reason,
            rule=handoff.rule,
            priority=handoff.priority,
            caller=self._call.caller,
            called=self._call.called,
            language=str(summary.get("language", self._services.settings.recognizer.language)),
            summary=redact(str(summary.get("paragraph") or handoff.reason)),
            intent=summary.get("intent"),
            slots=dict(summary.get("slots", {})),
            emotion=list(self._notes.emotions),
            transcript=rows,
            actions=list(self._notes.actions),
            recording=f"{self._call.call_id}.wav" if recording is not None else None,
        )
