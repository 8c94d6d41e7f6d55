from __future__ import annotations

import json
from typing import Any

import pytest

from agent.gateways.base import (
    CallStarted,
    Clear,
    Fault,
    Hangup,
    Mark,
    Play,
    SendDtmf,
    ShowState,
    ShowTranscript,
    ShowTurn,
    Transfer,
)
from agent.gateways.messages import EARLY_LIMIT, MALFORMED_LIMIT
from agent.gateways.plain import PlainProtocol
from audio.codec import Encoding


def start(**fields: Any) -> str:
    return json.dumps({"type": "start", "version": 1, "rate": 16000} | fields)


def started(**fields: Any) -> PlainProtocol:
    protocol = PlainProtocol("stream-1")
    [event] = protocol.receive(start(**fields))
    assert isinstance(event, CallStarted)
    return protocol


@pytest.mark.parametrize("name", ["plain_call", "plain_dropped"])
def test_recorded_conversations(name: str, golden: Any) -> None:
    golden(name, PlainProtocol("stream-1"))


@pytest.mark.parametrize(
    ("fields", "code", "close"),
    [
        ({"version": 2}, "unsupported_version", 1003),
        ({"version": True}, "unsupported_version", 1003),
        ({"rate": 44100}, "unsupported_rate", 1003),
        ({"rate": "16000"}, "unsupported_rate", 1003),
        ({"rate": None}, "unsupported_rate", 1003),
        ({"mode": "video"}, "unsupported_mode", 1003),
        ({"audio": "no"}, "bad_field", 1007),
        ({"caller": 15550100}, "bad_field", 1007),
        ({"call_id": ""}, "bad_field", 1007),
        ({"parameters": {"a": 1}}, "bad_field", 1007),
    ],
)
def test_a_start_that_cannot_be_used_ends_the_call(fields: dict[str, Any], code: str, close: int) -> None:
    protocol = PlainProtocol("stream-1")
    [fault] = protocol.receive(start(**fields))
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == (code, close)
    assert protocol.receive(start()) == ()
    assert protocol.send(ShowState("listening")) == ()


def test_the_start_sets_the_rate() -> None:
    assert started(rate=8000).capabilities.encoding == Encoding("pcm16", 8000)
    assert started().capabilities.encoding == Encoding("pcm16", 16000)


def test_started_goes_out_once_before_everything_else() -> None:
    protocol = started(rate=8000)
    first, second = protocol.send(ShowState("listening"))
    assert json.loads(first) == {"type": "started", "version": 1, "rate": 8000}
    assert json.loads(second) == {"type": "state", "state": "listening"}
    assert len(protocol.send(ShowState("thinking"))) == 1


def test_every_command_has_its_message() -> None:
    protocol = started()
    protocol.send(ShowState("listening"))
    assert protocol.send(Play(b"\x01\x00")) == (b"\x01\x00",)
    commands = [
        Mark("r1.u1"),
        Clear(),
        ShowTranscript("agent", "Hello", True, 0),
        ShowTurn({"intent": "greet", "latency": {"total": 480.0}, "type": "never this"}),
        Transfer("+15550100"),
        Hangup("goodbye"),
    ]
    assert [json.loads(message) for command in commands for message in protocol.send(command)] == [
        {"type": "mark", "name": "r1.u1"},
        {"type": "clear"},
        {"type": "caption", "speaker": "agent", "text": "Hello", "final": True, "turn": 0},
        {"type": "turn", "intent": "greet", "latency": {"total": 480.0}},
        {"type": "transfer", "target": "+15550100"},
        {"type": "hangup", "reason": "goodbye"},
    ]
    assert protocol.send(SendDtmf("1")) == ()
    assert protocol.send(Play(b"")) == ()


def test_a_client_without_audio_gets_none_and_promises_no_marks() -> None:
    protocol = started(mode="text", audio=False)
    assert protocol.capabilities.marks == "none"
    assert not protocol.capabilities.clear
    protocol.send(ShowState("listening"))
    assert [protocol.send(command) for command in (Play(b"\0\0"), Mark("x"), Clear())] == [(), (), ()]
    assert len(protocol.send(ShowTranscript("agent", "Hello", True, 0))) == 1


def test_a_text_client_still_gets_the_agents_voice() -> None:
    protocol = started(mode="text")
    protocol.send(ShowState("listening"))
    assert protocol.send(Play(b"\0\0")) == (b"\0\0",)


def test_odd_audio_is_dropped_and_the_call_goes_on() -> None:
    protocol = started()
    [fault] = protocol.receive(b"\0\0\0")
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == ("odd_audio", None)
    assert len(protocol.receive(b"\0\0")) == 1


@pytest.mark.parametrize("message", ["x" * 65_537, bytes(65_538)])
def test_a_message_over_the_limit_closes(message: str | bytes) -> None:
    protocol = started()
    [fault] = protocol.receive(message)
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == ("message_too_big", 1009)
    assert protocol.receive(b"\0\0") == ()
    assert protocol.send(Play(b"\0\0")) == ()


def test_the_largest_message_passes() -> None:
    assert len(started().receive(bytes(65_536))) == 1


@pytest.mark.parametrize(
    ("message", "limit", "close", "begin"), [(b"\0\0", EARLY_LIMIT, 1008, False), (b"\0", MALFORMED_LIMIT, 1007, True)]
)
def test_floods_end_the_call(message: bytes, limit: int, close: int, begin: bool) -> None:
    protocol = started() if begin else PlainProtocol("stream-1")
    faults = [fault for _ in range(limit) for fault in protocol.receive(message)]
    assert [fault.close for fault in faults if isinstance(fault, Fault)] == [None] * limit + [close]
    assert protocol.receive(start()) == ()


def test_nothing_is_sent_before_the_start_or_after_the_stop() -> None:
    protocol = PlainProtocol("stream-1")
    assert protocol.send(ShowState("listening")) == ()
    protocol.receive(start())
    protocol.receive('{"type":"stop"}')
    assert protocol.send(ShowState("listening")) == ()
