"""The carrier's half of Twilio Media Streams, as a simulated caller uses it."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from agent.lab.line import FRAME_MS, Cleared, FromAgent, Heard, Marked, Messages, Wrong
from audio.codec import Encoding, Pcm16


class TwilioCaller:
    """Writes and reads the messages of one bidirectional stream, as the carrier does (a `LineProtocol`).

    8 kHz mu-law in 20 ms messages; sequence numbers, chunks and timestamps count as the carrier's do. A message of the
    server's that the carrier would reject is reported as `Wrong`. Codes and shapes: Twilio's documentation of
    "Media Streams WebSocket messages". Carriers that speak a dialect of it derive theirs from this.
    """

    rate = 8000
    encoding = Encoding("mulaw", 8000)
    stream_field = "streamSid"
    sequence_field = "sequenceNumber"
    addressed = True
    """The server's messages name the stream."""

    def __init__(
        self, caller: str | None = None, called: str | None = None, parameters: Mapping[str, str] | None = None
    ) -> None:
        """`caller` and `called` travel as custom parameters of these names, as the agent's own TwiML sends them."""
        self.stream = "MZ" + secrets.token_hex(16)
        self.call = "CA" + secrets.token_hex(16)
        self.account = "AC" + secrets.token_hex(16)
        named = {"caller": caller, "called": called}
        self._parameters = {key: value for key, value in named.items() if value} | dict(parameters or {})
        self._sequence = 0
        self._chunk = 0

    def opening(self) -> Messages:
        connected = json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        return [connected, self._event("start", self._start())]

    def _start(self) -> dict[str, Any]:
        return {
            "accountSid": self.account,
            "streamSid": self.stream,
            "callSid": self.call,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": self._parameters,
        }

    def voice(self, samples: Pcm16) -> Messages:
        self._chunk += 1
        media = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str((self._chunk - 1) * FRAME_MS),
            "payload": base64.b64encode(self.encoding.encode(samples)).decode("ascii"),
        }
        return [self._event("media", media)]

    def lost(self) -> None:
        """The next message's chunk and timestamp are one frame further on."""
        self._chunk += 1

    def key(self, digit: str) -> Messages:
        return [self._event("dtmf", {"track": "inbound_track", "digit": digit})]

    def text(self, text: str) -> Messages:
        return []

    def played(self, name: str) -> Messages:
        return [self._event("mark", {"name": name})]

    def cleared(self, name: str) -> Messages:
        return self.played(name)

    def closing(self) -> Messages:
        return [self._event("stop", {"accountSid": self.account, "callSid": self.call})]

    def receive(self, message: str | bytes) -> Sequence[FromAgent]:
        if isinstance(message, bytes):
            return [Wrong(f"a binary message of {len(message)} bytes; the carrier reads text only")]
        try:
            data = json.loads(message)
        except ValueError:
            return [Wrong(f"not JSON: {message[:60]!r}")]
        if not isinstance(data, dict) or not isinstance(event := data.get("event"), str):
            return [Wrong(f"no 'event' in {message[:60]!r}")]
        if self.addressed and data.get(self.stream_field) != self.stream:
            return [Wrong(f"{event}: {self.stream_field} is {data.get(self.stream_field)!r}, not this stream's")]
        return self._read(event, data)

    def _read(self, event: str, data: dict[str, Any]) -> Sequence[FromAgent]:
        body = data.get(event)
        body = body if isinstance(body, dict) else {}
        if event == "media":
            return [self._heard(body)]
        if event == "mark":
            return [marked(event, body)]
        if event == "clear":
            return [Cleared()]
        return [Wrong(f"unknown event {event!r}")]

    def _heard(self, body: Mapping[str, Any]) -> FromAgent:
        try:
            audio = base64.b64decode(body.get("payload", ""), validate=True)
        except (binascii.Error, TypeError, ValueError):
            return Wrong("media: the payload is not base64")
        if not audio:
            return Wrong("media: the payload is empty")
        if (wrong := self._size(len(audio))) is not None:
            return Wrong(f"media: {wrong}")
        return Heard(self.encoding.decode(audio))

    def _size(self, size: int) -> str | None:
        """What is wrong with `size` bytes of audio; None where nothing is."""
        return "half a sample" if self.encoding.codec == "pcm16" and size % 2 else None

    def _event(self, event: str, body: dict[str, Any]) -> str:
        self._sequence += 1
        return json.dumps(
            {"event": event, self.sequence_field: str(self._sequence), event: body, self.stream_field: self.stream}
        )


def marked(event: str, body: Mapping[str, Any]) -> FromAgent:
    """A mark by the name in `body`."""
    name = body.get("name")
    return Marked(name) if isinstance(name, str) and name else Wrong(f"{event}: no name")
