"""Sinch Voice Stream (`connectStream`): binary 16-bit PCM, JSON text commands.

Which faults end the call is said in `agent.gateways.messages`; beyond those: a `connect` that cannot be read ends it
with 1007, one with another codec or rate than PCM at 8, 16, 24 or 48 kHz is rejected in-band and ends with 1003.

Source: developers.sinch.com, Voice Stream AsyncAPI 1.0.0 and SVAML connectStream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from agent.gateways.base import (
    Answer,
    AudioIn,
    CallEnded,
    CallStarted,
    Capabilities,
    Clear,
    Command,
    Event,
    Fault,
    Play,
    Refuse,
)
from agent.gateways.gateway import Gateway, Opening
from agent.gateways.messages import (
    INVALID,
    UNSUPPORTED,
    MessageError,
    Screen,
    bad_field,
    compact,
    optional_text_field,
    parse_object,
    shown,
    text_field,
)
from agent.gateways.parameters import as_parameters
from agent.gateways.ways import Bearer
from audio.codec import Encoding

RATES = (8000, 16000, 24000, 48000)
HEARTBEAT_MS = 20_000
"""A heartbeat goes out after this much audio came in and none went out: Sinch gives up after a minute."""

_CAPABILITIES = Capabilities(
    encoding=Encoding("pcm16", 8000),
    frame_ms=20,
    bulk=True,
    marks="none",
    clear=True,
    dtmf_in=False,
    transfer="none",
    hangup="close",
)
_ANSWER, _BUSY, _REJECT, _CLEAR, _HEARTBEAT = (
    compact({"command": command}) for command in ("answer", "busy", "reject", "clear", "heartbeat")
)


class SinchProtocol:
    """One stream. The call's headers are its parameters; `caller` and `called` among them name its parties.

    Sinch waits for our answer to `connect`; a call that is turned away is answered `busy` or `reject`.
    """

    name = "sinch"

    def __init__(self, opening: Opening) -> None:
        self._stream_id = opening.call_id
        self._capabilities = _CAPABILITIES
        self._screen = Screen()
        self._phase: Literal["waiting", "started", "stopped"] = "waiting"
        self._refusal: str | None = None
        self._silent_bytes = 0
        self._heartbeat_bytes = 0

    @property
    def capabilities(self) -> Capabilities:
        """What this stream can do; the rate is final once `connect` came."""
        return self._capabilities

    def receive(self, message: str | bytes) -> Sequence[Event]:
        """Turn one websocket message into events; nothing more once a fault closed the connection."""
        return self._screen.take(message, self._capabilities.max_message, self._handle)

    def send(self, command: Command) -> Sequence[str | bytes]:
        """Turn a command into messages. `Refuse` before `connect` gives none: it is answered when `connect` comes."""
        if self._phase == "stopped" or self._screen.closed:
            return ()
        if isinstance(command, Refuse):
            self._refusal = _BUSY if command.code in ("busy", "draining") else _REJECT
            if self._phase == "waiting":
                return ()
            self._phase = "stopped"
            return (self._refusal,)
        if self._phase == "waiting":
            return ()
        match command:
            case Play(audio) if audio:
                self._silent_bytes = 0
                return (audio,)
            case Clear():
                return (_CLEAR,)
            case _:
                return ()

    def _handle(self, raw: str | bytes) -> Sequence[Event]:
        if isinstance(raw, bytes):
            return self._sound(raw)
        message = parse_object(raw)
        command = message.get("command")
        match command:
            case "connect":
                return self._start(message)
            case str():
                raise MessageError(
                    "unknown_event", f"command {shown(command)} is not known; it is ignored", weight="harmless"
                )
            case _:
                raise bad_field("command", command, "the name of a command")

    def _sound(self, audio: bytes) -> Sequence[Event]:
        if not audio:
            return ()
        if self._phase == "waiting":
            raise MessageError("media_before_start", "audio before connect; it is dropped", weight="early")
        if self._phase == "stopped":
            raise MessageError("after_stop", "audio after the call was turned away; it is dropped")
        if len(audio) % 2:
            raise MessageError("odd_audio", f"audio of {len(audio)} bytes; send whole 16-bit samples")
        self._silent_bytes += len(audio)
        if self._silent_bytes < self._heartbeat_bytes:
            return (AudioIn(audio),)
        self._silent_bytes = 0
        return (AudioIn(audio), Answer(_HEARTBEAT))

    def _start(self, message: Mapping[str, Any]) -> Sequence[Event]:
        if self._phase != "waiting":
            raise MessageError("second_start", "a second connect; one connection carries one call")
        if self._refusal is not None:
            self._phase = "stopped"
            return (Answer(self._refusal), CallEnded("refused"))
        try:
            parameters = as_parameters(_headers(message.get("callHeaders")), "callHeaders")
            started = CallStarted(
                gateway_call_id=text_field(message, "callId"),
                stream_id=self._stream_id,
                caller=optional_text_field(parameters, "caller", 64),
                called=optional_text_field(parameters, "called", 64),
                account=optional_text_field(message, "applicationKey"),
                parameters=parameters,
            )
        except MessageError as error:
            raise MessageError(error.code, f"connect: {error.detail}", INVALID) from error
        wanted: dict[str, tuple[object, ...]] = {"version": (1,), "codec": ("PCM",), "sampleRate": RATES}
        for name, choices in wanted.items():
            value = message.get(name)
            if not any(type(value) is type(choice) and value == choice for choice in choices):
                return self._rejected(f"connect: {name} is {shown(value)}; ask for one of {choices} by connectStream")
        rate = message["sampleRate"]
        self._phase = "started"
        self._heartbeat_bytes = 2 * rate * HEARTBEAT_MS // 1000
        self._capabilities = replace(_CAPABILITIES, encoding=Encoding("pcm16", rate))
        return (Answer(_ANSWER), started)

    def _rejected(self, detail: str) -> Sequence[Event]:
        self._phase = "stopped"
        self._screen.closed = True
        return (Answer(_REJECT), Fault("unsupported_media", detail, UNSUPPORTED))


def _headers(value: object) -> Mapping[str, Any]:
    """The call's headers: an object, or the list of keys and values as SVAML writes them."""
    match value:
        case None:
            return {}
        case dict():
            return value
        case list() if all(isinstance(item, dict) and isinstance(item.get("key"), str) for item in value):
            return {item["key"]: item.get("value") for item in value}
    raise bad_field("callHeaders", value, "an object")


GATEWAYS = (
    Gateway(
        name="sinch",
        title="Sinch Voice Stream",
        new=SinchProtocol,
        capabilities=_CAPABILITIES,
        ways=(Bearer(parameter="token"),),
        refuses="message",
        wire="binary L16, text JSON",
        verified="documents (AsyncAPI 1.0.0); not run",
    ),
)
