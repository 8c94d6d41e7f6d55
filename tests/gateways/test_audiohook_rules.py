"""What the two kinds of AudioHook sessions have in common: numbers, ids, opening, closing, refusing."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
from gatewayfuzz import anything, near_miss, takes_anything
from genesyshalf import CALL, HEADERS, NOBODY, ORGANIZATION, PARTICIPANT, SESSION, Genesys, kinds, media, opened, parts
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.gateways.audiohook import AudioHook, duration, duration_field
from agent.gateways.base import (
    Answer,
    AudioIn,
    CallEnded,
    CallStarted,
    Clear,
    Fault,
    Hangup,
    Mark,
    MediaPaused,
    Play,
    Probed,
    Refuse,
    SendDtmf,
    ShowState,
    ShowTranscript,
    Transfer,
)
from agent.gateways.gateway import Opening
from agent.gateways.genesys import GATEWAYS, GenesysConnector, GenesysMonitor
from agent.gateways.messages import EARLY_LIMIT, MALFORMED_LIMIT

both = pytest.mark.parametrize("kind", [GenesysConnector, GenesysMonitor])


@both
def test_a_session_opens_pings_pauses_and_closes(kind: type[AudioHook]) -> None:
    genesys = opened(kind)
    assert kinds(genesys.say("ping")) == ["pong"]
    assert kinds(genesys.say("ping", {"rtt": "PT0.01S"})) == ["pong"]
    assert parts(genesys.say("paused")) == [MediaPaused(True)]
    assert kinds(genesys.take(b"\xff\xff")) == ["audio_while_paused"]
    assert parts(genesys.say("resumed", {"start": "PT0S", "discarded": "PT2S"})) == [MediaPaused(False)]
    [first, *_] = genesys.take(b"\xff" * 1600)
    assert isinstance(first, AudioIn)
    assert first.timestamp_ms == 2000
    assert kinds(genesys.say("update", {"language": "zh-CN"})) == ["updated"]
    assert parts(genesys.say("close", {"reason": "end"})) == [("closed", {}), CallEnded("end")]


@both
def test_a_pong_names_its_ping_whatever_was_sent_between(kind: type[AudioHook]) -> None:
    genesys = opened(kind)
    for _ in range(3):
        genesys.send(Clear())
        [answer] = genesys.say("ping")
        assert isinstance(answer, Answer)
        assert json.loads(answer.message)["clientseq"] == genesys.sent


@both
def test_the_call_is_told_with_its_numbers_and_language(kind: type[AudioHook]) -> None:
    changes = {
        "language": "en-US",
        "inputVariables": {"tier": "gold"},
        "participant": {**PARTICIPANT, "ani": "tel:+15550100", "aniName": "Ann Example"},
    }
    [_, started] = Genesys(kind).open(**changes)
    parameters = {"tier": "gold", "language": "en-US", "caller_name": "Ann Example"}
    assert started == CallStarted(CALL, SESSION, "+15550100", "+15550199", ORGANIZATION, parameters)


@both
def test_numbers_may_be_withheld(kind: type[AudioHook]) -> None:
    [_, started] = Genesys(kind).open(participant={"id": PARTICIPANT["id"], "ani": "", "dnis": "tel:"})
    assert started == CallStarted(CALL, SESSION, None, None, ORGANIZATION, {})


@both
def test_supported_languages_are_told_when_asked_for(kind: type[AudioHook]) -> None:
    [answer, _] = parts(Genesys(kind).open(supportedLanguages=True))
    assert answer[1]["supportedLanguages"] == ["en-US", "zh-CN"]
    [answer, _] = parts(Genesys(kind).open(supportedLanguages=False))
    assert "supportedLanguages" not in answer[1]


@both
def test_the_media_chosen_is_answered_as_it_was_offered(kind: type[AudioHook]) -> None:
    offered = [media("external", format="L16"), media("internal", "external", note=1), media("external", rate=16000)]
    [answer, _] = parts(Genesys(kind).open(media=offered))
    assert answer == ("opened", {"media": [offered[1]]})


@both
@pytest.mark.parametrize("who", [NOBODY, PARTICIPANT["id"]])
@pytest.mark.parametrize("offered", [[media("external")], []])
def test_a_probe_begins_no_call(kind: type[AudioHook], who: str, offered: list[Any]) -> None:
    genesys = Genesys(kind)
    events = genesys.open(
        conversationId=NOBODY, participant={**PARTICIPANT, "id": who, "ani": "", "dnis": ""}, media=offered
    )
    if who == NOBODY:
        assert parts(events) == [("opened", {"media": offered}), Probed("genesys_probe")]
        assert kinds(genesys.take(b"\xff")) == ["unexpected_audio"]
        assert parts(genesys.say("close", {"reason": "end"})) == [("closed", {}), CallEnded("end")]
    else:
        assert Probed("genesys_probe") not in events


@both
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"organizationId": ...}, "bad_field"),
        ({"organizationId": "x"}, "bad_field"),
        ({"conversationId": ...}, "bad_field"),
        ({"conversationId": 7}, "bad_field"),
        ({"participant": ...}, "bad_field"),
        ({"participant": "Ann"}, "bad_field"),
        ({"participant": {**PARTICIPANT, "id": None}}, "bad_field"),
        ({"participant": {**PARTICIPANT, "ani": 5}}, "bad_field"),
        ({"participant": {**PARTICIPANT, "dnis": "5" * 300}}, "bad_field"),
        ({"participant": {**PARTICIPANT, "aniName": "\0"}}, "bad_field"),
        ({"media": ...}, "bad_field"),
        ({"media": {}}, "bad_field"),
        ({"media": []}, "unsupported_media"),
        ({"media": ["audio", None, {}]}, "unsupported_media"),
        ({"media": [media("external", format="L16")]}, "unsupported_media"),
        ({"media": [media("external", rate=16000)]}, "unsupported_media"),
        ({"media": [media("external", type="video")]}, "unsupported_media"),
        ({"media": [media("sideways")]}, "unsupported_media"),
        ({"media": [media("external", channels="external")]}, "unsupported_media"),
        ({"language": 5}, "bad_field"),
        ({"inputVariables": {"tier": 3}}, "bad_field"),
        ({"inputVariables": []}, "bad_field"),
    ],
)
def test_an_open_that_cannot_be_used_ends_the_session(kind: type[AudioHook], changes: Any, code: str) -> None:
    genesys = Genesys(kind)
    assert kinds(genesys.open(**changes)) == [code, ("disconnect", "error")]
    assert genesys.open() == ()
    assert genesys.take(b"\xff") == ()
    assert genesys.send(Play(b"\xff")) == []
    assert kinds(genesys.say("close", {"reason": "disconnect"})) == ["closed", CallEnded("disconnect")]


@both
def test_values_of_input_variables_show_in_no_fault(kind: type[AudioHook]) -> None:
    [fault, answer] = Genesys(kind).open(inputVariables={"token": ["secret-word"]})
    assert isinstance(fault, Fault)
    assert "inputVariables['token']" in fault.detail
    assert "secret-word" not in fault.detail + repr(answer)


@both
def test_an_organization_other_than_the_headers_is_unauthorized(kind: type[AudioHook]) -> None:
    events = Genesys(kind).open(organizationId=CALL)
    assert kinds(events) == ["wrong_organization", ("disconnect", "unauthorized")]


@both
def test_without_headers_the_first_message_names_the_session(kind: type[AudioHook]) -> None:
    assert isinstance(Genesys(kind, {}).open()[1], CallStarted)


@both
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"seq": 1}, "wrong_sequence"),
        ({"seq": 4}, "wrong_sequence"),
        ({"seq": -1}, "bad_field"),
        ({"seq": "2"}, "bad_field"),
        ({"seq": True}, "bad_field"),
        ({"seq": 2.0}, "bad_field"),
        ({"seq": 10**30}, "bad_field"),
        ({"seq": ...}, "bad_field"),
        ({"serverseq": 9}, "wrong_sequence"),
        ({"serverseq": ...}, "bad_field"),
        ({"id": CALL}, "wrong_session"),
        ({"id": "e160"}, "bad_field"),
        ({"id": ...}, "bad_field"),
        ({"version": "1"}, "bad_field"),
        ({"version": ...}, "bad_field"),
        ({"type": ...}, "bad_field"),
        ({"type": 5}, "bad_field"),
        ({"position": "1.5"}, "bad_field"),
        ({"position": "PT1M"}, "bad_field"),
        ({"position": ...}, "bad_field"),
        ({"parameters": ...}, "bad_field"),
        ({"parameters": []}, "bad_field"),
    ],
)
def test_a_message_outside_the_protocol_ends_the_session(kind: type[AudioHook], changes: Any, code: str) -> None:
    genesys = opened(kind)
    assert kinds(genesys.say("ping", **changes)) == [code, ("disconnect", "error")]
    assert genesys.send(Play(b"\xff")) == genesys.send(Hangup("late")) == []


@both
@pytest.mark.parametrize("text", ["?", "[]", '"open"', "null", "", "{", '{"type":"ping"}'])
def test_what_is_no_message_ends_the_session(kind: type[AudioHook], text: str) -> None:
    genesys = opened(kind)
    assert kinds(genesys.take(text))[1:] == [("disconnect", "error")]
    assert len(genesys.take(text)) == 1  # the fault alone: the end is asked for once


@both
def test_a_session_that_is_being_ended_still_answers_pings_and_close(kind: type[AudioHook]) -> None:
    genesys = opened(kind)
    genesys.sent += 5
    assert kinds(genesys.say("ping")) == ["wrong_sequence", ("disconnect", "error")]
    assert kinds(genesys.say("ping")) == ["pong"]
    assert genesys.say("paused") == ()
    assert kinds(genesys.say("close", {"reason": "error"})) == ["closed", CallEnded("error")]


@both
def test_nothing_comes_after_close(kind: type[AudioHook]) -> None:
    genesys = opened(kind)
    genesys.say("close", {"reason": "end"})
    for message in (genesys.write("ping"), genesys.write("open"), b"\xff"):
        assert kinds(genesys.take(message)) == ["after_close"]
    assert genesys.take(b"") == ()
    assert genesys.send(Clear()) == genesys.send(Hangup("late")) == genesys.send(Refuse("busy")) == []


@both
@pytest.mark.parametrize("parameters", [{}, {"reason": "boredom"}, {"reason": 5}])
def test_a_close_for_no_known_reason_is_a_close(kind: type[AudioHook], parameters: Any) -> None:
    assert kinds(opened(kind).say("close", parameters)) == ["closed", CallEnded("unknown")]


@both
def test_a_close_before_open_is_answered(kind: type[AudioHook]) -> None:
    assert kinds(Genesys(kind).say("close", {"reason": "error"})) == ["closed", CallEnded("error")]


@both
def test_what_comes_before_open_is_dropped(kind: type[AudioHook]) -> None:
    genesys = Genesys(kind)
    assert kinds(genesys.say("paused")) == ["not_started"]
    assert kinds(genesys.take(b"\xff")) == ["media_before_start"]
    assert genesys.take(b"") == ()
    assert kinds(genesys.say("ping")) == ["pong"]
    assert isinstance(genesys.open()[1], CallStarted)
    assert kinds(genesys.open()) == ["second_open"]


@both
@pytest.mark.parametrize(
    ("name", "parameters", "code"),
    [
        ("resumed", {}, "bad_field"),
        ("resumed", {"start": "PT0S", "discarded": 5}, "bad_field"),
        ("discarded", {"start": "PT0S"}, "bad_field"),
        ("discarded", {"start": "PT-1S", "discarded": "PT0S"}, "bad_field"),
        ("update", {}, "bad_field"),
        ("update", {"language": []}, "bad_field"),
        ("error", {"code": 429, "retryAfter": 1}, "bad_field"),
        ("error", {"code": 408, "message": "Timeout waiting for pong"}, "client_error"),
        ("error", {}, "client_error"),
        ("error", {"code": 429, "message": "Rate limit exceeded", "retryAfter": "PT1S"}, "rate_limited"),
        ("opened", {}, "unknown_type"),
        ("weather", {}, "unknown_type"),
    ],
)
def test_what_is_wrong_in_a_message_is_dropped(kind: type[AudioHook], name: str, parameters: Any, code: str) -> None:
    genesys = opened(kind)
    assert kinds(genesys.say(name, parameters)) == [code]
    assert kinds(genesys.say("ping")) == ["pong"]


@both
@pytest.mark.parametrize(
    ("code", "reason"),
    [("unauthorized", "unauthorized"), ("mismatch", "unauthorized"), ("busy", "error"), ("draining", "error")],
)
def test_a_refusal_waits_for_the_first_message_and_the_close(kind: type[AudioHook], code: str, reason: str) -> None:
    genesys = Genesys(kind)
    assert genesys.send(Refuse(code)) == []
    assert parts(genesys.open()) == [("disconnect", {"reason": reason, "info": code})]
    assert kinds(genesys.say("close", {"reason": "disconnect"})) == ["closed", CallEnded("refused")]


@both
def test_a_refusal_comes_whatever_the_first_message_is(kind: type[AudioHook]) -> None:
    for message in ("?", Genesys(kind).write("ping"), Genesys(kind).write("open", id=CALL)):
        genesys = Genesys(kind)
        genesys.send(Refuse("unauthorized"))
        assert kinds(genesys.take(message))[-1] == ("disconnect", "unauthorized")
        assert kinds(genesys.take(b"\xff")) == []


@both
def test_a_call_is_refused_after_its_opening_too(kind: type[AudioHook]) -> None:
    genesys = opened(kind)
    [message] = genesys.send(Refuse("mismatch"))
    assert (message["type"], message["parameters"]) == ("disconnect", {"reason": "unauthorized", "info": "mismatch"})
    assert kinds(genesys.say("close", {"reason": "disconnect"})) == ["closed", CallEnded("refused")]


@both
@pytest.mark.parametrize("command", [Mark("m"), SendDtmf("1"), ShowState("speaking")])
def test_what_genesys_has_no_use_for_sends_nothing(kind: type[AudioHook], command: Any) -> None:
    assert opened(kind).send(command) == []


@both
def test_nothing_is_sent_before_open(kind: type[AudioHook]) -> None:
    for command in (Play(b"\xff"), Clear(), Hangup("x"), Transfer("desk"), ShowTranscript("caller", "Hi.", True, 1)):
        assert Genesys(kind).send(command) == []


@both
def test_the_limits_on_what_comes_hold(kind: type[AudioHook]) -> None:
    genesys = Genesys(kind)
    faults = [fault for _ in range(EARLY_LIMIT) for fault in genesys.take(b"\xff")]
    assert [fault.close for fault in faults if isinstance(fault, Fault)] == [None] * EARLY_LIMIT + [1008]
    genesys = opened(kind)
    genesys.take("?")
    faults = [fault for _ in range(MALFORMED_LIMIT) for fault in genesys.take("?")]
    assert [fault.close for fault in faults if isinstance(fault, Fault)][-1] == 1007
    genesys = opened(kind)
    [fault] = genesys.take(" " * 70_000)
    assert isinstance(fault, Fault)
    assert fault.close == 1009


@both
def test_unknown_messages_never_end_a_call(kind: type[AudioHook]) -> None:
    genesys = opened(kind)
    for _ in range(MALFORMED_LIMIT * 2):
        genesys.say("weather")
    assert kinds(genesys.say("ping")) == ["pong"]


def test_discarded_audio_is_counted() -> None:
    genesys = opened(GenesysConnector)
    genesys.take(b"\xff" * 1600)
    genesys.say("discarded", {"start": "PT0.2S", "discarded": "PT0.25S"})
    genesys.say("discarded", {"start": "PT0.45S", "discarded": "PT0.25S"})
    assert genesys.protocol.lost_ms == 500
    [piece] = genesys.take(b"\xff")
    assert isinstance(piece, AudioIn)
    assert piece.timestamp_ms == 700


@pytest.mark.parametrize(
    ("ms", "text"), [(0.0, "PT0S"), (1500.0, "PT1.5S"), (200.4, "PT0.2S"), (-1.0, "PT0S"), (60_000.0, "PT60S")]
)
def test_durations_are_written_in_seconds(ms: float, text: str) -> None:
    assert duration(ms) == text


@given(st.floats(0.0, 1e8))
def test_durations_are_read_as_written(ms: float) -> None:
    text = duration(ms)
    assert re.fullmatch(r"PT(?:\d*\.)?\d+S", text)  # what Genesys' validator takes
    assert duration_field({"x": text}, "x") == pytest.approx(ms, abs=0.51)


def test_ids_of_ours_are_ids_that_genesys_takes() -> None:
    written = opened(GenesysMonitor).protocol.own_id("caller 1")
    assert uuid.UUID(written).version == 5


START = Genesys(GenesysConnector).write(
    "open",
    {
        "organizationId": ORGANIZATION,
        "conversationId": CALL,
        "participant": PARTICIPANT,
        "media": [media("external")],
    },
)
PING = json.dumps({**json.loads(START), "type": "ping", "seq": 2, "parameters": {}})
TYPES = ("open", "ping", "close", "paused", "resumed", "discarded", "update", "error", "dtmf", "playback_started")
FIELDS = ("version", "id", "seq", "serverseq", "position", "media", "participant", "digit", "reason", "code", "start")


@both
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_input(kind: type[AudioHook], data: st.DataObject) -> None:
    starts = [START, PING, b"\xff\xff"]
    messages = data.draw(st.lists(anything | near_miss("type", TYPES, FIELDS, starts), max_size=25))
    takes_anything(kind(Opening("call", HEADERS)), messages)  # type: ignore[arg-type, call-arg]


wild = st.dictionaries(
    st.sampled_from([*FIELDS, "organizationId", "conversationId", "discarded", "language", "retryAfter", "message"]),
    st.none() | st.text(max_size=8) | st.integers() | st.just("PT1S"),
)


@both
@settings(max_examples=80, deadline=None)
@given(said=st.lists(st.tuples(st.sampled_from(TYPES), wild), max_size=12))
def test_any_parameters_of_well_numbered_messages(kind: type[AudioHook], said: list[tuple[str, Any]]) -> None:
    genesys = Genesys(kind)
    messages = [
        START,
        *(genesys.write(name, parameters, seq=number) for number, (name, parameters) in enumerate(said, 2)),
    ]
    takes_anything(genesys.protocol, messages)


def test_the_records_say_how_genesys_is_met() -> None:
    assert [gateway.name for gateway in GATEWAYS] == ["genesys-connector", "genesys-monitor"]
    assert {gateway.refuses for gateway in GATEWAYS} == {"message"}
    for gateway in GATEWAYS:
        protocol = gateway.new(Opening("call"))
        assert (protocol.name, protocol.capabilities) == (gateway.name, gateway.capabilities)
