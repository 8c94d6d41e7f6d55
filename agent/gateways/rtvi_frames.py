"""pipecat's protobuf frames, as its browser clients send and take them: a `Frame` holds one of a few kinds.

Read and written by hand, since only four flat messages are needed and the wire format of protobuf is small. Field
numbers: pipecat-ai 1.14.0, frames/frames.proto. Unknown fields are skipped, as protobuf asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_AUDIO, _MESSAGE = 2, 4  # of Frame
_KINDS = {1: "text", _AUDIO: "audio", 3: "transcription", _MESSAGE: "message", 5: "interruption"}
_NAMED, _PCM, _RATE, _CHANNELS = 2, 3, 4, 5  # of AudioRawFrame
_DATA = 1  # of MessageFrame
_Value = int | bytes


class FrameError(ValueError):
    """Bytes that are no frame."""


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """PCM16 little-endian, `channels` interleaved."""

    audio: bytes
    rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class MessageFrame:
    """A message of RTVI's, as JSON text."""

    data: str


@dataclass(frozen=True, slots=True)
class OtherFrame:
    """A frame that a client has no reason to send: text, transcription, interruption, unknown or empty."""

    kind: str


def read_frame(data: bytes) -> AudioFrame | MessageFrame | OtherFrame:
    """Read a frame.

    Raises:
        FrameError: it is none.
    """
    kind, body = 0, b""
    for number, value in _fields(data):
        if number in _KINDS:
            kind, body = number, _blob(value)  # of several the last counts
    if kind == _AUDIO:
        # A field that is absent has its default: empty, 0.
        audio, rate, channels = b"", 0, 0
        for number, value in _fields(body):
            if number == _PCM:
                audio = _blob(value)
            elif number == _RATE:
                rate = _number(value)
            elif number == _CHANNELS:
                channels = _number(value)
        return AudioFrame(audio, rate, channels)
    if kind == _MESSAGE:
        text = b""
        for number, value in _fields(body):
            if number == _DATA:
                text = _blob(value)
        try:
            return MessageFrame(text.decode())
        except UnicodeDecodeError as error:
            raise FrameError("a message that is not UTF-8") from error
    return OtherFrame(_KINDS.get(kind, "unknown"))


def write_audio(audio: bytes, rate: int) -> bytes:
    """A frame of mono PCM16."""
    body = _written(_NAMED, b"audio") + _written(_PCM, audio) + _counted(_RATE, rate) + _counted(_CHANNELS, 1)
    return _written(_AUDIO, body)


def write_message(text: str) -> bytes:
    """A frame of one RTVI message."""
    return _written(_MESSAGE, _written(_DATA, text.encode()))


def _fields(data: bytes) -> Iterator[tuple[int, _Value]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if not number:
            raise FrameError("field 0")
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise FrameError(f"wire type {kind}")
        if size > len(data) - at:
            raise FrameError("a field that is cut off")
        if kind == _BYTES:
            yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise FrameError("a number that is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise FrameError("a number of more than 64 bits")


def _blob(value: _Value) -> bytes:
    if not isinstance(value, bytes):
        raise FrameError("a number where bytes belong")
    return value


def _number(value: _Value) -> int:
    if not isinstance(value, int):
        raise FrameError("bytes where a number belongs")
    return value & 0xFFFF_FFFF


def _counted(number: int, value: int) -> bytes:
    return _tagged(number, _VARINT, value)


def _written(number: int, value: bytes) -> bytes:
    return _tagged(number, _BYTES, len(value)) + value


def _tagged(number: int, kind: int, value: int) -> bytes:
    out = bytearray((number << 3 | kind,))
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
