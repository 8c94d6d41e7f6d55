"""What a replay says has changed between two records of one call."""

from __future__ import annotations

from typing import Any

import pytest

from agent.lab.replaying.changes import compare, word_diff


def caller(number: int, text: str, started: float, **more: Any) -> dict[str, Any]:
    turn = {
        "number": number,
        "speaker": "caller",
        "text": text,
        "started_ms": started,
        "ended_ms": started + 1500.0,
        "intent": "order_status",
        "slots": {},
        "emotion": {"words": "neutral", "voice": "neutral", "anger": 0.1},
        "latency": {},
    }
    return turn | more


def agent(number: int, text: str, started: float, **more: Any) -> dict[str, Any]:
    turn = {
        "number": number,
        "speaker": "agent",
        "text": text,
        "started_ms": started,
        "ended_ms": started + 2000.0,
        "emotion": {},
        "latency": {"endpoint_wait": 400.0, "total": 500.0},
    }
    return turn | more


def event(kind: str, at: float, **data: Any) -> dict[str, Any]:
    return {"kind": kind, "at_ms": at, "data": data}


def record(*turns: dict[str, Any], **more: Any) -> dict[str, Any]:
    call = {"gateway": "plain", "outcome": "caller_left", "reason": "stop", "counters": {}}
    return {"call": call, "turns": list(turns), "events": [], "actions": [], "handoffs": []} | more


GREETING = agent(0, "Hello.", 20.0)
ASKED = caller(1, "Where is my order?", 3000.0)
ANSWER = agent(1, "What is the number?", 5000.0)


def kinds(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(change.kind, change.old, change.new) for change in compare(old, new).changes]


def test_a_call_is_as_itself():
    one = record(GREETING, ASKED, ANSWER, events=[event("state", 3.0, phase="listening"), event("pause", 9.0)])
    found = compare(one, one)
    assert found.changes == ()
    assert (found.words.errors, found.words.words) == (0, 4)
    assert found.latency["total"] == (500.0, 500.0)
    assert found.moved == ()


def test_timing_alone_is_no_change_but_is_told():
    later = ANSWER | {"started_ms": 5400.0, "ended_ms": 8000.0, "latency": {"endpoint_wait": 800.0, "total": 900.0}}
    found = compare(record(GREETING, ASKED, ANSWER), record(GREETING, ASKED, later))
    assert found.changes == ()
    assert found.latency["total"] == (500.0, 900.0)
    assert found.moved == (("What is the number?", 1000.0),)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"text": "Where is my border?"}, ("transcript", "Where is my order?", "Where is my border?")),
        ({"intent": "human"}, ("intent", "order_status", "human")),
        ({"slots": {"order_number": "42719"}}, ("slots", {}, {"order_number": "42719"})),
        (
            {"emotion": {"words": "neutral", "voice": "angry", "anger": 0.9}},
            ("emotion", {"words": "neutral", "voice": "neutral"}, {"words": "neutral", "voice": "angry"}),
        ),
    ],
)
def test_what_was_heard_and_understood_is_compared(changed, expected):
    assert kinds(record(ASKED, ANSWER), record(ASKED | changed, ANSWER)) == [expected]


def test_points_and_figures_of_the_same_words_are_no_change():
    old = record(caller(1, "It is 4, 2, 7, 1, 9.", 3000.0))
    assert kinds(old, record(caller(1, "it is 42719", 3000.0))) == []


def test_anger_as_a_number_is_no_change():
    louder = {"emotion": {"words": "neutral", "voice": "neutral", "anger": 0.2}}
    assert kinds(record(ASKED), record(ASKED | louder)) == []


def test_a_turn_split_in_two_is_matched_by_time_not_by_number():
    whole = record(caller(1, "Where is my order? It is late.", 3000.0, ended_ms=7000.0), caller(2, "Thanks.", 9000.0))
    split = record(
        caller(1, "Where is my order?", 3000.0, ended_ms=4500.0),
        caller(2, "It is late.", 5500.0, ended_ms=7000.0),
        caller(3, "Thanks.", 9000.0),
    )
    found = compare(whole, split)
    told = [(change.kind, change.old, change.new) for change in found.changes]
    assert ("transcript", "Where is my order? It is late.", "Where is my order?") in told
    assert ("transcript", None, "It is late.") in told
    assert len(told) == 2
    assert found.words.errors == 0


def test_a_turn_that_only_began_another_does_not_count():
    begun = caller(1, "", 3000.0, reasons={"continued_in": 2})
    assert kinds(record(begun, caller(2, "Where?", 3000.0)), record(caller(1, "Where?", 3000.0))) == []


def test_replies_are_compared_prompts_and_greetings_too():
    prompt = agent(2, "Are you there?", 9000.0)
    told = kinds(record(GREETING, ASKED, ANSWER), record(GREETING, ASKED, ANSWER | {"text": "Which one?"}, prompt))
    assert told == [("reply", "What is the number?", "Which one?"), ("reply", None, "Are you there?")]


def test_decisions_are_matched_by_time():
    old = record(events=[event("pause", 1000.0), event("interrupt", 1700.0), event("pause", 9000.0)])
    new = record(events=[event("pause", 1100.0), event("resume", 2500.0), event("pause", 20_000.0)])
    assert kinds(old, new) == [
        ("decision", "interrupt", None),
        ("decision", None, "resume"),
        ("decision", "pause", None),
        ("decision", None, "pause"),
    ]


def test_states_tell_where_the_floor_went_another_way():
    states = [
        event("state", 1000.0 * at, phase=phase) for at, phase in enumerate(("listening", "thinking", "speaking"))
    ]
    other = [*states, event("state", 4000.0, phase="yielding"), event("state", 4500.0, phase="speaking")]
    found = compare(record(events=states), record(events=other)).changes
    assert [(change.kind, change.old, change.new, change.at_ms) for change in found] == [
        ("floor", None, "yielding > speaking", 4000.0)
    ]


def test_without_events_decisions_are_compared_by_count():
    old, new = record(events=None), record()
    old["call"] = old["call"] | {"counters": {"pause": 2}}
    new["call"] = new["call"] | {"counters": {"pause": 1, "retract": 1}}
    (pause, retract) = compare(old, new).changes
    assert (pause.what, pause.old, pause.new) == ("pause", 2, 1)
    assert (retract.what, retract.old, retract.new) == ("retract", 0, 1)


def test_actions_handoffs_faults_and_the_end_are_compared():
    done = {"name": "find_order", "arguments": {"order_number": "42719"}, "ok": True}
    old = record(actions=[done], handoffs=[{"rule": "asked", "outcome": "accepted"}])
    new = record(actions=[done | {"ok": False}], events=[event("fault", 5.0, code="guess_failed")])
    new["call"] = new["call"] | {"outcome": "completed", "reason": "goodbye"}
    assert kinds(old, new) == [
        ("action", "find_order(order_number='42719')", None),
        ("action", None, "find_order(order_number='42719') failed"),
        ("handoff", "asked: accepted", None),
        ("fault", None, "guess_failed"),
        ("outcome", "caller_left (stop)", "completed (goodbye)"),
    ]


def test_how_a_carrier_words_the_end_of_a_handed_over_call_is_no_change():
    old, new = record(), record()
    old["call"] = old["call"] | {"outcome": "handed_off", "reason": "stop"}
    new["call"] = new["call"] | {"outcome": "handed_off", "reason": "transferred"}
    assert kinds(old, new) == []


def test_words_are_told_apart():
    assert word_diff("No, the other order.", "no the odd order please") == [
        ("same", "no the"),
        ("gone", "other"),
        ("new", "odd"),
        ("same", "order"),
        ("new", "please"),
    ]
