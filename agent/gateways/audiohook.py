"""AudioHook version 2 of Genesys Cloud: the session that its Monitor and its Audio Connector share.

JSON text messages, numbered from 1 in each direction, around binary audio. Genesys is the client: it opens, closes and
ends the connection; we ask for the end by `disconnect`, it answers `close`, we `closed`.

Faults. A message outside the protocol (not JSON, another session's id, a wrong number, an `open` that cannot be used)
ends the session: we answer `disconnect` with the reason and await `close`; the call ends when that comes, or by the
limits on silence. Everything else that is wrong is dropped, and the session goes on. See `agent.gateways.messages` for
what closes the socket at once.

Sources: Genesys' audiohook-reference-implementation (client, server and validators); help.mypurecloud.com.
"""

from __future__ import annotations

import re
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from agent.gateways.base import (
    Answer,
    AudioIn,
    CallEnded,
    CallStarted,
    Capabilities,
    Command,
    Event,
    Fault,
    Hangup,
    MediaPaused,
    Probed,
    Refuse,
)
from agent.gateways.gateway import Opening
from agent.gateways.messages import (
    MessageError,
    Screen,
    bad_field,
    compact,
    object_field,
    optional_text_field,
    parse_object,
    shown,
    text_field,
    text_map_field,
)

NOBODY = "00000000-0000-0000-0000-000000000000"
"""The id of conversation and participant in a connection probe."""
LANGUAGES = ("en-US", "zh-CN")
"""What we say when asked for the supported languages."""
SAMPLES_PER_MS = 8
_MAX_SEQUENCE = 2**53
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_DURATION = re.compile(r"PT(\d{1,9}(?:\.\d{0,12})?|\.\d{1,12})S", re.ASCII)
_INFO = 200  # characters

Channel = Literal["external", "internal"]


class AudioHook(ABC):
    """One session, at first without audio. A subclass says which media it takes and what its own messages mean.

    lost_ms: audio that Genesys says it discarded, pauses not counted.
    """

    name: str

    def __init__(self, opening: Opening, capabilities: Capabilities, media: Sequence[Sequence[Channel]]) -> None:
        """`media`: channels we take, in order of preference."""
        self.lost_ms = 0
        self._capabilities = capabilities
        self._wanted = [list(channels) for channels in media]
        self._organization = opening.headers.get("audiohook-organization-id")
        self._session = opening.headers.get("audiohook-session-id", "").lower()
        self._screen = Screen()
        self._phase: Literal["waiting", "open", "leaving", "closed"] = "waiting"
        self._refused: str | None = None
        self._channels: list[Channel] = []
        self._paused = False
        self._sent = 0
        self._received = 0
        self._samples = 0
        self._skipped: list[tuple[float, float]] = []

    @property
    def capabilities(self) -> Capabilities:
        """Always 8 kHz mu-law."""
        return self._capabilities

    def receive(self, message: str | bytes) -> Sequence[Event]:
        """Turn one websocket message into events; what must be answered comes as `Answer`."""
        return self._screen.take(message, self._capabilities.max_message, self._handle)

    def send(self, command: Command) -> Sequence[str | bytes]:
        """Turn a command into messages; none before `opened` or once the end was asked for.

        `Refuse` before `open` gives none: the refusal follows as the answer to the first message.
        """
        if self._screen.closed:
            return ()
        match command:
            case Refuse(code) if self._phase == "waiting":
                self._refused = code
                return ()
            case Refuse(code) if self._phase == "open":
                self._refused = code
                return (self._refusal(code),)
            case Hangup(reason, context) if self._phase == "open":
                return (self.disconnect("completed", reason, self.outcome("hangup", context)),)
            case _:
                return self.obey(command) if self._phase == "open" else ()

    @abstractmethod
    def obey(self, command: Command) -> Sequence[str | bytes]:
        """Turn a command other than `Hangup` and `Refuse` into messages; the session is open."""

    @abstractmethod
    def heard(self, audio: bytes, at_ms: int) -> Sequence[Event]:
        """Take audio of all channels; `at_ms` is its place in the stream."""

    @abstractmethod
    def told(self, kind: str, parameters: Mapping[str, Any]) -> Sequence[Event]:
        """Take a message that not every AudioHook session has.

        Raises:
            MessageError: it is unknown or cannot be read.
        """

    @abstractmethod
    def limited(self, wait_ms: float) -> None:
        """Genesys takes no more for `wait_ms`."""

    def outcome(self, outcome: str, context: Mapping[str, str]) -> Mapping[str, str]:
        """Output variables of the session's end; empty where there are none."""
        return {}

    @property
    def channels(self) -> Sequence[Channel]:
        """Whose voices the audio holds, sample by sample in turn."""
        return self._channels

    @property
    def stream_ms(self) -> float:
        """The stream's position, pauses and discarded audio included."""
        received = self._samples / SAMPLES_PER_MS
        return received + sum(length for _, length in self._skipped)

    def stream_time(self, received_ms: float) -> float:
        """Where in the stream `received_ms` of the received audio is."""
        return received_ms + sum(length for at, length in self._skipped if at <= received_ms)

    def own_id(self, name: str) -> str:
        """A UUID for something of this session's: the same one for the same name."""
        return str(uuid.uuid5(uuid.UUID(self._session), name))

    def message(self, kind: str, parameters: Mapping[str, object]) -> str:
        """Write the next message."""
        self._sent += 1
        head = {"version": "2", "id": self._session, "type": kind, "seq": self._sent, "clientseq": self._received}
        return compact({**head, "parameters": parameters})

    def event(self, kind: str, data: Mapping[str, object]) -> str:
        """Write an event with one entity."""
        return self.message("event", {"entities": [{"type": kind, "data": data}]})

    def disconnect(self, reason: str, info: str, variables: Mapping[str, str] | None = None) -> str:
        """Ask Genesys to close the session."""
        self._phase = "leaving"
        parameters: dict[str, object] = {"reason": reason, "info": info[:_INFO]}
        return self.message("disconnect", {**parameters, "outputVariables": variables} if variables else parameters)

    def _refusal(self, code: str) -> str:
        return self.disconnect("unauthorized" if code in ("unauthorized", "mismatch") else "error", code)

    def _handle(self, raw: str | bytes) -> Sequence[Event]:
        if isinstance(raw, bytes):
            return self._binary(raw)
        if self._phase == "closed":
            raise MessageError("after_close", "a message after close; it is dropped")
        try:
            kind, parameters = self._envelope(raw)
        except MessageError as error:
            if self._phase == "leaving" or not self._session:
                raise
            return self._broken(error)
        match kind:
            case "close":
                return self._close(parameters)
            case "ping" if self._refused is None:
                return (Answer(self.message("pong", {})),)
            case _ if self._phase == "leaving":
                return ()
            case _ if self._refused is not None:
                return (Answer(self._refusal(self._refused)),)
            case "open":
                return self._open(parameters)
            case _ if self._phase == "waiting":
                raise MessageError("not_started", f"{shown(kind)} before open; it is dropped", weight="early")
            case _:
                return self._in_session(kind, parameters)

    def _envelope(self, raw: str) -> tuple[str, dict[str, Any]]:
        message = parse_object(raw)
        version, session = message.get("version"), uuid_field(message, "id").lower()
        number, known = _sequence(message, "seq"), _sequence(message, "serverseq")
        kind, parameters = text_field(message, "type", 64), object_field(message, "parameters")
        due, self._received = self._received + 1, number
        if version != "2":
            raise bad_field("version", version, '"2"')
        self._session = self._session or session
        if session != self._session:
            raise MessageError("wrong_session", f"id {session} is not this session's")
        if number != due:
            raise MessageError("wrong_sequence", f"seq is {number} where {due} was due")
        if known > self._sent:
            raise MessageError("wrong_sequence", f"serverseq is {known}; only {self._sent} messages were sent")
        duration_field(message, "position")
        return kind, parameters

    def _broken(self, error: MessageError, reason: str = "error") -> Sequence[Event]:
        fault = Fault(error.code, error.detail)
        if self._refused is not None:
            return fault, Answer(self._refusal(self._refused))
        return fault, Answer(self.disconnect(reason, f"{error.code}: {error.detail}"))

    def _close(self, parameters: Mapping[str, Any]) -> Sequence[Event]:
        reason = parameters.get("reason")
        self._phase = "closed"
        ended = reason if reason in ("end", "error", "disconnect", "reconnect") else "unknown"
        return Answer(self.message("closed", {})), CallEnded("refused" if self._refused is not None else ended)

    def _open(self, parameters: Mapping[str, Any]) -> Sequence[Event]:
        if self._phase != "waiting":
            raise MessageError("second_open", "a second open; one connection carries one session")
        try:
            return self._opened(parameters)
        except MessageError as error:
            unauthorized = error.code == "wrong_organization"
            return self._broken(error, "unauthorized" if unauthorized else "error")

    def _opened(self, parameters: Mapping[str, Any]) -> Sequence[Event]:
        organization = uuid_field(parameters, "organizationId")
        conversation = uuid_field(parameters, "conversationId")
        participant = object_field(parameters, "participant")
        who = uuid_field(participant, "id")
        language = optional_text_field(parameters, "language", 16)
        given = text_map_field(parameters, "inputVariables")
        name = _name(participant, "aniName")
        caller, called = _number(participant, "ani"), _number(participant, "dnis")
        if self._organization is not None and self._organization.lower() != organization.lower():
            detail = "organizationId is not the Audiohook-Organization-Id of the opening request"
            raise MessageError("wrong_organization", detail)
        offered = parameters.get("media")
        if not isinstance(offered, list):
            raise bad_field("media", offered, "a list")
        probe = conversation == who == NOBODY
        media = self._chosen(offered)
        if media is None and not probe:
            wanted = " or ".join("+".join(channels) for channels in self._wanted)
            raise MessageError("unsupported_media", f"no offered media is 8 kHz PCMU of {wanted}")
        answer: dict[str, object] = {"media": [media] if media is not None else []}
        if parameters.get("supportedLanguages") is True:
            answer["supportedLanguages"] = list(LANGUAGES)
        self._phase = "open"
        opened = Answer(self.message("opened", answer))
        if probe:
            return opened, Probed("genesys_probe")
        self._channels = media["channels"] if media is not None else []
        extra = {"language": language, "caller_name": name}
        return opened, CallStarted(
            gateway_call_id=conversation,
            stream_id=self._session,
            caller=caller,
            called=called,
            account=organization,
            parameters={**given, **{key: value for key, value in extra.items() if value is not None}},
        )

    def _chosen(self, offered: Sequence[object]) -> dict[str, Any] | None:
        """The media we like best, as it was offered."""
        fit = [
            media
            for media in offered
            if isinstance(media, dict)
            and (media.get("type"), media.get("format"), media.get("rate")) == ("audio", "PCMU", 8000)
        ]
        return next((media for wanted in self._wanted for media in fit if media.get("channels") == wanted), None)

    def _in_session(self, kind: str, parameters: Mapping[str, Any]) -> Sequence[Event]:
        match kind:
            case "paused":
                self._paused = True
                return (MediaPaused(True),)
            case "resumed":
                self._skip(parameters)
                self._paused = False
                return (MediaPaused(False),)
            case "discarded":
                self.lost_ms += round(self._skip(parameters))
                return ()
            case "update":
                text_field(parameters, "language", 16)
                return (Answer(self.message("updated", {})),)
            case "error":
                return self._error(parameters)
            case _:
                return self.told(kind, parameters)

    def _skip(self, parameters: Mapping[str, Any]) -> float:
        """Note a gap in the stream; returns its length in ms."""
        duration_field(parameters, "start")
        length = duration_field(parameters, "discarded")
        received = self._samples / SAMPLES_PER_MS
        if self._skipped and self._skipped[-1][0] == received:
            self._skipped[-1] = received, self._skipped[-1][1] + length
        elif length:
            self._skipped.append((received, length))
        return length

    def _error(self, parameters: Mapping[str, Any]) -> Sequence[Event]:
        code, said = parameters.get("code"), parameters.get("message")
        if code != 429:
            return (Fault("client_error", f"Genesys reports error {shown(code)}: {shown(said)}"),)
        wait = 1000.0 if parameters.get("retryAfter") is None else duration_field(parameters, "retryAfter")
        self.limited(wait)
        return (Fault("rate_limited", f"Genesys takes nothing for {wait:.0f} ms: {shown(said)}"),)

    def _binary(self, audio: bytes) -> Sequence[Event]:
        if not audio or self._phase == "leaving":
            return ()
        if self._phase == "waiting":
            raise MessageError("media_before_start", "audio before open; it is dropped", weight="early")
        if self._phase == "closed":
            raise MessageError("after_close", "audio after close; it is dropped")
        count = len(self._channels)
        if not count:
            raise MessageError("unexpected_audio", "audio in a probe; it is dropped")
        if self._paused:
            raise MessageError("audio_while_paused", "audio between paused and resumed; it is dropped")
        if len(audio) % count:
            raise MessageError("bad_audio", f"{len(audio)} bytes are no whole samples of {count} channels")
        at = round(self.stream_ms)
        self._samples += len(audio) // count
        return self.heard(audio, at)


def voices(audio: bytes, channels: Sequence[Channel], at_ms: int) -> list[AudioIn]:
    """Take audio of one or two channels apart; `internal` is the agent."""
    speakers: dict[Channel, Literal["caller", "agent"]] = {"external": "caller", "internal": "agent"}
    return [AudioIn(audio[index :: len(channels)], at_ms, speakers[channel]) for index, channel in enumerate(channels)]


def uuid_field(message: Mapping[str, Any], name: str) -> str:
    """Read a UUID.

    Raises:
        MessageError: `bad_field`.
    """
    value = message.get(name)
    if not isinstance(value, str) or _UUID.fullmatch(value) is None:
        raise bad_field(name, value, "a UUID")
    return value


def duration_field(message: Mapping[str, Any], name: str) -> float:
    """Read a duration such as `PT1.5S`, in ms.

    Raises:
        MessageError: `bad_field`.
    """
    value = message.get(name)
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise bad_field(name, value, "a duration in seconds such as PT1.5S")
    return float(found[1]) * 1000.0


def duration(ms: float) -> str:
    """Write a duration."""
    return f"PT{max(0.0, ms) / 1000.0:.3f}".rstrip("0").rstrip(".") + "S"


def _sequence(message: Mapping[str, Any], name: str) -> int:
    value = message.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MAX_SEQUENCE:
        raise bad_field(name, value, "a whole number")
    return value


def _name(participant: Mapping[str, Any], name: str) -> str | None:
    """Read a text that may be empty or absent."""
    return None if participant.get(name) == "" else optional_text_field(participant, name)


def _number(participant: Mapping[str, Any], name: str) -> str | None:
    """Read a telephone number, `+15550100` or `tel:+15550100`, or whatever else names a party."""
    value = _name(participant, name)
    return None if value is None else value.removeprefix("tel:") or None
