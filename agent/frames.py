"""RFC 6455 frames, without I/O: what a client sends is read into messages and control frames, what we send is written.

Strict where the RFC says MUST, and bounded: at most one message of `largest` bytes and what was fed last is held,
however it is cut into frames.
"""

from __future__ import annotations

import codecs
import struct

try:
    from websockets.speedups import apply_mask
except ImportError:  # its wheel for this platform has no compiled part
    from websockets.utils import apply_mask

CONTINUED, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
"""Opcodes, section 5.2."""
MAX_CONTROL = 125
"""Bytes of a control frame, section 5.5."""
NO_CODE = 1005
"""What stands for a close frame without a code, section 7.4.1."""
PROTOCOL_ERROR, NOT_UTF8, TOO_BIG = 1002, 1007, 1009

_OPCODES = frozenset((CONTINUED, TEXT, BINARY, CLOSE, PING, PONG))
_utf8 = codecs.getincrementaldecoder("utf-8")

Received = tuple[int, str | bytes]
"""An opcode and its payload: TEXT with str, all others with bytes. CONTINUED: a frame came that ended no message."""


class FrameError(Exception):
    """The peer broke the protocol; `code` is what the connection is closed with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class FrameReader:
    """Reads the frames of a client, one at a time: what is not asked for stays unread in what was fed."""

    def __init__(self, largest: int) -> None:
        """`largest`: bytes of a message."""
        self._largest = largest
        self._data = b""
        self._at = 0
        self._opcode = CONTINUED
        self._final = False
        self._mask = b""
        self._left = -1  # bytes of payload that are still missing; -1 between frames
        self._control = bytearray()
        self._kind = CONTINUED  # TEXT or BINARY inside a message of several frames
        self._message = bytearray()
        self._decoder = _utf8()

    @property
    def unread(self) -> int:
        """Bytes that were fed and not read yet."""
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """Add what came from the peer."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def next(self) -> Received | None:
        """The next message or control frame; None until more was fed.

        Raises:
            FrameError: the peer broke the protocol; nothing can be read any more.
        """
        while True:
            if self._left < 0 and (self._at == len(self._data) or not self._header()):
                return None
            if self._kind == CONTINUED and self._final and self.unread >= self._left and self._opcode < CLOSE:
                return self._whole()
            if self._left and self.unread == 0:
                return None
            chunk = self._chunk()
            if self._opcode >= CLOSE:
                self._control += chunk
                if self._left == 0:
                    self._left = -1
                    payload, self._control = bytes(self._control), bytearray()
                    return self._opcode, payload
            else:
                self._extend(chunk)
                if self._left == 0:
                    self._left = -1
                    return self._finished() if self._final else (CONTINUED, b"")

    def _whole(self) -> Received:
        """The usual case: a message in one frame that is here as a whole."""
        payload = self._chunk()
        self._left = -1
        if self._opcode != TEXT:
            return BINARY, payload
        try:
            return TEXT, payload.decode()
        except UnicodeDecodeError as error:
            raise FrameError(NOT_UTF8, "text that is not UTF-8") from error

    def _chunk(self) -> bytes:
        """What is here of the payload, unmasked."""
        start, end = self._at, min(self._at + self._left, len(self._data))
        chunk = apply_mask(self._data[start:end], self._mask)
        self._at = end
        self._left -= end - start
        turn = (end - start) % 4
        if turn:
            self._mask = self._mask[turn:] + self._mask[:turn]
        return chunk

    def _extend(self, chunk: bytes) -> None:
        if self._kind == CONTINUED:
            self._kind = self._opcode
        if self._kind == TEXT:
            try:
                self._decoder.decode(chunk, final=self._final and self._left == 0)
            except UnicodeDecodeError as error:
                raise FrameError(NOT_UTF8, "text that is not UTF-8") from error
        self._message += chunk

    def _finished(self) -> Received:
        kind, payload = self._kind, bytes(self._message)
        self._kind, self._message = CONTINUED, bytearray()
        self._decoder.reset()
        return (TEXT, payload.decode()) if kind == TEXT else (BINARY, payload)

    def _header(self) -> bool:
        """Read a frame's header, if it is here as a whole."""
        data, at = self._data, self._at
        have = len(data) - at
        if have < 2:
            return False
        first, second = data[at], data[at + 1]
        opcode, final, length = first & 0x0F, first >= 0x80, second & 0x7F
        if first & 0x70:
            raise FrameError(PROTOCOL_ERROR, "a reserved bit is set")
        if opcode not in _OPCODES:
            raise FrameError(PROTOCOL_ERROR, f"opcode {opcode} is reserved")
        if second < 0x80:
            raise FrameError(PROTOCOL_ERROR, "a client's frames must be masked")
        if opcode >= CLOSE:
            if not final or length > MAX_CONTROL:
                raise FrameError(PROTOCOL_ERROR, "a control frame is fragmented or longer than 125 bytes")
        elif (opcode == CONTINUED) != (self._kind != CONTINUED):
            # `_kind` tells too of a message whose first frame is still being read; then no header is read.
            raise FrameError(PROTOCOL_ERROR, "a continuation of nothing, or a message inside another")
        size = 6
        if length == 126:
            size = 8
            if have < size:
                return False
            (length,) = struct.unpack_from("!H", data, at + 2)
            if length < 126:
                raise FrameError(PROTOCOL_ERROR, "a length is not written in the shortest form")
        elif length == 127:
            size = 14
            if have < size:
                return False
            (length,) = struct.unpack_from("!Q", data, at + 2)
            if length < 65_536 or length >= 1 << 63:
                raise FrameError(PROTOCOL_ERROR, "a length is not written in the shortest form, or is negative")
        elif have < size:
            return False
        if opcode < CLOSE and len(self._message) + length > self._largest:
            raise FrameError(TOO_BIG, f"a message of more than {self._largest} bytes")
        self._mask = data[at + size - 4 : at + size]
        self._at = at + size
        self._left = length
        self._opcode = opcode
        self._final = final
        return True


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole frame of a server: final, not masked."""
    length = len(payload)
    if length < 126:
        return bytes((0x80 | opcode, length)) + payload
    if length < 65_536:
        return struct.pack("!BBH", 0x80 | opcode, 126, length) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, length) + payload


def close_reason(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame; NO_CODE where it is empty.

    Raises:
        FrameError: half a code, one that no endpoint may send, or a reason that is not UTF-8.
    """
    if not payload:
        return NO_CODE, ""
    if len(payload) == 1:
        raise FrameError(PROTOCOL_ERROR, "a close frame with half a code")
    (code,) = struct.unpack_from("!H", payload)
    # Section 7.4: 1004 is reserved, 1005, 1006 and 1015 are never sent; 1016 to 2999 are not given out.
    if not (1000 <= code <= 1014 or 3000 <= code <= 4999) or code in (1004, 1005, 1006):
        raise FrameError(PROTOCOL_ERROR, f"close code {code} must not be sent")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError as error:
        raise FrameError(NOT_UTF8, "a close reason that is not UTF-8") from error
