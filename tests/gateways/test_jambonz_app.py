from __future__ import annotations

import json
from typing import Any

import pytest
from gatewayfuzz import anything, near_miss
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.gateways.base import Answer, CallEnded, CallStarted, Event, Fault
from agent.gateways.jambonz_app import (
    MAX_HEADERS,
    MAX_MESSAGE,
    MAX_RETURNS,
    CallState,
    JambonzApp,
    connected,
    hung_up,
    moved,
    refused,
    sip_headers,
)
from agent.gateways.messages import EARLY_LIMIT

CALL = "11111111-2222-4333-8444-555555555555"
LISTEN = {
    "verb": "listen",
    "url": "wss://calls.example.com/gateways/jambonz/1",
    "mixType": "mono",
    "sampleRate": 8000,
    "passDtmf": True,
    "bidirectionalAudio": {"enabled": True, "streaming": True, "sampleRate": 8000},
}
ASKED = {"verb": "redirect", "actionHook": "/ended"}
HANGUP = {"verb": "hangup"}


class Media:
    """Addresses of the media socket, each good once."""

    def __init__(self) -> None:
        self.given: list[str] = []

    def __call__(self, call_sid: str) -> str:
        self.given.append(call_sid)
        return f"wss://calls.example.com/gateways/jambonz/{len(self.given)}"


def said(kind: str, msgid: str = "m1", hook: str | None = None, **data: Any) -> str:
    message = {"type": kind, "msgid": msgid, "call_sid": CALL, "data": data, "b3": "x"}
    return json.dumps(message | ({} if hook is None else {"hook": hook}))


NEW = said("session:new", "m0", direction="inbound", **{"from": "+15550100"}, to="+15550199", account_sid="a-1")


def began(**options: Any) -> JambonzApp:
    app = JambonzApp(Media(), **options)
    app.receive(NEW)
    return app


def answered(events: Any, msgid: str = "m1") -> Any:
    """The verbs of the one ack among the events."""
    [ack] = [json.loads(event.message) for event in events if isinstance(event, Answer)]
    assert (ack["type"], ack["msgid"]) == ("ack", msgid)
    return ack["data"]


def commanded(message: str) -> Any:
    command = json.loads(message)
    assert (command["type"], command["command"], command["queueCommand"]) == ("command", "redirect", False)
    return command["data"]


def test_a_new_call_is_answered_and_connected() -> None:
    events = JambonzApp(Media()).receive(NEW)
    assert events[0] == CallStarted(CALL, "m0", "+15550100", "+15550199", "a-1")
    assert answered(events, "m0") == [{"verb": "answer"}, LISTEN, ASKED, HANGUP]


def test_user_and_password_for_the_media_socket() -> None:
    verbs = answered(JambonzApp(Media(), auth=("user", "word")).receive(NEW), "m0")
    assert verbs[1]["wsAuth"] == {"username": "user", "password": "word"}


@pytest.mark.parametrize(
    ("direction", "verbs"),
    [
        ("inbound", [{"verb": "sip:decline", "status": 503, "reason": "Service Unavailable"}]),
        ("outbound", [{"verb": "hangup", "headers": {"X-Reason": "busy"}}]),
    ],
)
def test_a_call_that_is_not_taken(direction: str, verbs: Any) -> None:
    app = JambonzApp(Media(), accepts=lambda: False)
    events = app.receive(said("session:new", direction=direction))
    assert answered(events) == verbs
    assert [event for event in events if not isinstance(event, Answer)] == [CallEnded("refused")]
    assert app.receive(NEW) == ()


def test_a_socket_that_comes_back_is_told_what_the_first_was() -> None:
    """feature-server takes the answer for that to session:new if it never got one, and else leaves it."""
    state = CallState(returns=1)
    app = JambonzApp(Media(), state_of=lambda call_sid: state, accepts=lambda: False)
    events = app.receive(said("session:reconnect", **{"from": "+15550100"}))
    assert isinstance(events[0], CallStarted)
    assert answered(events)[1]["verb"] == "listen"
    assert app.state is state


def test_a_call_that_another_application_hands_over() -> None:
    assert answered(JambonzApp(Media()).receive(said("session:redirect", hook="wss://calls.example.com")))[1] == LISTEN


@pytest.mark.parametrize("kind", ["session:adulting", "queue:status", "dial:confirm", "verb:hook", "session:reconnect"])
def test_what_wants_an_answer_gets_one(kind: str) -> None:
    verbs = answered(began().receive(said(kind, "m9", hook="/unknown")), "m9")
    assert verbs == [] or kind == "session:reconnect"


@pytest.mark.parametrize(
    "kind",
    [
        *("call:status", "verb:status", "jambonz:error", "llm:event", "llm:tool-call"),
        *("tts:tokens-result", "tts:streaming-event", "weather"),
    ],
)
def test_what_wants_no_answer_gets_none(kind: str) -> None:
    assert not [event for event in began().receive(said(kind)) if isinstance(event, Answer)]


def test_the_end_of_a_call_is_told_once() -> None:
    app = began()
    assert app.receive(said("call:status", call_status="in-progress")) == ()
    assert app.receive(said("call:status", call_status="completed")) == (CallEnded("completed"),)
    assert app.receive(said("call:status", call_status="completed")) == ()
    assert app.state.over


def test_an_error_is_reported() -> None:
    [fault] = began().receive(said("jambonz:error", msg="InvalidMessage", details="data property not supplied"))
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == ("gateway_error", None)
    assert "data property" in fault.detail


def test_a_media_socket_that_ended_ends_the_call() -> None:
    assert answered(began().receive(said("session:redirect", hook="/ended"))) == [HANGUP]


def test_a_media_socket_that_broke_is_connected_again_a_few_times() -> None:
    app = began(expects=lambda call_sid: call_sid == CALL)
    for _ in range(MAX_RETURNS):
        verbs = answered(app.receive(said("session:redirect", hook="/ended")))
        assert [verb["verb"] for verb in verbs] == ["listen", "redirect", "hangup"]
    assert answered(app.receive(said("session:redirect", hook="/ended"))) == hung_up("lost")


@pytest.mark.parametrize(
    ("hook", "data", "verbs"),
    [
        ("/dialled", {"dial_call_status": "completed"}, ["hangup"]),
        ("/dialled", {"dial_call_status": "busy"}, ["listen", "redirect", "hangup"]),
        ("/dialled", {}, ["listen", "redirect", "hangup"]),
        ("/referred", {"refer_status": 202}, []),
        ("/referred", {"refer_status": 202, "final_referred_call_status": 200}, []),
        ("/referred", {"refer_status": 202, "final_referred_call_status": 486}, ["listen", "redirect", "hangup"]),
        ("/referred", {"refer_status": 403}, ["listen", "redirect", "hangup"]),
        ("/referred", {}, ["listen", "redirect", "hangup"]),
        ("/queued", {"queue_result": "bridged"}, ["hangup"]),
        ("/queued", {"queue_result": "error"}, ["listen", "redirect", "hangup"]),
        ("/conferenced", {}, ["hangup"]),
        ("/other", {}, []),
    ],
)
def test_what_follows_a_transfer(hook: str, data: dict[str, Any], verbs: list[str]) -> None:
    assert [verb["verb"] for verb in answered(began().receive(said("verb:hook", hook=hook, **data)))] == verbs


def test_each_connection_has_an_address_of_its_own() -> None:
    media = Media()
    app = JambonzApp(media)
    app.receive(NEW)
    [_, listen, *_] = answered(app.receive(said("session:reconnect")))
    assert listen["url"].endswith("/2")
    assert media.given == [CALL, CALL]


HEADERS = {"X-Handoff-Id": "h-1", "X-Handoff-Reason": "asked"}


@pytest.mark.parametrize(
    ("target", "verb", "fields"),
    [
        ("+15550123", "dial", {"target": [{"type": "phone", "number": "+15550123"}], "headers": HEADERS}),
        ("2001", "dial", {"target": [{"type": "phone", "number": "2001"}]}),
        ("sip:desk@example.com", "dial", {"target": [{"type": "sip", "sipUri": "sip:desk@example.com"}]}),
        ("user:anna@calls.example.com", "dial", {"target": [{"type": "user", "name": "anna@calls.example.com"}]}),
        ("refer:+15550123", "sip:refer", {"referTo": "+15550123", "headers": HEADERS}),
        ("refer:sip:desk@example.com", "sip:refer", {"referTo": "sip:desk@example.com"}),
        ("queue:support", "enqueue", {"name": "support"}),
        ("conference:room-1", "conference", {"name": "room-1"}),
    ],
)
def test_transfers(target: str, verb: str, fields: dict[str, Any]) -> None:
    [sent] = commanded(began().transfer(target, {"handoff_id": "h-1", "reason": "asked"}))
    assert sent["verb"] == verb
    assert {name: sent[name] for name in fields} == fields
    assert sent["actionHook"].startswith("/")


@pytest.mark.parametrize(
    "target", ["", "desk", "+", "sip:", "sip:a b@c", "sip:<x>", "queue:", "queue:a b", "refer:queue:x", "tel:+1555"]
)
def test_targets_that_jambonz_cannot_reach(target: str) -> None:
    with pytest.raises(ValueError, match="nothing jambonz can connect to"):
        began().transfer(target)


def test_hanging_up() -> None:
    assert commanded(began().hang_up()) == [HANGUP]
    assert commanded(began().hang_up("good\r\nbye")) == [{"verb": "hangup", "headers": {"X-Reason": "good bye"}}]


def test_headers_fit_and_hold_only_what_sip_takes() -> None:
    headers = sip_headers({"summary": "Order 12\r\nX-Evil: 1; \u4f60\u597d", "handoff_id": "h-1", "": "x", "empty": ""})
    assert headers == {"X-Handoff-Summary": "Order 12 X-Evil: 1; %E4%BD%A0%E5%A5%BD", "X-Handoff-Id": "h-1"}


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=1000), max_size=12))
@settings(max_examples=60, deadline=None)
def test_headers_are_always_small_and_printable(context: dict[str, str]) -> None:
    headers = sip_headers(context)
    text = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    assert len(text) <= MAX_HEADERS
    assert all(name.isascii() and value.isascii() and value.isprintable() for name, value in headers.items())


@pytest.mark.parametrize(
    "changes",
    [
        *({"call_sid": None}, {"call_sid": 7}, {"call_sid": ""}, {"msgid": None}, {"msgid": ["m"]}),
        *({"data": None}, {"data": []}, {"data": {"from": 15550100}}, {"data": {"account_sid": "a\0"}}),
    ],
)
def test_a_first_message_that_cannot_be_used_ends_the_connection(changes: dict[str, Any]) -> None:
    app = JambonzApp(Media())
    [fault] = app.receive(json.dumps(json.loads(NEW) | changes))
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == ("bad_field", 1007)
    assert app.receive(NEW) == ()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("?", "not_json"),
        ("[]", "not_an_object"),
        ("{}", "bad_field"),
        (b"\0", "binary_message"),
        ('{"type":"verb:hook"}', "bad_field"),
        ('{"type":"verb:hook","msgid":7}', "bad_field"),
        ('{"type":"verb:hook","msgid":"m","call_sid":"other"}', "wrong_call"),
        ('{"type":"weather","msgid":"m"}', "unknown_event"),
    ],
)
def test_messages_that_are_dropped(message: str | bytes, code: str) -> None:
    [fault] = began().receive(message)
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == (code, None)


def test_bad_data_of_a_hook_is_still_answered() -> None:
    message = json.dumps({"type": "verb:hook", "msgid": "m1", "hook": {"url": "/x"}, "data": "?"})
    assert answered(began().receive(message)) == []


def test_a_message_over_the_limit_closes() -> None:
    [fault] = began().receive(" " * (MAX_MESSAGE + 1))
    assert isinstance(fault, Fault)
    assert fault.close == 1009


def test_what_comes_before_the_call_ends_the_connection_in_the_end() -> None:
    app = JambonzApp(Media())
    faults = [fault for _ in range(EARLY_LIMIT) for fault in app.receive(said("verb:hook"))]
    assert [fault.close for fault in faults if isinstance(fault, Fault)] == [None] * EARLY_LIMIT + [1008]


KINDS = ["session:new", "session:reconnect", "session:redirect", "verb:hook", "call:status", "jambonz:error", "x"]
FIELDS = ["msgid", "call_sid", "hook", "data", "from", "to", "direction", "call_status", "dial_call_status", "details"]


@given(st.lists(anything | near_miss("type", KINDS, FIELDS, [NEW]), max_size=12))
@settings(max_examples=80, deadline=None)
def test_any_input(messages: list[str | bytes]) -> None:
    app, started = JambonzApp(Media(), expects=lambda call_sid: True), 0
    for message in messages:
        events = app.receive(message)
        assert all(isinstance(event, Event) for event in events)
        started += sum(isinstance(event, CallStarted) for event in events)
        for event in events:
            if isinstance(event, Answer):
                assert json.loads(event.message)["type"] == "ack"
            if isinstance(event, Fault):
                event.detail.encode()
    assert started <= 1


def test_every_answer_fits_into_what_jambonz_takes() -> None:
    """Its websocket client takes 24 KiB by default."""
    context = {f"name-{index}": "\u4f60" * 1000 for index in range(50)}
    url = "wss://calls.example.com/gateways/jambonz/" + "t" * 500
    for verbs in (connected(url, ("u" * 100, "p" * 100), True), moved("+15550123", context), refused(False)):
        assert len(json.dumps(verbs)) < 4096
