"""Twilio Media Streams, both ways (`<Connect><Stream>`): JSON text messages, mu-law at 8 kHz in base64.

Which faults end the call is said in `agent.gateways.messages`; beyond those: a start that cannot be read ends it with
1007, since no other start will come, and a start with another media format than 8 kHz mono mu-law with 1003. Unknown
events, a wrong streamSid, a second start, a second stop and media before the start or after the stop are dropped.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from agent.gateways.base import (
    AudioIn,
    CallEnded,
    CallStarted,
    Capabilities,
    Clear,
    Command,
    Dtmf,
    Event,
    Mark,
    MarkReached,
    Play,
)
from agent.gateways.messages import (
    INVALID,
    UNSUPPORTED,
    MessageError,
    Screen,
    bad_field,
    compact,
    digit_field,
    object_field,
    optional_text_field,
    parse_object,
    shown,
    text_field,
    text_map_field,
)
from audio.codec import Encoding

_CAPABILITIES = Capabilities(
    encoding=Encoding("mulaw", 8000),
    frame_ms=20,
    bulk=True,
    marks="played",
    clear=True,
    dtmf_in=True,
    dtmf_out=False,
    transfer="rest",
    hangup="close",
)
_SAMPLES_PER_MS = 8
_FRAME_MS = 20


class TwilioProtocol:
    """One Media Streams connection.

    The stream parameters `caller` and `called`, which our own TwiML sets, fill those fields of `CallStarted`; Twilio
    itself sends neither. After `clear` Twilio returns every pending mark at once, so a `MarkReached` for a mark sent
    before a `Clear` does not prove that its audio was heard: whoever keeps the heard ledger decides that.

    sequence_gaps: how often a sequence number was not the one after the last.
    lost_ms: audio missing upstream, in ms, by jumps of the media timestamp of at least a frame (20 ms).
    """

    name = "twilio"

    def __init__(self) -> None:
        self.sequence_gaps = 0
        self.lost_ms = 0
        self._screen = Screen()
        self._phase: Literal["waiting", "started", "stopped"] = "waiting"
        self._stream_sid = ""
        self._media_head = ""
        self._sequence: int | None = None
        self._next_timestamp: int | None = None

    @property
    def capabilities(self) -> Capabilities:
        """Always 8 kHz mu-law, with true marks and clear; transfer by REST, hang-up by closing or REST."""
        return _CAPABILITIES

    def receive(self, message: str | bytes) -> Sequence[Event]:
        """Turn one websocket message into events; nothing more once a fault closed the connection."""
        return self._screen.take(message, _CAPABILITIES.max_message, self._handle)

    def send(self, command: Command) -> Sequence[str]:
        """Turn a command into messages; none before the start, after the stop, or for what Twilio cannot do in-band."""
        if self._phase != "started" or self._screen.closed:
            return ()
        match command:
            case Play(audio) if audio:
                # 50 a second of every call: put together without the JSON encoder
                return (f'{self._media_head}{base64.b64encode(audio).decode("ascii")}"}}}}',)
            case Mark(name):
                return (self._message("mark", mark={"name": name}),)
            case Clear():
                return (self._message("clear"),)
            case _:
                return ()

    def _message(self, event: str, **content: object) -> str:
        return compact({"event": event, "streamSid": self._stream_sid, **content})

    def _handle(self, raw: str | bytes) -> Sequence[Event]:
        if isinstance(raw, bytes):
            if not raw:
                return ()
            raise MessageError("binary_message", f"binary message of {len(raw)} bytes; send JSON text")
        message = parse_object(raw)
        event = message.get("event")
        if self._phase == "started" and message.get("streamSid", self._stream_sid) == self._stream_sid:
            self._follow(_number(message, "sequenceNumber"))
        match event:
            case "connected":
                return ()
            case "start":
                return self._start(message)
            case "media" | "mark" | "dtmf" | "stop":
                return self._in_call(event, message)
            case str():
                raise MessageError(
                    "unknown_event", f"event {shown(event)} is not known; it is ignored", weight="harmless"
                )
            case _:
                raise bad_field("event", event, "the name of an event")

    def _start(self, message: Mapping[str, Any]) -> Sequence[Event]:
        if self._phase != "waiting":
            raise MessageError("second_start", "a second start; one connection carries one stream")
        try:
            start = object_field(message, "start")
            stream_sid = text_field(start if "streamSid" in start else message, "streamSid")
            call_sid = text_field(start, "callSid")
            account = optional_text_field(start, "accountSid")
            parameters = text_map_field(start, "customParameters")
            media_format = object_field(start, "mediaFormat")
            self._sequence = _number(message, "sequenceNumber")
        except MessageError as error:
            raise MessageError(error.code, f"start: {error.detail}", INVALID) from error
        wanted = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        for name, value in wanted.items():
            if media_format.get(name) != value:
                detail = f"mediaFormat.{name} is {shown(media_format.get(name))}; only {value!r} is supported"
                raise MessageError("unsupported_media", detail, UNSUPPORTED)
        self._phase = "started"
        self._stream_sid = stream_sid
        self._media_head = self._message("media", media={"payload": ""}).removesuffix('"}}')
        return (
            CallStarted(
                gateway_call_id=call_sid,
                stream_id=stream_sid,
                caller=parameters.get("caller"),
                called=parameters.get("called"),
                account=account,
                parameters=parameters,
            ),
        )

    def _in_call(self, event: str, message: Mapping[str, Any]) -> Sequence[Event]:
        if self._phase == "waiting":
            code = "media_before_start" if event == "media" else "not_started"
            raise MessageError(code, f"{event} before start; it is dropped", weight="early")
        stream_sid = message.get("streamSid", self._stream_sid)
        if stream_sid != self._stream_sid:
            raise MessageError("wrong_stream", f"streamSid {shown(stream_sid)} is not this connection's; it is dropped")
        if self._phase == "stopped":
            code = "second_stop" if event == "stop" else "after_stop"
            raise MessageError(code, f"{event} after stop; it is dropped")
        match event:
            case "media":
                return self._media(message)
            case "mark":
                return (MarkReached(text_field(object_field(message, "mark"), "name")),)
            case "dtmf":
                return (Dtmf(digit_field(object_field(message, "dtmf"), "digit")),)
            case _:
                self._phase = "stopped"
                return (CallEnded("stop"),)

    def _media(self, message: Mapping[str, Any]) -> Sequence[Event]:
        media = object_field(message, "media")
        payload = media.get("payload")
        if not isinstance(payload, str):
            raise bad_field("media.payload", payload, "base64 text")
        try:
            audio = base64.b64decode(payload, validate=True)
        except (binascii.Error, ValueError) as error:
            raise MessageError("bad_base64", f"media.payload of {len(payload)} characters is not base64") from error
        timestamp = _number(media, "timestamp")
        if media.get("track", "inbound") != "inbound" or not audio:
            return ()
        if timestamp is not None:
            if self._next_timestamp is not None and timestamp - self._next_timestamp >= _FRAME_MS:
                self.lost_ms += timestamp - self._next_timestamp
            self._next_timestamp = timestamp + len(audio) // _SAMPLES_PER_MS
        return (AudioIn(audio, timestamp),)

    def _follow(self, number: int | None) -> None:
        if number is None:
            return
        if self._sequence is not None and number != self._sequence + 1:
            self.sequence_gaps += 1
        self._sequence = number


def _number(message: Mapping[str, Any], name: str) -> int | None:
    """Read a counter: Twilio writes them as strings, its look-alikes as numbers; None where it is absent."""
    value = message.get(name)
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18:
        return value
    raise bad_field(name, value, "a whole number of at most 18 digits")
