from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

import agent.audiosocket as audiosocket
from agent.audiosocket import AudioSocketListener, AudioSocketSettings, TcpTransport
from agent.call.transport import NORMAL, Disconnected, Transport
from agent.clock import RealClock
from agent.gateways.audiosocket import FAREWELL, GATEWAYS, frame
from agent.gateways.base import AudioIn, CallStarted, Event, GatewayProtocol, Play
from agent.gateways.gateway import Opening
from agent.lab.callers.audiosocket import AudioSocketCaller
from agent.lab.line import CallerLine, LineError, Unreachable
from agent.lab.tcp_line import audiosocket_dial

(GATEWAY,) = GATEWAYS
CALL = "40325ec2-5efd-4bd3-805f-53576e581d13"
NAMED = frame(0x01, uuid.UUID(CALL).bytes)
SOUND = bytes(320)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Calls:
    """Admits one UUID once, and keeps what it was given."""

    def __init__(self, work: Callable[[GatewayProtocol, Transport], Awaitable[None]] | None = None) -> None:
        self.announced = {CALL}
        self.asked: list[str] = []
        self.refused: list[str] = []
        self.protocols: list[GatewayProtocol] = []
        self.events: list[Event] = []
        self.code: int | None = None
        self.over = asyncio.Event()
        self._work = work or self.hear

    def admit(self, named: str) -> Opening | None:
        self.asked.append(named)
        if named not in self.announced:
            return None
        self.announced.discard(named)
        return Opening("c-1", query={"caller": "+15550100"})

    async def take(self, protocol: GatewayProtocol, transport: Transport, call_id: str) -> None:
        assert call_id == "c-1"
        self.protocols.append(protocol)
        try:
            await self._work(protocol, transport)
        finally:
            self.over.set()

    async def hear(self, protocol: GatewayProtocol, transport: Transport) -> None:
        try:
            while True:
                self.events += protocol.receive(await transport.receive())
        except Disconnected as gone:
            self.code = gone.code
        await transport.close(NORMAL, "over")


@asynccontextmanager
async def listening(calls: Calls, handshake_s: float = 0.15) -> AsyncIterator[AudioSocketListener]:
    listener = AudioSocketListener(
        AudioSocketSettings(handshake_s=handshake_s), GATEWAY.new, calls.admit, calls.take, calls.refused.append
    )
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()


async def connected(listener: AudioSocketListener) -> Streams:
    return await asyncio.open_connection("127.0.0.1", listener.port)


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What still comes until the other side closes; b"" where it broke the connection."""
    try:
        return await asyncio.wait_for(reader.read(-1), 2.0)
    except ConnectionError:
        return b""


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.DEBUG)
    yield
    assert not [record for record in caplog.records if record.exc_info], "a stack trace was logged"


@pytest.mark.parametrize(("kind", "rate"), [(0x10, 8000), (0x12, 16000), (0x16, 48000)])
async def test_an_announced_call_is_taken_at_the_rate_of_its_first_audio(kind: int, rate: int) -> None:
    calls = Calls()
    async with listening(calls) as listener:
        reader, writer = await connected(listener)
        writer.write(NAMED[:7])
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(NAMED[7:] + frame(kind, SOUND) + frame(0x03, b"5"))
        writer.write_eof()
        assert await rest(reader) == FAREWELL
        await calls.over.wait()
        writer.close()
    assert calls.asked == [CALL]
    assert calls.protocols[0].capabilities.encoding.rate == rate
    assert calls.events[0] == CallStarted(CALL, CALL, "+15550100")
    assert calls.events[1] == AudioIn(SOUND)
    assert len(calls.events) == 3
    assert (calls.code, calls.refused) == (1000, [])


async def test_without_any_audio_the_line_is_8_khz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audiosocket, "FIRST_AUDIO_S", 0.05)
    calls = Calls()
    async with listening(calls) as listener:
        reader, writer = await connected(listener)
        writer.write(NAMED)
        await asyncio.sleep(0.1)
        assert calls.events == [CallStarted(CALL, CALL, "+15550100")]
        writer.write(frame(0x10, SOUND)[:100])
        await asyncio.sleep(0.02)
        writer.write(frame(0x10, SOUND)[100:])
        await asyncio.sleep(0.02)
        assert calls.events[1] == AudioIn(SOUND)
        writer.close()
        await calls.over.wait()
    assert calls.protocols[0].capabilities.encoding.rate == 8000
    del reader


async def test_a_uuid_is_good_once_and_only_if_announced() -> None:
    calls = Calls()
    async with listening(calls) as listener:
        for _ in range(2):
            reader, writer = await connected(listener)
            writer.write(NAMED + frame(0x10, SOUND))
            writer.write_eof()
            assert await rest(reader) == FAREWELL
            writer.close()
        reader, writer = await connected(listener)
        writer.write(frame(0x01, bytes(16)))
        assert await rest(reader) == FAREWELL
        writer.close()
    assert calls.asked == [CALL, CALL, str(uuid.UUID(int=0))]
    assert len(calls.protocols) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: calls.example.com\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        frame(0x10, SOUND),
        frame(0x01, bytes(15)),
        b"\x01\xff\xff" + bytes(100),
        b"\0\0\0",
    ],
)
async def test_garbage_is_turned_away_at_its_header(garbage: bytes) -> None:
    calls = Calls()
    async with listening(calls, handshake_s=5.0) as listener:
        reader, writer = await connected(listener)
        begun = time.monotonic()
        writer.write(garbage)
        assert await rest(reader) in (b"", FAREWELL)
        assert time.monotonic() - begun < 1.0
        writer.close()
    assert (calls.asked, calls.protocols, calls.refused) == ([], [], ["no_uuid"])


async def test_a_rate_that_is_not_served_is_turned_away() -> None:
    calls = Calls()
    async with listening(calls) as listener:
        reader, writer = await connected(listener)
        writer.write(NAMED + frame(0x15, SOUND))
        await rest(reader)
        writer.close()
    assert (calls.protocols, calls.refused) == ([], ["unsupported_media"])


async def test_a_bare_connection_is_no_call_and_nothing_is_said_of_it(caplog: pytest.LogCaptureFixture) -> None:
    calls = Calls()
    async with listening(calls) as listener:
        caplog.clear()
        for farewell in (b"", NAMED[:2], NAMED[:10]):
            _, writer = await connected(listener)
            writer.write(farewell)
            writer.close()
            await writer.wait_closed()
        _, writer = await connected(listener)
        _reset(writer)
        await asyncio.sleep(0.05)
    assert (calls.asked, calls.protocols, calls.refused) == ([], [], [])
    assert not [record for record in caplog.records if record.levelno >= logging.INFO]


async def test_who_says_nothing_is_dropped_after_the_handshakes_time() -> None:
    calls = Calls()
    async with listening(calls, handshake_s=0.1) as listener:
        for part in (b"", NAMED[:1], NAMED[:12]):
            reader, writer = await connected(listener)
            writer.write(part)
            begun = time.monotonic()
            await rest(reader)
            assert 0.05 < time.monotonic() - begun < 1.0
            writer.close()
    assert calls.refused == ["handshake_timeout"] * 3


async def test_only_so_many_may_dawdle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audiosocket, "MAX_HANDSHAKES", 3)
    calls = Calls()
    async with listening(calls, handshake_s=5.0) as listener:
        dawdling = [await connected(listener) for _ in range(3)]
        await asyncio.sleep(0.02)
        reader, writer = await connected(listener)
        assert await rest(reader) == b""
        writer.close()
        assert calls.refused == ["busy"]
        dawdling[0][1].write(NAMED + frame(0x10, SOUND))
        await asyncio.sleep(0.05)
        assert len(calls.protocols) == 1
        again, other = await connected(listener)
        other.write(frame(0x01, bytes(16)))
        assert await rest(again) == FAREWELL
        for _, one in [*dawdling, (again, other)]:
            one.close()
        await calls.over.wait()


async def test_stopping_drops_who_dawdles_and_leaves_calls_alone() -> None:
    calls = Calls()
    async with listening(calls, handshake_s=5.0) as listener:
        taken, keeps = await connected(listener)
        keeps.write(NAMED + frame(0x10, SOUND))
        idle, waits = await connected(listener)
        await asyncio.sleep(0.05)
        port = listener.port
        await listener.stop()
        assert listener.port == 0
        assert await rest(idle) in (b"", FAREWELL)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        keeps.write(frame(0x10, SOUND))
        await asyncio.sleep(0.05)
        assert len(calls.events) == 3
        assert not calls.over.is_set()
        for writer in (keeps, waits):
            writer.close()
        await calls.over.wait()
    del taken


async def test_a_broken_call_is_told_from_one_that_was_hung_up() -> None:
    for end, code in (("close", 1000), ("inside", 1006), ("header", 1006), ("reset", 1006)):
        calls = Calls()
        async with listening(calls) as listener:
            _, writer = await connected(listener)
            writer.write(NAMED + frame(0x10, SOUND))
            if end == "inside":
                writer.write(frame(0x10, SOUND)[:99])
            if end == "header":
                writer.write(b"\x10\1")
            await writer.drain()
            await asyncio.sleep(0.05)
            if end == "reset":
                _reset(writer)
            else:
                writer.close()
            await calls.over.wait()
        assert calls.code == code, end


async def test_closing_says_the_hang_up_once() -> None:
    async def hang_up(protocol: GatewayProtocol, transport: Transport) -> None:
        await transport.receive()
        await transport.send(frame(0x10, SOUND))
        await transport.close(NORMAL, "bye")
        await transport.close(NORMAL, "bye")
        with pytest.raises(Disconnected):
            await transport.send(frame(0x10, SOUND))

    calls = Calls(hang_up)
    async with listening(calls) as listener:
        reader, writer = await connected(listener)
        writer.write(NAMED + frame(0x10, SOUND))
        assert await rest(reader) == frame(0x10, SOUND) + FAREWELL
        writer.close()
        await calls.over.wait()


async def test_who_takes_nothing_is_gone_and_no_more_than_the_high_water_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audiosocket, "SEND_S", 0.1)
    written = 0
    ended: list[float] = []

    async def flood(protocol: GatewayProtocol, transport: Transport) -> None:
        nonlocal written
        assert isinstance(transport, TcpTransport)
        piece = frame(0x10, bytes(32_000))
        try:
            while written < 400_000_000:
                await transport.send(piece)
                written += len(piece)
                assert transport._writer.transport.get_write_buffer_size() <= audiosocket.HIGH_WATER + len(piece)
        except Disconnected:
            ended.append(time.monotonic())

    calls = Calls(flood)
    async with listening(calls) as listener:
        _, writer = await connected(listener)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(NAMED + frame(0x10, SOUND))
        await asyncio.wait_for(calls.over.wait(), 3.0)
        writer.transport.abort()
    assert ended
    assert written < 400_000_000


async def test_a_call_that_fails_is_logged_and_closed(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(protocol: GatewayProtocol, transport: Transport) -> None:
        with pytest.raises(TypeError):
            await transport.send("text")
        raise RuntimeError("broken")

    calls = Calls(fail)
    async with listening(calls) as listener:
        reader, writer = await connected(listener)
        writer.write(NAMED + frame(0x10, SOUND))
        assert await rest(reader) in (b"", FAREWELL)  # reset where what we sent was not read
        writer.close()
    assert [record.getMessage() for record in caplog.records if record.exc_info] == ["an AudioSocket call failed"]
    caplog.clear()


async def test_a_caller_of_the_lab_talks_and_listens_over_tcp() -> None:
    async def echo(protocol: GatewayProtocol, transport: Transport) -> None:
        try:
            while True:
                for event in protocol.receive(await transport.receive()):
                    if isinstance(event, AudioIn):
                        for message in protocol.send(Play(event.audio)):
                            await transport.send(message)
        except Disconnected:
            pass

    calls = Calls(echo)
    async with listening(calls) as listener:
        url = f"tcp://127.0.0.1:{listener.port}"
        caller = AudioSocketCaller(call=CALL)
        async with CallerLine(url, caller, RealClock(), dial=audiosocket_dial(url)) as line:
            tone = (8000 * np.sin(np.arange(1600) / 3)).astype(np.int16)
            start = line.say(tone)
            assert await line.until(lambda: line.now_ms > start + 400, 2000)
            heard = line.heard(0, line.now_ms)
            assert np.max(np.abs(heard)) > 7000
            assert not line.wrongs
        await calls.over.wait()
    assert line.ended == "hung_up"


async def test_the_labs_line_says_why_it_cannot_be_opened() -> None:
    for url in ("ws://127.0.0.1:9", "tcp://127.0.0.1", "tcp://:9", "tcp://a:b"):
        with pytest.raises(LineError):
            audiosocket_dial(url)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable):
            await audiosocket_dial(f"tcp://127.0.0.1:{taken.getsockname()[1]}")()


async def test_the_labs_line_notices_the_hang_up() -> None:
    async def hang_up(protocol: GatewayProtocol, transport: Transport) -> None:
        await transport.receive()
        await transport.close(NORMAL, "bye")

    calls = Calls(hang_up)
    async with listening(calls) as listener:
        url = f"tcp://127.0.0.1:{listener.port}"
        async with CallerLine(url, AudioSocketCaller(call=CALL), RealClock(), dial=audiosocket_dial(url)) as line:
            assert not await line.until(lambda: False, 2000)
        assert line.ended == "agent:hangup"


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
