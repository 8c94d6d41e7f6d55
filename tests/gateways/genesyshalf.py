"""Genesys' side of an AudioHook session, message by message, for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agent.gateways.audiohook import AudioHook
from agent.gateways.base import Answer, CallStarted, Event, Fault
from agent.gateways.gateway import Opening

SESSION = "e160e428-53e2-487c-977d-96989bf5c99d"
ORGANIZATION = "d7934305-0972-4844-938e-9060eef73d05"
CALL = "090eaa2f-72fa-480a-83e0-8667ff89c0ec"
NOBODY = "00000000-0000-0000-0000-000000000000"
HEADERS = {"audiohook-organization-id": ORGANIZATION, "audiohook-session-id": SESSION}
PARTICIPANT = {"id": "883efee8-3d6c-4537-b500-6d7ca4b92fa0", "ani": "+15550100", "aniName": "", "dnis": "+15550199"}


def media(*channels: str, **changes: Any) -> dict[str, Any]:
    return {"type": "audio", "format": "PCMU", "channels": list(channels), "rate": 8000, **changes}


class Genesys:
    """Genesys' side: numbers its messages, and checks the numbers of ours."""

    def __init__(self, kind: type[AudioHook], headers: Mapping[str, str] = HEADERS) -> None:
        self.protocol = kind(Opening("call", headers))  # type: ignore[arg-type, call-arg]
        self.sent = 0
        self.got = 0

    def write(self, kind: str, parameters: object = None, **changes: Any) -> str:
        self.sent += 1
        head = {"version": "2", "id": SESSION, "type": kind, "seq": self.sent, "serverseq": self.got}
        body = {**head, "position": "PT0S", "parameters": {} if parameters is None else parameters, **changes}
        return json.dumps({name: value for name, value in body.items() if value is not ...})

    def say(self, kind: str, parameters: object = None, **changes: Any) -> Sequence[Event]:
        return self.take(self.write(kind, parameters, **changes))

    def take(self, message: str | bytes) -> Sequence[Event]:
        events = self.protocol.receive(message)
        for event in events:
            if isinstance(event, Answer):
                self.read(event.message)
        return events

    def send(self, command: Any) -> list[Any]:
        sent = self.protocol.send(command)
        return [message if isinstance(message, bytes) else self.read(message) for message in sent]

    def read(self, message: str | bytes) -> dict[str, Any]:
        assert isinstance(message, str)
        data: dict[str, Any] = json.loads(message)
        self.got += 1
        assert list(data) == ["version", "id", "type", "seq", "clientseq", "parameters"]
        assert (data["version"], data["id"], data["seq"]) == ("2", SESSION, self.got)
        return data

    def open(self, **changes: Any) -> Sequence[Event]:
        parameters = {
            "organizationId": ORGANIZATION,
            "conversationId": CALL,
            "participant": PARTICIPANT,
            "media": [media("external", "internal"), media("external")],
            **changes,
        }
        return self.say("open", {name: value for name, value in parameters.items() if value is not ...})


def opened(kind: type[AudioHook], **changes: Any) -> Genesys:
    genesys = Genesys(kind)
    answer, started = genesys.open(**changes)
    assert isinstance(answer, Answer)
    assert isinstance(started, CallStarted)
    return genesys


def parts(events: Sequence[Event]) -> list[Any]:
    """Faults as their codes, answers as type and parameters, the rest as it is."""
    found: list[Any] = []
    for event in events:
        if isinstance(event, Fault):
            assert event.close is None
            found.append(event.code)
        elif isinstance(event, Answer):
            data = json.loads(event.message)
            found.append((data["type"], data["parameters"]))
        else:
            found.append(event)
    return found


def kinds(events: Sequence[Event]) -> list[Any]:
    """As `parts`, answers as their type and reason only."""
    return [
        (part[0], part[1].get("reason")) if isinstance(part, tuple) and "reason" in part[1] else
        part[0] if isinstance(part, tuple) else part
        for part in parts(events)
    ]  # fmt: skip
