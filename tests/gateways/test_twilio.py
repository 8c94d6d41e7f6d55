from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from agent.gateways.base import (
    AudioIn,
    CallStarted,
    Clear,
    Fault,
    Hangup,
    Mark,
    Play,
    SendDtmf,
    ShowState,
    Transfer,
)
from agent.gateways.messages import EARLY_LIMIT, MALFORMED_LIMIT
from agent.gateways.twilio import TwilioProtocol

STREAM = "MZ00000000000000000000000000000001"
FORMAT = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
FRAME = base64.b64encode(bytes(160)).decode()


def start(**changes: Any) -> str:
    fields = {"streamSid": STREAM, "callSid": "CA1", "accountSid": "AC1", "mediaFormat": FORMAT, **changes}
    body = {name: value for name, value in fields.items() if value is not None}
    return json.dumps({"event": "start", "sequenceNumber": "1", "start": body})


def media(sequence: int | None = None, timestamp: int | None = None, payload: str = FRAME) -> str:
    body = {"track": "inbound", "payload": payload} | ({} if timestamp is None else {"timestamp": str(timestamp)})
    counter = {} if sequence is None else {"sequenceNumber": str(sequence)}
    return json.dumps({"event": "media", "streamSid": STREAM, "media": body} | counter)


def started() -> TwilioProtocol:
    protocol = TwilioProtocol()
    [event] = protocol.receive(start())
    assert isinstance(event, CallStarted)
    return protocol


@pytest.mark.parametrize("name", ["twilio_call", "twilio_dropped"])
def test_recorded_conversations(name: str, golden: Any) -> None:
    golden(name, TwilioProtocol())


@pytest.mark.parametrize(
    ("changes", "code", "close"),
    [
        ({"mediaFormat": FORMAT | {"encoding": "audio/l16"}}, "unsupported_media", 1003),
        ({"mediaFormat": FORMAT | {"sampleRate": 16000}}, "unsupported_media", 1003),
        ({"mediaFormat": FORMAT | {"channels": "2"}}, "unsupported_media", 1003),
        ({"mediaFormat": None}, "bad_field", 1007),
        ({"callSid": None}, "bad_field", 1007),
        ({"callSid": 12}, "bad_field", 1007),
        ({"streamSid": None}, "bad_field", 1007),
        ({"streamSid": ["MZ"]}, "bad_field", 1007),
        ({"customParameters": {"tier": 3}}, "bad_field", 1007),
        ({"customParameters": []}, "bad_field", 1007),
    ],
)
def test_a_start_that_cannot_be_used_ends_the_call(changes: dict[str, Any], code: str, close: int) -> None:
    protocol = TwilioProtocol()
    [fault] = protocol.receive(start(**changes))
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == (code, close)
    assert protocol.receive(start()) == ()
    assert protocol.send(Play(b"\xff")) == ()


def test_a_faulty_start_names_the_field_but_not_a_parameters_value() -> None:
    [fault] = TwilioProtocol().receive(start(customParameters={"token": ["secret-word"]}))
    assert isinstance(fault, Fault)
    assert "customParameters['token']" in fault.detail
    assert "secret-word" not in fault.detail


def test_every_message_carries_the_stream() -> None:
    protocol = started()
    sent = [
        json.loads(message)
        for command in (Play(b"\x00\xff"), Mark("r1.u1"), Clear())
        for message in protocol.send(command)
    ]
    assert sent == [
        {"event": "media", "streamSid": STREAM, "media": {"payload": "AP8="}},
        {"event": "mark", "streamSid": STREAM, "mark": {"name": "r1.u1"}},
        {"event": "clear", "streamSid": STREAM},
    ]


@pytest.mark.parametrize("command", [SendDtmf("1"), Transfer("+15550100"), Hangup("done"), ShowState("x"), Play(b"")])
def test_what_twilio_cannot_do_in_band_sends_nothing(command: Any) -> None:
    assert started().send(command) == ()


def test_nothing_is_sent_before_the_start_or_after_the_stop() -> None:
    protocol = TwilioProtocol()
    assert protocol.send(Play(b"\xff")) == ()
    protocol.receive(start())
    assert protocol.send(Play(b"\xff"))
    protocol.receive(json.dumps({"event": "stop", "streamSid": STREAM}))
    assert protocol.send(Play(b"\xff")) == ()


def test_sequence_gaps_are_counted_and_dropped_messages_are_no_gaps() -> None:
    protocol = started()
    for sequence in (2, 3, 6, 7, 7):
        protocol.receive(media(sequence))
    assert protocol.sequence_gaps == 2
    protocol.receive(media(8, payload="?"))
    protocol.receive(json.dumps({"event": "weather", "sequenceNumber": "9", "streamSid": STREAM}))
    protocol.receive(media(10))
    assert protocol.sequence_gaps == 2


def test_lost_audio_is_measured_by_timestamps() -> None:
    protocol = started()
    for timestamp in (5, 25, 45, 66, 165, 185):  # 1 ms of rounding, then 79 ms missing
        [event] = protocol.receive(media(timestamp=timestamp))
        assert isinstance(event, AudioIn)
        assert event.timestamp_ms == timestamp
    assert protocol.lost_ms == 79


def test_a_message_over_the_limit_closes() -> None:
    protocol = started()
    [fault] = protocol.receive(media(payload="A" * 70_000))
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == ("message_too_big", 1009)
    assert protocol.receive(media()) == ()


def test_the_limit_counts_bytes_not_characters() -> None:
    [fault] = started().receive("\u20ac" * 30_000)
    assert isinstance(fault, Fault)
    assert fault.close == 1009


def test_audio_before_the_start_ends_the_call_in_the_end() -> None:
    protocol = TwilioProtocol()
    faults = [fault for _ in range(EARLY_LIMIT) for fault in protocol.receive(media())]
    assert [fault.close for fault in faults if isinstance(fault, Fault)] == [None] * EARLY_LIMIT + [1008]
    assert protocol.receive(start()) == ()


def test_malformed_messages_in_a_row_end_the_call() -> None:
    protocol = started()
    for _ in range(MALFORMED_LIMIT - 1):
        [fault] = protocol.receive("?")
        assert isinstance(fault, Fault)
        assert fault.close is None
    assert len(protocol.receive(media())) == 1  # a good one: counting begins again
    faults = [fault for _ in range(MALFORMED_LIMIT) for fault in protocol.receive("?")]
    assert [fault.close for fault in faults if isinstance(fault, Fault)] == [None] * MALFORMED_LIMIT + [1007]
    assert protocol.receive(media()) == ()


def test_unknown_events_never_end_the_call() -> None:
    protocol = started()
    for _ in range(MALFORMED_LIMIT * 3):
        protocol.receive('{"event":"weather"}')
    assert len(protocol.receive(media())) == 1


def test_a_long_wrong_value_is_cut_in_the_detail() -> None:
    [fault] = started().receive(json.dumps({"event": "dtmf", "streamSid": STREAM, "dtmf": {"digit": "9" * 5000}}))
    assert isinstance(fault, Fault)
    assert "digit" in fault.detail
    assert len(fault.detail) < 120
