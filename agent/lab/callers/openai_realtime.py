"""A client of the OpenAI Realtime API, as a simulated caller uses it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from agent.lab.callers.catalogue import GatewayCaller, Who
from agent.lab.line import FRAME_MS, Cleared, FromAgent, Heard, Left, Messages, Respond, Told, Wrong
from audio.codec import Encoding, Pcm16

_RATE = 24000
_ERRORS_ALLOWED = frozenset({"response_cancel_not_active", "conversation_already_has_active_response"})
"""Errors that a client meets in normal use, by a race."""
_NEEDS: dict[str, tuple[str, ...]] = {
    "session.created": ("session",),
    "session.updated": ("session",),
    "input_audio_buffer.speech_started": ("audio_start_ms", "item_id"),
    "input_audio_buffer.speech_stopped": ("audio_end_ms", "item_id"),
    "input_audio_buffer.committed": ("item_id",),
    "input_audio_buffer.cleared": (),
    "conversation.item.added": ("item",),
    "conversation.item.done": ("item",),
    "conversation.item.truncated": ("item_id", "content_index", "audio_end_ms"),
    "conversation.item.input_audio_transcription.delta": ("item_id",),
    "conversation.item.input_audio_transcription.completed": ("item_id", "content_index", "transcript", "usage"),
    "response.created": ("response",),
    "response.done": ("response",),
    "response.output_item.added": ("response_id", "output_index", "item"),
    "response.output_item.done": ("response_id", "output_index", "item"),
    "response.content_part.added": ("response_id", "item_id", "output_index", "content_index", "part"),
    "response.content_part.done": ("response_id", "item_id", "output_index", "content_index", "part"),
    "response.output_text.delta": ("response_id", "item_id", "output_index", "content_index", "delta"),
    "response.output_text.done": ("response_id", "item_id", "output_index", "content_index", "text"),
    "response.output_audio.delta": ("response_id", "item_id", "output_index", "content_index", "delta"),
    "response.output_audio.done": ("response_id", "item_id", "output_index", "content_index"),
    "response.output_audio_transcript.delta": ("response_id", "item_id", "output_index", "content_index", "delta"),
    "response.output_audio_transcript.done": ("response_id", "item_id", "output_index", "content_index", "transcript"),
    "response.function_call_arguments.delta": ("response_id", "item_id", "output_index", "call_id", "delta"),
    "response.function_call_arguments.done": ("response_id", "item_id", "output_index", "call_id", "name", "arguments"),
    "error": ("error",),
}
_TOOLS = [
    {"type": "function", "name": name, "description": text, "parameters": {"type": "object", "properties": {}}}
    for name, text in (("transfer_call", "Hand the caller over."), ("end_call", "The call is over."))
]


class OpenAICaller:
    """A voice client with detected turns at 24 kHz (a `LineProtocol`).

    It plays what comes in order, and on `speech_started` drops what it has not played and says how far it got
    (`conversation.item.truncate`), as the API's guide asks of websocket clients. It declares the functions by which the
    agent hands over and hangs up. What no client of that API would understand is `Wrong`.
    """

    rate = _RATE

    def __init__(self, who: Who | None = None) -> None:
        self._encoding = Encoding("pcm16", _RATE)
        self._events: set[str] = set()
        self._response: str | None = None
        self._item: str | None = None
        self._queued_ms = 0.0
        self._played_ms = 0.0
        self._sent = 0

    def opening(self) -> Messages:
        audio = {
            "input": {
                "format": {"type": "audio/pcm", "rate": _RATE},
                "transcription": {"model": "any"},
                "turn_detection": {"type": "server_vad"},
            },
            "output": {"format": {"type": "audio/pcm", "rate": _RATE}},
        }
        session = {"type": "realtime", "output_modalities": ["audio"], "tools": _TOOLS, "audio": audio}
        return [self._event("session.update", session=session)]

    def voice(self, samples: Pcm16) -> Messages:
        step = min(FRAME_MS, self._queued_ms)
        self._queued_ms -= step
        self._played_ms += step
        payload = base64.b64encode(self._encoding.encode(samples)).decode("ascii")
        return [self._event("input_audio_buffer.append", audio=payload)]

    def lost(self) -> None:
        """Nothing says so in this protocol: the frame is missing."""

    def key(self, digit: str) -> Messages:
        """The API has no keys."""
        return []

    def text(self, text: str) -> Messages:
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        return [self._event("conversation.item.create", item=item), self._event("response.create")]

    def played(self, name: str) -> Messages:
        return []

    def cleared(self, name: str) -> Messages:
        return []

    def closing(self) -> Messages:
        return []

    def receive(self, message: str | bytes) -> Sequence[FromAgent]:
        if isinstance(message, bytes):
            return [Wrong(f"a binary message of {len(message)} bytes; this API has text only")]
        try:
            event = json.loads(message)
        except ValueError:
            return [Wrong(f"not JSON: {message[:60]!r}")]
        if not isinstance(event, dict) or not isinstance(kind := event.get("type"), str):
            return [Wrong(f"no 'type' in {message[:60]!r}")]
        if kind not in _NEEDS:
            return [Wrong(f"unknown event {kind!r}")]
        lacks = [name for name in ("event_id", *_NEEDS[kind]) if name not in event]
        if lacks:
            return [Wrong(f"{kind}: {', '.join(lacks)} missing")]
        if event["event_id"] in self._events:
            return [Wrong(f"{kind}: event_id {event['event_id']!r} came before")]
        self._events.add(event["event_id"])
        if "response_id" in event and event["response_id"] != self._response:
            return [Wrong(f"{kind}: response {event['response_id']!r} is not open")]
        return self._read(kind, event)

    def _read(self, kind: str, event: dict[str, Any]) -> Sequence[FromAgent]:
        match kind:
            case "response.output_audio.delta":
                return self._play(event)
            case "response.created":
                if self._response is not None:
                    return [Wrong("response.created: another response is open")]
                self._response = event["response"].get("id")
            case "response.done":
                if event["response"].get("id") != self._response:
                    return [Wrong("response.done: that response is not open")]
                self._response = None
            case "input_audio_buffer.speech_started":
                return [Told(event), *self._flush()]
            case "response.function_call_arguments.done":
                return self._called(event)
            case "error" if event["error"].get("code") not in _ERRORS_ALLOWED:
                return [Wrong(f"error: {event['error'].get('code')}: {event['error'].get('message')}")]
        return [Told(event)]

    def _play(self, event: Mapping[str, Any]) -> Sequence[FromAgent]:
        try:
            audio = base64.b64decode(event["delta"], validate=True)
        except (binascii.Error, TypeError, ValueError):
            return [Wrong("output_audio.delta: the delta is not base64")]
        if not audio or len(audio) % 2:
            return [Wrong(f"output_audio.delta: {len(audio)} bytes are no whole samples")]
        if event["item_id"] != self._item:
            self._item, self._played_ms = event["item_id"], 0.0
        self._queued_ms += len(audio) * 1000.0 / (2 * _RATE)
        return [Heard(self._encoding.decode(audio))]

    def _flush(self) -> Sequence[FromAgent]:
        if self._queued_ms <= 0 or self._item is None:
            return []
        self._queued_ms = 0.0
        fields = {"item_id": self._item, "content_index": 0, "audio_end_ms": int(self._played_ms)}
        return [Cleared(), Respond([self._event("conversation.item.truncate", **fields)])]

    def _called(self, event: Mapping[str, Any]) -> Sequence[FromAgent]:
        name = event["name"]
        try:
            arguments = json.loads(event["arguments"])
        except (TypeError, ValueError):
            return [Wrong(f"{name}: the arguments are not JSON")]
        item = {"type": "function_call_output", "call_id": event["call_id"], "output": '{"ok":true}'}
        done = Respond([self._event("conversation.item.create", item=item)])
        match name:
            case "transfer_call":
                return [done, Told(event), Left(f"transfer:{arguments.get('target')}")]
            case "end_call":
                return [done, Told(event), Left(f"hangup:{arguments.get('reason')}")]
        return [Wrong(f"function {name!r} was not declared")]

    def _event(self, kind: str, **fields: object) -> str:
        self._sent += 1
        return json.dumps({"type": kind, "event_id": f"client_{self._sent}", **fields})


CALLERS = (GatewayCaller("openai", OpenAICaller, query="model=any", subprotocols=("realtime",)),)
