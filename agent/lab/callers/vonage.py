"""Vonage's half of a websocket endpoint, as a simulated caller uses it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence

from agent.lab.callers.catalogue import GatewayCaller, Who
from agent.lab.line import FRAME_MS, Cleared, FromAgent, Heard, Marked, Messages, Respond, Wrong
from audio.codec import Encoding, Pcm16

_MAX_HEADERS = 512


class VonageCaller:
    """A leg of the Voice API at 16 kHz (a `LineProtocol`).

    Every binary message is 20 ms, both ways; another size from the server is `Wrong`. A `notify` that is cleared never
    comes back.
    """

    rate = 16000

    def __init__(self, who: Who, rate: int = 16000) -> None:
        self.rate = rate
        self.call = secrets.token_hex(16)
        self._encoding = Encoding("pcm16", rate)
        named = {"uuid": self.call, "caller": who.caller, "called": who.called}
        self._headers = {**who.parameters, **{name: value for name, value in named.items() if value}}
        if len(json.dumps(self._headers)) > _MAX_HEADERS:
            raise ValueError(f"the headers of an NCCO take at most {_MAX_HEADERS} bytes")

    def opening(self) -> Messages:
        connected = {"event": "websocket:connected", "content-type": f"audio/l16;rate={self.rate}"}
        return [json.dumps(connected | self._headers)]

    def voice(self, samples: Pcm16) -> Messages:
        return [self._encoding.encode(samples)]

    def lost(self) -> None:
        """Nothing says so in this protocol: the frame is missing."""

    def key(self, digit: str) -> Messages:
        return [json.dumps({"event": "websocket:dtmf", "digit": digit, "duration": 260})]

    def text(self, text: str) -> Messages:
        return []

    def played(self, name: str) -> Messages:
        return [json.dumps({"event": "websocket:notify", "payload": {"name": name}})]

    def cleared(self, name: str) -> Messages:
        return []

    def closing(self) -> Messages:
        return []

    def receive(self, message: str | bytes) -> Sequence[FromAgent]:
        if isinstance(message, bytes):
            frame = 2 * self.rate * FRAME_MS // 1000
            if len(message) != frame:
                return [Wrong(f"audio of {len(message)} bytes; each message has {frame}")]
            return [Heard(self._encoding.decode(message))]
        try:
            data = json.loads(message)
        except ValueError:
            return [Wrong(f"not JSON: {message[:60]!r}")]
        match data:
            case {"action": "clear"}:
                return [Cleared(), Respond([json.dumps({"event": "websocket:cleared"})])]
            case {"action": "notify", "payload": {"name": str(name)}} if name:
                return [Marked(name)]
            case {"action": "notify"}:
                return [Wrong(f"notify without payload.name: {message[:60]!r}")]
        return [Wrong(f"unknown action in {message[:60]!r}")]


CALLERS = (GatewayCaller("vonage", VonageCaller),)
