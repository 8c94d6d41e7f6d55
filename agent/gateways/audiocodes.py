"""AudioCodes VoiceAI Connect and Live Hub, Bot API in streaming mode: JSON text, audio in base64.

VoiceAI Connect leaves hearing and speaking to us (`directSTT`, `directTTS`). Which faults end the call is said in
`agent.gateways.messages`; beyond those: a session that cannot be read ends it with 1007; one without a media format
that we know, or that expects text to speak, is answered by `session.error` and ends with 1003.

Sources: techdocs.audiocodes.com, Bot API streaming mode, call transfer and hang-up; @audiocodes/ac-bot-api (names of
messages); RasaHQ/rasa voice_stream/audiocodes.py.
"""

from __future__ import annotations

import base64
import binascii
import re
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
    Dtmf,
    Event,
    Fault,
    Hangup,
    MediaPaused,
    Play,
    Probed,
    Refuse,
    ShowReply,
    ShowSpeech,
    ShowTranscript,
    Transfer,
)
from agent.gateways.gateway import Gateway, Opening
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
)
from agent.gateways.parameters import as_parameters
from agent.gateways.ways import Bearer
from audio.codec import Encoding

FORMATS = {
    "raw/lpcm16": Encoding("pcm16", 16000),
    "raw/lpcm16_24": Encoding("pcm16", 24000),
    "raw/lpcm16_8": Encoding("pcm16", 8000),
    "raw/mulaw": Encoding("mulaw", 8000),
}
"""Media formats that we take, the best first."""
RESUMED_FORMAT = "raw/lpcm16"
"""What a resumed session goes on with: `session.resume` does not say again what is offered."""
MAX_DIGITS = 32
MAX_HEADER = 200
"""Characters of a SIP header that a transfer adds."""

_CAPABILITIES = Capabilities(
    encoding=FORMATS["raw/lpcm16"],
    frame_ms=20,
    bulk=False,
    lead_ms=100.0,
    marks="none",
    clear=True,
    dtmf_in=True,
    transfer="message",
    hangup="message",
    captions=True,
)
_REASON = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_REASONS = {"busy": "Busy", "draining": "Service unavailable", "unauthorized": "Unauthorized"}
_STARTED, _STOPPED = (compact({"type": f"userStream.{state}"}) for state in ("started", "stopped"))
_VALIDATED = compact({"type": "connection.validated", "success": True})


class AudioCodesProtocol:
    """One conversation's connection.

    A play stream begins with the first audio of a reply and is stopped when the reply ends or is cut off. What the
    caller says is told as hypotheses, by which VoiceAI Connect knows of barge-in, and as recognitions.
    """

    name = "audiocodes"

    def __init__(self, opening: Opening) -> None:
        self._stream_id = opening.call_id
        self._capabilities = _CAPABILITIES
        self._screen = Screen()
        self._phase: Literal["waiting", "started", "stopped"] = "waiting"
        self._refusal: str | None = None
        self._paused = False
        self._streams = 0
        self._chunk_head: str | None = None
        self._format = RESUMED_FORMAT

    @property
    def capabilities(self) -> Capabilities:
        """What this conversation can do; the encoding is final once the session was accepted."""
        return self._capabilities

    def receive(self, message: str | bytes) -> Sequence[Event]:
        """Turn one websocket message into events; nothing more once a fault closed the connection."""
        return self._screen.take(message, self._capabilities.max_message, self._handle)

    def send(self, command: Command) -> Sequence[str]:
        """Turn a command into messages. `Refuse` before the session gives none: it answers the session's start."""
        if self._phase == "stopped" or self._screen.closed:
            return ()
        if isinstance(command, Refuse):
            self._refusal = _REASONS.get(command.code, "Refused")
            if self._phase == "waiting":
                return ()
            self._phase = "stopped"
            return (_error(self._refusal),)
        return () if self._phase == "waiting" else self._written(command)

    def _written(self, command: Command) -> Sequence[str]:
        match command:
            case Play(audio) if audio:
                return self._play(audio)
            case Clear() | ShowReply(event="done" | "interrupted"):
                return self._stop_playing()
            case ShowSpeech(on):
                return (compact({"type": f"userStream.speech.{'started' if on else 'stopped'}"}),)
            case ShowTranscript("caller", text, final) if text:
                kind = "recognition" if final else "hypothesis"
                heard: dict[str, object] = {"text": text}
                if final and command.confidence is not None:
                    heard["confidence"] = command.confidence
                return (compact({"type": f"userStream.speech.{kind}", "alternatives": [heard]}),)
            case Transfer(target, context):
                return (*self._stop_playing(), _activity("transfer", _transfer_to(target, context)))
            case Hangup(reason):
                return (*self._stop_playing(), _activity("hangup", {"hangupReason": reason}))
            case _:
                return ()

    def _play(self, audio: bytes) -> Sequence[str]:
        chunk = base64.b64encode(audio).decode("ascii")
        if self._chunk_head is not None:
            return (f'{self._chunk_head}{chunk}"}}',)
        self._streams += 1
        stream = {"streamId": str(self._streams)}
        self._chunk_head = compact({"type": "playStream.chunk", **stream, "audioChunk": ""}).removesuffix('"}')
        return (
            compact({"type": "playStream.start", **stream, "mediaFormat": self._format}),
            f'{self._chunk_head}{chunk}"}}',
        )

    def _stop_playing(self) -> Sequence[str]:
        if self._chunk_head is None:
            return ()
        self._chunk_head = None
        return (compact({"type": "playStream.stop", "streamId": str(self._streams)}),)

    def _handle(self, raw: str | bytes) -> Sequence[Event]:
        if isinstance(raw, bytes):
            if not raw:
                return ()
            raise MessageError("binary_message", f"binary message of {len(raw)} bytes; send JSON text")
        message = parse_object(raw)
        kind = message.get("type")
        match kind:
            case "userStream.chunk":
                self._require_call(kind)
                return self._chunk(message)
            case "session.initiate" | "session.resume":
                return self._start(kind, message)
            case "connection.validate":
                if self._phase != "waiting":
                    raise MessageError("validate_in_call", "connection.validate in a conversation; it is dropped")
                self._phase = "stopped"
                return (Answer(_VALIDATED), Probed("validate"))
            case "userStream.start" | "userStream.stop" | "activities" | "session.end":
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
            code = "media_before_start" if kind == "userStream.chunk" else "not_started"
            raise MessageError(code, f"{kind} before session.initiate; it is dropped", weight="early")
        if self._phase == "stopped":
            raise MessageError("after_stop", f"{kind} after the conversation's end; it is dropped")

    def _start(self, kind: str, message: Mapping[str, Any]) -> Sequence[Event]:
        if self._phase != "waiting":
            raise MessageError("second_start", f"{kind} in a conversation; one connection carries one")
        if self._refusal is not None:
            self._phase = "stopped"
            return (Answer(_error(self._refusal)), CallEnded("refused"))
        try:
            conversation = text_field(message, "conversationId")
            caller = optional_text_field(message, "caller", 128)
            parameters = as_parameters({"botName": message.get("botName")})
            offered = [RESUMED_FORMAT] if kind == "session.resume" else _offered(message)
        except MessageError as error:
            raise MessageError(error.code, f"{kind}: {error.detail}", INVALID) from error
        if message.get("expectAudioMessages", True) is not True:
            return self._turned_away("expectAudioMessages is false; set directTTS to true")
        chosen = next((name for name in FORMATS if name in offered), None)
        if chosen is None:
            return self._turned_away(f"none of the media formats is known; offer one of {', '.join(FORMATS)}")
        self._phase = "started"
        self._format = chosen
        self._capabilities = replace(_CAPABILITIES, encoding=FORMATS[chosen])
        accepted = compact({"type": "session.accepted", "mediaFormat": chosen})
        started = CallStarted(conversation, self._stream_id, caller=caller, parameters=parameters)
        return (Answer(accepted), started)

    def _turned_away(self, why: str) -> Sequence[Event]:
        self._phase = "stopped"
        self._screen.closed = True
        return (Answer(_error(why)), Fault("unsupported_media", f"session.initiate: {why}", UNSUPPORTED))

    def _in_call(self, kind: str, message: Mapping[str, Any]) -> Sequence[Event]:
        match kind:
            case "userStream.start":
                resumed, self._paused = self._paused, False
                return (Answer(_STARTED), *([MediaPaused(False)] if resumed else []))
            case "userStream.stop":
                self._paused = True
                return (Answer(_STOPPED), MediaPaused(True))
            case "activities":
                return self._activities(message)
            case _:
                reason = optional_text_field(message, "reasonCode") or ""
                self._phase = "stopped"
                return (CallEnded(reason if _REASON.fullmatch(reason) else "session_end"),)

    def _activities(self, message: Mapping[str, Any]) -> Sequence[Event]:
        activities = message.get("activities")
        if not isinstance(activities, list):
            raise bad_field("activities", activities, "a list")
        events: list[Event] = []
        for activity in activities:
            if not isinstance(activity, dict):
                raise bad_field("activities", activity, "a list of objects")
            if activity.get("type", "event") == "event" and activity.get("name") == "dtmf":
                digits = text_field(activity, "value", MAX_DIGITS)
                events += [Dtmf(digit_field({"value": digit}, "value")) for digit in digits]
        return events

    def _chunk(self, message: Mapping[str, Any]) -> Sequence[Event]:
        chunk = message.get("audioChunk")
        if not isinstance(chunk, str):
            raise bad_field("audioChunk", chunk, "base64 text")
        try:
            audio = base64.b64decode(chunk, validate=True)
        except (binascii.Error, ValueError) as error:
            raise MessageError("bad_base64", f"audioChunk of {len(chunk)} characters is not base64") from error
        if self._capabilities.encoding.codec == "pcm16" and len(audio) % 2:
            raise MessageError("odd_audio", f"audio of {len(audio)} bytes; send whole 16-bit samples")
        if not audio or message.get("participant", "caller") != "caller":
            return ()
        return (AudioIn(audio),)


def _offered(message: Mapping[str, Any]) -> list[object]:
    formats = message.get("supportedMediaFormats")
    if not isinstance(formats, list):
        raise bad_field("supportedMediaFormats", formats, "a list of media formats")
    return formats


def _error(reason: str) -> str:
    return compact({"type": "session.error", "reason": reason})


def _activity(name: str, params: Mapping[str, object]) -> str:
    return compact({"type": "activities", "activities": [{"type": "event", "name": name, "activityParams": params}]})


def _transfer_to(target: str, context: Mapping[str, str]) -> dict[str, object]:
    """Where to transfer to, why, and the context as SIP headers `X-Handoff-Id` and the like."""
    params: dict[str, object] = {"transferTarget": target if ":" in target else f"tel:{target}"}
    if context.get("reason"):
        params["handoverReason"] = context["reason"]
    if context:
        params["transferSipHeaders"] = [
            {"name": f"X-{name.replace('_', '-').title()}", "value": " ".join(value.split())[:MAX_HEADER]}
            for name, value in context.items()
        ]
    return params


GATEWAYS = (
    Gateway(
        name="audiocodes",
        title="AudioCodes VoiceAI Connect",
        new=AudioCodesProtocol,
        capabilities=_CAPABILITIES,
        ways=(Bearer(),),
        refuses="message",
        wire="text JSON, base64",
        verified="documents; the message names of @audiocodes/ac-bot-api; not run",
    ),
)
