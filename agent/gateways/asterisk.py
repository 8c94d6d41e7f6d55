"""Asterisk's chan_websocket: binary audio in the channel's codec, control as plain text or JSON.

The first message, MEDIA_START, tells which control format the channel uses; ours is the same from then on. Which
faults end the call is said in `agent.gateways.messages`; beyond those: a MEDIA_START that cannot be read (1007), a
codec that is not served, an Asterisk too old to name the channel, or a channel opened with the options `p` or `d(in)`,
on which nothing can be played (1003). Source: channels/chan_websocket.c, 20.20.1, 23.4.1 and 23.5.0-rc1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import quote, urlencode

from agent.gateways.base import (
    Answer,
    AudioIn,
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
)
from agent.gateways.dialplan import DialplanHook, place
from agent.gateways.gateway import Account, Gateway, Opening
from agent.gateways.messages import (
    INVALID,
    UNSUPPORTED,
    MessageError,
    Screen,
    bad_field,
    compact,
    digit_field,
    parse_object,
    shown,
    text_field,
    text_map_field,
)
from agent.gateways.rest import RestRequest
from agent.gateways.ways import Basic, Bearer
from audio.codec import Encoding

MAX_COMMAND = 128
"""Bytes of a command; Asterisk drops a longer one."""
MAX_MEDIA = 65_500
"""Bytes of an audio message; above 65,535 with its header Asterisk closes with 1009."""
HELD_MS = 2000
"""Audio held back between MEDIA_XOFF and MEDIA_XON. XON comes below 800 queued frames of 20 ms and Asterisk silently
drops what exceeds 1,000, so all that was held fits."""
_HELD_MESSAGES = 1000

ENCODINGS = {
    "ulaw": Encoding("mulaw", 8000),
    "alaw": Encoding("alaw", 8000),
    "slin": Encoding("pcm16", 8000),
    "slin12": Encoding("pcm16", 12000),
    "slin16": Encoding("pcm16", 16000),
    "slin24": Encoding("pcm16", 24000),
    "slin32": Encoding("pcm16", 32000),
    "slin48": Encoding("pcm16", 48000),
}
"""Asterisk's names of the codecs that are served."""

_CAPABILITIES = Capabilities(
    encoding=ENCODINGS["slin16"],
    frame_ms=20,
    bulk=True,
    marks="played",
    clear=True,
    dtmf_in=True,
    dtmf_out=False,
    transfer="rest",
    hangup="message",
    max_out=MAX_MEDIA,
)
_MARK = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_OURS = ("call_id", "caller", "called")
_QUIET = ("STATUS", "QUEUE_DRAINED", "MEDIA_BUFFERING_COMPLETED")
_EVENTS = ("MEDIA_START", "MEDIA_XOFF", "MEDIA_XON", "MEDIA_MARK_PROCESSED", "DTMF_END", "ERROR", *_QUIET)
_UNUSABLE = ("passthrough mode", "media direction")


class AsteriskProtocol:
    """One WebSocket channel.

    The numbers of caller and called and the caller's own channel id come as `caller`, `called` and `call_id`: in the
    query of the URL (dial option `v`), or as channel variables, which Asterisk shows in JSON only. Without `call_id`
    the call's id is that of the WebSocket channel. Mark names are at most 64 of A-Z, a-z, 0-9 and `._:-`.

    Between MEDIA_XOFF and MEDIA_XON up to `HELD_MS` of audio is held back with its marks. What comes once that is full
    is dropped, and marks with it, so that nothing dropped counts as heard. dropped_ms: how much that was.
    """

    name = "asterisk"

    def __init__(self, query: Mapping[str, str] | None = None) -> None:
        """`query` is that of the upgrade request."""
        self.dropped_ms = 0.0
        self._query = dict(query or {})
        self._capabilities = _CAPABILITIES
        self._screen = Screen()
        self._phase: Literal["waiting", "started", "stopped"] = "waiting"
        self._json = False
        self._channel_id = ""
        self._frame_bytes = 1
        self._held: list[str | bytes] | None = None
        self._held_ms = 0.0

    @property
    def capabilities(self) -> Capabilities:
        """What the channel can do; the encoding is final once MEDIA_START was received."""
        return self._capabilities

    def receive(self, message: str | bytes) -> Sequence[Event]:
        """Turn one websocket message into events; nothing more once a fault closed the connection."""
        return self._screen.take(message, self._capabilities.max_message, self._handle)

    def send(self, command: Command) -> Sequence[str | bytes]:
        """Turn a command into messages; none before MEDIA_START, after a hang-up or for what a channel cannot do."""
        if self._phase != "started" or self._screen.closed:
            return ()
        match command:
            case Play(audio) if audio:
                return self._play(audio)
            case Mark(name) if _MARK.fullmatch(name):
                return self._in_order(self._written("MARK_MEDIA", name))
            case Clear():
                # Flushing drops queued marks without a word and ends buffering.
                if self._held is not None:
                    self._held, self._held_ms = [], 0.0
                return (self._written("FLUSH_MEDIA"), self._written("START_MEDIA_BUFFERING"))
            case Hangup():
                self._phase = "stopped"
                return (self._written("HANGUP"),)
            case _:
                return ()

    def _written(self, command: str, name: str = "") -> str:
        if not self._json:
            return f"{command} {name}" if name else command
        return compact({"command": command, **({"correlation_id": name} if name else {})})

    def _play(self, audio: bytes) -> Sequence[str | bytes]:
        step = MAX_MEDIA // self._frame_bytes * self._frame_bytes
        pieces = [audio[at : at + step] for at in range(0, len(audio), step)]
        return tuple(message for piece in pieces for message in self._in_order(piece))

    def _in_order(self, message: str | bytes) -> Sequence[str | bytes]:
        """The message, or nothing while it has to wait or where it does not fit any more."""
        if self._held is None:
            return (message,)
        length_ms = len(message) * self._capabilities.frame_ms / self._frame_bytes if isinstance(message, bytes) else 0
        if self._held_ms + length_ms > HELD_MS:
            self._held_ms = HELD_MS + 1.0  # what follows, marks too, is dropped as well
            self.dropped_ms += length_ms
        elif len(self._held) < _HELD_MESSAGES:
            self._held.append(message)
            self._held_ms += length_ms
        return ()

    def _handle(self, raw: str | bytes) -> Sequence[Event]:
        if isinstance(raw, bytes):
            return self._sound(raw)
        as_json = self._json if self._phase != "waiting" else raw.lstrip().startswith("{")
        message = parse_object(raw) if as_json else _plain(raw)
        event = message.get("event")
        if not isinstance(event, str):
            raise bad_field("event", event, "the name of an event")
        if event not in _EVENTS:
            raise MessageError("unknown_event", f"event {shown(event)} is not known; it is ignored", weight="harmless")
        if event == "MEDIA_START":
            return self._start(message, as_json)
        self._require_call(event)
        return self._in_call(event, message)

    def _require_call(self, kind: str) -> None:
        if self._phase == "waiting":
            code = "media_before_start" if kind == "audio" else "not_started"
            raise MessageError(code, f"{kind} before MEDIA_START; it is dropped", weight="early")

    def _sound(self, audio: bytes) -> Sequence[Event]:
        if not audio:
            return ()
        self._require_call("audio")
        if self._phase == "stopped":
            return ()  # what was under way when we hung up
        if self._capabilities.encoding.codec == "pcm16" and len(audio) % 2:
            raise MessageError("odd_audio", f"audio of {len(audio)} bytes; send whole 16-bit samples")
        return (AudioIn(audio),)

    def _start(self, message: Mapping[str, Any], as_json: bool) -> Sequence[Event]:
        if self._phase != "waiting":
            raise MessageError("second_start", "a second MEDIA_START; one connection carries one channel")
        try:
            channel = text_field(message, "channel")
            codec = text_field(message, "format", 40)
            if "channel_id" not in message:
                detail = "MEDIA_START has no channel_id; use Asterisk 20.18, 22.8, 23.2 or newer, older ones lack marks"
                raise MessageError("unsupported_version", detail, UNSUPPORTED)
            channel_id = text_field(message, "channel_id", 150)
            if codec not in ENCODINGS:
                detail = f"format is {shown(codec)}; dial with the option c(CODEC), one of {', '.join(ENCODINGS)}"
                raise MessageError("unsupported_media", detail, UNSUPPORTED)
            encoding = ENCODINGS[codec]
            ptime = _number(message, "ptime", 10, 60)
            wanted = encoding.rate * ptime // 1000 * (2 if encoding.codec == "pcm16" else 1)
            self._frame_bytes = _number(message, "optimal_frame_size", 0, MAX_MEDIA)
            if self._frame_bytes != wanted:
                raise bad_field("optimal_frame_size", self._frame_bytes, f"{wanted}: {ptime} ms of {codec}")
            named = self._named(message)
        except MessageError as error:
            raise MessageError(error.code, f"MEDIA_START: {error.detail}", error.close or INVALID) from error
        self._phase, self._json, self._channel_id = "started", as_json, channel_id
        self._capabilities = replace(_CAPABILITIES, encoding=encoding, frame_ms=ptime)
        caller, called = (named.get(name, "").strip()[:64] or None for name in ("caller", "called"))
        return (
            CallStarted(
                gateway_call_id=named.get("call_id") or channel_id,
                stream_id=channel,
                caller=caller,
                called=called,
                parameters={key: value for key, value in named.items() if key not in _OURS},
            ),
            Answer(self._written("START_MEDIA_BUFFERING")),
        )

    def _named(self, message: Mapping[str, Any]) -> dict[str, str]:
        """What the dialplan says of the call. Variables that channels inherit keep their leading underscores in JSON;
        those with text that is not UTF-8 are null."""
        variables = message.get("channel_variables")
        if isinstance(variables, dict):
            variables = {key.lstrip("_"): value for key, value in variables.items() if value is not None}
        said = text_map_field({"channel_variables": variables}, "channel_variables")
        said = {key: value for key, value in said.items() if not key.startswith("MEDIA_WEBSOCKET_")}
        named = said | text_map_field({"query": self._query}, "query")
        if "call_id" in named:
            text_field(named, "call_id", 128)
        return named

    def _in_call(self, event: str, message: Mapping[str, Any]) -> Sequence[Event]:
        channel_id = message.get("channel_id", self._channel_id)
        if channel_id != self._channel_id:
            raise MessageError("wrong_stream", f"channel_id {shown(channel_id)} is not this channel's; it is dropped")
        match event:
            case "MEDIA_XOFF":
                self._held = self._held if self._held is not None else []
                return ()
            case "MEDIA_XON":
                held, self._held, self._held_ms = self._held or [], None, 0.0
                return tuple(Answer(item) for item in held) if self._phase == "started" else ()
            case "MEDIA_MARK_PROCESSED":
                return (MarkReached(text_field(message, "correlation_id")),)
            case "DTMF_END":
                return (Dtmf(digit_field(message, "digit")),)
            case "ERROR":
                said = message.get("error_text")
                if isinstance(said, str) and any(words in said for words in _UNUSABLE):
                    detail = f"Asterisk says {shown(said)}; dial without the options p and d"
                    raise MessageError("unsupported_media", detail, UNSUPPORTED)
                raise MessageError("gateway_error", f"Asterisk says {shown(said)}", weight="harmless")
            case _:
                return ()


def _plain(raw: str) -> dict[str, Any]:
    """An event of the plain format as its JSON twin; of a name that came twice the first counts."""
    event, _, rest = raw.partition(" ")
    if event in ("MEDIA_MARK_PROCESSED", "MEDIA_BUFFERING_COMPLETED"):
        return {"event": event, "correlation_id": rest}
    fields: dict[str, Any] = {}
    head, found, error = rest.partition("error_text:")
    for part in head.split():
        name, colon, value = part.partition(":")
        if colon:
            fields.setdefault(name, value)
    return fields | ({"error_text": error} if found else {}) | {"event": event}


def _number(message: Mapping[str, Any], name: str, low: int, high: int) -> int:
    """Read a number; the plain format writes it as text."""
    value = message.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 9:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise bad_field(name, value, f"a whole number from {low} to {high}")
    return value


@dataclass(frozen=True, slots=True)
class AriControl:
    """Asterisk's REST interface (ARI). A call is moved only where its channel runs in a Stasis application, else ARI
    answers 409; it is hung up wherever it is. Source: rest-api/api-docs/channels.json."""

    account: Account

    def __post_init__(self) -> None:
        if not self.account.url:
            raise ValueError("gateways.asterisk.api_url is missing; give ARI's, as http://ast.example.com:8088/ari")

    def transfer(self, call_id: str, target: str) -> RestRequest:
        """Send the channel on at `target` in the dialplan: `extension` or `context,extension,priority`.

        Raises:
            ValueError: it is neither.
        """
        to = place(target)
        query = {"context": to.context or "", "extension": to.extension}
        if to.priority is None or to.priority.isdigit():
            query["priority"] = to.priority or "1"
        else:
            query["label"] = to.priority
        asked = urlencode({name: value for name, value in query.items() if value})
        return self._request("POST", f"{self._channel(call_id)}/continue?{asked}")

    def hang_up(self, call_id: str) -> RestRequest:
        """End the channel."""
        return self._request("DELETE", f"{self._channel(call_id)}?reason=normal")

    def ended(self, status: int, answer: Mapping[str, Any]) -> bool:
        """Whether the channel is gone."""
        return status == 404

    def _channel(self, call_id: str) -> str:
        return f"{(self.account.url or '').rstrip('/')}/channels/{quote(call_id, safe='')}"

    def _request(self, method: str, url: str) -> RestRequest:
        return RestRequest(method, url, basic=(self.account.name, self.account.secret))


def _new(opening: Opening) -> AsteriskProtocol:
    return AsteriskProtocol(opening.query)


GATEWAYS = (
    Gateway(
        name="asterisk",
        title="Asterisk (chan_websocket)",
        new=_new,
        capabilities=_CAPABILITIES,
        ways=(Basic(), Bearer()),
        subprotocols=("media",),
        control=AriControl,
        hook=DialplanHook("asterisk"),
        wire="binary audio; control as text or JSON",
        verified="Asterisk's source at 20.20.1, 23.4.1, 23.5.0-rc1; not run against the product",
    ),
)
