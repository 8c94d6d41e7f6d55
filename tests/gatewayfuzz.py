"""Arbitrary input for gateway protocols, and what must hold whatever comes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from hypothesis import strategies as st

from agent.gateways.base import (
    Answer,
    CallStarted,
    Clear,
    Event,
    Fault,
    GatewayProtocol,
    Hangup,
    Mark,
    Play,
    ShowReply,
    ShowSpeech,
    ShowState,
    ShowTranscript,
    SpeakText,
)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["1", "s-1"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
anything = st.text(max_size=60) | st.binary(max_size=60) | values.map(json.dumps)
COMMANDS = (
    ShowState("speaking"),
    ShowSpeech(True, 20.0),
    ShowReply(1, "began"),
    ShowReply(1, "audible"),
    ShowTranscript("agent", "Hello.", False, 1),
    SpeakText("Hello.", last=False),
    Play(b"\0\0" * 160),
    Mark("g1.0.1"),
    Clear(),
    ShowReply(1, "interrupted", 20.0),
    ShowTranscript("caller", "Hi.", True, 1),
)


def near_miss(
    kind: str, names: Sequence[str], fields: Sequence[str], starts: Iterable[Mapping[str, Any] | str | bytes] = ()
) -> st.SearchStrategy[str | bytes]:
    """Messages of a real `kind` (the field that names them) with wild `fields`, at the top and in the object named so;
    and `starts` as they are."""
    bodies = st.dictionaries(st.sampled_from(list(fields)), values, max_size=5)
    wild: st.SearchStrategy[str | bytes] = st.builds(
        lambda name, top, nested: json.dumps({**top, kind: name, name: nested, "data": nested, "parameters": nested}),
        st.sampled_from(list(names)),
        bodies,
        bodies | values,
    )
    real = [start if isinstance(start, str | bytes) else json.dumps(start) for start in starts]
    return wild | st.sampled_from(real) if real else wild


def takes_anything(protocol: GatewayProtocol, messages: Iterable[str | bytes]) -> None:
    """It never raises, gives only events, starts at most one call, and stays closed once closed."""
    closed, started = False, 0
    for message in messages:
        events = protocol.receive(message)
        assert all(isinstance(event, get_args(Event)) for event in events)
        if closed:
            assert not [event for event in events if not isinstance(event, Answer)]
        started += sum(isinstance(event, CallStarted) for event in events)
        assert started <= 1
        faults = [event for event in events if isinstance(event, Fault)]
        for fault in faults:
            assert fault.detail
            fault.detail.encode()  # fit to be written to a log
        closed = closed or any(fault.close is not None for fault in faults)
        sent = [text for command in COMMANDS for text in protocol.send(command)]
        assert all(isinstance(text, str | bytes) for text in sent)
        assert not (closed and sent)
    protocol.send(Hangup("goodbye"))
