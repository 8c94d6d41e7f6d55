"""FreeSWITCH by its streaming modules: mod_audio_fork (drachtio, jambonz) and mod_audio_stream (amigniter).

Both connect to us, send one text message of metadata and then the call's sound as binary 16-bit PCM. They differ in how
we answer. mod_audio_fork plays binary audio itself and knows marks; the community edition of mod_audio_stream only
writes what we send into files and tells a script of the operator's, which plays them.

Which faults end the call is said in `agent.gateways.messages`; beyond those: metadata whose fields cannot be read, or
none, end it with 1007, a sample rate or mix that is not supported with 1003.

Sources: jambonz/freeswitch-modules @30f2189 (mod_audio_fork), amigniter/mod_audio_stream @ec2a781.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

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
    object_field,
    parse_object,
    shown,
    text_field,
)
from agent.gateways.parameters import as_parameters
from agent.gateways.ways import Basic, Bearer
from audio.codec import Encoding

RATES = (8000, 16000, 24000, 32000, 48000)
MIXES = ("mono", "mixed", "stereo")
MAX_METADATA = 8192
"""Bytes of metadata that mod_audio_fork keeps."""
MAX_MARKS = 30
"""Marks that mod_audio_fork remembers; more are dropped without a word."""
MARKER = b"\xff\xff"
"""A sample of -1 is how mod_audio_fork writes a mark into its own buffer."""
_FLUSH_SAMPLES = 640
"""mod_audio_fork keeps less than this back until more comes."""

_FORK = Capabilities(
    encoding=Encoding("pcm16", 8000),
    frame_ms=80,
    bulk=True,
    lead_ms=160.0,
    max_message=262_144,
    max_out=262_144,
    marks="played",
    clear=True,
    transfer="message",
    hangup="message",
    captions=True,
)


@dataclass(frozen=True, slots=True)
class Names:
    """Fields of the metadata that name the call and its parties; the first that is there counts."""

    call: tuple[str, ...] = ("callSid", "callId", "call_id", "uuid")
    caller: tuple[str, ...] = ("caller", "from")
    called: tuple[str, ...] = ("called", "to")


class ForkProtocol:
    """One connection of mod_audio_fork with bidirectional audio in streaming mode.

    The metadata names the call (see `Names`); where it is no JSON object, or there is none, the URL's query has to
    (`uuid`). The rate and the mix are those of the `uuid_audio_fork` command, which the module does not say: they come
    from the metadata (`sampleRate`, `mixType`), else from the query (`rate`, `mix`), else they are 8000 and mono. Of
    stereo the left channel, the caller, is taken.

    Three things of the module's that its users must know, and that are dealt with here. It plays nothing before 640
    samples came, so pieces have at least that. It marks places by samples of -1, so such samples of the audio become 0.
    And a mark that `killAudio` clears swallows a later one: as many samples of -1 as were cleared, sent before the next
    audio, are swallowed in their stead.
    """

    def __init__(
        self,
        opening: Opening,
        name: str = "freeswitch-fork",
        capabilities: Capabilities = _FORK,
        names: Names = Names(),
    ) -> None:
        """name, capabilities: as the gateway's record has them; the rate is set by the start. names: see `Names`."""
        self.name = name
        self._opening = opening
        self._names = names
        self._capabilities = capabilities
        self._screen = Screen()
        self._phase: Literal["waiting", "started", "stopped"] = "waiting"
        self._channels = 1
        self._marks: dict[str, bool] = {}
        self._swallowed = 0

    @property
    def capabilities(self) -> Capabilities:
        """What this connection can do; the rate is final once the metadata was received."""
        return self._capabilities

    def receive(self, message: str | bytes) -> Sequence[Event]:
        """Turn one websocket message into events; nothing more once a fault closed the connection."""
        return self._screen.take(message, self._capabilities.max_message, self._handle)

    def send(self, command: Command) -> Sequence[str | bytes]:
        """Turn a command into messages; none before the start or after the end."""
        if self._phase != "started" or self._screen.closed:
            return ()
        message = self._written(command)
        return () if message is None else (message,)

    def _written(self, command: Command) -> str | bytes | None:
        match command:
            case Play(audio):
                return self._audio(audio) if audio else None
            case Mark(name):
                if len(self._marks) >= MAX_MARKS:
                    return None
                self._marks[name] = False
                return _typed("mark", {"name": name})
            case Clear():
                return compact({"type": "killAudio"})
            case _:
                return told(command)

    def _audio(self, audio: bytes) -> bytes:
        samples = np.frombuffer(audio, dtype="<i2")
        taken_for_marks = samples == -1
        if taken_for_marks.any():
            audio = np.where(taken_for_marks, np.int16(0), samples).astype("<i2").tobytes()
        for name in self._marks:
            self._marks[name] = True
        swallowed, self._swallowed = self._swallowed, 0
        return MARKER * swallowed + audio

    def _handle(self, raw: str | bytes) -> Sequence[Event]:
        if isinstance(raw, bytes):
            return self._sound(raw)
        if self._phase == "waiting":
            return (self._start(raw),)
        if self._phase == "stopped":
            raise MessageError("after_stop", "text after the end; it is dropped")
        try:
            message = parse_object(raw)
        except MessageError as error:
            raise MessageError("unknown_event", f"text {shown(raw)} is ignored", weight="harmless") from error
        return self._told(message)

    def _sound(self, raw: bytes) -> Sequence[Event]:
        if self._phase == "stopped":
            raise MessageError("after_stop", f"{len(raw)} bytes after the end; they are dropped")
        if not raw:
            if self._phase == "waiting":
                return ()
            self._phase = "stopped"
            return (CallEnded("shutdown"),)
        if self._phase == "waiting" and "uuid" not in self._opening.query:
            detail = "audio and no metadata; name the call by metadata, or by uuid in the URL's query"
            raise MessageError("media_before_start", detail, INVALID)
        first = (self._start(None),) if self._phase == "waiting" else ()
        if len(raw) % (2 * self._channels):
            if first:
                raise MessageError("odd_audio", f"first message of {len(raw)} bytes; send metadata first", INVALID)
            raise MessageError("odd_audio", f"audio of {len(raw)} bytes; send whole 16-bit samples of each channel")
        if self._channels == 2:
            raw = np.frombuffer(raw, dtype="<i2")[::2].tobytes()
        return (*first, AudioIn(raw))

    def _start(self, raw: str | None) -> CallStarted:
        query = self._opening.query
        try:
            metadata = _metadata(raw, "uuid" in query)
            call = self._named(metadata, self._names.call) or text_field(query, "uuid")
            rate = _chosen("sampleRate", metadata.get("sampleRate", query.get("rate", "8000")), map(str, RATES))
            mix = _chosen("mixType", metadata.get("mixType", query.get("mix", "mono")), MIXES)
            started = CallStarted(
                gateway_call_id=call,
                stream_id=self._opening.call_id,
                caller=self._named(metadata, self._names.caller),
                called=self._named(metadata, self._names.called),
                parameters=metadata,
            )
        except MessageError as error:
            raise MessageError(error.code, f"start: {error.detail}", error.close or INVALID) from error
        self._phase = "started"
        self._channels = 2 if mix == "stereo" else 1
        self._capabilities = self._at_rate(int(rate))
        return started

    def _at_rate(self, rate: int) -> Capabilities:
        frame_ms = max(40, _FLUSH_SAMPLES * 1000 // rate)
        return replace(self._capabilities, encoding=Encoding("pcm16", rate), frame_ms=frame_ms)

    def _named(self, parameters: Mapping[str, str], names: Sequence[str]) -> str | None:
        for name in names:
            if parameters.get(name):
                return text_field(parameters, name)
        return None

    def _told(self, message: Mapping[str, Any]) -> Sequence[Event]:
        if message.get("event") == "dtmf":
            return (Dtmf(digit_field(message, "dtmf" if "dtmf" in message else "digit")),)
        if message.get("type") == "mark":
            return self._mark(object_field(message, "data"))
        if message.get("type") == "playDone":
            return ()
        kind = message.get("type", message.get("event"))
        raise MessageError("unknown_event", f"message {shown(kind)} is not known; it is ignored", weight="harmless")

    def _mark(self, data: Mapping[str, Any]) -> Sequence[Event]:
        name, event = text_field(data, "name"), data.get("event")
        if event not in ("playout", "cleared"):
            raise bad_field("data.event", event, "playout or cleared")
        placed = self._marks.pop(name, False)
        if event == "playout":
            return (MarkReached(name),)
        self._swallowed += placed
        return ()


class StreamProtocol(ForkProtocol):
    """One connection of mod_audio_stream, whose community edition writes each message we send into a file.

    Each file is played by the operator's script when the module's event names it, so pieces are long, and nothing says
    what was heard. Everything else we send reaches that script as it is. What it does not do by itself is asked for in
    the URL's query: `clear=yes` where it stops the sound at `{"type":"killAudio"}`; `playback=binary` for the
    commercial edition, which plays binary audio.
    """

    def __init__(self, opening: Opening) -> None:
        binary = opening.query.get("playback") == "binary"
        can = replace(
            _FORK,
            frame_ms=20 if binary else 600,
            lead_ms=160.0 if binary else 600.0,
            marks="none",
            clear=opening.query.get("clear") == "yes",
        )
        super().__init__(opening, "freeswitch-stream", can)
        self._binary = binary
        self._head = ""

    def _at_rate(self, rate: int) -> Capabilities:
        data = {"audioDataType": "raw", "sampleRate": rate, "audioData": ""}
        self._head = _typed("streamAudio", data).removesuffix('"}}')
        return replace(self._capabilities, encoding=Encoding("pcm16", rate))

    def _written(self, command: Command) -> str | bytes | None:
        match command:
            case Play(audio):
                if not audio or self._binary:
                    return audio or None
                return f'{self._head}{base64.b64encode(audio).decode("ascii")}"}}}}'
            case Clear():
                return compact({"type": "killAudio"}) if self._capabilities.clear else None
            case _:
                return told(command)


def told(command: Command) -> str | None:
    """Write what the module only passes on, as an event, to whoever controls FreeSWITCH; None for anything else."""
    match command:
        case Transfer(target, context):
            return _typed("transfer", {**context, "target": target})
        case Hangup(reason, context):
            return _typed("disconnect", {**context, "reason": reason})
        case ShowTranscript(speaker, text, final, turn):
            return _typed("transcription", {"speaker": speaker, "text": text, "final": final, "turn": turn})
        case _:
            return None


def _typed(kind: str, data: Mapping[str, object]) -> str:
    return compact({"type": kind, "data": data})


def _metadata(raw: str | None, free: bool) -> dict[str, str]:
    """The metadata's fields as texts; where it is `free`, text that is no JSON object is one field, `metadata`."""
    if not raw:
        return {}
    if len(raw) > MAX_METADATA:
        raise MessageError("bad_field", f"metadata of {len(raw)} characters; send at most {MAX_METADATA}", INVALID)
    try:
        fields = parse_object(raw)
    except MessageError:
        if not free:
            raise
        fields = {"metadata": raw}
    return as_parameters(fields, "metadata")


def _chosen(name: str, value: str, choices: Sequence[str] | map[str]) -> str:
    wanted = tuple(choices)
    if value not in wanted:
        detail = f"{name} is {shown(value)}; send {' or '.join(wanted)}"
        raise MessageError("unsupported_media", detail, UNSUPPORTED)
    return value


GATEWAYS = (
    Gateway(
        name="freeswitch-fork",
        title="FreeSWITCH mod_audio_fork",
        new=ForkProtocol,
        capabilities=_FORK,
        ways=(Basic(),),
        subprotocols=("audio.drachtio.org", "audio.jambonz.org"),
        wire="binary L16, text JSON",
        verified="the module's source (jambonz/freeswitch-modules @30f2189); not run",
    ),
    Gateway(
        name="freeswitch-stream",
        title="FreeSWITCH mod_audio_stream",
        new=StreamProtocol,
        capabilities=replace(_FORK, frame_ms=600, lead_ms=600.0, marks="none", clear=False),
        ways=(Bearer(), Basic()),
        wire="binary L16 in, text JSON with base64 files out",
        verified="the module's source (amigniter/mod_audio_stream @ec2a781); not run",
    ),
)
