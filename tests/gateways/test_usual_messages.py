"""Media messages read by sight mean what the parser says they mean."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.gateways.gateway import Opening
from agent.gateways.media_streams import GATEWAYS
from agent.gateways.usual import UsualMessage
from agent.lab.callers.catalogue import Who
from agent.lab.callers.media_streams import CALLERS

RECORD = {gateway.name: gateway for gateway in GATEWAYS}
CALLER = {caller.name: caller for caller in CALLERS}
WHO = Who("+15550100", "+15550199", {})
FRAME = np.arange(160, dtype=np.int16) * 100


def started(name: str) -> tuple[Any, Any, Any]:
    """A protocol, one that always parses, and a caller of a call that has begun."""
    caller = CALLER[name].new(WHO)
    quick, plain = (RECORD[name].new(Opening("call-1")) for _ in range(2))
    plain._usual._lessons = 0
    for message in caller.opening():
        assert quick.receive(message) == plain.receive(message)
    return quick, plain, caller


def frame(caller: Any) -> np.ndarray:
    return np.resize(FRAME, caller.rate // 50)


@pytest.mark.parametrize("name", list(CALLER))
def test_all_but_the_first_are_known_by_sight(name: str) -> None:
    quick, plain, caller = started(name)
    sent = [message for _ in range(40) for message in caller.voice(frame(caller))]
    assert quick.receive(sent[0]) == plain.receive(sent[0])
    known = 0
    for message in sent[1:]:
        heard = quick.hear(message)
        known += heard is not None
        assert (heard if heard is not None else quick.receive(message)) == plain.receive(message)
    assert known == len(sent) - 1


def changed(message: str, field: str, value: Any, whole: bool) -> str:
    document = json.loads(message)
    holder = document if whole else document["media"]
    if value is None:
        holder.pop(field, None)
    else:
        holder[field] = value
    return json.dumps(document)


VALUES = st.one_of(
    st.none(),
    st.integers(-2, 10**19),
    st.booleans(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["007", "9", "inbound", "outbound", "media", "AAAA", "AAA=", "AA=A", "A", "/+8=", "AB==", "=", ["9"], {}]
    ),
)
FIELDS = st.sampled_from(
    [
        "payload",
        "chunk",
        "timestamp",
        "track",
        "sequenceNumber",
        "sequence_number",
        "streamSid",
        "stream_id",
        "event",
        "x",
    ]
)
CHANGES = st.lists(st.tuples(FIELDS, VALUES, st.booleans(), st.integers(0, 2)), max_size=12)


@pytest.mark.parametrize("name", ["twilio", "telnyx", "plivo", "signalwire"])
@settings(max_examples=25)
@given(changes=CHANGES)
@example(changes=[("chunk", "x", False, 0), ("timestamp", 5, True, 0), ("timestamp", None, False, 0)])
@example(changes=[("x", '"payload": "AAAA"', False, 0)] * 4)
def test_whatever_comes_both_say_the_same(name: str, changes: list[tuple[str, Any, bool, int]]) -> None:
    quick, plain, caller = started(name)
    for field, value, whole, usual in changes:
        messages = [message for _ in range(usual) for message in caller.voice(frame(caller))]
        for message in [*messages, *(changed(last, field, value, whole) for last in caller.voice(frame(caller)))]:
            assert quick.receive(message) == plain.receive(message)
    assert [getattr(quick, told) for told in ("sequence_gaps", "lost_ms", "late")] == [
        getattr(plain, told) for told in ("sequence_gaps", "lost_ms", "late")
    ]


MEDIA = (
    '{"event":"media","sequenceNumber":"3","media":{"chunk":"1","timestamp":"5","payload":"AAAA"},"streamSid":"MZ1"}'
)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (MEDIA.replace('"MZ1"', '"M\\u005a1"'), "an escape"),
        (MEDIA.replace('"MZ1"', '"MZ\u00e9"'), "not ASCII"),
        (MEDIA.replace('"media",', '"media","payload":"AAAA",'), "two payloads"),
        (MEDIA.replace('"AAAA"', '"BBBB"'), "not what was parsed"),
        (MEDIA.replace('"chunk":"1",', ""), "a counter is missing"),
    ],
)
def test_nothing_is_learnt_from_what_is_not_plain(message: str, why: str) -> None:
    usual = UsualMessage()
    usual.learn(message, ("payload", "AAAA"), {"sequenceNumber": 3, "timestamp": 5, "chunk": 1})
    assert usual.read(message) is None, why


def test_what_changes_are_counters_and_audio_alone() -> None:
    usual = UsualMessage()
    usual.learn(MEDIA, ("payload", "AAAA"), {"sequenceNumber": 3, "timestamp": 5, "chunk": 1})
    assert usual.read(MEDIA) == ("AAAA", "3", "5", "1")
    later = MEDIA.replace('"3"', '"412"').replace('"5"', '"0960"').replace("AAAA", base64.b64encode(b"xyzw").decode())
    assert usual.read(later) == ("eHl6dw==", "412", "0960", "1")
    for other in (
        later + " ",
        later.replace("MZ1", "MZ2"),
        later.replace('"412"', "412"),
        later.replace("eHl6", "e!l6"),
    ):
        assert usual.read(other) is None


def test_numbers_without_quotes_are_json_numbers() -> None:
    bare = MEDIA.replace('"3"', "3")
    usual = UsualMessage()
    usual.learn(bare, ("payload", "AAAA"), {"sequenceNumber": 3, "timestamp": 5, "chunk": 1})
    assert usual.read(bare.replace(":3,", ":40,")) == ("AAAA", "40", "5", "1")
    assert usual.read(bare.replace(":3,", ":040,")) is None
