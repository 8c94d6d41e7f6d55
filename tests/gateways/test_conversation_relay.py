from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from gatewayfuzz import anything, near_miss, takes_anything
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator
from twilio.twiml.voice_response import Connect, VoiceResponse

from agent.gateways.base import (
    CallStarted,
    Clear,
    Fault,
    Hangup,
    Mark,
    Play,
    Refuse,
    SendDtmf,
    ShowState,
    SpeakText,
    TextHeard,
    TextIn,
    Transfer,
    TurnBegan,
)
from agent.gateways.conversation_relay import GATEWAYS, TELNYX, TWILIO, ConversationRelayProtocol, Dialect
from agent.gateways.gateway import HookRequest, Opening, VoiceHook
from agent.gateways.heard import Spoken
from agent.gateways.messages import EARLY_LIMIT
from agent.gateways.relay_hook import connect_relay
from agent.gateways.twiml import TwimlError
from agent.gateways.ways import Admitted, Asking, Keys, Nonces, Refused
from agent.lab.callers.catalogue import Who
from agent.lab.callers.conversation_relay import CALLERS, ConversationRelayCaller
from agent.lab.line import FromAgent, Left, Told, Wrong

URL = "wss://calls.example.com/gateways/twilio-relay/token"
SETUP = {"type": "setup", "sessionId": "VX1", "callSid": "CA1", "customParameters": {}}
SILENCE = np.zeros(160, dtype=np.int16)
DIALECTS = pytest.mark.parametrize("dialect", [TWILIO, TELNYX], ids=lambda dialect: dialect.name)


def started(dialect: Dialect = TWILIO) -> ConversationRelayProtocol:
    protocol = ConversationRelayProtocol(dialect)
    [event] = protocol.receive(json.dumps(SETUP))
    assert isinstance(event, CallStarted)
    return protocol


def sent(protocol: ConversationRelayProtocol, *commands: Any) -> list[dict[str, Any]]:
    return [json.loads(message) for command in commands for message in protocol.send(command)]


def played(protocol: ConversationRelayProtocol, value: str) -> list[Any]:
    return list(protocol.receive(json.dumps({"type": "info", "name": "tokensPlayed", "value": value})))


def interrupted(protocol: ConversationRelayProtocol, utterance: str) -> str:
    [event] = protocol.receive(json.dumps({"type": "interrupt", "utteranceUntilInterrupt": utterance}))
    assert isinstance(event, TextHeard)
    assert event.stopped
    return event.text


@pytest.mark.parametrize("name", ["call", "dropped"])
@DIALECTS
def test_recorded_conversations(dialect: Dialect, name: str, golden: Any) -> None:
    golden(f"{dialect.name}_{name}", ConversationRelayProtocol(dialect))


@pytest.mark.parametrize(
    "changes",
    [
        {"callSid": None},
        {"callSid": 7},
        {"callSid": ""},
        {"callSid": "x" * 257},
        {"sessionId": None},
        {"sessionId": ["VX1"]},
        {"from": 15550100},
        {"to": {"number": "+15550100"}},
        {"accountSid": 7},
        {"customParameters": []},
        {"customParameters": {"note": "a\0b"}},
    ],
)
@DIALECTS
def test_a_setup_that_cannot_be_used_ends_the_call(dialect: Dialect, changes: dict[str, Any]) -> None:
    protocol = ConversationRelayProtocol(dialect)
    [fault] = protocol.receive(json.dumps({**SETUP, **changes}))
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == ("bad_field", 1007)
    assert "setup: " in fault.detail
    assert protocol.receive(json.dumps(SETUP)) == ()
    assert protocol.send(SpeakText("Hello.")) == ()


def test_messages_before_the_setup_end_the_call_in_the_end() -> None:
    protocol = ConversationRelayProtocol(TWILIO)
    faults = [fault for _ in range(EARLY_LIMIT) for fault in protocol.receive('{"type":"interrupt"}')]
    assert [fault.close for fault in faults if isinstance(fault, Fault)] == [None] * EARLY_LIMIT + [1008]


def test_twilio_is_sent_text_with_what_may_stop_it() -> None:
    assert sent(started(), SpeakText("One "), SpeakText("two.", interruptible=False), SpeakText("", last=True)) == [
        {"type": "text", "token": "One ", "last": False, "preemptible": False},
        {"type": "text", "token": "two.", "last": False, "preemptible": False, "interruptible": False},
        {"type": "text", "token": "", "last": True, "preemptible": False},
    ]


def test_telnyx_is_sent_only_what_it_documents() -> None:
    assert sent(started(TELNYX), SpeakText("One ", interruptible=False), SpeakText("", last=True)) == [
        {"type": "text", "token": "One ", "last": False},
        {"type": "text", "token": " ", "last": True},
    ]


@DIALECTS
def test_an_end_without_a_reply_is_not_sent(dialect: Dialect) -> None:
    assert sent(started(dialect), SpeakText("", last=True), SpeakText("")) == []


@DIALECTS
def test_a_change_of_language_is_told_once_and_the_first_is_none(dialect: Dialect) -> None:
    protocol = started(dialect)
    messages = sent(
        protocol,
        SpeakText("Hello.", last=True, language="en"),
        SpeakText("Hi.", last=True, language="en-US"),
        SpeakText("Huan ying.", last=True, language="zh"),
        SpeakText("Zai jian.", last=True, language="zh"),
        SpeakText("Ouch.", last=True, language="xx"),
    )
    switches = [message for message in messages if message["type"] == "language"]
    assert switches == [{"type": "language", "ttsLanguage": "zh-CN", "transcriptionLanguage": "zh-CN"}]
    assert [message["type"] for message in messages] == ["text", "text", "language", "text", "text", "text"]


@DIALECTS
def test_a_transfer_ends_the_session_with_what_travels_along(dialect: Dialect) -> None:
    protocol = started(dialect)
    context = {"handoff_id": "h-1", "summary": "Card 4111 1111 1111 1111, \u00fc; order 1234567890123."}
    [end] = sent(protocol, Transfer("+15550123", context))
    assert end["type"] == "end"
    assert json.loads(end["handoffData"]) == {
        "handoff_id": "h-1",
        "summary": "Card [number left out], \u00fc; order 1234567890123.",
        "action": "transfer",
        "target": "+15550123",
    }
    assert sent(protocol, SpeakText("Still here?"), Hangup("again")) == []
    [fault] = protocol.receive(json.dumps({"type": "prompt", "voicePrompt": "Hello?", "last": True}))
    assert isinstance(fault, Fault)
    assert fault.code == "after_stop"


@DIALECTS
def test_hanging_up_ends_the_session(dialect: Dialect) -> None:
    [end] = sent(started(dialect), Hangup("goodbye"))
    assert json.loads(end["handoffData"]) == {"action": "hangup", "reason": "goodbye"}


@DIALECTS
def test_keys_are_sent_if_they_are_keys(dialect: Dialect) -> None:
    assert sent(started(dialect), SendDtmf("1w2#*"), SendDtmf("12e"), SendDtmf("")) == [
        {"type": "sendDigits", "digits": "1w2#*"}
    ]


@pytest.mark.parametrize("command", [Play(b"\0"), Mark("m"), Clear(), ShowState("x"), Refuse("busy")])
def test_what_has_no_message_sends_nothing(command: Any) -> None:
    assert started().send(command) == ()
    assert ConversationRelayProtocol(TWILIO).send(SpeakText("Hello.")) == ()


def test_what_was_played_adds_up_to_the_reply() -> None:
    protocol = started()
    sent(protocol, SpeakText("First thing: the parcel "), SpeakText("is on its way. More?", last=True))
    assert played(protocol, "First thing:") == [TextHeard("First thing:")]
    assert played(protocol, "the parcel is on its way.") == [TextHeard("First thing: the parcel is on its way.")]
    assert played(protocol, "1234#") == []
    assert played(protocol, " More?") == [TextHeard("First thing: the parcel is on its way. More?")]


def test_an_interruption_reports_only_the_piece_it_cut() -> None:
    protocol = started()
    sent(protocol, SpeakText("First thing: the parcel is on its way. More?", last=True))
    played(protocol, "First thing:")
    played(protocol, "the parcel")
    assert interrupted(protocol, "the parcel") == "First thing: the parcel"


def test_without_reports_an_interruption_is_found_in_the_reply() -> None:
    for utterance, heard in {
        "The parcel": "The parcel",
        "The parcel is on its way. It comes": "The parcel is on its way. It comes",
        "It comes": "The parcel is on its way. It comes",
        "Something else": "",
        "": "",
    }.items():
        protocol = started(TELNYX)
        sent(protocol, SpeakText("The parcel is on its way. It comes on Monday.", last=True))
        assert interrupted(protocol, utterance) == heard


def test_an_interruption_of_the_second_reply_leaves_the_first_alone() -> None:
    protocol = started()
    sent(protocol, SpeakText("One moment.", last=True), SpeakText("It is on its way.", last=True))
    assert played(protocol, "One moment.") == [TextHeard("One moment.")]
    assert interrupted(protocol, "") == ""
    assert played(protocol, "It is") == []


def test_what_was_sent_before_the_interruption_was_known_may_still_be_spoken() -> None:
    protocol = started()
    sent(protocol, SpeakText("A long greeting.", last=True), SpeakText("Key nine.", last=True))
    assert played(protocol, "A long") == [TextHeard("A long")]
    assert interrupted(protocol, "A long") == "A long"
    assert played(protocol, "Key nine.") == [TextHeard("Key nine.")]


def test_an_interrupted_reply_is_over() -> None:
    protocol = started()
    sent(protocol, SpeakText("It is on "))
    played(protocol, "It is")
    assert interrupted(protocol, "It is") == "It is"
    assert sent(protocol, SpeakText("", last=True)) == []
    sent(protocol, SpeakText("Yes?", last=True))
    assert played(protocol, "Yes?") == [TextHeard("Yes?")]


@given(st.lists(st.text("ab. ", min_size=1, max_size=6), min_size=1, max_size=6), st.lists(st.text("ab. ", max_size=5)))
@settings(max_examples=80, deadline=None)
def test_what_was_heard_is_always_a_beginning_of_a_reply(parts: list[str], pieces: list[str]) -> None:
    spoken, replies = Spoken(), [""]
    for index, part in enumerate(parts):
        spoken.say(part, last=index % 3 == 2)
        replies[-1] += part
        if index % 3 == 2:
            replies.append("")
    for piece in pieces:
        heard = spoken.played(piece)
        assert heard is None or any(reply.startswith(heard) for reply in replies)
    assert any(reply.startswith(spoken.interrupted("a")) for reply in replies)


def speak(caller: ConversationRelayCaller, protocol: ConversationRelayProtocol, ms: int) -> list[Any]:
    """Let `ms` pass; returns the events."""
    messages = [message for _ in range(ms // 20) for message in caller.voice(SILENCE)]
    return [event for message in messages for event in protocol.receive(message)]


def give(caller: ConversationRelayCaller, messages: Sequence[str]) -> list[FromAgent]:
    return [event for message in messages for event in caller.receive(message)]


def in_call(dialect: Dialect) -> tuple[ConversationRelayCaller, ConversationRelayProtocol]:
    caller = ConversationRelayCaller(dialect.name, Who("+15550100", "+15550199", {"tier": "gold"}))
    protocol = ConversationRelayProtocol(dialect)
    [event] = [event for message in caller.opening() for event in protocol.receive(message)]
    assert isinstance(event, CallStarted)
    assert (event.gateway_call_id, event.caller, event.called) == (caller.call, "+15550100", "+15550199")
    assert event.parameters == {"tier": "gold"}
    return caller, protocol


@DIALECTS
def test_a_whole_call_with_the_vendors_half(dialect: Dialect) -> None:
    caller, protocol = in_call(dialect)
    for command in (SpeakText("Welcome, "), SpeakText("how can I help?"), SpeakText("", last=True)):
        assert all(isinstance(event, Told) for event in give(caller, protocol.send(command)))
    events = speak(caller, protocol, 3000)
    assert caller.heard == ["Welcome, how can I help?"]
    if dialect is TWILIO:
        assert events == [TextHeard("Welcome,"), TextHeard("Welcome, how can I help?")]
    events = [event for message in caller.text("Where is my order?") for event in protocol.receive(message)]
    assert events[0] == TurnBegan()
    assert events[-1] == TextIn("Where is my order?", "en-US" if dialect is TWILIO else "en")
    give(caller, protocol.send(SpeakText("Your order left us on Monday. It arrives today.", last=True, language="en")))
    speak(caller, protocol, 1500)
    events = [event for message in caller.text("Thanks!") for event in protocol.receive(message)]
    [heard] = [event for event in events if isinstance(event, TextHeard) and event.stopped]
    assert heard.text == caller.heard[-1] != ""
    assert "Your order left us on Monday.".startswith(heard.text)
    give(caller, protocol.send(SpeakText("Zai jian.", last=True, language="zh")))
    give(caller, protocol.send(SendDtmf("9#")))
    speak(caller, protocol, 3000)
    assert (caller.heard[-1], caller.languages, caller.digits) == ("Zai jian.", ["zh-CN"], ["9#"])
    assert give(caller, protocol.send(Hangup("goodbye"))) == [Left("goodbye")]


@given(st.integers(0, 200), st.booleans(), st.sampled_from([TWILIO, TELNYX]))
@settings(max_examples=60, deadline=None)
def test_both_sides_agree_on_what_was_heard(ticks: int, events: bool, dialect: Dialect) -> None:
    caller, protocol = in_call(dialect)
    caller.events = events
    for text in ("No. No. It is ", "on its way, sir. ", "It comes on Monday; or Tuesday."):
        give(caller, protocol.send(SpeakText(text)))
    give(caller, protocol.send(SpeakText("", last=True)))
    speak(caller, protocol, ticks * 20)
    stopped = [
        event.text
        for message in caller.key("1")
        for event in protocol.receive(message)
        if isinstance(event, TextHeard) and event.stopped
    ]
    if not stopped:
        assert not caller.heard or caller.heard == ["No. No. It is on its way, sir. It comes on Monday; or Tuesday."]
    elif events and dialect is TWILIO:
        assert stopped == (caller.heard or [""])
    else:  # a piece that occurs twice counts as the first of them: never more than was heard
        assert (caller.heard or [""])[-1].startswith(stopped[0])


@pytest.mark.parametrize(
    "message",
    [
        b"\0",
        "?",
        "[]",
        "{}",
        '{"type":"txt"}',
        '{"type":"text","last":true}',
        '{"type":"text","token":"a"}',
        '{"type":"text","token":"a","last":1}',
        '{"type":"text","token":"a","last":true,"voice":"x"}',
        '{"type":"sendDigits","digits":"x"}',
        '{"type":"language","ttsLanguage":"English","transcriptionLanguage":"en"}',
        '{"type":"end"}',
        '{"type":"end","handoffData":{}}',
        '{"type":"end","handoffData":"done"}',
    ],
)
@DIALECTS
def test_the_vendors_half_is_strict(dialect: Dialect, message: str | bytes) -> None:
    caller = ConversationRelayCaller(dialect.name)
    [wrong] = caller.receive(message)
    assert isinstance(wrong, Wrong)


def test_telnyx_takes_no_flags() -> None:
    [wrong] = ConversationRelayCaller("telnyx-relay").receive(
        '{"type":"text","token":"a","last":true,"preemptible":false}'
    )
    assert isinstance(wrong, Wrong)


START: list[Any] = [SETUP]
NAMES = ["setup", "prompt", "dtmf", "interrupt", "info", "error", "x"]
FIELDS = [
    *("sessionId", "callSid", "callControlId", "from", "to", "customParameters", "voicePrompt", "lang", "last"),
    *("digit", "utteranceUntilInterrupt", "durationUntilInterruptMs", "name", "value", "description"),
]


@given(st.lists(anything | near_miss("type", NAMES, FIELDS, START), max_size=12), st.sampled_from([TWILIO, TELNYX]))
@settings(max_examples=80, deadline=None)
def test_any_input(messages: list[str | bytes], dialect: Dialect) -> None:
    takes_anything(ConversationRelayProtocol(dialect), messages)


def asking(signature: str | None, url: str | None = URL, **query: str) -> Asking:
    headers = {} if signature is None else {"x-twilio-signature": signature}
    return Asking("twilio-relay", "/gateways/twilio-relay", headers, query, url=url)


def keys(key: str | None = "token-1") -> Keys:
    return Keys(key, 1_700_000_000.0, Nonces())


def test_twilio_signs_the_address() -> None:
    [way] = GATEWAYS[0].ways
    good = RequestValidator("token-1").compute_signature(URL, {})
    assert isinstance(way.check(asking(good), keys()), Admitted)
    assert way.check(asking(None), keys()) is None
    assert way.check(asking(good), keys(None)) == Refused("no_key")
    assert way.check(asking(good), keys("token-2")) == Refused("bad_signature")
    assert way.check(asking(good, URL + "/"), keys()) == Refused("bad_signature")
    assert way.check(asking("\u00fc"), keys()) == Refused("bad_signature")


def test_telnyx_brings_a_token() -> None:
    [way] = GATEWAYS[1].ways
    assert isinstance(way.check(asking(None, token="token-1"), keys()), Admitted)
    assert isinstance(way.check(asking(None, token="token-1"), keys("token-1 ed25519:AAAA")), Admitted)
    assert way.check(asking(None, token="token-2"), keys()) == Refused("bad_credentials")
    assert way.check(asking(None), keys()) is None


def hook(index: int) -> VoiceHook:
    found = GATEWAYS[index].hook
    assert found is not None
    return found


def hook_request(key: str = "token-1") -> HookRequest:
    form = {"CallSid": "CA1", "From": "+15550100"}
    url = "https://calls.example.com/gateways/twilio-relay/voice"
    text = url + "".join(name + value for name, value in sorted(form.items()))
    signature = base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha1).digest()).decode()
    return HookRequest(url, "POST", {"x-twilio-signature": signature}, form)


def test_twilio_is_answered_as_its_own_library_would() -> None:
    values = {"caller": "+15550100", "note": "<Fish & \"Chips\"> 'n' \u00fc"}
    response, connect = VoiceResponse(), Connect(action="https://calls.example.com/after?a=1&b=2")
    relay = connect.conversation_relay(
        url=URL,
        dtmf_detection=True,
        interruptible="any",
        report_input_during_agent_speech="any",
        events="speaker-events tokens-played",
    )
    for name, value in values.items():
        relay.parameter(name=name, value=value)
    response.append(connect)
    ours = hook(0).connect(hook_request(), URL, "https://calls.example.com/after?a=1&b=2", values)
    assert ElementTree.canonicalize(ours) == ElementTree.canonicalize(str(response))


def test_telnyx_is_answered_in_its_own_words() -> None:
    made = hook(1).connect(hook_request(), URL, "https://calls.example.com/after", {"tier": "gold"})
    session = f'<ConversationRelay url="{URL}" interruptible="any" dtmfDetection="true">'
    assert ElementTree.canonicalize(made) == ElementTree.canonicalize(
        f'<Response><Connect action="https://calls.example.com/after">{session}'
        '<Parameter name="tier" value="gold"/></ConversationRelay></Connect></Response>'
    )


def test_the_hook_checks_twilios_signature() -> None:
    assert hook(0).signed(hook_request(), "token-1", 0.0)
    assert not hook(0).signed(hook_request("token-2"), "token-1", 0.0)
    unsigned = HookRequest("https://calls.example.com", "POST", {}, {})
    assert not hook(0).signed(unsigned, "token-1", 0.0)
    assert (hook(0).call_id(hook_request()), hook(0).call_id(unsigned)) == ("CA1", None)


def test_the_hook_checks_telnyx_signature() -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = "ed25519:" + base64.b64encode(private.public_key().public_bytes_raw()).decode()
    headers = {
        "telnyx-timestamp": "1700000000",
        "telnyx-signature-ed25519": base64.b64encode(private.sign(b"1700000000|CallSid=v2%3Aabc")).decode(),
    }
    request = HookRequest("https://calls.example.com", "POST", headers, {"CallSid": "v2:abc"}, b"CallSid=v2%3Aabc")
    assert hook(1).signed(request, public, 1_700_000_010.0)
    assert not hook(1).signed(request, public, 1_700_001_000.0)
    assert not hook(1).signed(replace(request, body=b"CallSid=v2%3Aabd"), public, 1_700_000_010.0)
    assert hook(1).call_id(request) == "v2:abc"


@pytest.mark.parametrize("index", [0, 1])
def test_what_follows_the_session(index: int) -> None:
    assert "<Number>+15550123</Number>" in hook(index).after("+15550123")
    assert "<Hangup" in hook(index).after(None)
    assert "<Reject" in hook(index).busy()
    with pytest.raises(TwimlError):
        hook(index).after("sip:desk@example.com")


@pytest.mark.parametrize("url", ["https://calls.example.com", "wss://", "wss://[::1", "wss://calls.example.com/\0"])
def test_addresses_that_twilio_refuses(url: str) -> None:
    with pytest.raises(TwimlError):
        connect_relay(url, {}, {}, "https://calls.example.com/after")


def test_the_records() -> None:
    for gateway, caller in zip(GATEWAYS, CALLERS, strict=True):
        assert (gateway.name, caller.speaks) == (caller.name, True)
        protocol = gateway.new(Opening("c-1"))
        assert protocol.name == gateway.name == caller.new(Who()).vendor  # type: ignore[attr-defined]
        assert protocol.capabilities == gateway.capabilities
