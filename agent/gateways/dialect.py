"""Media streams as JSON text with audio in base64: one parser for Twilio's protocol and all that speak like it.

Which faults end the call is said in `agent.gateways.messages`; beyond those: a start that cannot be read ends it with
1007, since no other start will come, and a start with a codec, rate or channel count that is not supported with 1003.
Unknown events, another stream's id, a second start, a second stop and media before the start or after the stop are
dropped.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
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
from agent.gateways.l16 import ByteOrder, Order
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
from agent.gateways.reorder import Reorder
from agent.gateways.usual import UsualMessage
from audio.codec import Codec, Encoding

_MAX_HEADERS = 2048  # characters of a vendor's text of parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """The words in which one vendor speaks the protocol, and what it does differently.

    capabilities: before the start says otherwise. stream, call, account, caller, called, parameters, media_format,
    rate, channels, sequence: the names of these fields; None where the vendor has none. formats: its names of codecs,
    lower-case. rates: those accepted of each codec. play, mark, played, clear, cleared: the names of these events.
    flat_marks: a mark's name stands beside the event, not in an object. described: our audio says its format.
    addressed: our messages name the stream. headers: parameters come as one text, `a=1;b=2` or JSON. window: audio
    overtakes itself; a missing chunk is waited for until so many later ones came. ordered: samples are little-endian.
    framed: what else of `capabilities` follows from the encoding. least, multiple: of the bytes of one audio message.
    """

    name: str
    capabilities: Capabilities
    formats: Mapping[str, Codec]
    rates: Mapping[Codec, tuple[int, ...]]
    stream: str = "streamSid"
    call: str = "callSid"
    account: str | None = "accountSid"
    caller: str | None = None
    called: str | None = None
    parameters: str = "customParameters"
    media_format: str = "mediaFormat"
    rate: str = "sampleRate"
    channels: str | None = "channels"
    sequence: str = "sequenceNumber"
    play: str = "media"
    mark: str = "mark"
    played: str = "mark"
    clear: str = "clear"
    cleared: str | None = None
    flat_marks: bool = False
    described: bool = False
    addressed: bool = True
    headers: bool = False
    window: int = 0
    ordered: bool = True
    framed: Callable[[Encoding], Mapping[str, float]] | None = None
    least: int = 0
    multiple: int = 1


MULAW: Mapping[str, Codec] = MappingProxyType({"audio/x-mulaw": "mulaw", "audio/mulaw": "mulaw", "pcmu": "mulaw"})
ALAW: Mapping[str, Codec] = MappingProxyType({"audio/x-alaw": "alaw", "audio/alaw": "alaw", "pcma": "alaw"})
L16: Mapping[str, Codec] = MappingProxyType({"audio/x-l16": "pcm16", "audio/l16": "pcm16", "l16": "pcm16"})


class StreamProtocol:
    """One media stream in a dialect.

    The stream parameters `caller` and `called`, which our own scripts set, fill those fields of `CallStarted` where the
    vendor itself sends neither. After a clear most vendors return every pending mark at once, so a `MarkReached` for a
    mark sent before a `Clear` does not prove that its audio was heard: whoever keeps the heard ledger decides that.

    sequence_gaps: how often a sequence number was not the one after the last, where they come in order.
    lost_ms: audio missing upstream, in ms, by jumps of the media timestamp of at least a frame.
    """

    def __init__(self, dialect: Dialect, order: Order | None = None) -> None:
        """`order` of the bytes of 16-bit samples, where it is known and the dialect leaves it open."""
        self.name = dialect.name
        self.sequence_gaps = 0
        self.lost_ms = 0
        self._dialect = dialect
        self._order = None if dialect.ordered else ByteOrder(order)
        self._chunks: Reorder[AudioIn] | None = Reorder(dialect.window) if dialect.window else None
        self._capabilities = dialect.capabilities
        self._screen = Screen()
        self._usual = UsualMessage()
        self._phase: Literal["waiting", "started", "stopped"] = "waiting"
        self._stream = ""
        self._media_head = ""
        self._sequence: int | None = None
        self._next_timestamp: int | None = None
        self._sample, self._bytes_per_ms = 1, 8

    @property
    def capabilities(self) -> Capabilities:
        """What this vendor can do; codec, rate and length of frames are final once the start was received."""
        return self._capabilities

    @property
    def late(self) -> int:
        """Pieces of audio that came after their turn had passed, and were dropped."""
        return self._chunks.late if self._chunks is not None else 0

    def receive(self, message: str | bytes) -> Sequence[Event]:
        """Turn one websocket message into events; nothing more once a fault closed the connection."""
        heard = self.hear(message)
        return heard if heard is not None else self._screen.take(message, self._capabilities.max_message, self._handle)

    def hear(self, message: str | bytes) -> Sequence[AudioIn] | None:
        """See `agent.gateways.base.Hears`."""
        if self._phase != "started" or not isinstance(message, str) or len(message) > self._capabilities.max_message:
            return None
        fields = self._usual.read(message)
        if fields is None or self._screen.closed:
            return None
        payload, sequence, timestamp, chunk = fields
        try:
            audio = binascii.a2b_base64(payload or "", strict_mode=True)
        except binascii.Error:
            return None
        if len(audio) % self._sample:
            return None
        if sequence is not None:
            self._count(int(sequence))
        self._screen.passed()
        return self._pieces(audio, None if timestamp is None else int(timestamp), None if chunk is None else int(chunk))

    def send(self, command: Command) -> Sequence[str]:
        """Turn a command into messages; none before the start, after the stop, or for what cannot be done in-band."""
        if self._phase != "started" or self._screen.closed:
            return ()
        match command:
            case Play(audio) if audio:
                # 50 a second of every call: put together without the JSON encoder
                return (f'{self._media_head}{base64.b64encode(self._written(audio)).decode("ascii")}"}}}}',)
            case Mark(name):
                named = {"name": name} if self._dialect.flat_marks else {"mark": {"name": name}}
                return (self._message(self._dialect.mark, **named),)
            case Clear():
                return (self._message(self._dialect.clear),)
            case _:
                return ()

    def _written(self, audio: bytes) -> bytes:
        dialect, encoding = self._dialect, self._capabilities.encoding
        if len(audio) < dialect.least or len(audio) % dialect.multiple:
            wanted = max(dialect.least, -(-len(audio) // dialect.multiple) * dialect.multiple)
            audio += encoding.silence(wanted)[: wanted - len(audio)]
        return self._order.write(audio) if self._order is not None and encoding.codec == "pcm16" else audio

    def _message(self, event: str, **content: object) -> str:
        address = {self._dialect.stream: self._stream} if self._dialect.addressed else {}
        return compact({"event": event, **address, **content})

    def _handle(self, raw: str | bytes) -> Sequence[Event]:
        if isinstance(raw, bytes):
            if not raw:
                return ()
            raise MessageError("binary_message", f"binary message of {len(raw)} bytes; send JSON text")
        message = parse_object(raw)
        event = message.get("event")
        if self._phase == "started" and message.get(self._dialect.stream, self._stream) == self._stream:
            self._count(number_field(message, self._dialect.sequence))
        if not isinstance(event, str):
            raise bad_field("event", event, "the name of an event")
        if event == "connected" or event == self._dialect.cleared:
            return ()
        if event == "start":
            return self._start(message)
        if event in ("media", "dtmf", "stop") or event == self._dialect.played:
            return self._in_call(event, message, raw)
        if event == "error":
            raise MessageError("gateway_error", f"{self.name} reports {_complaint(message)}", weight="harmless")
        raise MessageError("unknown_event", f"event {shown(event)} is not known; it is ignored", weight="harmless")

    def _start(self, message: Mapping[str, Any]) -> Sequence[Event]:
        if self._phase != "waiting":
            raise MessageError("second_start", "a second start; one connection carries one stream")
        dialect = self._dialect
        try:
            start = object_field(message, "start")
            stream = text_field(start if dialect.stream in start else message, dialect.stream)
            call = text_field(start, dialect.call)
            account = _said(start, dialect.account)
            parameters = self._parameters(message, start)
            caller, called = _said(start, dialect.caller), _said(start, dialect.called)
            media_format = object_field(start, dialect.media_format)
            sequence = number_field(message, dialect.sequence)
        except MessageError as error:
            raise MessageError(error.code, f"start: {error.detail}", INVALID) from error
        encoding = self._encoding(media_format)
        extra: Mapping[str, Any] = dialect.framed(encoding) if dialect.framed else {}
        self._capabilities = replace(dialect.capabilities, encoding=encoding, **extra)
        self._sample = 2 if encoding.codec == "pcm16" else 1
        self._bytes_per_ms = encoding.rate // 1000 * self._sample
        self._phase, self._stream, self._sequence = "started", stream, sequence
        described: dict[str, object] = {}
        if dialect.described:
            kind = next(name for name, codec in dialect.formats.items() if codec == encoding.codec)
            described = {"contentType": kind, "sampleRate": encoding.rate}
        self._media_head = self._message(dialect.play, media={**described, "payload": ""}).removesuffix('"}}')
        return (
            CallStarted(
                gateway_call_id=call,
                stream_id=stream,
                caller=caller or parameters.get("caller"),
                called=called or parameters.get("called"),
                account=account,
                parameters=parameters,
            ),
        )

    def _parameters(self, message: Mapping[str, Any], start: Mapping[str, Any]) -> dict[str, str]:
        if not self._dialect.headers:
            return text_map_field(start, self._dialect.parameters)
        holder = message if self._dialect.parameters in message else start
        if isinstance(holder.get(self._dialect.parameters), dict):
            return text_map_field(holder, self._dialect.parameters)
        if not holder.get(self._dialect.parameters):
            return {}
        return _headers(text_field(holder, self._dialect.parameters, _MAX_HEADERS), self._dialect.parameters)

    def _encoding(self, media_format: Mapping[str, Any]) -> Encoding:
        dialect, where = self._dialect, self._dialect.media_format
        name = media_format.get("encoding")
        codec = dialect.formats.get(name.lower()) if isinstance(name, str) else None
        if codec is None:
            raise _unsupported(f"{where}.encoding", name, dialect.formats)
        try:
            rate = number_field(media_format, dialect.rate)
        except MessageError:
            rate = None
        if rate not in dialect.rates[codec]:
            raise _unsupported(f"{where}.{dialect.rate}", media_format.get(dialect.rate), dialect.rates[codec])
        if dialect.channels and media_format.get(dialect.channels) not in (1, "1"):
            raise _unsupported(f"{where}.{dialect.channels}", media_format.get(dialect.channels), (1,))
        return Encoding(codec, rate)

    def _in_call(self, event: str, message: Mapping[str, Any], raw: str) -> Sequence[Event]:
        if self._phase == "waiting":
            code = "media_before_start" if event == "media" else "not_started"
            raise MessageError(code, f"{event} before start; it is dropped", weight="early")
        stream = message.get(self._dialect.stream, self._stream)
        if stream != self._stream:
            field = self._dialect.stream
            raise MessageError("wrong_stream", f"{field} {shown(stream)} is not this connection's; it is dropped")
        if self._phase == "stopped":
            code = "second_stop" if event == "stop" else "after_stop"
            raise MessageError(code, f"{event} after stop; it is dropped")
        match event:
            case "media":
                return self._media(message, raw)
            case "dtmf":
                return (Dtmf(digit_field(object_field(message, "dtmf"), "digit")),)
            case "stop":
                self._phase = "stopped"
                rest = self._chunks.rest() if self._chunks is not None else []
                return (*rest, CallEnded("stop"))
            case _:
                holder = message if self._dialect.flat_marks else object_field(message, "mark")
                return (MarkReached(text_field(holder, "name")),)

    def _media(self, message: Mapping[str, Any], raw: str) -> Sequence[Event]:
        media = object_field(message, "media")
        payload = media.get("payload")
        if not isinstance(payload, str):
            raise bad_field("media.payload", payload, "base64 text")
        try:
            audio = base64.b64decode(payload, validate=True)
        except (binascii.Error, ValueError) as error:
            raise MessageError("bad_base64", f"media.payload of {len(payload)} characters is not base64") from error
        timestamp = number_field(media, "timestamp")
        chunk = number_field(media, "chunk") if self._chunks is not None else None
        if media.get("track", "inbound") not in ("inbound", "inbound_track") or not audio:
            return ()
        if len(audio) % self._sample:
            raise MessageError("odd_audio", f"audio of {len(audio)} bytes; send whole 16-bit samples")
        self._learn(raw, payload, message, media)
        return self._pieces(audio, timestamp, chunk)

    def _learn(self, raw: str, payload: str, message: Mapping[str, Any], media: Mapping[str, Any]) -> None:
        fields = {self._dialect.sequence: message, "timestamp": media, "chunk": media}
        try:
            counters = {name: number_field(holder, name) for name, holder in fields.items()}
        except MessageError:  # a chunk that is no number, where nobody asks for it
            return
        self._usual.learn(raw, ("payload", payload), counters)

    def _pieces(self, audio: bytes, timestamp: int | None, chunk: int | None) -> Sequence[AudioIn]:
        if self._order is not None and self._sample == 2:
            audio = self._order.read(audio)
        heard = AudioIn(audio, timestamp)
        if self._chunks is None or chunk is None:
            self._measure(heard)
            return (heard,)
        pieces = self._chunks.put(chunk, heard)
        for piece in pieces:
            self._measure(piece)
        return pieces

    def _measure(self, heard: AudioIn) -> None:
        if heard.timestamp_ms is None:
            return
        missing = 0 if self._next_timestamp is None else heard.timestamp_ms - self._next_timestamp
        length_ms = len(heard.audio) // self._bytes_per_ms
        if missing >= max(20, length_ms):
            self.lost_ms += missing
        self._next_timestamp = heard.timestamp_ms + length_ms

    def _count(self, number: int | None) -> None:
        if number is None:
            return
        if self._sequence is not None and number != self._sequence + 1 and self._chunks is None:
            self.sequence_gaps += 1
        self._sequence = number


def number_field(message: Mapping[str, Any], name: str) -> int | None:
    """Read a counter: Twilio writes them as strings, others as numbers; None where it is absent.

    Raises:
        MessageError: `bad_field`.
    """
    value = message.get(name)
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18:
        return value
    raise bad_field(name, value, "a whole number of at most 18 digits")


def _said(start: Mapping[str, Any], name: str | None) -> str | None:
    """An optional text that may be empty, as an anonymous caller's number is."""
    return None if name is None or start.get(name) == "" else optional_text_field(start, name)


def _unsupported(name: str, value: object, choices: Mapping[str, Any] | Sequence[int]) -> MessageError:
    wanted = " or ".join(str(choice) for choice in choices)
    return MessageError("unsupported_media", f"{name} is {shown(value)}; only {wanted} is supported", UNSUPPORTED)


def _complaint(message: Mapping[str, Any]) -> str:
    said = message.get("payload", message.get("error"))
    if not isinstance(said, Mapping):
        return f"an error: {shown(said)}"
    return f"error {shown(said.get('code'))}: {shown(said.get('title'))} {shown(said.get('detail'))}"


def _headers(text: str, name: str) -> dict[str, str]:
    """Plivo's and Vobiz's `a=1;b=2` or JSON; their names may begin with `X-PH-`."""
    if text.startswith("{"):
        try:
            pairs = text_map_field({name: json.loads(text)}, name)
        except (ValueError, RecursionError) as error:
            raise bad_field(name, text, "a JSON object or pairs such as a=1;b=2") from error
    else:
        split = (pair.partition("=") for pair in text.replace(",", ";").split(";") if pair.strip())
        pairs = {key.strip(): value.strip() for key, _, value in split}
    return {key[5:] if key.lower().startswith("x-ph-") else key: value for key, value in pairs.items()}
