"""Both protocols against arbitrary input: they never raise, give only events, and stay closed once closed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.gateways.base import Clear, Event, Fault, GatewayProtocol, Mark, Play, ShowState
from agent.gateways.plain import PlainProtocol
from agent.gateways.twilio import TwilioProtocol

STREAM = "MZ1"
TWILIO_START: dict[str, Any] = {
    "event": "start",
    "start": {
        "streamSid": STREAM,
        "callSid": "CA1",
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
    },
}
PLAIN_START: dict[str, Any] = {"type": "start", "version": 1, "rate": 8000}

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([STREAM, "1"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from(
    "streamSid sequenceNumber payload timestamp track name digit text reason rate version mode audio caller call_id "
    "parameters callSid mediaFormat customParameters".split()
)
bodies = st.dictionaries(fields, values, max_size=5)


def near_miss(kind: str, names: list[str], starts: list[dict[str, Any]]) -> st.SearchStrategy[str]:
    """Messages with a real name and wild fields, at the top and in the nested object of that name."""
    wild = st.builds(
        lambda name, top, nested: json.dumps(
            top | {kind: name, name: nested} if kind == "event" else top | {kind: name}
        ),
        st.sampled_from(names),
        bodies,
        bodies | values,
    )
    return wild | st.sampled_from([json.dumps(start) for start in starts])


anything = st.text(max_size=60) | st.binary(max_size=60) | values.map(json.dumps)
twilio = anything | near_miss("event", ["connected", "start", "media", "mark", "dtmf", "stop", "x"], [TWILIO_START])
plain = anything | near_miss("type", ["start", "dtmf", "text", "mark", "stop", "x"], [PLAIN_START])


def check(protocol: GatewayProtocol, messages: list[str | bytes]) -> None:
    closed = False
    for message in messages:
        events = protocol.receive(message)
        assert all(isinstance(event, get_args(Event)) for event in events)
        if closed:
            assert not events
        closed = closed or any(isinstance(event, Fault) and event.close is not None for event in events)
        sent = [
            text for command in (ShowState("x"), Play(b"\0\0"), Mark("m"), Clear()) for text in protocol.send(command)
        ]
        assert not (closed and sent)


@settings(max_examples=300, deadline=None)
@given(st.lists(twilio, max_size=12))
def test_twilio_takes_anything(messages: list[str | bytes]) -> None:
    check(TwilioProtocol(), messages)


@settings(max_examples=300, deadline=None)
@given(st.lists(plain, max_size=12))
def test_plain_takes_anything(messages: list[str | bytes]) -> None:
    check(PlainProtocol("stream-1"), messages)


@pytest.mark.parametrize("make", [TwilioProtocol, lambda: PlainProtocol("stream-1")])
@pytest.mark.parametrize(
    "message", ["\ud800", '"\ud800"', "[" * 60_000, "9" * 60_000, '{"event":NaN,"type":Infinity}', "\0"]
)
def test_hard_cases_are_one_fault(make: Callable[[], GatewayProtocol], message: str) -> None:
    [event] = make().receive(message)
    assert isinstance(event, Fault)
    event.detail.encode()  # fit to be written to a log


@pytest.mark.parametrize("bad", ["\ud800", "a\0b"])
def test_text_that_cannot_be_stored_is_refused(bad: str) -> None:
    protocol = PlainProtocol("stream-1")
    protocol.receive(json.dumps(PLAIN_START))
    [event] = protocol.receive(json.dumps({"type": "text", "text": bad}))
    assert isinstance(event, Fault)
    [event] = PlainProtocol("stream-1").receive(json.dumps(PLAIN_START | {"parameters": {"a": bad}}))
    assert isinstance(event, Fault)
    assert event.close == 1007
