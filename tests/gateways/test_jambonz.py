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
    CallStarted,
    Clear,
    Dtmf,
    Fault,
    Hangup,
    Mark,
    MarkReached,
    Play,
    SendDtmf,
    ShowTranscript,
    Transfer,
)
from agent.gateways.gateway import Opening
from agent.gateways.jambonz import GATEWAYS, JambonzProtocol
from agent.gateways.ways import Admitted, Asking, Keys, Nonces, Refused
from agent.lab.callers.catalogue import Who
from agent.lab.callers.jambonz import CALLERS, JambonzCaller
from agent.lab.line import Cleared, Heard, Left, Marked, Wrong

OPENING = Opening("c-1")
INFO = {"callSid": "s-1", "sampleRate": 8000, "mixType": "mono", "from": "+15550100", "to": "+15550199"}
FRAME = np.arange(1, 641, dtype="<i2").tobytes()


def started(**changes: Any) -> JambonzProtocol:
    protocol = JambonzProtocol(OPENING)
    [event] = protocol.receive(json.dumps({**INFO, **changes}))
    assert isinstance(event, CallStarted)
    return protocol


@pytest.mark.parametrize("name", ["jambonz_call", "jambonz_dropped"])
def test_recorded_conversations(name: str, golden: Any) -> None:
    golden(name, JambonzProtocol(OPENING))


@pytest.mark.parametrize(
    ("changes", "code", "close"),
    [
        ({"sampleRate": 11025}, "unsupported_media", 1003),
        ({"mixType": "quad"}, "unsupported_media", 1003),
        ({"callSid": "x" * 300}, "bad_field", 1007),
        ({"from": "a\0b"}, "bad_field", 1007),
        ({"callSid": None}, "bad_field", 1007),
        ({"callSid": 7}, "bad_field", 1007),
    ],
)
def test_call_information_that_cannot_be_used_ends_the_call(changes: dict[str, Any], code: str, close: int) -> None:
    protocol = JambonzProtocol(OPENING)
    [fault] = protocol.receive(json.dumps({**INFO, **changes}))
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == (code, close)
    assert protocol.receive(FRAME) == ()


@pytest.mark.parametrize("message", ["weather", "[]", "{}"])
def test_a_socket_that_does_not_begin_with_call_information(message: str) -> None:
    [fault] = JambonzProtocol(OPENING).receive(message)
    assert isinstance(fault, Fault)
    assert fault.close == 1007


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_the_rate_is_the_verbs(rate: int) -> None:
    assert started(sampleRate=rate).capabilities.encoding.rate == rate


def test_of_stereo_the_caller_is_taken() -> None:
    [heard] = started(mixType="stereo").receive(np.array([1, 2, 3, 4], dtype="<i2").tobytes())
    assert heard == AudioIn(np.array([1, 3], dtype="<i2").tobytes())


def test_sound_marks_and_clearing() -> None:
    protocol = started()
    assert protocol.send(Play(FRAME)) == (FRAME,)
    assert [json.loads(message) for message in protocol.send(Mark("m"))] == [{"type": "mark", "data": {"name": "m"}}]
    assert [json.loads(message) for message in protocol.send(Clear())] == [{"type": "killAudio"}]


@pytest.mark.parametrize(
    "command",
    [Transfer("+15550123"), Hangup("goodbye"), ShowTranscript("agent", "Hello.", True, 1), SendDtmf("1"), Play(b"")],
)
def test_what_jambonz_does_not_hear_on_this_socket(command: Any) -> None:
    assert started().send(command) == ()
    assert JambonzProtocol(OPENING).send(Play(FRAME)) == ()


def test_a_call_with_jambonz_half() -> None:
    caller = JambonzCaller(Who("+15550100", "+15550199", {"tier": "gold"}))
    protocol = JambonzProtocol(OPENING)
    [event] = [event for message in caller.opening() for event in protocol.receive(message)]
    assert isinstance(event, CallStarted)
    assert (event.gateway_call_id, event.caller, event.called) == (caller.call, "+15550100", "+15550199")
    assert event.parameters["tier"] == "gold"
    [event] = protocol.receive(caller.voice(np.arange(160, dtype=np.int16))[0])
    assert isinstance(event, AudioIn)
    assert protocol.receive(caller.key("7")[0]) == (Dtmf("7"),)
    [heard] = caller.receive(protocol.send(Play(FRAME))[0])
    assert isinstance(heard, Heard)
    assert len(heard.samples) == 640
    assert caller.receive(protocol.send(Mark("m"))[0]) == [Marked("m")]
    assert protocol.receive(caller.played("m")[0]) == (MarkReached("m"),)
    assert caller.receive(protocol.send(Clear())[0]) == [Cleared()]
    assert caller.receive('{"type":"disconnect"}') == [Left("disconnect")]
    [wrong] = caller.receive('{"type":"transfer","data":{"target":"x"}}')
    assert isinstance(wrong, Wrong)


START: list[Any] = [INFO]
NAMES = ["mark", "playDone", "x"]
FIELDS = ["callSid", "sampleRate", "mixType", "from", "to", "event", "dtmf", "duration", "name", "data"]


@given(st.lists(anything | near_miss("type", NAMES, FIELDS, START), max_size=12))
@settings(max_examples=60, deadline=None)
def test_any_input(messages: list[str | bytes]) -> None:
    takes_anything(JambonzProtocol(OPENING), messages)


def test_it_proves_itself_by_user_and_password() -> None:
    [way] = GATEWAYS[0].ways
    keys = Keys("user:pass word", 1_700_000_000.0, Nonces())

    def asked(said: str | None) -> Asking:
        headers = {} if said is None else {"authorization": said}
        return Asking("jambonz", "/gateways/jambonz", headers)

    def basic(text: str) -> str:
        return "Basic " + base64.b64encode(text.encode()).decode()

    assert isinstance(way.check(asked(basic("user:pass word")), keys), Admitted)
    assert way.check(asked(basic("user:word")), keys) == Refused("bad_credentials")
    assert way.check(asked("Basic ?"), keys) == Refused("malformed")
    assert way.check(asked(None), keys) is None
    assert way.check(asked(basic("a:b")), Keys(None, 0.0, Nonces())) == Refused("no_key")


def test_the_records() -> None:
    [gateway], [caller] = GATEWAYS, CALLERS
    protocol = gateway.new(OPENING)
    assert protocol.name == gateway.name == caller.name == "jambonz"
    assert protocol.capabilities == gateway.capabilities
    assert gateway.subprotocols == caller.subprotocols
    assert (gateway.capabilities.transfer, gateway.capabilities.hangup) == ("rest", "rest")
