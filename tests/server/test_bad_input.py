"""What a gateway may send that it should not: each ends that message or that call, and no other."""

import asyncio
import contextlib
import json
import logging

import pytest
from live import closed, coded, cut, eventually, healthy, media, start, twilio_start

CONNECTED = json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})
SILENCE = b"\0" * 320


@pytest.fixture(autouse=True)
def _logs(caplog):
    caplog.set_level(logging.INFO)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "not_json"),
        ("[1]", "not_an_object"),
        (json.dumps({"event": 7}), "bad_field"),
        (json.dumps({"event": "media", "streamSid": "MZ1", "media": "loud"}), "bad_field"),
        (json.dumps({"event": "media", "streamSid": "MZ1", "media": {"payload": 3}}), "bad_field"),
        (media("!!!not base64!!!"), "bad_base64"),
        (json.dumps({"event": "dtmf", "streamSid": "MZ1", "dtmf": {"digit": "12"}}), "bad_field"),
        (json.dumps({"event": "mark", "streamSid": "MZ1", "mark": {}}), "bad_field"),
        (json.dumps({"event": "media", "streamSid": "MZ2", "media": {"payload": "/w=="}}), "wrong_stream"),
        (json.dumps({"event": "party", "streamSid": "MZ1"}), "unknown_event"),
        (b"\x00\x01\x02", "binary_message"),
        (twilio_start("CA2"), "second_start"),
    ],
)
async def test_a_wrong_twilio_message_is_dropped_and_the_call_goes_on(serve, caplog, message, code):
    up = await serve()
    async with healthy(up) as other, up.twilio() as caller:
        await caller.send(CONNECTED)
        await caller.send(twilio_start("CA1"))
        await caller.send(message)
        await caller.send(media())
        await other.answered("still here")
        assert json.loads(await caller.recv())["event"] in ("media", "mark")
        assert await up.faults(code) == 1
        await caller.send(json.dumps({"event": "stop", "streamSid": "MZ1"}))
        assert await closed(caller) == 1000
        await other.answered("and here")
        await other.stop()
    assert [record.levelname for record in coded(caplog.records, code)] == ["WARNING"]
    kept = await up.record("CA1")
    assert kept["call"]["outcome"] == "caller_left"
    assert [event["data"]["code"] for event in kept["events"] if event["kind"] == "fault"] == [code]
    assert kept["call"]["counters"][code] == 1
    assert (await up.record("healthy"))["call"]["counters"].get(code) is None


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "not_json"),
        (json.dumps({"type": ["start"]}), "bad_field"),
        (b"\0" * 321, "odd_audio"),
        (json.dumps({"type": "text", "text": 5}), "bad_field"),
        (json.dumps({"type": "dtmf", "digit": "x"}), "bad_field"),
        (json.dumps({"type": "party"}), "unknown_event"),
        (start("again"), "second_start"),
    ],
)
async def test_a_wrong_plain_message_is_dropped_and_the_call_goes_on(serve, caplog, message, code):
    up = await serve()
    async with healthy(up) as other, up.plain() as caller:
        await caller.send(start("wrong"))
        await caller.send(message)
        await caller.send(SILENCE)
        await other.answered("still here")
        await caller.send(json.dumps({"type": "stop"}))
        assert await closed(caller) == 1000
        await other.answered("and here")
    assert coded(caplog.records, code)
    assert (await up.record("wrong"))["call"]["counters"][code] == 1
    assert await up.faults(code) == 1


@pytest.mark.parametrize(
    ("opening", "code", "close"),
    [
        (json.dumps({"event": "start", "start": {}}), "bad_field", 1007),
        (twilio_start("CA1", mediaFormat={"encoding": "audio/opus"}), "unsupported_media", 1003),
    ],
)
async def test_a_start_that_cannot_be_used_refuses_the_call(serve, caplog, opening, code, close):
    up = await serve()
    async with healthy(up) as other, up.twilio() as caller:
        await caller.send(opening)
        assert await closed(caller) == close
        await other.answered("still here")
    assert coded(caplog.records, code)
    assert await up.counter("callagent_calls_ended_total", gateway="twilio", outcome="refused", reason=code) == 1
    assert await up.faults(code) == 1


async def test_media_before_the_start_is_dropped_and_the_call_may_still_begin(serve, caplog):
    up = await serve()
    async with up.twilio() as caller:
        await caller.send(media())
        await caller.send(twilio_start("CA1"))
        assert json.loads(await caller.recv())["event"] in ("media", "mark")
        await caller.send(json.dumps({"event": "stop", "streamSid": "MZ1"}))
        await caller.send(json.dumps({"event": "stop", "streamSid": "MZ1"}))
        assert await closed(caller) == 1000
    assert await up.faults("media_before_start") == 1
    assert coded(caplog.records, "media_before_start")
    assert (await up.record("CA1"))["call"]["reason"] == "stop"


@pytest.mark.parametrize("size", [200_000, 1 << 20, 3 << 20])
@pytest.mark.parametrize("kind", ["text", "binary"])
async def test_a_message_that_is_too_big_ends_its_call_alone(serve, caplog, size, kind):
    up = await serve()
    async with healthy(up) as other, up.plain() as caller:
        await caller.send(start("big"))
        await caller.recv()
        await caller.send("x" * size if kind == "text" else b"\0" * size)
        assert await closed(caller) == 1009
        await other.answered("still here")
    assert coded(caplog.records, "message_too_big")
    assert await up.faults("message_too_big") == 1
    kept = (await up.record("big"))["call"]
    assert (kept["outcome"], kept["reason"]) == ("failed", "message_too_big")


async def test_fifty_unreadable_messages_in_a_row_end_the_call(serve):
    up = await serve()
    async with healthy(up) as other, up.twilio() as caller:
        await caller.send(twilio_start("CA1"))
        for _ in range(50):
            await caller.send("nonsense")
        assert await closed(caller) == 1007
        await other.answered("still here")
    assert await up.faults("not_json") == 50
    kept = await up.record("CA1")
    assert kept["call"]["reason"] == "too_many_malformed"
    assert len([event for event in kept["events"] if event["kind"] == "fault"]) < 10


async def test_a_flood_of_messages_ends_its_call_alone(serve, caplog):
    up = await serve(server={"max_messages_per_s": 50})
    async with healthy(up) as other, up.plain() as caller:
        await caller.send(start("flood"))
        for _ in range(200):
            await caller.send(SILENCE)
        assert await closed(caller) == 1008
        await other.answered("still here")
    assert coded(caplog.records, "message_flood")
    assert (await up.record("flood"))["call"]["reason"] == "message_flood"


async def test_a_flood_of_typed_turns_leaves_the_others_answered(serve):
    up = await serve()
    async with healthy(up) as other, up.plain() as caller:
        await caller.send(json.dumps({"type": "start", "version": 1, "rate": 8000, "mode": "text", "call_id": "flood"}))
        for number in range(300):
            await caller.send(json.dumps({"type": "text", "text": f"line {number}"}))
        await other.answered("still here")
        await caller.send(json.dumps({"type": "stop"}))
        await closed(caller)
        await other.answered("and here")
        await other.stop()
    counters = (await up.record("healthy"))["call"]["counters"]
    assert not any(code.endswith("_failed") for code in counters)
    flood = (await up.record("flood"))["call"]
    assert (flood["outcome"], flood["reason"]) == ("caller_left", "stop")
    assert flood["counters"]["typed_too_fast"] == await up.faults("typed_too_fast") > 0


@pytest.mark.parametrize("audio", [0, 3])
async def test_a_call_whose_audio_stops_is_closed(serve, caplog, audio):
    up = await serve(server={"first_media_s": 0.5, "media_gap_s": 0.5})
    async with healthy(up) as other, up.plain() as caller:
        await caller.send(start("silent"))
        for _ in range(audio):
            await caller.send(SILENCE)
        assert await closed(caller) == 4408
        await other.answered("still here")
    assert coded(caplog.records, "media_timeout")
    assert await up.faults("media_timeout") == 1
    kept = (await up.record("silent"))["call"]
    assert (kept["outcome"], kept["reason"]) == ("failed", "media_timeout")


async def test_a_call_longer_than_allowed_is_closed(serve):
    up = await serve(server={"max_call_s": 0.5})
    async with up.plain() as caller:
        await caller.send(start("long"))
        assert await closed(caller) == 1008
    assert (await up.record("long"))["call"]["reason"] == "call_too_long"


async def test_a_socket_that_dies_in_mid_word_leaves_a_record_and_the_others_alone(serve):
    up = await serve()
    async with healthy(up) as other:
        async with up.plain() as caller:
            await caller.send(start("dead"))
            for _ in range(5):
                await caller.send(b"\x00\x30" * 160)
            await caller.recv()
            cut(caller)
        await other.answered("still here")
    kept = (await up.record("dead"))["call"]
    assert (kept["outcome"], kept["reason"]) == ("caller_left", "line_lost")
    assert kept["recording"]


async def test_a_closing_handshake_without_a_stop_is_told_apart_from_a_crash(serve):
    up = await serve()
    async with up.plain() as caller:
        await caller.send(start("polite"))
        await caller.recv()
    assert (await up.record("polite"))["call"]["reason"] == "socket_closed_1000"


async def test_a_peer_that_reads_nothing_is_cut_off(serve, monkeypatch):
    monkeypatch.setattr("agent.serving.LINGER_S", 0.2)
    monkeypatch.setattr("agent.sockets.CLOSE_S", 0.2)
    up = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", up.port, limit=1024)
    writer.write(
        b"GET /gateways/plain HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.pause_reading()
    (connection,) = up.server.server_state.connections
    connection.transport.write(bytes(30_000_000))
    (session,) = up.calls.sessions.values()
    session.stop("test")
    await up.empty()
    await eventually(lambda: not up.server.server_state.connections, 3.0)
    writer.transport.abort()


async def test_a_hundred_sockets_that_send_nothing_are_closed_and_running_calls_go_on(serve, caplog):
    up = await serve(server={"handshake_s": 0.6, "max_calls": 120})
    async with healthy(up) as other:
        idle = await asyncio.gather(*(up.plain() for _ in range(100)))
        await other.answered("still here")
        codes = await asyncio.gather(*(closed(socket) for socket in idle))
        assert set(codes) == {4408}
        await other.answered("and here")
        assert len(up.calls.sessions) == 1
    assert await up.faults("handshake_timeout") == 100
    assert len(coded(caplog.records, "handshake_timeout")) == 100


@pytest.mark.parametrize(
    "sent", [b"", b"GET /live HT", b"POST /gateways/twilio/voice HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na="]
)
async def test_connections_that_never_finish_a_request_are_dropped(serve, caplog, sent):
    up = await serve(server={"handshake_s": 0.4})
    async with healthy(up) as other:
        pairs = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", up.port) for _ in range(100)))
        for _, writer in pairs:
            writer.write(sent)
        async with asyncio.timeout(5):
            for reader, writer in pairs:
                with contextlib.suppress(ConnectionResetError):
                    await reader.read()
                writer.close()
        await other.answered("still here")
    assert await up.refused("silent_connection") == 100
    assert len(coded(caplog.records, "silent_connection")) == 100


async def test_a_slow_but_honest_request_is_answered(serve):
    up = await serve(server={"handshake_s": 2.0})
    reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
    for piece in (b"GET /live HT", b"TP/1.1\r\nHost: ", b"x\r\n\r\n"):
        writer.write(piece)
        await asyncio.sleep(0.1)
    assert b"200" in await reader.readline()
    writer.close()
