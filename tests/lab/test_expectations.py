"""Expectations hold for what happened and for nothing else."""

import pytest

from agent.lab.expectations import Expectation, check

POLICY = "You can return anything within 30 days. We send a prepaid label."
PARTS = {"endpoint_wait": 300.0, "recognition": 100.0, "total": 520.0}
SAID = {"ask": (3000.0, 4000.0), "policy": (7000.0, 8500.0), "cut": (11_000.0, 13_000.0)}


def turn(number, speaker, started, ended, text, **more):
    base = {"heard": text if speaker == "agent" else None, "interrupted": False, "latency": {}, "reasons": {}}
    return {"number": number, "speaker": speaker, "started_ms": started, "ended_ms": ended, "text": text} | base | more


CALL = {
    "call": {"id": "c1"},
    "turns": [
        turn(0, "agent", 100, 2500, "Thanks for calling. This call is recorded."),
        turn(
            1,
            "caller",
            3050,
            4600,
            "Where is my order, 42719?",
            intent="order_status",
            slots={"order_number": "42719"},
            emotion={"words": "angry", "voice": "neutral"},
        ),
        turn(
            1,
            "agent",
            4700,
            6000,
            "I'm sorry. Order 42719 is out for delivery.",
            latency=PARTS,
            reasons={"tones": ["sorry"], "emotion": {"label": "angry"}},
        ),
        turn(
            2,
            "caller",
            7100,
            9000,
            "What is your return policy?",
            intent="policy_question",
            emotion={"words": "neutral"},
        ),
        turn(2, "agent", 9100, 11_300, POLICY, heard="You can return anything", interrupted=True, latency=PARTS),
        turn(3, "caller", 11_050, 13_600, "No wait.", intent="deny"),
        turn(3, "agent", 13_700, 15_000, "Sure.", latency=PARTS | {"total": 820.0}),
    ],
    "actions": [{"turn": 1, "name": "find_order", "ok": True}, {"turn": 3, "name": "cancel_order", "ok": False}],
    "handoffs": [{"reason": "the caller asked", "rule": "asked_for_person", "state": "queued"}],
}

HOLDS = [
    {"greeting": True, "contains": ["recorded", "thanks FOR calling"]},
    {"cue": "ask", "contains": ["my order"], "intent": "order_status", "slot": {"order_number": "42719"}},
    {"cue": "ask", "emotion": "angry"},
    {"answer_to": "ask", "emotion": "angry", "tone": "sorry", "contains_any": ["apologise", "sorry"]},
    {"answer_to": "ask", "contains": ["out for delivery"], "lacks": ["delivered"], "action": "find_order"},
    {"interrupted_by": "cut"},
    {"answer_to": "cut", "contains": ["sure"]},
    {"handoff": {"rule": "asked_for_person"}},
    {"handoff": {}},
    {"latency": {"parts": ["endpoint_wait", "recognition", "total"], "total_p50_ms": 600}},
    {"ended_by": "caller"},
]
FAILS = [
    ({"greeting": True, "contains": ["automated"]}, "automated"),
    ({"cue": "ask", "intent": "human"}, "intent is order_status"),
    ({"cue": "ask", "slot": {"order_number": "42718"}}, "slot order_number is 42719"),
    ({"cue": "ask", "slot": {"email": "x"}}, "slot email is None"),
    ({"cue": "policy", "emotion": "angry"}, "emotion is neutral"),
    ({"cue": "policy", "contains": ["order"]}, "lacks"),
    ({"answer_to": "ask", "lacks": ["out for delivery"]}, "has"),
    ({"answer_to": "policy", "contains": ["prepaid label"]}, "lacks"),
    ({"answer_to": "policy", "tone": "sorry"}, "tone is missing"),
    ({"answer_to": "cut", "action": "cancel_order"}, "action is missing"),
    ({"answer_to": "policy", "contains_any": ["sorry", "apologise"]}, "none of"),
    ({"interrupted_by": "ask"}, "no agent turn"),
    ({"handoff": {"rule": "legal"}}, "asked_for_person"),
    ({"latency": {"parts": ["pacing"]}}, "lacks pacing"),
    ({"latency": {"parts": ["total"], "total_p50_ms": 500}}, "median 520 ms"),
    ({"ended_by": "agent"}, "ended by the caller"),
]


def checked(fields, call=CALL, said=SAID):
    (result,) = check([Expectation(name="x", **fields)], said, "hung_up", call)
    return result


@pytest.mark.parametrize("fields", HOLDS, ids=str)
def test_holds(fields):
    result = checked(fields)
    assert result.held, result.found


@pytest.mark.parametrize(("fields", "found"), FAILS, ids=str)
def test_fails_and_says_what_was_found(fields, found):
    result = checked(fields)
    assert not result.held
    assert found in result.found


@pytest.mark.parametrize("fields", [{"cue": "bye"}, {"answer_to": "bye"}, {"interrupted_by": "bye"}], ids=str)
def test_a_line_never_said_fails(fields):
    assert "never got to say" in checked(fields).found


@pytest.mark.parametrize(
    "heard", [POLICY, "", "You can't return"], ids=["heard in full", "heard nothing", "not what was meant"]
)
def test_an_interruption_needs_a_beginning_that_was_heard_and_an_end_that_was_not(heard):
    cut = turn(2, "agent", 9100, 11_300, POLICY, heard=heard, interrupted=True)
    assert not checked({"interrupted_by": "cut"}, CALL | {"turns": [cut]}).held


def test_a_line_split_over_two_turns_counts_as_one():
    turns = [turn(1, "caller", 3000, 3500, "It's four two"), turn(2, "caller", 3700, 4500, "seven one nine")]
    assert checked({"cue": "ask", "contains": ["four two seven one nine"]}, CALL | {"turns": turns}).held


def test_a_call_without_answers_has_no_latency():
    assert not checked({"latency": {"parts": ["total"]}}, CALL | {"turns": CALL["turns"][:1]}).held
