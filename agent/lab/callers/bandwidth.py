"""Bandwidth's half of a media stream, as a simulated caller uses it."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Sequence

from agent.lab.callers.catalogue import GatewayCaller, Who
from agent.lab.line import Cleared, FromAgent, Heard, Messages, Wrong
from audio import g711
from audio.codec import Pcm16


class BandwidthCaller:
    """One bidirectional stream (a `LineProtocol`): mu-law at 8 kHz, sequence numbers as strings, no marks, no keys."""

    rate = 8000

    def __init__(self, who: Who) -> None:
        self.call = "c-" + secrets.token_hex(16)
        self.stream = "s-" + secrets.token_hex(16)
        named = {"caller": who.caller, "called": who.called}
        self._parameters = {**who.parameters, **{name: value for name, value in named.items() if value}}
        self._sequence = 0

    def opening(self) -> Messages:
        return [json.dumps({"eventType": "start", "metadata": self._metadata(), "streamParams": self._parameters})]

    def voice(self, samples: Pcm16) -> Messages:
        self._sequence += 1
        media = {
            "eventType": "media",
            "track": "inbound",
            "sequenceNumber": str(self._sequence),
            "payload": base64.b64encode(g711.encode_mulaw(samples)).decode("ascii"),
        }
        return [json.dumps(media)]

    def lost(self) -> None:
        """The next message's sequence number is one further on."""
        self._sequence += 1

    def key(self, digit: str) -> Messages:
        return []

    def text(self, text: str) -> Messages:
        return []

    def played(self, name: str) -> Messages:
        return []

    def cleared(self, name: str) -> Messages:
        return []

    def closing(self) -> Messages:
        return [json.dumps({"eventType": "stop", "metadata": self._metadata()})]

    def receive(self, message: str | bytes) -> Sequence[FromAgent]:
        if isinstance(message, bytes):
            return [Wrong(f"a binary message of {len(message)} bytes; the carrier reads text only")]
        try:
            data = json.loads(message)
        except ValueError:
            return [Wrong(f"not JSON: {message[:60]!r}")]
        match data:
            case {"eventType": "clear"}:
                return [Cleared()]
            case {"eventType": "playAudio", "media": {"contentType": "audio/pcmu", "payload": str(payload)}}:
                try:
                    audio = base64.b64decode(payload, validate=True)
                except (binascii.Error, ValueError):
                    return [Wrong("playAudio: the payload is not base64")]
                return [Heard(g711.decode_mulaw(audio))] if audio else [Wrong("playAudio: the payload is empty")]
        return [Wrong(f"unknown message {message[:60]!r}")]

    def _metadata(self) -> dict[str, object]:
        return {
            "accountId": "5500000",
            "callId": self.call,
            "streamId": self.stream,
            "streamName": "agent",
            "tracks": [{"name": "inbound", "mediaFormat": {"encoding": "PCMU", "sampleRate": 8000}}],
        }


CALLERS = (GatewayCaller("bandwidth", BandwidthCaller),)
