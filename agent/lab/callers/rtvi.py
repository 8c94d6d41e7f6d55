"""A pipecat client's half of RTVI: a browser with protobuf frames, or a program with JSON text."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from agent.gateways.rtvi_frames import AudioFrame, FrameError, MessageFrame, read_frame, write_audio, write_message
from agent.lab.callers.catalogue import GatewayCaller, Who
from agent.lab.line import FromAgent, Heard, Left, Messages, Told, Wrong
from audio.codec import Encoding, Pcm16

LABEL = "rtvi-ai"
VERSION = "2.2.0"
RATE = 16_000
CHUNK = 512
"""Bytes that @pipecat-ai/websocket-transport records before it sends them: 16 ms."""

_TEXTS = ("bot-llm-text", "bot-tts-text", "bot-transcription", "user-llm-text")
_PAIRS = {
    "bot-llm-started": "bot-llm-stopped",
    "bot-tts-started": "bot-tts-stopped",
    "bot-started-speaking": "bot-stopped-speaking",
}
_STOPS = {stop: start for start, stop in _PAIRS.items()}
_BARE = ("user-started-speaking", "user-stopped-speaking", "bot-interrupted")


class RtviCaller:
    """Writes and reads the messages of one client (a `LineProtocol`); nothing it was sent is dropped, as in browsers.

    Shapes: pipecat-ai 1.14.0's message models, @pipecat-ai/client-js 1.13.1 and websocket-transport 1.7.1.
    """

    rate = RATE

    def __init__(self, wire: Literal["protobuf", "json"] = "protobuf", typed: bool = False) -> None:
        """typed: the line was opened with `skip_tts=true`; no sound is sent, and none may come."""
        self._wire = wire
        self._typed = typed
        self._encoding = Encoding("pcm16", RATE)
        self._recorded = b""
        self._ready_id = secrets.token_hex(4)
        self._ready = False
        self._open: set[str] = set()
        self._sent = 0

    def opening(self) -> Messages:
        about = {"library": "@pipecat-ai/client-js", "library_version": "1.13.1", "platform": "Linux"}
        return [self._message("client-ready", {"version": VERSION, "about": about}, self._ready_id)]

    def voice(self, samples: Pcm16) -> Messages:
        if self._typed:
            return []
        self._recorded += self._encoding.encode(samples)
        chunks = []
        while len(self._recorded) >= CHUNK:
            chunk, self._recorded = self._recorded[:CHUNK], self._recorded[CHUNK:]
            chunks.append(self._audio(chunk))
        return chunks

    def lost(self) -> None:
        """Nothing says so in this protocol: the frame is missing."""

    def key(self, digit: str) -> Messages:
        return [self._message("dtmf", {"buttons": [digit]})] if digit in "0123456789*#" else []

    def text(self, text: str) -> Messages:
        options = {"run_immediately": True, "audio_response": not self._typed}
        return [self._message("send-text", {"content": text, "options": options})]

    def played(self, name: str) -> Messages:
        return []

    def cleared(self, name: str) -> Messages:
        return []

    def closing(self) -> Messages:
        return [self._message("disconnect-bot")]

    def receive(self, message: str | bytes) -> Sequence[FromAgent]:
        if isinstance(message, str):
            return self._read(message) if self._wire == "json" else [Wrong("text to a client of protobuf frames")]
        if self._wire == "json":
            return [Wrong(f"{len(message)} bytes to a client of JSON")]
        try:
            frame = read_frame(message)
        except FrameError as error:
            return [Wrong(f"no frame: {error}")]
        if isinstance(frame, AudioFrame):
            return self._heard(frame.audio, frame.rate, frame.channels)
        return (
            self._read(frame.data) if isinstance(frame, MessageFrame) else [Wrong(f"Unknown frame kind {frame.kind}")]
        )

    def _heard(self, audio: bytes, rate: object, channels: object) -> Sequence[FromAgent]:
        if not self._ready:
            return [Wrong("audio before bot-ready")]
        if self._typed:
            return [Wrong("audio in a typed call")]
        if rate != RATE or channels != 1 or not audio or len(audio) % 2:
            return [
                Wrong(f"{len(audio)} bytes of audio at {rate} Hz in {channels} channels; the player takes 16 kHz mono")
            ]
        return [Heard(self._encoding.decode(audio))]

    def _read(self, text: str) -> Sequence[FromAgent]:
        try:
            message = json.loads(text)
        except ValueError:
            return [Wrong(f"not JSON: {text[:60]!r}")]
        if not isinstance(message, dict) or message.get("label") != LABEL or not isinstance(message.get("type"), str):
            return [Wrong(f"no RTVI message: {text[:60]!r}")]
        kind, data = message["type"], message.get("data")
        if kind == "bot-ready":
            return self._bot_ready(message)
        if not self._ready and kind not in ("error", "error-response"):
            return [Wrong(f"{kind} before bot-ready")]
        wrong = self._order(kind) or _shape(kind, data if isinstance(data, dict) else {}, data)
        if wrong:
            return [Wrong(wrong)]
        if kind == "bot-tts-audio":
            return self._json_audio(message["data"])
        told: list[FromAgent] = [Told(message)]
        if kind == "error" and message["data"]["fatal"]:
            told.append(Left(f"error:{message['data']['error']}"))
        if kind == "server-message" and isinstance(data, dict):
            if data.get("type") == "transfer":
                told.append(Left(f"transfer:{data.get('target')}"))
            elif data.get("type") == "hangup":
                told.append(Left(f"hangup:{data.get('reason')}"))
        return told

    def _bot_ready(self, message: Mapping[str, Any]) -> Sequence[FromAgent]:
        data = message.get("data")
        if self._ready:
            return [Wrong("a second bot-ready")]
        if message.get("id") != self._ready_id:
            return [Wrong(f"bot-ready: id is {message.get('id')!r}, not that of client-ready")]
        if not isinstance(data, dict) or not str(data.get("version")).startswith("2."):
            return [Wrong("bot-ready: no version 2")]
        able = data.get("capabilities")
        if not isinstance(able, dict) or able.get("audio_out") is not (not self._typed):
            return [Wrong(f"bot-ready: capabilities are {able!r}")]
        self._ready = True
        return [Told(message)]

    def _order(self, kind: str) -> str | None:
        if kind in _PAIRS:
            if kind in self._open:
                return f"a second {kind}"
            self._open.add(kind)
        elif kind in _STOPS:
            if _STOPS[kind] not in self._open:
                return f"{kind} without {_STOPS[kind]}"
            self._open.discard(_STOPS[kind])
        elif kind == "bot-llm-text" and "bot-llm-started" not in self._open:
            return "bot-llm-text outside a response"
        return None

    def _json_audio(self, data: Mapping[str, Any]) -> Sequence[FromAgent]:
        try:
            audio = base64.b64decode(data["audio"], validate=True)
        except (binascii.Error, ValueError):
            return [Wrong("bot-tts-audio: the audio is not base64")]
        return self._heard(audio, data["sample_rate"], data["num_channels"])

    def _audio(self, audio: bytes) -> str | bytes:
        if self._wire == "protobuf":
            return write_audio(audio, RATE)
        text = base64.b64encode(audio).decode("ascii")
        return self._message("raw-audio", {"base64Audio": text, "sampleRate": RATE, "numChannels": 1})

    def _message(self, kind: str, data: Mapping[str, Any] | None = None, identity: str | None = None) -> str | bytes:
        self._sent += 1
        message = {"label": LABEL, "type": kind, "id": identity or f"c{self._sent}", "data": data or {}}
        text = json.dumps(message)
        return write_message(text) if self._wire == "protobuf" else text


_SHAPES: dict[str, dict[str, type]] = {
    **{kind: {"text": str} for kind in _TEXTS},
    "bot-output": {"text": str, "output_type": str},
    "user-transcription": {"text": str, "user_id": str, "timestamp": str, "final": bool},
    "user-input": {"text": str, "input_type": str, "timestamp": str, "final": bool},
    "bot-tts-audio": {"audio": str, "sample_rate": int, "num_channels": int},
    "llm-function-call-started": {},
    "llm-function-call-in-progress": {"tool_call_id": str},
    "llm-function-call-stopped": {"tool_call_id": str, "cancelled": bool},
    "server-response": {"t": str},
    "error-response": {"error": str},
    "error": {"error": str, "fatal": bool},
    "system-log": {"text": str},
    "metrics": {},
}


def _shape(kind: str, data: Mapping[str, Any], given: object) -> str | None:
    if kind in _PAIRS or kind in _STOPS or kind in _BARE:
        return None
    if kind == "server-message":
        return None if given is not None else "server-message: no data"
    if kind not in _SHAPES:
        return f"unknown type {kind!r}"
    wrong = [name for name, type_ in _SHAPES[kind].items() if not isinstance(data.get(name), type_)]
    return f"{kind}: {', '.join(wrong)} missing or of another type" if wrong else None


def _new(who: Who) -> RtviCaller:
    return RtviCaller()


CALLERS = (GatewayCaller("rtvi", _new, query=f"rate={RATE}"),)
