"""Twilio: fetches the caller from us into a queue, a TaskRouter workflow, or a conference with one person."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote
from xml.etree import ElementTree

from agent.gateways import twiml
from agent.handoff.hooks import wording
from agent.handoff.hooks.events import CallOver, HandoffEvent
from agent.handoff.hooks.sending import GOOD, Errand, Sender, as_object
from agent.outbound import OutboundError

MOST_TWIML = 4000
"""Characters that Twilio takes as `Twiml` of a call."""
GATEWAY = "twilio"
"""Not `twilio-relay`: there our `end` has Twilio ask for the next script at once, which would end the call."""
_GONE = 20404
_UNANSWERED = frozenset({"busy", "failed", "no-answer", "canceled", "completed"})
_LANGUAGES = {"en": "en-US", "zh": "cmn-CN"}
LOOK_MS = 1000.0
"""Between two looks whether the person has answered."""


@dataclass(frozen=True, slots=True)
class TwilioWay:
    """kind `workflow`: target is a TaskRouter workflow, WW...; `queue`: a queue's name; `conference`: the number of a
    person, called from `number`, who hears the summary first."""

    kind: Literal["workflow", "queue", "conference"]
    target: str
    number: str | None = None
    ring_s: int = 25
    sorry: str = "Nobody can take your call right now. We will call you back."

    def __post_init__(self) -> None:
        if self.kind == "workflow" and not self.target.startswith("WW"):
            raise ValueError(f"target is {self.target[:40]!r}; a TaskRouter workflow begins with WW")
        if self.kind == "queue" and not 1 <= len(self.target) <= 64:
            raise ValueError(f"target has {len(self.target)} characters; a queue's name has 1 to 64")
        if self.kind == "conference":
            twiml.check_number("target", self.target)
            twiml.check_number("number", self.number or "")


class TwilioHook:
    """Moves callers who came by Twilio once somebody accepted without saying where they should go.

    Where our own console or a transfer of the gateway has the caller, it does nothing.
    """

    def __init__(self, name: str, sender: Sender, account: str, way: TwilioWay) -> None:
        """`account` is the account's SID; `sender` proves itself with it and the auth token."""
        self.name = name
        self._sender = sender
        self._calls = f"/2010-04-01/Accounts/{quote(account, safe='')}/Calls"
        self._way = way

    def wants(self, event: HandoffEvent) -> bool:
        """Accepted, by Twilio, and nobody else moves the caller."""
        nobody = event.human is None and event.transfer_to is None
        return event.step == "accepted" and nobody and event.request.gateway == GATEWAY

    async def deliver(self, event: HandoffEvent) -> None:
        """Move the caller.

        Raises:
            CallOver: the caller has hung up.
            OutboundError: Twilio refused, cannot be reached, or the person of the conference did not answer.
        """
        errand = self._sender.errand(event.event_id)
        try:
            if self._way.kind == "conference":
                await self._meet(errand, event)
            else:
                await self._update(errand, event.request.gateway_call_id, enqueue(event, self._way))
        except twiml.TwimlError as error:
            raise OutboundError("refused", str(error)) from error

    async def _meet(self, errand: Errand, event: HandoffEvent) -> None:
        """Caller and person into one conference; where the person does not answer, the caller is told so."""
        room = f"handoff-{event.request.handoff_id}"
        await self._update(errand, event.request.gateway_call_id, conference(room, waits=True))
        form = {
            "To": self._way.target,
            "From": self._way.number or "",
            "Timeout": str(self._way.ring_s),
            "Twiml": conference(room, waits=False, event=event),
        }
        try:
            made = await errand.ask("POST", f"{self._calls}.json", form=form, once=True)  # twice would ring twice
            leg = as_object(errand.who, made.body).get("sid")
            if not isinstance(leg, str):
                raise OutboundError("bad_response", f"{errand.who} named no sid of the call to the person")
            await self._answered(errand, leg)
        except OutboundError:
            await self._update(errand, event.request.gateway_call_id, goodbye(self._way.sorry, event.request.language))
            raise

    async def _answered(self, errand: Errand, leg: str) -> None:
        clock = self._sender.clock
        until = clock.now_ms() + (self._way.ring_s + 5) * 1000.0
        while clock.now_ms() < until:
            answer = await errand.ask("GET", f"{self._calls}/{quote(leg, safe='')}.json")
            status = as_object(errand.who, answer.body).get("status")
            if status == "in-progress":
                return
            if status in _UNANSWERED:
                raise OutboundError("no_answer", f"the person called for the conference: {status}")
            await clock.sleep_until(clock.now_ms() + LOOK_MS)
        raise OutboundError("no_answer", "the person called for the conference did not answer in time")

    async def _update(self, errand: Errand, call_id: str, script: str) -> None:
        path = f"{self._calls}/{quote(call_id, safe='')}.json"
        answer = await errand.ask("POST", path, form={"Twiml": script}, accepted=[*GOOD, 404])
        if answer.status == 404:
            gone = as_object(errand.who, answer.body).get("code") == _GONE
            if gone:
                raise CallOver("call_ended", f"{errand.who}: the caller has hung up")
            raise OutboundError("status_404", f"{errand.who} said 404; check the account")


def enqueue(event: HandoffEvent, way: TwilioWay) -> str:
    """TwiML that queues the caller; for TaskRouter with the task's attributes, the summary cut so that all fits.

    Raises:
        agent.gateways.twiml.TwimlError: a value cannot be written as XML.
    """
    request = event.request
    if way.kind == "queue":
        return _response(lambda root: _text(ElementTree.SubElement(root, "Enqueue"), way.target))
    attributes: dict[str, Any] = {
        "handoff_id": request.handoff_id,
        "call_id": request.call_id,
        "caller": request.caller,
        "language": request.language,
        "intent": request.intent,
        "reason": wording.cut(request.reason, 300),
        "mood": wording.mood(request),
        "priority": request.priority,
    }
    for most in (1000, 500, 250, 100, 0):
        told = attributes | {"summary": wording.cut(request.summary, most), "slots": wording.cut(_slots(event), most)}

        def fill(root: ElementTree.Element, told: dict[str, Any] = told) -> None:
            verb = ElementTree.SubElement(root, "Enqueue", twiml.given(workflowSid=way.target))
            task = ElementTree.SubElement(verb, "Task", {"priority": str(max(0, request.priority))})
            _text(task, json.dumps(told, ensure_ascii=False, separators=(",", ":")))

        script = _response(fill)
        if len(script) <= MOST_TWIML:
            return script
    raise twiml.TwimlError(f"the task takes {len(script)} characters; Twilio allows {MOST_TWIML}")


def conference(room: str, waits: bool, event: HandoffEvent | None = None) -> str:
    """TwiML into the conference `room`: the caller waits with music, the person (who hears the summary) begins it.

    Raises:
        agent.gateways.twiml.TwimlError: a value cannot be written as XML.
    """

    def fill(root: ElementTree.Element) -> None:
        if event is not None:
            words = wording.cut(f"{event.request.reason}. {event.request.summary}", 1000)
            _say(root, words, event.request.language)
        attributes = {"startConferenceOnEnter": str(not waits).lower(), "endConferenceOnExit": "true", "beep": "false"}
        _text(ElementTree.SubElement(ElementTree.SubElement(root, "Dial"), "Conference", attributes), room)

    return _response(fill)


def goodbye(words: str, language: str) -> str:
    """TwiML that says `words` and hangs up."""

    def fill(root: ElementTree.Element) -> None:
        _say(root, words, language)
        ElementTree.SubElement(root, "Hangup")

    return _response(fill)


def _response(fill: Any) -> str:
    root = ElementTree.Element("Response")
    fill(root)
    return twiml.document(root)


def _say(root: ElementTree.Element, words: str, language: str) -> None:
    code = _LANGUAGES.get(language.partition("-")[0], "en-US")
    _text(ElementTree.SubElement(root, "Say", {"language": code}), words)


def _text(element: ElementTree.Element, text: str) -> None:
    element.text = twiml.written(element.tag, text)


def _slots(event: HandoffEvent) -> str:
    return wording.slots(event.request).replace("\n", "; ")
