"""Chatwoot: the call as a conversation with a private note and the transcript, opened for people."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any
from urllib.parse import quote

from agent.handoff.contracts import HandoffRequest
from agent.handoff.hooks import wording
from agent.handoff.hooks.events import STEPS, HandoffEvent, Step
from agent.handoff.hooks.sending import Errand, Sender
from agent.outbound import OutboundError

MOST_TRANSCRIPT = 60_000
"""Characters of one note; Chatwoot takes 150,000."""
ATTRIBUTE = "callagent_handoff"
"""The custom attribute by which we find our conversation again."""
_E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_PRIORITY = {"urgent": "urgent", "high": "high", "normal": "medium"}


class ChatwootHook:
    """Finds or makes contact and conversation, writes what is not written yet, then opens the conversation.

    Whatever of it was done by an earlier, broken try is found and not done again.
    """

    def __init__(
        self,
        name: str,
        sender: Sender,
        account: int,
        inbox: int,
        steps: Collection[Step] = STEPS,
        labels: Collection[str] = (),
        team: int | None = None,
    ) -> None:
        """`inbox` is one of kind API. `labels` and `team` are given to new conversations."""
        self.name = name
        self._sender = sender
        self._base = f"/api/v1/accounts/{account}"
        self._inbox = inbox
        self._steps = frozenset(steps)
        self._labels = list(labels)
        self._team = team

    def wants(self, event: HandoffEvent) -> bool:
        """By its step."""
        return event.step in self._steps

    async def deliver(self, event: HandoffEvent) -> None:
        """Write and open.

        Raises:
            OutboundError: Chatwoot could not be told all of it.
        """
        errand = self._sender.errand(event.event_id)
        # From the top each time: what a lost answer left behind is found rather than made twice.
        await errand.persist(lambda attempt: self._write(errand, event))

    async def _write(self, errand: Errand, event: HandoffEvent) -> None:
        request = event.request
        contact = await self._contact(errand, request)
        conversation = await self._conversation(errand, request, contact)
        path = f"{self._base}/conversations/{conversation}"
        known = await errand.ask_json("GET", f"{path}/messages")
        written = {one.get("content") for one in _list(known) if isinstance(one, dict)}
        for text in _notes(event):
            if text not in written:
                note = {"content": text, "message_type": "outgoing", "private": True}
                await errand.ask_json("POST", f"{path}/messages", note, once=True)
        if event.step in ("queued", "callback"):
            priority = _PRIORITY[wording.urgency(request.priority)]
            await errand.ask("POST", f"{path}/toggle_priority", {"priority": priority})
            if self._labels:
                await errand.ask("POST", f"{path}/labels", {"labels": self._labels})
            if self._team is not None:
                await errand.ask("POST", f"{path}/assignments", {"team_id": self._team})
            await errand.ask("POST", f"{path}/toggle_status", {"status": "open"})

    async def _contact(self, errand: Errand, request: HandoffRequest) -> int:
        number = request.caller if request.caller and _E164.fullmatch(request.caller) else None
        field, value = ("phone_number", number) if number else ("identifier", f"callagent:{request.call_id}")
        found = await errand.ask_json("GET", f"{self._base}/contacts/search?q={quote(str(value), safe='')}")
        for one in _list(found):
            if isinstance(one, dict) and one.get(field) == value:
                return _id(one, "contact")
        name = number or f"Caller {request.call_id}"
        body = {"inbox_id": self._inbox, "name": name, field: value}
        made = await errand.ask_json("POST", f"{self._base}/contacts", body, once=True)
        payload = made.get("payload")
        return _id(payload.get("contact") if isinstance(payload, dict) else None, "contact")

    async def _conversation(self, errand: Errand, request: HandoffRequest, contact: int) -> int:
        found = await errand.ask_json("GET", f"{self._base}/contacts/{contact}/conversations")
        for one in _list(found):
            attributes = one.get("custom_attributes") if isinstance(one, dict) else None
            if isinstance(attributes, dict) and attributes.get(ATTRIBUTE) == request.handoff_id:
                return _id(one, "conversation")
        attributes = {ATTRIBUTE: request.handoff_id, "callagent_call": request.call_id, "intent": request.intent}
        attributes |= {"language": request.language, "reason": request.reason}
        body = {"inbox_id": self._inbox, "contact_id": contact, "status": "pending", "custom_attributes": attributes}
        return _id(await errand.ask_json("POST", f"{self._base}/conversations", body, once=True), "conversation")


def _notes(event: HandoffEvent) -> list[str]:
    """What is to be written of an event, in order."""
    line = f"{event.at:%Y-%m-%d %H:%M:%S} {wording.news(event)}"
    if event.step not in ("queued", "callback"):
        return [line]
    spoken = wording.transcript(event.request, MOST_TRANSCRIPT)
    return [wording.note(event.request), *([spoken] if spoken else []), line]


def _list(answer: dict[str, Any]) -> list[Any]:
    payload = answer.get("payload")
    if not isinstance(payload, list):
        raise OutboundError("bad_response", "Chatwoot's answer has no list 'payload'; check the URL and the account")
    return payload


def _id(answer: Any, what: str) -> int:
    found = answer.get("id") if isinstance(answer, dict) else None
    if not isinstance(found, int):
        raise OutboundError("bad_response", f"Chatwoot's answer names no id of the {what}")
    return found
