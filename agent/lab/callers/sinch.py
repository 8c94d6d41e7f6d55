"""Sinch's half of a voice stream, as a simulated caller uses it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence

from agent.lab.callers.catalogue import GatewayCaller, Who
from agent.lab.line import Cleared, FromAgent, Heard, Left, Messages, Wrong
from audio.codec import Encoding, Pcm16


class SinchCaller:
    """One stream at 8 kHz (a `LineProtocol`). Audio flows once `connect` was answered; no marks, no keys."""

    rate = 8000

    def __init__(self, who: Who, rate: int = 8000) -> None:
        self.rate = rate
        self.call = secrets.token_hex(16)
        self._encoding = Encoding("pcm16", rate)
        named = {"caller": who.caller, "called": who.called}
        self._headers = {**who.parameters, **{name: value for name, value in named.items() if value}}
        self._answered = False

    def opening(self) -> Messages:
        connect = {
            "command": "connect",
            "version": 1,
            "callId": self.call,
            "applicationKey": "00000000-0000-0000-0000-000000000001",
            "codec": "PCM",
            "sampleRate": self.rate,
            "callHeaders": self._headers,
        }
        return [json.dumps(connect)]

    def voice(self, samples: Pcm16) -> Messages:
        return [self._encoding.encode(samples)] if self._answered else []

    def lost(self) -> None:
        """Nothing says so in this protocol: the frame is missing."""

    def key(self, digit: str) -> Messages:
        return []

    def text(self, text: str) -> Messages:
        return []

    def played(self, name: str) -> Messages:
        return []

    def cleared(self, name: str) -> Messages:
        return []

    def closing(self) -> Messages:
        return []

    def receive(self, message: str | bytes) -> Sequence[FromAgent]:
        if isinstance(message, bytes):
            if not self._answered:
                return [Wrong("audio before the answer to connect")]
            if not message or len(message) % 2:
                return [Wrong(f"audio of {len(message)} bytes; samples are 2 bytes each")]
            return [Heard(self._encoding.decode(message))]
        try:
            data = json.loads(message)
        except ValueError:
            return [Wrong(f"not JSON: {message[:60]!r}")]
        match data:
            case {"command": "answer"} if not self._answered:
                self._answered = True
                return []
            case {"command": ("busy" | "reject") as command}:
                return [Left(f"refused:{command}")]
            case {"command": "clear"} if self._answered:
                return [Cleared()]
            case {"command": "heartbeat"} if self._answered:
                return []
        return [Wrong(f"unknown or early command in {message[:60]!r}")]


CALLERS = (GatewayCaller("sinch", SinchCaller),)
