"""Asterisk's half of chan_websocket, as a simulated caller uses it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from agent.lab.callers.catalogue import GatewayCaller, Who
from agent.lab.line import Cleared, FromAgent, Heard, Left, Marked, Messages, Respond, Wrong
from audio.codec import Encoding, Pcm16

_CODECS = {
    "ulaw": Encoding("mulaw", 8000),
    "alaw": Encoding("alaw", 8000),
    "slin": Encoding("pcm16", 8000),
    "slin16": Encoding("pcm16", 16000),
    "slin24": Encoding("pcm16", 24000),
    "slin48": Encoding("pcm16", 48000),
}
_MAX_COMMAND, _MAX_MESSAGE = 128, 65_531
_XON, _XOFF, _FULL = 800, 900, 1000
"""Frames queued; source: channels/chan_websocket.c."""
_COMMANDS = (
    "ANSWER",
    "HANGUP",
    "START_MEDIA_BUFFERING",
    "STOP_MEDIA_BUFFERING",
    "MARK_MEDIA",
    "FLUSH_MEDIA",
    "GET_STATUS",
    "REPORT_QUEUE_DRAINED",
    "PAUSE_MEDIA",
    "CONTINUE_MEDIA",
    "SET_MEDIA_DIRECTION",
)


class AsteriskCaller:
    """Writes and reads the messages of one WebSocket channel, as chan_websocket does (a `LineProtocol`).

    A frame of 20 ms in the channel's codec per binary message. It counts what it queued and plays one frame for each
    it sends, so XOFF and XON come where Asterisk sends them. Flushing drops marks silently and ends buffering; while
    nothing is buffered, part of a frame is lost, which is reported as `Wrong`, as is all that Asterisk would not take.
    """

    def __init__(
        self, who: Who | None = None, codec: str = "slin16", control: Literal["text", "json"] = "json"
    ) -> None:
        """`codec`: as Asterisk calls it. Who calls travels as channel variables, which only JSON shows."""
        who = who or Who()
        self.rate = _CODECS[codec].rate
        self.channel_id = f"{1_795_300_000 + secrets.randbelow(90_000)}.{secrets.randbelow(90)}"
        self._codec = codec
        self._encoding = _CODECS[codec]
        self._frame = len(self._encoding.silence(self.rate // 50))
        self._json = control == "json"
        named = {"__caller": who.caller, "__called": who.called}
        self._variables = {key: value for key, value in named.items() if value} | dict(who.parameters)
        self._buffering = False
        self._rest = b""
        self._queued = 0
        self._off = False

    def opening(self) -> Messages:
        start: dict[str, Any] = {
            "connection_id": "agent",
            "channel": f"WebSocket/agent/0x{secrets.token_hex(6)}",
            "channel_id": self.channel_id,
            "format": self._codec,
            "optimal_frame_size": self._frame,
            "ptime": 20,
        }
        if self._json:
            start["channel_variables"] = {
                "MEDIA_WEBSOCKET_OPTIMAL_FRAME_SIZE": str(self._frame),
                "MEDIA_WEBSOCKET_CONNECTION_ID": "agent",
            } | self._variables
            return [json.dumps({"event": "MEDIA_START", **start}, separators=(",", ":"))]
        return ["MEDIA_START " + " ".join(f"{name}:{value}" for name, value in start.items())]

    def voice(self, samples: Pcm16) -> Messages:
        sent: list[str | bytes] = []
        self._queued = max(0, self._queued - 1)
        if self._off and self._queued < _XON:
            self._off = False
            sent.append(self._event("MEDIA_XON"))
        return [*sent, self._encoding.encode(samples)]

    def lost(self) -> None:
        """Nothing counts the frames."""

    def key(self, digit: str) -> Messages:
        return [self._event("DTMF_END", digit=digit)]

    def text(self, text: str) -> Messages:
        return []

    def played(self, name: str) -> Messages:
        if self._json:
            return [self._event("MEDIA_MARK_PROCESSED", correlation_id=name)]
        return [f"MEDIA_MARK_PROCESSED {name}".rstrip()]

    def cleared(self, name: str) -> Messages:
        return []

    def closing(self) -> Messages:
        return []

    def receive(self, message: str | bytes) -> Sequence[FromAgent]:
        if isinstance(message, bytes):
            return self._sound(message)
        if not message or len(message.encode()) > _MAX_COMMAND:
            return [Wrong(f"a command of {len(message.encode())} bytes; Asterisk takes 1 to {_MAX_COMMAND}")]
        if not self._json:
            command, _, name = message.strip().partition(" ")
            return self._command(command, name)
        try:
            data = json.loads(message)
        except ValueError:
            return [Wrong(f"not JSON: {message[:60]!r}")]
        if not isinstance(data, dict):
            return [Wrong(f"not an object: {message[:60]!r}")]
        return self._command(str(data.get("command")), str(data.get("correlation_id") or ""))

    def _command(self, command: str, name: str) -> Sequence[FromAgent]:
        if command not in _COMMANDS:
            return [Wrong(f"unknown command {command[:60]!r}")]
        if command == "HANGUP":
            return [Left("hangup")]
        if command == "START_MEDIA_BUFFERING":
            self._buffering = True
        elif command == "STOP_MEDIA_BUFFERING":
            self._buffering, self._rest = False, b""
            return [Respond([self._event("MEDIA_BUFFERING_COMPLETED", correlation_id=name)])] if self._json else []
        elif command == "MARK_MEDIA":
            return [Marked(name)]
        elif command == "FLUSH_MEDIA":
            self._buffering, self._rest, self._queued = False, b"", 0
            return [Cleared()]
        return []

    def _sound(self, message: bytes) -> Sequence[FromAgent]:
        if len(message) > _MAX_MESSAGE:
            return [Wrong(f"a message of {len(message)} bytes; Asterisk closes with 1009"), Left("too_big")]
        if self._queued >= _FULL:
            return [Wrong(f"the queue is full, {len(message)} bytes are dropped")]
        data = self._rest + message if self._buffering else message
        whole = len(data) // self._frame * self._frame
        self._rest = data[whole:] if self._buffering else b""
        said: list[FromAgent] = []
        if whole < len(data) and not self._buffering:
            said.append(Wrong(f"{len(data) - whole} bytes are no whole frame and nothing is buffered; they are lost"))
        self._queued += whole // self._frame
        if not self._off and self._queued >= _XOFF:
            self._off = True
            said.append(Respond([self._event("MEDIA_XOFF")]))
        samples = self._encoding.decode(data[:whole]) if whole else np.zeros(0, dtype=np.int16)
        return [*said, Heard(samples)] if whole else said

    def _event(self, name: str, **fields: str) -> str:
        if self._json:
            return json.dumps({"event": name, "channel_id": self.channel_id, **fields}, separators=(",", ":"))
        if not fields:
            return name
        return " ".join([name, *(f"{key}:{value}" for key, value in fields.items()), f"channel_id:{self.channel_id}"])


CALLERS = (GatewayCaller("asterisk", AsteriskCaller, subprotocols=("media",)),)
