"""Asterisk's AudioSocket: frames of kind, length and payload over plain TCP, signed 16-bit audio.

A message is one whole frame with its header of 3 bytes. The first names the call by a UUID, and with it the call
begins; AudioSocket has no marks, cannot drop what was sent and carries no numbers. The line's rate is known when the
protocol is made; audio of another kind is dropped, and 50 such frames in a row end the call (1007). A first frame that
is no UUID ends it with 1008. Source: res/res_audiosocket.c and apps/app_audiosocket.c, 23.5.0-rc1.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Literal

from agent.gateways.base import AudioIn, CallEnded, CallStarted, Capabilities, Command, Dtmf, Event, Fault, Hangup, Play
from agent.gateways.dialplan import DialplanHook
from agent.gateways.gateway import Gateway, Opening
from agent.gateways.messages import POLICY, MessageError, Screen, digit_field
from audio.codec import Encoding

HEADER = 3
"""Bytes before the payload: kind, then its length in bytes, big-endian."""
MAX_PAYLOAD = 16_384
"""Bytes; Asterisk sends what one packet of the caller held, 320 at 8 kHz and 20 ms, seldom more than 60 ms."""

HANGUP, UUID, DTMF, AUDIO, ERROR = 0x00, 0x01, 0x03, 0x10, 0xFF
RATES = {0x10: 8000, 0x11: 12000, 0x12: 16000, 0x13: 24000, 0x14: 32000, 0x16: 48000}
"""Kinds of audio that are served: samples a second of each. 44.1, 96 and 192 kHz are not."""
UUID_BYTES = 16
FAREWELL = bytes((HANGUP, 0, 0))
"""The frame that ends the call."""

_KINDS = {rate: kind for kind, rate in RATES.items()}
_ASKED_TO_HANG_UP = 1


def frame(kind: int, payload: bytes) -> bytes:
    """Write a frame; payload: at most 65,535 bytes."""
    return bytes((kind,)) + len(payload).to_bytes(2, "big") + payload


def audio_rate(kind: int) -> int | None:
    """Samples a second of this kind of frame; None where it is not served audio."""
    return RATES.get(kind)


def call_uuid(message: bytes) -> str | None:
    """The call's UUID, lower-case with hyphens, where `message` is the frame that names it."""
    if message[:HEADER] != frame(UUID, bytes(UUID_BYTES))[:HEADER] or len(message) != HEADER + UUID_BYTES:
        return None
    return str(uuid.UUID(bytes=message[HEADER:]))


class AudioSocketProtocol:
    """One AudioSocket connection.

    Asterisk plays audio as it comes, without a buffer to count on, and gives the call up on an empty frame or on a
    kind it does not know; so only audio and the hang-up are ever sent. Where Asterisk reports an error the call ends.
    """

    name = "audiosocket"

    def __init__(self, rate: int = 8000, caller: str | None = None, called: str | None = None) -> None:
        """`rate`: one of `RATES`. `caller` and `called` are what whoever announced the call said.

        Raises:
            ValueError: there is no kind of frame for `rate`.
        """
        if rate not in _KINDS:
            raise ValueError(f"AudioSocket has no audio of {rate} Hz that is served; give one of {sorted(_KINDS)}")
        self._kind = _KINDS[rate]
        self._caller, self._called = caller, called
        self._capabilities = Capabilities(
            encoding=Encoding("pcm16", rate),
            frame_ms=20,
            bulk=False,
            lead_ms=40.0,
            silence=True,
            max_message=HEADER + MAX_PAYLOAD,
            max_out=HEADER + 0xFFFF,
            marks="none",
            clear=False,
            dtmf_in=True,
            dtmf_out=False,
            transfer="rest",
            hangup="close",
        )
        self._screen = Screen()
        self._phase: Literal["waiting", "started", "stopped"] = "waiting"

    @property
    def capabilities(self) -> Capabilities:
        """Sent at real time, silence too; no marks, no clear. A transfer goes by the dialplan, a hang-up by closing."""
        return self._capabilities

    def receive(self, message: str | bytes) -> Sequence[Event]:
        """Turn one frame into events; nothing more once a fault closed the connection."""
        return self._screen.take(message, self._capabilities.max_message, self._handle)

    def send(self, command: Command) -> Sequence[bytes]:
        """Turn a command into frames; none before the UUID, after the hang-up or for what there is no frame for."""
        if self._phase != "started" or self._screen.closed:
            return ()
        match command:
            case Play(audio):
                # 0xfffe: whole samples
                return tuple(frame(self._kind, audio[at : at + 0xFFFE]) for at in range(0, len(audio), 0xFFFE))
            case Hangup():
                self._phase = "stopped"
                return (FAREWELL,)
            case _:
                return ()

    def _handle(self, raw: str | bytes) -> Sequence[Event]:
        if isinstance(raw, str):
            raise MessageError("text_message", f"text of {len(raw)} characters; send frames")
        if len(raw) < HEADER or len(raw) != HEADER + int.from_bytes(raw[1:HEADER], "big"):
            raise MessageError("bad_frame", f"{len(raw)} bytes are no whole frame; send kind, length and payload")
        kind, payload = raw[0], raw[HEADER:]
        if self._phase == "waiting":
            return self._start(raw)
        if self._phase == "stopped":
            raise MessageError("after_stop", f"frame of kind 0x{kind:02x} after the hang-up; it is dropped")
        match kind:
            case _ if 0x10 <= kind <= 0x18:
                return self._sound(kind, payload)
            case 0x03:
                return (Dtmf(digit_field({"DTMF": payload.decode("latin-1")}, "DTMF")),)
            case 0x00:
                self._phase = "stopped"
                return (CallEnded("hangup"),)
            case 0xFF:
                self._phase = "stopped"
                code = payload[0] if payload else 0
                if code == _ASKED_TO_HANG_UP:
                    return (CallEnded("hangup"),)
                return (Fault("gateway_error", f"Asterisk reports error {code}; see its log"), CallEnded("failed"))
            case 0x01:
                raise MessageError("second_start", "a second UUID; one connection carries one call")
            case _:
                raise MessageError("unknown_event", f"kind 0x{kind:02x} is not known; it is ignored", weight="harmless")

    def _start(self, raw: bytes) -> Sequence[Event]:
        named = call_uuid(raw)
        if named is None:
            detail = f"the first frame has kind 0x{raw[0]:02x} and {len(raw) - HEADER} bytes; send the UUID, 16 bytes"
            raise MessageError("no_uuid", detail, POLICY)
        self._phase = "started"
        return (CallStarted(gateway_call_id=named, stream_id=named, caller=self._caller, called=self._called),)

    def _sound(self, kind: int, audio: bytes) -> Sequence[Event]:
        if kind != self._kind:
            said, ours = f"kind 0x{kind:02x}", f"0x{self._kind:02x}, {RATES[self._kind]} Hz"
            raise MessageError("wrong_rate", f"audio of {said} on a line of {ours}; it is dropped")
        if len(audio) % 2:
            raise MessageError("odd_audio", f"audio of {len(audio)} bytes; send whole 16-bit samples")
        return (AudioIn(audio),) if audio else ()


def _new(opening: Opening) -> AudioSocketProtocol:
    """`opening.query` holds what the listener knows: `rate`, and `caller` and `called` where they were announced."""
    said = opening.query
    return AudioSocketProtocol(int(said.get("rate", "8000")), said.get("caller"), said.get("called"))


GATEWAYS = (
    Gateway(
        name="audiosocket",
        title="Asterisk (AudioSocket, TCP)",
        new=_new,
        capabilities=AudioSocketProtocol().capabilities,
        ways=(),
        hook=DialplanHook("audiosocket"),
        wire="binary frames over TCP, 16-bit audio",
        verified="Asterisk's source at 23.5.0-rc1; not run against the product",
    ),
)
