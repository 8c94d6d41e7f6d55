"""Our own protocol, for `agent call` and whoever has no telephone gateway: JSON text, binary PCM16; docs/protocol.md.

Which faults end the call is said in `agent.gateways.messages`; beyond those: a start that cannot be read ends it with
1007, a start with another version, rate or mode than supported with 1003.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
    Hangup,
    Mark,
    MarkReached,
    Play,
    ShowState,
    ShowTranscript,
    ShowTurn,
    TextIn,
    Transfer,
)
from agent.gateways.gateway import Gateway
from agent.gateways.messages import (
    INVALID,
    UNSUPPORTED,
    MessageError,
    Screen,
    bad_field,
    compact,
    digit_field,
    optional_text_field,
    parse_object,
    shown,
    text_field,
    text_map_field,
)
from agent.gateways.ways import Bearer
from audio.codec import Encoding

VERSION = 1
RATES = (8000, 16000)
MAX_TEXT = 2000
"""Characters of one typed turn: minutes of speech, and far below what understanding would cut off."""

_CAPABILITIES = Capabilities(
    encoding=Encoding("pcm16", 16000),
    frame_ms=20,
    bulk=True,
    marks="played",
    clear=True,
    dtmf_in=True,
    dtmf_out=False,
    transfer="message",
    hangup="message",
    captions=True,
)
_REASON = re.compile(r"[a-z][a-z0-9_]{0,39}")


class PlainProtocol:
    """One connection of the plain protocol.

    The `started` message goes out before the messages of the first command sent after `CallStarted`; show a state right
    after the start so that the client need not wait for the first sound. Where the start says `"audio": false` nothing
    is played and no mark is asked for: `capabilities` then says `marks="none"`.
    """

    name = "plain"

    def __init__(self, stream_id: str) -> None:
        """`stream_id` names this connection, and the call too where the client gives no `call_id`."""
        self._stream_id = stream_id
        self._capabilities = _CAPABILITIES
        self._screen = Screen()
        self._phase: Literal["waiting", "started", "stopped"] = "waiting"
        self._mode = "voice"
        self._audio = True
        self._greeted = False

    @property
    def capabilities(self) -> Capabilities:
        """What this client can do; rate and marks are final once the start was received."""
        return self._capabilities

    def receive(self, message: str | bytes) -> Sequence[Event]:
        """Turn one websocket message into events; nothing more once a fault closed the connection."""
        return self._screen.take(message, self._capabilities.max_message, self._handle)

    def send(self, command: Command) -> Sequence[str | bytes]:
        """Turn a command into messages; none before the start or after the stop."""
        if self._phase != "started" or self._screen.closed:
            return ()
        message = self._written(command)
        if message is None:
            return ()
        if self._greeted:
            return (message,)
        self._greeted = True
        return (compact({"type": "started", "version": VERSION, "rate": self._capabilities.encoding.rate}), message)

    def _written(self, command: Command) -> str | bytes | None:
        match command:
            case Play(audio):
                return audio if audio and self._audio else None
            case Mark(name):
                return compact({"type": "mark", "name": name}) if self._audio else None
            case Clear():
                return compact({"type": "clear"}) if self._audio else None
            case ShowTranscript(speaker, text, final, turn):
                return compact({"type": "caption", "speaker": speaker, "text": text, "final": final, "turn": turn})
            case ShowState(state):
                return compact({"type": "state", "state": state})
            case ShowTurn(turn=parts):
                return compact({**parts, "type": "turn"})
            case Transfer(target):
                return compact({"type": "transfer", "target": target})
            case Hangup(reason):
                return compact({"type": "hangup", "reason": reason})
            case _:
                return None

    def _handle(self, raw: str | bytes) -> Sequence[Event]:
        if isinstance(raw, bytes):
            return self._sound(raw)
        message = parse_object(raw)
        kind = message.get("type")
        match kind:
            case "start":
                return self._start(message)
            case "dtmf" | "text" | "mark" | "stop":
                self._require_call(kind)
                return self._in_call(kind, message)
            case str():
                raise MessageError(
                    "unknown_event", f"type {shown(kind)} is not known; it is ignored", weight="harmless"
                )
            case _:
                raise bad_field("type", kind, "the name of a message")

    def _require_call(self, kind: str) -> None:
        if self._phase == "waiting":
            code = "media_before_start" if kind == "audio" else "not_started"
            raise MessageError(code, f"{kind} before start; it is dropped", weight="early")
        if self._phase == "stopped":
            code = "second_stop" if kind == "stop" else "after_stop"
            raise MessageError(code, f"{kind} after stop; it is dropped")

    def _sound(self, audio: bytes) -> Sequence[Event]:
        if not audio:
            return ()
        self._require_call("audio")
        if self._mode == "text":
            raise MessageError("audio_in_text_mode", f"{len(audio)} bytes of audio in text mode; start with mode voice")
        if len(audio) % 2:
            raise MessageError("odd_audio", f"audio of {len(audio)} bytes; send whole 16-bit samples")
        return (AudioIn(audio),)

    def _start(self, message: Mapping[str, Any]) -> Sequence[Event]:
        if self._phase != "waiting":
            raise MessageError("second_start", "a second start; one connection carries one call")
        _supported("version", message.get("version"), (VERSION,))
        _supported("rate", message.get("rate"), RATES)
        _supported("mode", message.get("mode", "voice"), ("voice", "text"))
        try:
            audio = message.get("audio", True)
            if not isinstance(audio, bool):
                raise bad_field("audio", audio, "true or false")
            started = CallStarted(
                gateway_call_id=optional_text_field(message, "call_id", 128) or self._stream_id,
                stream_id=self._stream_id,
                caller=optional_text_field(message, "caller", 64),
                called=optional_text_field(message, "called", 64),
                parameters=text_map_field(message, "parameters"),
            )
        except MessageError as error:
            raise MessageError(error.code, f"start: {error.detail}", INVALID) from error
        self._phase = "started"
        self._mode = message.get("mode", "voice")
        self._audio = audio
        self._capabilities = replace(
            _CAPABILITIES,
            encoding=Encoding("pcm16", message["rate"]),
            marks="played" if audio else "none",
            clear=audio,
            audio_in=self._mode == "voice",
            audio_out=audio,
        )
        return (started,)

    def _in_call(self, kind: str, message: Mapping[str, Any]) -> Sequence[Event]:
        match kind:
            case "dtmf":
                return (Dtmf(digit_field(message, "digit")),)
            case "text":
                text = text_field(message, "text", MAX_TEXT).strip()
                if not text:
                    raise bad_field("text", text, "words")
                return (TextIn(text),)
            case "mark":
                return (MarkReached(text_field(message, "name")),)
            case _:
                reason = optional_text_field(message, "reason") or "stop"
                if not _REASON.fullmatch(reason):
                    raise bad_field("reason", reason, "a code of a-z, 0-9 and _, at most 40 characters")
                self._phase = "stopped"
                return (CallEnded(reason),)


def _supported(name: str, value: object, choices: tuple[int | str, ...]) -> None:
    # True == 1 in Python, so the type is compared as well.
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        wanted = " or ".join(str(choice) for choice in choices)
        raise MessageError(f"unsupported_{name}", f"start: {name} is {shown(value)}; send {wanted}", UNSUPPORTED)


GATEWAYS = (
    Gateway(
        name="plain",
        title="Plain protocol",
        new=lambda opening: PlainProtocol(opening.call_id),
        capabilities=_CAPABILITIES,
        ways=(Bearer(),),
        shares_key=True,
        wire="JSON text, binary PCM16",
        verified="our own protocol (docs/protocol.md)",
    ),
)
