"""Bandwidth media streams, both ways (`<StartStream mode="bidirectional">`): JSON text, mu-law at 8 kHz in base64.

Which faults end the call is said in `agent.gateways.messages`; beyond those: a start that cannot be read ends it with
1007, one whose inbound track has another media format than 8 kHz mu-law with 1003.

Sources: dev.bandwidth.com/docs/voice/programmable-voice/bxml/startStream, bandwidth-sdk 23.3.1 (BXML); the code of two
implementers where a comment says [3P].
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from xml.etree import ElementTree

from agent.gateways.base import AudioIn, CallEnded, CallStarted, Capabilities, Clear, Command, Event, Play
from agent.gateways.gateway import Gateway, HookRequest, Opening
from agent.gateways.messages import (
    INVALID,
    UNSUPPORTED,
    MessageError,
    Screen,
    bad_field,
    compact,
    object_field,
    optional_text_field,
    parse_object,
    shown,
    text_field,
)
from agent.gateways.parameters import as_parameters
from agent.gateways.ways import Admitted, Asking, Basic, Keys, Nonces
from audio.codec import Encoding

_CAPABILITIES = Capabilities(
    encoding=Encoding("mulaw", 8000),
    frame_ms=20,
    bulk=True,
    marks="none",
    clear=True,
    dtmf_in=False,
    transfer="close",
    hangup="close",
)
_MAX_PARAMETERS, _MAX_PARAMETER = 12, 2048
_E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_SIP = re.compile(r"sips?:[^\s@]+@[^\s@]+")
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CLEAR = compact({"eventType": "clear"})
_HEAD = compact({"eventType": "playAudio", "media": {"contentType": "audio/pcmu", "payload": ""}}).removesuffix('"}}')


class BandwidthProtocol:
    """One media stream. `<StreamParam>`s are the call's parameters; `caller` and `called` among them name its parties.

    Keys and marks do not exist on this socket. sequence_gaps: how often a sequence number was not the one after the
    last.
    """

    name = "bandwidth"

    def __init__(self, opening: Opening) -> None:
        self.sequence_gaps = 0
        self._opening = opening
        self._screen = Screen()
        self._phase: Literal["waiting", "started", "stopped"] = "waiting"
        self._sequence: int | None = None

    @property
    def capabilities(self) -> Capabilities:
        """Always 8 kHz mu-law, with clear and without marks; closing the socket lets the BXML go on."""
        return _CAPABILITIES

    def receive(self, message: str | bytes) -> Sequence[Event]:
        """Turn one websocket message into events; nothing more once a fault closed the connection."""
        return self._screen.take(message, _CAPABILITIES.max_message, self._handle)

    def send(self, command: Command) -> Sequence[str]:
        """Turn a command into messages; none before the start, after the stop, or for what cannot be done in-band."""
        if self._phase != "started" or self._screen.closed:
            return ()
        match command:
            case Play(audio) if audio:
                return (f'{_HEAD}{base64.b64encode(audio).decode("ascii")}"}}}}',)
            case Clear():
                return (_CLEAR,)
            case _:
                return ()

    def _handle(self, raw: str | bytes) -> Sequence[Event]:
        if isinstance(raw, bytes):
            if not raw:
                return ()
            raise MessageError("binary_message", f"binary message of {len(raw)} bytes; send JSON text")
        message = parse_object(raw)
        event = message.get("eventType")
        match event:
            case "media":
                self._require_call(event)
                return self._media(message)
            case "start":
                return self._start(message)
            case "stop":
                self._require_call(event)
                self._phase = "stopped"
                return (CallEnded("stop"),)
            case str():
                raise MessageError(
                    "unknown_event", f"eventType {shown(event)} is not known; it is ignored", weight="harmless"
                )
            case _:
                raise bad_field("eventType", event, "the name of an event")

    def _require_call(self, event: str) -> None:
        if self._phase == "waiting":
            code = "media_before_start" if event == "media" else "not_started"
            raise MessageError(code, f"{event} before start; it is dropped", weight="early")
        if self._phase == "stopped":
            code = "second_stop" if event == "stop" else "after_stop"
            raise MessageError(code, f"{event} after stop; it is dropped")

    def _start(self, message: Mapping[str, Any]) -> Sequence[Event]:
        if self._phase != "waiting":
            raise MessageError("second_start", "a second start; one connection carries one stream")
        try:
            metadata = object_field(message, "metadata")
            formats = _formats(metadata)
            sent = message.get("streamParams")  # [3P]
            parameters = as_parameters({} if sent is None else object_field(message, "streamParams"), "streamParams")
            started = CallStarted(
                gateway_call_id=text_field(metadata, "callId"),
                stream_id=text_field(metadata, "streamId"),
                caller=optional_text_field(parameters, "caller", 64),
                called=optional_text_field(parameters, "called", 64),
                account=optional_text_field(metadata, "accountId"),
                parameters=parameters,
            )
        except MessageError as error:
            raise MessageError(error.code, f"start: {error.detail}", INVALID) from error
        for media_format in formats:
            for name, value in {"encoding": "PCMU", "sampleRate": 8000}.items():
                if media_format.get(name, value) != value:
                    detail = f"mediaFormat.{name} is {shown(media_format.get(name))}; only {value!r} is supported"
                    raise MessageError("unsupported_media", f"start: {detail}", UNSUPPORTED)
        self._phase = "started"
        return (started,)

    def _media(self, message: Mapping[str, Any]) -> Sequence[Event]:
        payload = message.get("payload")
        if not isinstance(payload, str):
            raise bad_field("payload", payload, "base64 text")
        try:
            audio = base64.b64decode(payload, validate=True)
        except (binascii.Error, ValueError) as error:
            raise MessageError("bad_base64", f"payload of {len(payload)} characters is not base64") from error
        if message.get("track", "inbound") != "inbound" or not audio:
            return ()
        self._follow(message.get("sequenceNumber"))
        return (AudioIn(audio),)

    def _follow(self, value: object) -> None:
        if value is None:
            return
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
            number = int(value)
        elif isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18:
            number = value
        else:
            raise bad_field("sequenceNumber", value, "a whole number of at most 18 digits")
        if self._sequence is not None and number != self._sequence + 1:
            self.sequence_gaps += 1
        self._sequence = number


def _formats(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The media formats of the inbound track, where they are said."""
    tracks = metadata.get("tracks")
    if tracks is None:
        return []
    if not isinstance(tracks, list) or not all(isinstance(track, dict) for track in tracks):
        raise bad_field("metadata.tracks", tracks, "a list of tracks")
    inbound = [track for track in tracks if track.get("name", "inbound") == "inbound"]
    return [object_field(track, "mediaFormat") for track in inbound if track.get("mediaFormat") is not None]


class BandwidthHook:
    """Answers Bandwidth's voice webhooks by BXML.

    The stream runs beside the script, which waits for its end (`<StopStream wait>`) and then asks `after`. Webhooks are
    proved by the same HTTP Basic credentials as the stream: set them as the application's callback credentials.
    """

    media_type = "application/xml"

    def signed(self, request: HookRequest, key: str, wall_s: float) -> bool:
        """Whether the webhook carries our Basic credentials."""
        asking = Asking("bandwidth", "", request.headers)
        return isinstance(Basic().check(asking, Keys(key, wall_s, Nonces())), Admitted)

    def call_id(self, request: HookRequest) -> str | None:
        """Bandwidth's `callId`."""
        return request.form.get("callId") or None

    def connect(self, request: HookRequest, stream_url: str, after_url: str, parameters: Mapping[str, str]) -> str:
        """Open a two-way stream and wait until it ended.

        Raises:
            ValueError: more than 12 parameters, one over 2,048 characters, or one that XML cannot hold.
        """
        named = {"caller": request.form.get("from"), "called": request.form.get("to")}
        sent = {**parameters, **{name: value for name, value in named.items() if value}}
        if len(sent) > _MAX_PARAMETERS:
            raise ValueError(f"{len(sent)} parameters; Bandwidth takes {_MAX_PARAMETERS}: pass an id instead")
        response = ElementTree.Element("Response")
        stream = ElementTree.SubElement(
            response, "StartStream", destination=stream_url, name="agent", mode="bidirectional", tracks="inbound"
        )
        for name, value in sent.items():
            if len(name) > 256 or len(value) > _MAX_PARAMETER or _NOT_XML.search(name + value):
                raise ValueError(f"parameter {name[:40]!a} is over {_MAX_PARAMETER} characters or cannot be XML")
            ElementTree.SubElement(stream, "StreamParam", name=name, value=value)
        ElementTree.SubElement(response, "StopStream", name="agent", wait="true")
        ElementTree.SubElement(response, "Redirect", redirectUrl=after_url)
        return _document(response)

    def busy(self) -> str:
        """Hang up before the call is answered; BXML has no busy tone."""
        return self.after(None)

    def after(self, target: str | None) -> str:
        """Transfer the caller to the number or SIP address `target`, or hang up.

        Raises:
            ValueError: `target` is neither.
        """
        response = ElementTree.Element("Response")
        if target is None:
            ElementTree.SubElement(response, "Hangup")
            return _document(response)
        transfer = ElementTree.SubElement(response, "Transfer")
        if _E164.fullmatch(target):
            ElementTree.SubElement(transfer, "PhoneNumber").text = target
        elif _SIP.fullmatch(target):
            ElementTree.SubElement(transfer, "SipUri").text = target
        else:
            raise ValueError(f"target is {target[:40]!r}; Bandwidth takes E.164 such as +15550100, or sip:USER@HOST")
        return _document(response)


def _document(response: ElementTree.Element) -> str:
    return '<?xml version="1.0" encoding="UTF-8"?>' + ElementTree.tostring(response, encoding="unicode")


GATEWAYS = (
    Gateway(
        name="bandwidth",
        title="Bandwidth StartStream",
        new=BandwidthProtocol,
        capabilities=_CAPABILITIES,
        ways=(Basic(),),
        hook=BandwidthHook(),
        wire="text JSON, base64",
        verified="documents; BXML against bandwidth-sdk 23.3.1; not run",
    ),
)
