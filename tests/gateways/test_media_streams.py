"""What holds for every dialect of Twilio's protocol."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from gatewayfuzz import anything, near_miss, takes_anything
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.gateways.base import (
    AudioIn,
    CallEnded,
    CallStarted,
    Clear,
    Dtmf,
    Fault,
    Hangup,
    Mark,
    MarkReached,
    Play,
    SendDtmf,
    ShowState,
    Transfer,
)
from agent.gateways.gateway import Opening
from agent.gateways.l16 import ByteOrder
from agent.gateways.media_streams import GATEWAYS
from agent.gateways.messages import EARLY_LIMIT, MALFORMED_LIMIT
from agent.gateways.reorder import RESTART, Reorder
from agent.gateways.signalwire import DIALECT as SIGNALWIRE
from agent.lab.callers.catalogue import Who
from agent.lab.callers.media_streams import CALLERS, SignalwireCaller
from agent.lab.line import Cleared, Heard, Marked, Respond, Wrong
from audio.codec import Encoding

NAMES = [gateway.name for gateway in GATEWAYS]
RECORD = {gateway.name: gateway for gateway in GATEWAYS}
CALLER = {caller.name: caller for caller in CALLERS}
WHO = Who("+15550100", "+15550199", {"tier": "gold"})


def call(name: str, who: Who = WHO) -> tuple[Any, Any]:
    """Both halves of a call that has started."""
    server, caller = RECORD[name].new(Opening("call-1")), CALLER[name].new(who)
    events = [event for message in caller.opening() for event in server.receive(message)]
    assert len(events) == 1
    assert isinstance(events[0], CallStarted), events
    return server, caller


def feed(server: Any, messages: Any) -> list[Any]:
    return [event for message in messages for event in server.receive(message)]


@pytest.mark.parametrize(
    "name", [f"{name}_{part}" for name in ("signalwire", "telnyx", "plivo", "exotel") for part in ("call", "dropped")]
)
def test_recorded_conversations(name: str, golden: Any) -> None:
    golden(name, RECORD[name.partition("_")[0]].new(Opening("call-1")))


def test_vobiz_speaks_as_plivo_does(golden: Any) -> None:
    golden("vobiz_call", RECORD["vobiz"].new(Opening("call-1")))


def test_every_gateway_can_be_simulated() -> None:
    assert list(CALLER) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_start_says_who_calls(name: str) -> None:
    server, caller = RECORD[name].new(Opening("call-1")), CALLER[name].new(WHO)
    [started] = feed(server, caller.opening())
    assert (started.gateway_call_id, started.stream_id) == (caller.call, caller.stream)
    assert (started.caller, started.called) == ("+15550100", "+15550199")
    assert (started.account, started.parameters["tier"]) == (caller.account, "gold")


@pytest.mark.parametrize("name", NAMES)
def test_a_caller_without_a_number_is_no_fault(name: str) -> None:
    server, caller = RECORD[name].new(Opening("call-1")), CALLER[name].new(Who())
    [started] = feed(server, caller.opening())
    assert (started.caller, started.called) == (None, None)


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_call(name: str) -> None:
    server, caller = call(name)
    encoding = server.capabilities.encoding
    assert encoding.rate == caller.rate
    said = [
        (4000 * np.sin((np.arange(caller.rate // 50) + i * caller.rate // 50) / 9)).astype(np.int16) for i in range(50)
    ]
    events = feed(server, [message for frame in said for message in caller.voice(frame)])
    heard = np.concatenate([encoding.decode(event.audio) for event in events])
    whole = np.concatenate(said)[: len(heard)]
    assert len(whole) >= 0.95 * caller.rate
    assert np.abs(heard.astype(int) - whole).max() <= 150  # the codec's rounding, and so also their order
    assert (server.lost_ms, server.sequence_gaps, server.late) == (0, 0, 0)
    frame = encoding.encode(whole[: encoding.rate * server.capabilities.frame_ms // 1000])
    [played] = [event for message in server.send(Play(frame)) for event in caller.receive(message)]
    assert isinstance(played, Heard)
    assert np.array_equal(played.samples, encoding.decode(frame))
    assert [caller.receive(message) for message in server.send(Mark("g1.0.1"))] == [[Marked("g1.0.1")]]
    assert feed(server, caller.key("#")) == [Dtmf("#")]
    assert feed(server, caller.played("g1.0.1")) == [MarkReached("g1.0.1")]
    [message] = server.send(Clear())
    cleared, *answers = caller.receive(message)
    assert cleared == Cleared()
    for answer in answers:
        assert isinstance(answer, Respond)
        assert feed(server, answer.messages) == []
    kept = [MarkReached("g1.0.2")] if name not in ("plivo", "vobiz") else []
    assert feed(server, caller.cleared("g1.0.2")) == kept
    *_, last = feed(server, caller.closing()) or [CallEnded("stop")]  # Plivo only closes the socket
    assert last == CallEnded("stop")


@pytest.mark.parametrize("name", NAMES)
def test_lost_audio_is_measured(name: str) -> None:
    server, caller = call(name)
    frame = np.full(caller.rate // 50, 900, dtype=np.int16)
    for i in range(60):
        if i in (30, 31, 32):
            caller.lost()
        else:
            feed(server, caller.voice(frame))
    assert server.lost_ms == (0 if name == "exotel" else 60)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("command", [SendDtmf("1"), Transfer("+15550100"), Hangup("done"), ShowState("x"), Play(b"")])
def test_what_cannot_be_done_in_band_sends_nothing(name: str, command: Any) -> None:
    assert call(name)[0].send(command) == ()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_sent_before_the_start_or_after_the_stop(name: str) -> None:
    server = RECORD[name].new(Opening("call-1"))
    assert server.send(Clear()) == ()
    server, caller = call(name)
    assert server.send(Clear())
    stop = {"event": "stop", "stop": {}}
    assert CallEnded("stop") in server.receive(json.dumps(stop))
    assert server.send(Clear()) == ()
    [fault] = server.receive(caller.voice(np.zeros(160, np.int16))[0]) if name != "exotel" else server.receive("?")
    assert isinstance(fault, Fault)
    assert fault.close is None
    assert [fault.code for fault in server.receive(json.dumps(stop))] == ["second_stop"]


def starting(name: str) -> dict[str, Any]:
    message = json.loads(CALLER[name].new(WHO).opening()[-1])
    assert message["event"] == "start"
    return dict(message)


def faulty_starts() -> list[Any]:
    cases = []
    for gateway in GATEWAYS:
        dialect = gateway.new(Opening("x"))._dialect  # type: ignore[attr-defined]
        fields: list[tuple[str, str, object, str, int]] = [
            ("start", dialect.call, None, "bad_field", 1007),
            ("start", dialect.call, 12, "bad_field", 1007),
            ("start", dialect.call, "", "bad_field", 1007),
            ("start", dialect.call, "x" * 300, "bad_field", 1007),
            ("start", dialect.account, ["x"], "bad_field", 1007),
            ("start", dialect.media_format, None, "bad_field", 1007),
            ("start", dialect.media_format, [], "bad_field", 1007),
            ("", dialect.sequence, -1, "bad_field", 1007),
            ("", dialect.sequence, "one", "bad_field", 1007),
            ("", "start", None, "bad_field", 1007),
            ("", "start", [], "bad_field", 1007),
            (dialect.media_format, "encoding", "audio/opus", "unsupported_media", 1003),
            (dialect.media_format, "encoding", None, "unsupported_media", 1003),
            (dialect.media_format, "encoding", ["x"], "unsupported_media", 1003),
            (dialect.media_format, dialect.rate, 44100, "unsupported_media", 1003),
            (dialect.media_format, dialect.rate, None, "unsupported_media", 1003),
            (dialect.media_format, dialect.rate, True, "unsupported_media", 1003),
        ]
        if dialect.channels:
            fields.append((dialect.media_format, dialect.channels, 2, "unsupported_media", 1003))
        if dialect.caller:
            fields.append(("start", dialect.caller, 5, "bad_field", 1007))
        if not dialect.headers:
            fields.append(("start", dialect.parameters, [], "bad_field", 1007))
            fields.append(("start", dialect.parameters, {"a": 1}, "bad_field", 1007))
        else:
            fields.append(("", dialect.parameters, 5, "bad_field", 1007))
            fields.append(("", dialect.parameters, "{", "bad_field", 1007))
            fields.append(("", dialect.parameters, '{"a": 1}', "bad_field", 1007))
            fields.append(("", dialect.parameters, "a" * 3000, "bad_field", 1007))
        cases += [
            pytest.param(gateway.name, *case, id=f"{gateway.name}-{case[1]}-{str(case[2])[:8]}") for case in fields
        ]
    return cases


@pytest.mark.parametrize(("name", "holder", "field", "value", "code", "close"), faulty_starts())
def test_a_start_that_cannot_be_used_ends_the_call(
    name: str, holder: str, field: str, value: object, code: str, close: int
) -> None:
    message = starting(name)
    inner = message["start"] if holder == "start" else message["start"][holder] if holder else message
    if value is None:
        del inner[field]
    else:
        inner[field] = value
    server = RECORD[name].new(Opening("call-1"))
    [fault] = server.receive(json.dumps(message))
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == (code, close)
    assert server.receive(json.dumps(starting(name))) == ()
    assert server.send(Clear()) == ()


@pytest.mark.parametrize("name", NAMES)
def test_bad_messages_are_dropped_and_the_call_goes_on(name: str) -> None:
    server, caller = call(name)
    dialect = server._dialect
    audio = base64.b64encode(bytes(320)).decode()
    bad: list[tuple[object, str]] = [
        (b"\x00\x01", "binary_message"),
        ("", "not_json"),
        ("{", "not_json"),
        ("[]", "not_an_object"),
        ({}, "bad_field"),
        ({"event": 7}, "bad_field"),
        ({"event": "weather"}, "unknown_event"),
        ({"event": "media"}, "bad_field"),
        ({"event": "media", "media": {"payload": None}}, "bad_field"),
        ({"event": "media", "media": {"payload": "???"}}, "bad_base64"),
        ({"event": "media", "media": {"payload": audio, "timestamp": -4}}, "bad_field"),
        ({"event": "media", "media": {"payload": audio, "timestamp": "9" * 40}}, "bad_field"),
        ({"event": "media", dialect.stream: "other", "media": {"payload": audio}}, "wrong_stream"),
        ({"event": "media", dialect.sequence: [], "media": {"payload": audio}}, "bad_field"),
        ({"event": "dtmf", "dtmf": {"digit": "12"}}, "bad_field"),
        ({"event": "dtmf", "dtmf": {}}, "bad_field"),
        ({"event": dialect.played}, "bad_field"),
        ({"event": dialect.played, "mark": {"name": 5}, "name": 5}, "bad_field"),
        (caller.opening()[-1], "second_start"),
    ]
    for message, code in bad:
        sent: Any = json.dumps(message) if isinstance(message, dict) else message
        [fault] = server.receive(sent)
        assert isinstance(fault, Fault), message
        assert (fault.code, fault.close) == (code, None), message
    assert server.receive(b"") == ()
    assert server.receive(json.dumps({"event": "media", "media": {"payload": ""}})) == ()
    assert server.receive(json.dumps({"event": "media", "media": {"payload": audio, "track": "outbound"}})) == ()
    [heard] = server.receive(json.dumps({"event": "media", "media": {"payload": audio}}))
    assert isinstance(heard, AudioIn)


@pytest.mark.parametrize("name", NAMES)
def test_limits_end_the_call(name: str) -> None:
    server = RECORD[name].new(Opening("call-1"))
    media = json.dumps({"event": "media", "media": {"payload": "AAAA"}})
    faults = feed(server, [media] * EARLY_LIMIT)
    assert [fault.close for fault in faults] == [None] * EARLY_LIMIT + [1008]
    server, _ = call(name)
    faults = feed(server, ["?"] * MALFORMED_LIMIT)
    assert [fault.close for fault in faults] == [None] * MALFORMED_LIMIT + [1007]
    server, _ = call(name)
    [fault] = server.receive("x" * 70_000)
    assert (fault.code, fault.close) == ("message_too_big", 1009)


FIELDS = (
    "streamSid stream_id stream_sid streamId sequenceNumber sequence_number payload timestamp chunk track name digit "
    "extra_headers callSid call_control_id callId call_sid mediaFormat media_format customParameters from to code"
).split()
EVENTS = "connected start media mark dtmf stop error playedStream clearedAudio x".split()


@settings(max_examples=60, deadline=None)
@given(data=st.data(), name=st.sampled_from(NAMES))
def test_any_input_is_taken(data: st.DataObject, name: str) -> None:
    messages = anything | near_miss("event", EVENTS, FIELDS, [starting(name)])
    takes_anything(RECORD[name].new(Opening("call-1")), data.draw(st.lists(messages, max_size=10)))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 300), max_size=300))
def test_reordering_keeps_order_whatever_comes(numbers: list[int]) -> None:
    order: Reorder[int] = Reorder(5)
    given_out, restarts = [], 0
    for number in numbers:
        pieces = order.put(number, number)
        restarts += any(piece < given_out[-1] for piece in pieces[:1] if given_out)
        given_out += pieces
        assert len(order._waiting) <= 5
    given_out += order.rest()
    assert restarts <= order.late // RESTART
    if not restarts:
        assert given_out == sorted(given_out)


def test_reordering_waits_no_longer_than_its_window() -> None:
    order: Reorder[str] = Reorder(2)
    assert order.put(7, "7") == ["7"]
    assert order.put(9, "9") == []
    assert order.put(10, "10") == []
    assert order.put(11, "11") == ["9", "10", "11"]
    assert order.put(8, "8") == []
    assert order.late == 1
    assert order.put(10**17, "far") == []
    assert order.put(12, "12") == ["12"]
    assert order.rest() == ["far"]


def test_reordering_starts_anew_where_the_other_side_does() -> None:
    order: Reorder[int] = Reorder(2)
    order.put(1000, 1000)
    got = [piece for number in range(1, 100) for piece in order.put(number, number)]
    assert got == list(range(RESTART, 100))


VOICE = (np.sin(np.arange(160) / 5) * 3000).astype(np.int16)
NOISE = np.random.default_rng(1).integers(-12, 13, 160).astype(np.int16)


@pytest.mark.parametrize("samples", [VOICE, NOISE])
@pytest.mark.parametrize("order", ["little", "big"])
def test_the_byte_order_is_heard_from_the_first_sound(samples: Any, order: Any) -> None:
    wire = samples.astype("<i2" if order == "little" else ">i2").tobytes()
    found = ByteOrder()
    assert found.read(bytes(320)) == bytes(320)
    assert found.known is None
    assert found.read(wire) == samples.astype("<i2").tobytes()
    assert found.known == order
    assert found.write(samples.astype("<i2").tobytes()) == wire


def test_until_there_was_sound_samples_are_big_endian_and_noise_decides_at_last() -> None:
    assert ByteOrder().write(b"\x01\x02") == b"\x02\x01"
    found = ByteOrder()
    loud = np.random.default_rng(2).integers(-32768, 32767, 1600).astype("<i2").tobytes()
    for _ in range(40):
        found.read(loud)
    assert found.known is not None
    assert ByteOrder("little").read(b"\x01\x02") == b"\x01\x02"


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_signalwire_streams_l16_too(rate: int) -> None:
    caller = SignalwireCaller("+15550100", encoding=Encoding("pcm16", rate))
    server = RECORD["signalwire"].new(Opening("call-1"))
    feed(server, caller.opening())
    assert server.capabilities.encoding == Encoding("pcm16", rate)
    samples = np.arange(rate // 50, dtype=np.int16)
    [heard] = feed(server, caller.voice(samples))
    assert heard == AudioIn(samples.astype("<i2").tobytes(), 0)
    assert SIGNALWIRE.capabilities.transfer == "close"


@pytest.mark.parametrize("name", ["twilio", "signalwire"])
def test_what_a_carrier_rejects_is_reported(name: str) -> None:
    [wrong] = CALLER[name].new(WHO).receive('{"event": "clear"}')
    assert isinstance(wrong, Wrong)
