from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from gatewayfuzz import anything, near_miss, takes_anything
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.gateways.base import (
    Answer,
    AudioIn,
    CallEnded,
    CallStarted,
    Clear,
    Fault,
    Hangup,
    Mark,
    Play,
    Refuse,
    SendDtmf,
    Transfer,
)
from agent.gateways.gateway import Opening
from agent.gateways.sinch import GATEWAYS, HEARTBEAT_MS, SinchProtocol
from agent.gateways.ways import Admitted, Asking, Keys, Nonces, Refused
from agent.lab.callers.catalogue import Who
from agent.lab.callers.sinch import SinchCaller
from agent.lab.line import Cleared, Heard, Left, Wrong

OPENING = Opening("call-1")
FRAME = bytes(320)
[GATEWAY] = GATEWAYS


def connect(**fields: Any) -> str:
    message = {
        "command": "connect",
        "version": 1,
        "callId": "call-7",
        "applicationKey": "key-1",
        "codec": "PCM",
        "sampleRate": 8000,
        "callHeaders": {},
        **fields,
    }
    return json.dumps({name: value for name, value in message.items() if value is not None})


def started() -> SinchProtocol:
    protocol = SinchProtocol(OPENING)
    answer, event = protocol.receive(connect())
    assert answer == Answer('{"command":"answer"}')
    assert isinstance(event, CallStarted)
    return protocol


@pytest.mark.parametrize("name", ["sinch_call", "sinch_dropped"])
def test_recorded_conversations(name: str, golden: Any) -> None:
    golden(name, SinchProtocol(OPENING))


@pytest.mark.parametrize(
    "fields",
    [
        {"codec": "OPUS"},
        {"codec": None},
        {"sampleRate": 96000},
        {"sampleRate": "8000"},
        {"version": 2},
        {"version": True},
    ],
)
def test_what_is_not_supported_is_rejected_in_band(fields: dict[str, Any]) -> None:
    protocol = SinchProtocol(OPENING)
    answer, fault = protocol.receive(connect(**fields))
    assert answer == Answer('{"command":"reject"}')
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == ("unsupported_media", 1003)
    assert protocol.receive(connect()) == ()
    assert protocol.send(Play(FRAME)) == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"callId": None},
        {"callId": 7},
        {"callId": ""},
        {"applicationKey": []},
        {"callHeaders": 7},
        {"callHeaders": [{"value": "x"}]},
        {"callHeaders": {"caller": "x" * 65}},
        {"callHeaders": {"a\0": "x"}},
    ],
)
def test_a_start_that_cannot_be_read_ends_the_call(fields: dict[str, Any]) -> None:
    [fault] = SinchProtocol(OPENING).receive(connect(**fields))
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == ("bad_field", 1007)


@pytest.mark.parametrize(
    ("code", "command"), [("busy", "busy"), ("draining", "busy"), ("unauthorized", "reject"), ("mismatch", "reject")]
)
def test_a_refusal_answers_connect(code: str, command: str) -> None:
    protocol = SinchProtocol(OPENING)
    assert protocol.send(Refuse(code)) == ()
    assert isinstance(protocol.receive(FRAME)[0], Fault)
    answer = f'{{"command":"{command}"}}'
    assert protocol.receive(connect()) == (Answer(answer), CallEnded("refused"))
    assert protocol.send(Play(FRAME)) == ()
    late = started()
    assert late.send(Refuse(code)) == (answer,)
    assert late.send(Play(FRAME)) == ()
    [fault] = late.receive(FRAME)
    assert isinstance(fault, Fault)


def test_commands() -> None:
    protocol = started()
    assert protocol.send(Play(FRAME)) == (FRAME,)
    assert protocol.send(Clear()) == ('{"command":"clear"}',)
    for nothing in (Play(b""), Mark("m"), SendDtmf("1"), Transfer("+15550111"), Hangup("done")):
        assert protocol.send(nothing) == ()
    assert SinchProtocol(OPENING).send(Play(FRAME)) == ()


def test_a_heartbeat_goes_out_while_we_are_silent() -> None:
    protocol = started()
    frames = HEARTBEAT_MS // 20
    beats = [len(protocol.receive(FRAME)) == 2 for _ in range(frames * 2)]
    assert [number + 1 for number, beat in enumerate(beats) if beat] == [frames, frames * 2]
    protocol.receive(FRAME)
    protocol.send(Play(FRAME))
    assert not any(len(protocol.receive(FRAME)) == 2 for _ in range(frames - 1))
    assert protocol.receive(FRAME) == (AudioIn(FRAME), Answer('{"command":"heartbeat"}'))


def test_the_simulated_platform_and_we_understand_each_other() -> None:
    caller, protocol = SinchCaller(Who("+15550100", None, {"language": "en"})), SinchProtocol(OPENING)
    voice = np.zeros(160, dtype=np.int16)
    assert caller.voice(voice) == []
    answer, event = protocol.receive(caller.opening()[0])
    assert isinstance(answer, Answer)
    assert isinstance(event, CallStarted)
    assert (event.gateway_call_id, event.caller, event.parameters["language"]) == (caller.call, "+15550100", "en")
    assert caller.receive(answer.message) == []
    assert caller.voice(voice) == [FRAME]
    assert isinstance(caller.receive(protocol.send(Play(FRAME))[0])[0], Heard)
    assert caller.receive(protocol.send(Clear())[0]) == [Cleared()]
    assert caller.receive('{"command":"heartbeat"}') == []
    assert caller.receive('{"command":"busy"}') == [Left("refused:busy")]
    bad: tuple[str | bytes, ...] = (b"", b"\0", "?", "[]", '{"command":"answer"}', '{"command":"dance"}')
    for message in bad:
        assert isinstance(caller.receive(message)[0], Wrong), message
    early: tuple[str | bytes, ...] = (FRAME, '{"command":"clear"}')
    for message in early:
        assert isinstance(SinchCaller(Who()).receive(message)[0], Wrong)


@pytest.mark.parametrize(
    ("headers", "query", "verdict"),
    [
        ({"authorization": "Bearer secret"}, {}, Admitted("sinch:bearer")),
        ({}, {"token": "secret"}, Admitted("sinch:bearer")),
        ({}, {"token": "other"}, Refused("bad_credentials")),
        ({}, {}, None),
    ],
)
def test_ways(headers: dict[str, str], query: dict[str, str], verdict: Any) -> None:
    [way] = GATEWAY.ways
    assert way.check(Asking("sinch", "/gateways/sinch", headers, query), Keys("secret", 0.0, Nonces())) == verdict
    assert GATEWAY.refuses == "message"


messages = anything | near_miss(
    "command",
    ["connect", "clear", "x"],
    ["command", "version", "callId", "applicationKey", "codec", "sampleRate", "callHeaders"],
    [connect(), FRAME],
)


@settings(max_examples=60, deadline=None)
@given(st.lists(messages, max_size=10), st.booleans())
def test_sinch_takes_anything(received: list[str | bytes], refused: bool) -> None:
    protocol = SinchProtocol(OPENING)
    if refused:
        protocol.send(Refuse("busy"))
    takes_anything(protocol, received)
