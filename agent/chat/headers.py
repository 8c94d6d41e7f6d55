"""What a picture's first bytes say of it: its format and its size in pixels, before anything is decoded. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Format = Literal["JPEG", "PNG", "WEBP"]

_PNG = b"\x89PNG\r\n\x1a\n"
_SIZES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""JPEG markers of a frame header (ITU-T T.81 table B.1)."""
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
"""JPEG markers without a length."""


class PictureError(Exception):
    """A picture is not taken. `code` is stable; the message says what to do."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class Header:
    """Format, and width and height in pixels as stored."""

    format: Format
    width: int
    height: int


def header_of(data: bytes) -> Header:
    """Read format and size off a picture's header; moving pictures are none.

    Raises:
        PictureError: it is no JPEG, PNG or WebP, or its header cannot be read.
    """
    if data.startswith(b"\xff\xd8\xff"):
        header = _jpeg(data)
    elif data.startswith(_PNG):
        header = _png(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        header = _webp(data)
    else:
        raise PictureError("unknown_format", "this is no picture that can be read; send a JPEG, PNG or WebP")
    if header is None or header.width < 1 or header.height < 1:
        raise PictureError("damaged", "the picture is damaged; take or save it again")
    return header


def _jpeg(data: bytes) -> Header | None:
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _BARE:
            at += 2
            continue
        if marker in (0xD9, 0xDA):  # the end, or the pixels, and no size before them
            return None
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 2:
            return None
        if marker in _SIZES:
            if length < 8 or at + 9 > len(data):
                return None
            height, width = data[at + 5 : at + 7], data[at + 7 : at + 9]
            return Header("JPEG", int.from_bytes(width, "big"), int.from_bytes(height, "big"))
        at += 2 + length
    return None


def _png(data: bytes) -> Header | None:
    if data[12:16] != b"IHDR" or len(data) < 33:
        return None
    at = 8
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"acTL":
            raise PictureError("moving", "this is a moving picture; send a still one")
        if kind in (b"IDAT", b"IEND"):
            break
        at += 12 + length
    return Header("PNG", int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))


def _webp(data: bytes) -> Header | None:
    if len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        if data[20] & 0x02:
            raise PictureError("moving", "this is a moving picture; send a still one")
        width, height = data[24:27], data[27:30]
        return Header("WEBP", 1 + int.from_bytes(width, "little"), 1 + int.from_bytes(height, "little"))
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return Header("WEBP", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = data[26:28], data[28:30]
        return Header("WEBP", int.from_bytes(width, "little") & 0x3FFF, int.from_bytes(height, "little") & 0x3FFF)
    return None
