"""RTVI 2.2.0, what pipecat's clients and its eval harness speak: JSON text, or protobuf frames from browsers.

The first message says which of the two a client speaks; it is kept. Messages: pipecat-ai 1.14.0,
processors/frameworks/rtvi/models.py; docs/gateways/rtvi.md. Which faults end a call is said in
`agent.gateways.messages`; beyond those: a `client-ready` that cannot be read (1007), a query that asks for a rate that
is not served (1003).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from agent.gateways.base import (
    Answer,
    AudioIn,
    CallEnded,
    CallStarted,
    CallTool,
    Capabilities,
    Clear,
    Command,
    Dtmf,
    Event,
    Hangup,
    MediaPaused,
    Play,
    Refuse,
    ShowReply,
    ShowSpeech,
    ShowTranscript,
    TextIn,
    ToolResult,
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
    object_field,
    optional_text_field,
    parse_object,
    shown,
    text_field,
)
from agent.gateways.rtvi_frames import AudioFrame, FrameError, MessageFrame, read_frame, write_audio, write_message
from agent.gateways.ways import Bearer
from audio.codec import Encoding
from audio.resample import StreamResampler, to_float, to_pcm16

LABEL = "rtvi-ai"
VERSION = "2.2.0"
RATE = 16_000
"""What browsers record at, pipecat's default, and what the call works with."""
PLAYER_RATE = 24_000
"""What browsers play at unless told otherwise: they do not look at the rate of what comes."""
RATES = (8000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
MAX_TEXT = 2000
"""Characters of one typed turn, as in the plain protocol."""
MAX_BATCH = 50
"""Pieces of audio in one `raw-audio-batch`."""

_CAPABILITIES = Capabilities(
    encoding=Encoding("pcm16", RATE),
    frame_ms=20,
    bulk=False,
    lead_ms=80.0,
    max_message=262_144,
    marks="none",
    clear=False,
    dtmf_in=True,
    transfer="message",
    hangup="message",
    captions=True,
)
_TYPED = Capabilities(
    encoding=Encoding("pcm16", RATE),
    marks="none",
    clear=False,
    transfer="message",
    hangup="message",
    captions=True,
    audio_in=False,
    audio_out=False,
)
_OURS = ("token", "skip_tts", "capture_bot_audio", "capture_bot_images", "rate", "call_id", "caller", "called")
_YES = ("true", "1", "yes")


class RtviProtocol:
    """One connection of an RTVI client.

    The call begins with `client-ready`. `skip_tts` (in the query, or in the eval harness's first message) makes it a
    typed call, without audio both ways. The client has no marks and drops nothing that was sent, so audio goes out only
    just ahead of its time.
    """

    name = "rtvi"

    def __init__(self, opening: Opening) -> None:
        self._call_id = opening.call_id
        self._query = opening.query
        self._screen = Screen()
        self._wire: Literal["json", "protobuf"] | None = None
        self._phase: Literal["waiting", "started", "stopped"] = "waiting"
        self._refused: str | None = None
        self._typed = _yes(opening.query.get("skip_tts"))
        self._captured = _yes(opening.query.get("capture_bot_audio"))
        self._capabilities = _TYPED if self._typed else _CAPABILITIES
        self._hears: StreamResampler | None = None
        self._plays: StreamResampler | None = None
        self._held: list[str] = []
        self._said: dict[str, str | None] = {}
        self._mute_next = False
        self._reply = _Reply()
        self._number = 0

    @property
    def capabilities(self) -> Capabilities:
        """What this client can do; whether sound flows is final once `client-ready` was received."""
        return self._capabilities

    def receive(self, message: str | bytes) -> Sequence[Event]:
        """Turn one websocket message into events; nothing more once a fault closed the connection."""
        return self._screen.take(message, self._capabilities.max_message, self._handle)

    def send(self, command: Command) -> Sequence[str | bytes]:
        """Turn a command into messages; none before `client-ready` or after the end, save for a refusal."""
        if isinstance(command, Refuse):
            self._refused = command.code
            return () if self._wire is None else (self._error(command.code),)
        if self._phase != "started" or self._screen.closed:
            return ()
        match command:
            case Play(audio):
                return self._played(audio)
            case ShowTranscript(speaker="agent", text=text, final=False):
                return self._sentence(text)
            case ShowTranscript(speaker="caller", text=text, final=final):
                return self._heard(text, final)
            case ShowReply(generation, event):
                return self._replied(generation, event)
            case Clear():
                return self._interrupted()
            case ShowSpeech(on):
                return (self._named("user-started-speaking" if on else "user-stopped-speaking"),)
            case CallTool(call_id, name, arguments):
                data = {"tool_call_id": call_id, "function_name": name, "arguments": dict(arguments)}
                started = self._named("llm-function-call-started", {"function_name": name})
                return (started, self._named("llm-function-call-in-progress", data))
            case Transfer(target, context):
                return self._parting({"type": "transfer", "target": target, "context": dict(context)})
            case Hangup(reason, context):
                return self._parting({"type": "hangup", "reason": reason, "context": dict(context)})
            case _:
                return ()

    # What the client sends.

    def _handle(self, raw: str | bytes) -> Sequence[Event]:
        if self._wire is None:
            self._wire = "json" if isinstance(raw, str) else "protobuf"
        if self._refused is not None:
            return (Answer(self._error(self._refused)), CallEnded("refused"))
        if isinstance(raw, str):
            if self._wire == "protobuf":
                raise MessageError("text_message", "a text message from a client of protobuf frames; it is dropped")
            return self._message(parse_object(raw))
        if self._wire == "json":
            raise MessageError("binary_message", f"{len(raw)} bytes from a client of JSON; it is dropped")
        try:
            frame = read_frame(raw)
        except FrameError as error:
            raise MessageError("bad_frame", f"a binary message is no protobuf frame: {error}") from error
        if isinstance(frame, MessageFrame):
            return self._message(parse_object(frame.data))
        if isinstance(frame, AudioFrame):
            return self._sound((frame.audio,), frame.rate, frame.channels)
        raise MessageError("unknown_event", f"a frame of kind {frame.kind} is ignored", weight="harmless")

    def _message(self, message: Mapping[str, Any]) -> Sequence[Event]:
        if message.get("label") != LABEL:
            raise bad_field("label", message.get("label"), LABEL)
        kind = message.get("type")
        if not isinstance(kind, str):
            raise bad_field("type", kind, "the name of a message")
        identity = optional_text_field(message, "id", 128) or ""
        if kind == "client-ready":
            return self._ready(message, identity)
        if kind == "client-message":
            return self._custom(message, identity)
        self._require_call(kind)
        match kind:
            case "raw-audio" | "raw-audio-batch":
                return self._raw_audio(object_field(message, "data"))
            case "send-text":
                return self._text(object_field(message, "data"), identity)
            case "dtmf":
                return self._keys(object_field(message, "data"))
            case "llm-function-call-result":
                data = object_field(message, "data")
                if "result" not in data:
                    raise bad_field("result", None, "what the function gave")
                result = data["result"]
                output = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
                return (ToolResult(text_field(data, "tool_call_id", 128), output),)
            case "disconnect-bot":
                self._phase = "stopped"
                return (CallEnded("disconnect_bot"),)
            case _:
                return (Answer(self._failed(identity, f"Unsupported type {kind[:64]}")),)

    def _require_call(self, kind: str) -> None:
        if self._phase == "waiting":
            code = "media_before_start" if "audio" in kind else "not_started"
            raise MessageError(code, f"{shown(kind)} before client-ready; it is dropped", weight="early")
        if self._phase == "stopped":
            code = "second_stop" if kind == "disconnect-bot" else "after_stop"
            raise MessageError(code, f"{shown(kind)} after the end of the call; it is dropped")

    def _ready(self, message: Mapping[str, Any], identity: str) -> Sequence[Event]:
        if self._phase != "waiting":
            raise MessageError("second_start", "a second client-ready; one connection carries one call")
        rate = self._player_rate()
        try:
            data = object_field(message, "data") if message.get("data") is not None else {}
            version = optional_text_field(data, "version", 32)
            about = object_field(data, "about") if data.get("about") is not None else {}
            started = CallStarted(
                gateway_call_id=optional_text_field(self._query, "call_id", 128) or self._call_id,
                stream_id=self._call_id,
                caller=optional_text_field(self._query, "caller", 64),
                called=optional_text_field(self._query, "called", 64),
                parameters=self._parameters(about),
            )
        except MessageError as error:
            raise MessageError(error.code, f"client-ready: {error.detail}", INVALID) from error
        self._phase = "started"
        self._capabilities = _TYPED if self._typed else _CAPABILITIES
        if not self._typed and rate != RATE:
            self._plays = StreamResampler(RATE, rate)
        sound = not self._typed
        able = {"audio_in": sound, "audio_out": sound, "video_in": False, "screen_in": False, "video_out": False}
        bot = {"version": VERSION, "about": {"library": "callagent"}, "capabilities": able | {"metrics": False}}
        answers: list[Event] = [started]
        if not self._typed:
            answers.append(MediaPaused(True))  # clients that mute their microphone send nothing
        if problem := _incompatible(version):
            answers.append(Answer(self._failed(identity, problem)))
        return (*answers, Answer(self._named("bot-ready", bot, identity)))

    def _player_rate(self) -> int:
        asked = self._query.get("rate")
        if asked is None:
            return PLAYER_RATE if self._wire == "protobuf" else RATE
        if not asked.isascii() or not asked.isdigit() or len(asked) > 5 or int(asked) not in RATES:
            rates = ", ".join(str(rate) for rate in RATES)
            raise MessageError("unsupported_rate", f"rate is {shown(asked)}; send one of {rates}", UNSUPPORTED)
        return int(asked)

    def _parameters(self, about: Mapping[str, Any]) -> dict[str, str]:
        """What the query says beyond what is ours, and which library the client is."""
        found = {
            name: text_field(self._query, name)
            for name, value in list(self._query.items())[:20]
            if name not in _OURS and value and len(name) <= 64
        }
        for name in ("library", "library_version", "platform"):
            value = about.get(name)
            if isinstance(value, str) and value:
                found[name] = text_field(about, name)
        return found

    def _custom(self, message: Mapping[str, Any], identity: str) -> Sequence[Event]:
        data = object_field(message, "data")
        kind = text_field(data, "t", 128)
        if kind == "eval-connect":
            flags = data.get("d")
            if self._phase == "waiting" and isinstance(flags, dict):
                self._typed = self._typed or flags.get("skip_tts") is True
                self._captured = self._captured or flags.get("capture_bot_audio") is True
            return ()
        if kind.startswith("eval-") and kind != "eval-cancel":
            return ()  # the harness awaits no answer, and we neither take its context nor its pictures
        self._require_call(kind)
        match kind:
            case "eval-cancel":
                self._phase = "stopped"
                return (CallEnded("eval_cancel"),)
            case "ping":
                return (Answer(self._named("server-response", {"t": kind, "d": data.get("d")}, identity)),)
            case "call":
                call = {"id": self._call_id}
                return (Answer(self._named("server-response", {"t": kind, "d": call}, identity)),)
            case _:
                return (Answer(self._failed(identity, f"Unknown client-message {kind[:64]}")),)

    def _raw_audio(self, data: Mapping[str, Any]) -> Sequence[Event]:
        batch = data.get("base64AudioBatch")
        pieces = batch if isinstance(batch, list) and batch else [data.get("base64Audio")]
        written = [piece for piece in pieces if isinstance(piece, str)]
        if len(pieces) > MAX_BATCH or len(written) < len(pieces):
            raise bad_field("base64Audio", pieces[0], f"base64, or at most {MAX_BATCH} of them as base64AudioBatch")
        try:
            decoded = [base64.b64decode(piece, validate=True) for piece in written]
        except (binascii.Error, ValueError) as error:
            raise MessageError("bad_base64", "base64Audio is not base64; it is dropped") from error
        return self._sound(decoded, data.get("sampleRate"), data.get("numChannels", 1))

    def _sound(self, pieces: Sequence[bytes], rate: object, channels: object) -> Sequence[Event]:
        self._require_call("audio")
        if self._typed:
            raise MessageError("audio_in_text_mode", "audio in a typed call (skip_tts); it is dropped")
        if not isinstance(rate, int) or rate not in RATES:
            raise bad_field("sampleRate", rate, "one of " + ", ".join(str(one) for one in RATES))
        if isinstance(channels, bool) or channels not in (1, 2):
            raise bad_field("numChannels", channels, "1 or 2")
        audio = b"".join(pieces)
        if len(audio) % (2 * int(str(channels))):
            raise MessageError("odd_audio", f"audio of {len(audio)} bytes; send whole 16-bit samples")
        if not audio:
            return ()
        if rate == RATE and channels == 1:
            return (AudioIn(audio),)
        return self._converted(audio, rate, channels == 2)

    def _converted(self, audio: bytes, rate: int, stereo: bool) -> Sequence[Event]:
        samples = to_float(np.frombuffer(audio, dtype="<i2").astype(np.int16, copy=False))
        if stereo:
            samples = samples.reshape(-1, 2).mean(axis=1, dtype=np.float32)
        if self._hears is None or self._hears.in_rate != rate:
            self._hears = StreamResampler(rate, RATE)
        ready = to_pcm16(self._hears.process(samples))
        return (AudioIn(_CAPABILITIES.encoding.encode(ready)),) if len(ready) else ()

    def _text(self, data: Mapping[str, Any], identity: str) -> Sequence[Event]:
        text = text_field(data, "content", MAX_TEXT).strip()
        if not text:
            raise bad_field("content", text, "words")
        options = object_field(data, "options") if data.get("options") is not None else {}
        at_once, aloud = options.get("run_immediately", True), options.get("audio_response", True)
        if not isinstance(at_once, bool) or not isinstance(aloud, bool):
            raise bad_field("options", options, "run_immediately and audio_response as true or false")
        if sum(map(len, self._held)) + len(text) > MAX_TEXT:
            self._held = []
            raise bad_field("content", text, f"at most {MAX_TEXT} characters, with what was sent to wait")
        self._held.append(text)
        if not at_once:
            return ()
        whole, self._held = " ".join(self._held), []
        self._said = {whole: identity or None}
        self._mute_next = not aloud
        return (TextIn(whole),)

    def _keys(self, data: Mapping[str, Any]) -> Sequence[Event]:
        buttons = data.get("buttons")
        if buttons is None:
            buttons = [data.get("button")]  # as before 2.1
        if not isinstance(buttons, list) or not 1 <= len(buttons) <= 32:
            raise bad_field("buttons", buttons, "1 to 32 keys")
        return tuple(Dtmf(digit_field({"buttons": button}, "buttons")) for button in buttons)

    # What the client is sent.

    def _played(self, audio: bytes) -> Sequence[str | bytes]:
        if not audio or self._typed or self._reply.mute:
            return ()
        rate = RATE
        if self._plays is not None:
            rate = self._plays.out_rate
            samples = to_float(np.frombuffer(audio, dtype="<i2").astype(np.int16, copy=False))
            audio = _CAPABILITIES.encoding.encode(to_pcm16(self._plays.process(samples)))
            if not audio:
                return ()
        if self._wire == "protobuf":
            return (write_audio(audio, rate),)
        text = base64.b64encode(audio).decode("ascii")
        if self._captured:
            return (self._named("eval-bot-audio", {"audio": text, "sampleRate": rate}),)
        return (self._named("bot-tts-audio", {"audio": text, "sample_rate": rate, "num_channels": 1}),)

    def _replied(self, generation: int, event: str) -> Sequence[str | bytes]:
        if event == "began":
            ended = self._finished(cut=False)
            self._reply = _Reply(generation, mute=self._mute_next)
            self._mute_next = False
            return (*ended, self._named("bot-llm-started"))
        if generation != self._reply.generation:
            return ()
        if event == "audible":
            if self._typed or self._reply.mute or self._reply.audible:
                return ()
            self._reply.audible = True
            return (self._named("bot-started-speaking"),)
        return self._finished(cut=event == "interrupted")

    def _sentence(self, text: str) -> Sequence[str | bytes]:
        reply = self._reply
        if not text or reply.generation is None:
            return ()
        # What comes is joined by the client as it is.
        joined = f" {text}" if reply.text and reply.text[-1].isascii() else text
        reply.text += joined
        reply.segments += 1
        aloud = not (self._typed or reply.mute)
        said = [self._named("bot-llm-text", {"text": joined})]
        if aloud and not reply.spoken:
            reply.spoken = True
            said.append(self._named("bot-tts-started"))
        if aloud:
            said.append(self._named("bot-tts-text", {"text": text}))
        output = dict.fromkeys(("output_type", "text_type", "aggregated_by"), "sentence")
        status = {"spoken": aloud, "will_be_spoken": aloud, "spoken_status": "new"}
        said.append(self._named("bot-output", {"text": text, **output, "segment_id": reply.segments, **status}))
        return said

    def _interrupted(self) -> Sequence[str | bytes]:
        if self._plays is not None:
            self._plays = StreamResampler(RATE, self._plays.out_rate)
        if self._reply.generation is None or self._reply.cut:
            return ()
        self._reply.cut = True
        return (self._named("bot-interrupted"),)

    def _finished(self, cut: bool) -> Sequence[str | bytes]:
        """The reply under way, if there is one, is over."""
        reply = self._reply
        if reply.generation is None:
            return ()
        said = [*self._interrupted()] if cut else []
        self._reply = _Reply()
        if reply.spoken:
            said.append(self._named("bot-tts-stopped"))
        if reply.audible:
            said.append(self._named("bot-stopped-speaking"))
        return (*said, self._named("bot-llm-stopped"))

    def _heard(self, text: str, final: bool) -> Sequence[str | bytes]:
        # Without a clock there is no time to tell; the models want a string.
        if text in self._said:
            if not final:
                return ()
            data: dict[str, object] = {"text": text, "input_type": "chat", "timestamp": "", "final": True}
            identity = self._said.pop(text)
            if identity is not None:
                data["msg_id"] = identity
            return (self._named("user-input", data), self._named("user-llm-text", {"text": text}))
        data = {"text": text, "user_id": "", "timestamp": "", "final": final}
        said = [
            self._named("user-transcription", data),
            self._named("user-input", {**data, "input_type": "transcription"}),
        ]
        return (*said, self._named("user-llm-text", {"text": text})) if final else said

    def _parting(self, data: Mapping[str, object]) -> Sequence[str | bytes]:
        return (*self._finished(cut=False), self._named("server-message", data))

    def _error(self, code: str) -> str | bytes:
        return self._named("error", {"error": code, "fatal": True})

    def _failed(self, identity: str, why: str) -> str | bytes:
        return self._named("error-response", {"error": why}, identity)

    def _named(self, kind: str, data: Mapping[str, object] | None = None, identity: str | None = None) -> str | bytes:
        message: dict[str, object] = {"label": LABEL, "type": kind}
        if identity is None:
            self._number += 1
            identity = f"s{self._number}"
        message["id"] = identity
        if data is not None:
            message["data"] = data
        text = compact(message)
        return write_message(text) if self._wire == "protobuf" else text


class _Reply:
    """What the client knows of the reply under way. mute: it is not to be heard."""

    def __init__(self, generation: int | None = None, mute: bool = False) -> None:
        self.generation = generation
        self.mute = mute
        self.text = ""
        self.segments = 0
        self.spoken = self.audible = self.cut = False


def _yes(value: str | None) -> bool:
    return value is not None and value.lower() in _YES


def _incompatible(version: str | None) -> str | None:
    """What a client is told whose version is none of ours; it is served all the same, as pipecat does."""
    if version is None:
        return "Client version unknown. Compatibility issues may occur."
    parts = version.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        return f"Invalid client version format ({version}). Compatibility issues may occur."
    if parts[0] not in ("1", "2"):
        return f"RTVI version {version} is not compatible with server protocol {VERSION}."
    return None


GATEWAYS = (
    Gateway(
        name="rtvi",
        title="RTVI (pipecat clients)",
        new=RtviProtocol,
        capabilities=_CAPABILITIES,
        ways=(Bearer(parameter="token"),),
        shares_key=True,
        wire="JSON text with base64 PCM16, or binary protobuf frames",
        verified="pipecat-ai 1.14.0: its message models, protobuf module and `pipecat eval` in text mode",
    ),
)
