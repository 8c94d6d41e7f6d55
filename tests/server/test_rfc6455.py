"""What RFC 6455 asks of a server, byte by byte on a raw socket against the echo, and what a peer may cost at most."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import struct

import pytest
from live import eventually, start

from agent.frames import BINARY, CLOSE, CONTINUED, PING, PONG, TEXT, FrameError, FrameReader, close_reason
from agent.frames import frame as from_server
from agent.serving import HIGH_WATER, LARGEST, QUEUED, READ

MASK = b"\x37\xfa\x21\x3d"
REQUEST = (
    b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n"
)
JOHN = "Ἰωάννης \U0001f600".encode()


def masked(payload: bytes) -> bytes:
    return bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))


def sent(opcode: int, payload: bytes = b"", final: bool = True, reserved: int = 0) -> bytes:
    """A client's frame."""
    first, length = (0x80 if final else 0) | reserved | opcode, len(payload)
    if length < 126:
        head = struct.pack("!BB", first, 0x80 | length)
    elif length < 65_536:
        head = struct.pack("!BBH", first, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, length)
    return head + MASK + masked(payload)


def bye(code: int, reason: bytes = b"") -> bytes:
    return sent(CLOSE, struct.pack("!H", code) + reason)


class Raw:
    """A client that sends any bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *pieces: bytes) -> None:
        """Each piece in a segment of its own."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0.002)

    async def frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(3):
            first, length = await self.reader.readexactly(2)
            assert first & 0xF0 == 0x80
            assert length < 0x80, "a server does not mask"
            if length >= 126:
                size, kind = (2, "!H") if length == 126 else (8, "!Q")
                (length,) = struct.unpack(kind, await self.reader.readexactly(size))
            return first & 0x0F, await self.reader.readexactly(length)

    async def closed(self) -> int | None:
        """The code of the close frame, which is all that comes, and then the end of the connection."""
        opcode, payload = await self.frame()
        assert opcode == CLOSE
        async with asyncio.timeout(3):
            assert await self.reader.read() == b""
        return struct.unpack("!H", payload[:2])[0] if payload else None

    def cut(self) -> None:
        self.writer.transport.abort()


@pytest.fixture(autouse=True)
def _logs(caplog):
    """Nothing a peer does is worth more than a line at info, and never a stack trace."""
    caplog.set_level(logging.INFO)
    yield
    assert [record for record in caplog.records if record.levelno > logging.INFO or record.exc_info] == []


@pytest.fixture
async def dial(serve):
    """Open sockets: `await dial()` to the echo."""
    up = await serve(server={"echo": True})
    async with contextlib.AsyncExitStack() as stack:

        async def go(path: bytes = b"/echo", headers: bytes = b"", early: bytes = b"") -> Raw:
            reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
            stack.callback(writer.transport.abort)
            writer.write(REQUEST % (path, headers) + early)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 ")
            assert b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in head.lower()
            assert b"sec-websocket-extensions" not in head.lower()
            return Raw(reader, writer)

        go.up = up
        yield go


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 128, 65_535, 65_536, LARGEST])
async def test_messages_come_back_as_they_went(dial, length):
    raw = await dial()
    await raw.send(sent(TEXT, b"x" * length))
    assert await raw.frame() == (TEXT, b"x" * length)
    data = os.urandom(length)
    await raw.send(sent(BINARY, data))
    assert await raw.frame() == (BINARY, data)
    await raw.send(bye(1000))
    assert await raw.closed() == 1000


async def test_messages_in_pieces_of_any_size_with_control_frames_between(dial):
    raw = await dial()
    whole = (
        sent(TEXT, JOHN[:1], final=False)
        + sent(PING, b"one")
        + sent(CONTINUED, b"", final=False)
        + sent(CONTINUED, JOHN[1:9], final=False)
        + sent(PONG, b"not asked for")
        + sent(CONTINUED, JOHN[9:])
        + sent(BINARY, b"\xff\x00", final=False)
        + sent(PING)
        + sent(CONTINUED, b"\xfe")
    )
    wanted = [(PONG, b"one"), (TEXT, JOHN), (PONG, b""), (BINARY, b"\xff\x00\xfe")]
    for pieces in ([whole], [whole[at : at + 1] for at in range(len(whole))], [whole[:7], whole[7:40], whole[40:]]):
        await raw.send(*pieces)
        assert sorted([await raw.frame() for _ in wanted]) == sorted(wanted)
    await raw.send(sent(PING, b"p" * 125))
    assert await raw.frame() == (PONG, b"p" * 125)


async def test_ten_pings_are_answered_in_order(dial):
    raw = await dial()
    await raw.send(b"".join(sent(PING, b"%d" % number) for number in range(10)))
    assert [await raw.frame() for _ in range(10)] == [(PONG, b"%d" % number) for number in range(10)]


async def test_frames_sent_without_waiting_for_our_answer_are_read(dial):
    raw = await dial(early=sent(TEXT, b"early") + sent(PING, b"too"))
    assert sorted([await raw.frame(), await raw.frame()]) == [(TEXT, b"early"), (PONG, b"too")]


async def test_compression_is_declined(dial):
    raw = await dial(headers=b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n")
    await raw.send(sent(TEXT, b"plain"))
    assert await raw.frame() == (TEXT, b"plain")
    await raw.send(sent(TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00", reserved=0x40))
    assert await raw.closed() == 1002


WRONG = {
    "reserved bit 1": (sent(TEXT, b"x", reserved=0x40), 1002),
    "reserved bit 2": (sent(TEXT, b"x", reserved=0x20), 1002),
    "reserved bit 3 of a ping": (sent(PING, reserved=0x10), 1002),
    **{f"opcode {opcode}": (sent(opcode), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "not masked": (b"\x81\x02hi", 1002),
    "a close that is not masked": (b"\x88\x00", 1002),
    "a ping in parts": (sent(PING, b"x", final=False), 1002),
    "a close in parts": (sent(CLOSE, final=False), 1002),
    "a long ping": (sent(PING, b"x" * 126), 1002),
    "a long pong": (sent(PONG, b"x" * 126), 1002),
    "a long close": (sent(CLOSE, struct.pack("!H", 1000) + b"x" * 124), 1002),
    "a continuation of nothing": (sent(CONTINUED, b"x"), 1002),
    "a continuation after the end": (sent(TEXT, b"x", final=False) + sent(CONTINUED) + sent(CONTINUED), 1002),
    "text inside text": (sent(TEXT, b"x", final=False) + sent(TEXT, b"y"), 1002),
    "binary inside text": (sent(TEXT, b"x", final=False) + sent(BINARY, b"y"), 1002),
    "a length of 16 bits for a short one": (b"\x81\xfe\x00\x05" + MASK + masked(b"12345"), 1002),
    "a length of 64 bits for a short one": (b"\x81\xff" + struct.pack("!Q", 5) + MASK + masked(b"12345"), 1002),
    "a negative length": (b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff" + MASK, 1002),
    "text that is not UTF-8": (sent(TEXT, b"ok \xff"), 1007),
    "text that is cut": (sent(TEXT, JOHN[:1]), 1007),
    "a surrogate": (sent(TEXT, b"\xed\xa0\x80"), 1007),
    "overlong": (sent(TEXT, b"\xc0\xaf"), 1007),
    "beyond Unicode": (sent(TEXT, b"\xf4\x90\x80\x80"), 1007),
    "cut at the end of the last part": (sent(TEXT, b"x", final=False) + sent(CONTINUED, JOHN[:1]), 1007),
    "wrong in a part before the last": (sent(TEXT, b"x\xff", final=False), 1007),
    "wrong in a frame that is not here as a whole": (sent(TEXT, b"\xff" + b"x" * 200)[:40], 1007),
    "wrong across parts": (sent(TEXT, b"\xf4", final=False) + sent(CONTINUED, b"\x90", final=False), 1007),
    "too big, said so": (b"\x82\xff" + struct.pack("!Q", LARGEST + 1) + MASK, 1009),
    "too big, in parts": (sent(BINARY, bytes(LARGEST), final=False) + sent(CONTINUED, b"x"), 1009),
    "huge": (b"\x82\xff" + struct.pack("!Q", (1 << 63) - 1) + MASK, 1009),
    "half a code": (sent(CLOSE, b"\x03"), 1002),
    "a reason that is not UTF-8": (bye(1000, b"\xce\xba\xff"), 1007),
    **{
        f"code {code}": (bye(code), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)
    },
}


async def test_what_breaks_the_protocol_is_told_its_code_and_ends(dial):
    async def wrong(name: str, data: bytes, code: int) -> None:
        raw = await dial()
        await raw.send(data)
        assert (name, await raw.closed()) == (name, code)

    await asyncio.gather(*(wrong(name, data, code) for name, (data, code) in WRONG.items()))


async def test_what_came_before_the_fault_still_counts(dial):
    raw = await dial()
    await raw.send(sent(TEXT, b"good") + sent(PING, b"p") + sent(3) + sent(TEXT, b"never"))
    await raw.send(sent(TEXT, b"nor this"))
    got = await raw.frame()
    assert got == (PONG, b"p")
    assert await raw.closed() == 1002


async def test_a_peer_that_sends_on_after_its_fault_still_learns_the_code(dial):
    raw = await dial()
    await raw.send(b"\x82\xff" + struct.pack("!Q", 3 << 20) + MASK)
    with contextlib.suppress(ConnectionError):
        await raw.send(*[bytes(65_536)] * 40)
    assert await raw.closed() == 1009


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 3999, 4000, 4999])
async def test_a_close_is_answered_with_its_code_and_reason(dial, code):
    raw = await dial()
    await raw.send(bye(code, JOHN) + sent(TEXT, b"after the end") + sent(PING))
    assert await raw.frame() == (CLOSE, struct.pack("!H", code) + JOHN)
    assert await raw.reader.read() == b""


async def test_a_close_without_a_code_inside_a_message_is_answered_alike(dial):
    raw = await dial()
    await raw.send(sent(TEXT, b"unfinished", final=False) + sent(CLOSE))
    assert await raw.closed() is None


async def test_a_peer_that_closes_its_half_is_done(dial):
    raw = await dial()
    await raw.send(sent(TEXT, b"last words"))
    assert await raw.frame() == (TEXT, b"last words")
    raw.writer.write_eof()
    assert await raw.reader.read() == b""
    await eventually(lambda: not dial.up.server.server_state.connections)


async def test_our_close_waits_for_its_answer_past_what_was_under_way(dial):
    raw = await dial(b"/gateways/plain")
    await raw.send(sent(TEXT, start("closing").encode()))
    while not dial.up.calls.sessions or json.loads((await raw.frame())[1])["type"] != "state":
        pass
    (session,) = dial.up.calls.sessions.values()
    session.stop("test")
    while (got := await raw.frame())[0] != CLOSE:
        pass
    assert struct.unpack("!H", got[1][:2]) == (1001,)
    await raw.send(*[sent(BINARY, bytes(320))] * 5)
    assert dial.up.server.server_state.connections
    await raw.send(sent(TEXT, b"x", final=False) + sent(CLOSE, got[1]))
    assert await raw.reader.read() == b""
    await eventually(lambda: not dial.up.server.server_state.connections)


@pytest.mark.parametrize(
    "flood", [sent(PING, b"p"), sent(PONG), sent(CONTINUED, final=False)], ids=["pings", "pongs", "empty parts"]
)
async def test_frames_without_end_or_sense_are_not_taken_for_ever(dial, flood):
    raw = await dial()
    await raw.send(sent(TEXT, final=False))
    with contextlib.suppress(ConnectionError):
        await raw.send(flood * 5000)
    while (got := await raw.frame())[0] == PONG:
        pass
    assert got[0] == CLOSE
    assert struct.unpack("!H", got[1][:2]) == (1008,)


def held(connection) -> int:
    """Bytes that the server keeps of and for a peer."""
    waiting = list(connection.queue._queue)
    sizes = [len(one.get("text") or one.get("bytes") or b"") + 300 for one in waiting]
    reading = connection._frames
    return sum(sizes) + connection.transport.get_write_buffer_size() + len(reading._data) + len(reading._message)


@pytest.mark.parametrize("payload", [b"x" * 10, b"x" * 60_000], ids=["small", "large"])
async def test_a_peer_that_never_reads_is_not_kept_much_for(dial, payload):
    raw = await dial()
    raw.writer.transport.pause_reading()
    raw.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    (connection,) = dial.up.server.server_state.connections
    connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    piece = (sent(TEXT, payload) * 20 + sent(PING, b"p" * 100)) * max(1, 100_000 // len(payload) // 20)
    most, taken = 0, 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.6):
            while taken < 50_000_000:
                await raw.send(piece)
                taken += len(piece)
                most = max(most, held(connection))
                await asyncio.sleep(0)
    assert taken < 50_000_000, "the server reads on for ever"
    assert 0 < most < 2 * HIGH_WATER + 3 * len(payload) + QUEUED * 300 + 2 * READ + 4096
    assert connection.transport.get_write_buffer_size() <= HIGH_WATER + 2 * len(payload) + 256


async def test_a_call_that_takes_nothing_holds_its_peer_back(dial):
    raw = await dial()
    (connection,) = dial.up.server.server_state.connections
    go_on, get = asyncio.Event(), connection.queue.get

    async def later():
        await go_on.wait()
        return await get()

    connection.queue.get = later
    await raw.send(sent(TEXT, b"first"))
    assert await raw.frame() == (TEXT, b"first")
    await raw.send(sent(TEXT, b"x") * 3000)
    await eventually(lambda: connection.read_paused)
    assert connection.queue.qsize() == QUEUED
    assert connection._frames.unread <= READ
    go_on.set()
    for _ in range(3000):
        assert await raw.frame() == (TEXT, b"x")


def test_a_reader_reads_the_same_however_it_is_cut():
    whole = sent(TEXT, JOHN, final=False) + sent(PING, b"p") + sent(CONTINUED, JOHN) + sent(BINARY, bytes(70_000))
    wanted = [(CONTINUED, b""), (PING, b"p"), (TEXT, JOHN.decode() * 2), (BINARY, bytes(70_000))]
    for size in (1, 3, 7, 4096, len(whole)):
        reader, got = FrameReader(LARGEST), []
        for at in range(0, len(whole), size):
            reader.feed(whole[at : at + size])
            while (one := reader.next()) is not None:
                got.append(one)
        assert got == wanted
        assert reader.unread == 0


def test_what_we_write_has_the_shortest_length():
    for length, head in ((0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)):
        assert len(from_server(BINARY, bytes(length))) == head + length


def test_close_reasons_are_read_or_refused():
    assert close_reason(b"") == (1005, "")
    assert close_reason(struct.pack("!H", 4000) + JOHN) == (4000, JOHN.decode())
    with pytest.raises(FrameError):
        close_reason(b"\x03")
