"""jambonz's half of a `listen` with bidirectional streaming, as a simulated caller uses it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

from agent.lab.callers.catalogue import GatewayCaller, Who
from agent.lab.callers.freeswitch import ForkCaller
from agent.lab.line import FromAgent, Left, Messages, Wrong


class JambonzCaller(ForkCaller):
    """mod_audio_fork as jambonz starts it: call information first, DTMF by `passDtmf`, `disconnect` ends the verb."""

    def __init__(self, who: Who, rate: int = 8000) -> None:
        super().__init__(who, rate)
        self.call = str(uuid.uuid4())
        self._info: dict[str, Any] = {
            "sampleRate": rate,
            "mixType": "mono",
            "callSid": self.call,
            "direction": "inbound",
            "from": who.caller or "anonymous",
            "to": who.called or "agent",
            "callId": str(uuid.uuid4()),
            "sipStatus": 200,
            "sipReason": "OK",
            "callStatus": "in-progress",
            "accountSid": str(uuid.uuid4()),
            "applicationSid": str(uuid.uuid4()),
            **who.parameters,
        }

    def opening(self) -> Messages:
        return [json.dumps(self._info)]

    def _read(self, kind: str, data: dict[str, Any]) -> Sequence[FromAgent]:
        match kind:
            case "disconnect":
                return [Left("disconnect")]
            case "transfer" | "transcription":
                return [Wrong(f"{kind}: jambonz does nothing at it")]
            case _:
                return super()._read(kind, data)


CALLERS = (GatewayCaller("jambonz", JambonzCaller, subprotocols=("audio.jambonz.org",)),)
