"""Inline expectations hold for what happened around their utterance and for nothing else."""

import pytest

from agent.lab.answers import check_answer
from agent.lab.ear import Span
from agent.lab.outcome import Utterance
from agent.lab.player import Asked, Played
from agent.lab.steps import AnswerExpected


def turn(number, speaker, started, ended, text, **more):
    return {"number": number, "speaker": speaker, "started_ms": started, "ended_ms": ended, "text": text} | more


UTTERANCES = [
    Utterance("say where", "turn", "Where is my order?", 3000, 4000),
    Utterance("noise cough", "noise", "", 6000, 6400),
    Utterance("say cut", "interruption", "No wait.", 9000, 9800),
]
SPANS = [Span(100, 2500), Span(4600, 6200), Span(6900, 9300), Span(10_400, 12_000)]
RECORD = {
    "turns": [
        turn(0, "agent", 90, 2500, "Hello.", heard="Hello."),
        turn(
            1,
            "caller",
            3050,
            4500,
            "where is my order",
            intent="order_status",
            slots={"order_number": {"value": "42719"}},
            emotion={"words": "angry"},
        ),
        turn(
            1,
            "agent",
            4600,
            9500,
            "It is out for delivery, and more.",
            heard="It is out for delivery",
            interrupted=True,
        ),
        turn(2, "caller", 9050, 10_200, "no wait", intent="deny"),
        turn(2, "agent", 10_400, 12_000, "Sure.", heard="Sure."),
    ],
    "handoffs": [{"rule": "asked_for_person", "state": "queued", "reason": "x"}],
    "actions": [],
}
QUIET = [span for span in SPANS if span.start_ms != 6900]
UNBROKEN = RECORD | {"turns": [each | {"interrupted": False} for each in RECORD["turns"]]}


def checked(which: int, spans=SPANS, record=RECORD, kept=True, **wanted):
    about = UTTERANCES[which]
    asked = Asked(AnswerExpected(**wanted), about.step, about.start_ms, about.end_ms)
    return check_answer(asked, Played(UTTERANCES), spans, record, kept)


WHERE, COUGH, CUT = range(3)


@pytest.mark.parametrize(
    ("which", "wanted"),
    [
        (WHERE, {"text": "Out for DELIVERY"}),
        (WHERE, {"text": ["out", "delivery"], "lacks": "sure"}),
        (WHERE, {"text": "/out +FOR/", "lacks": ["$", "/\\d{9}/"]}),
        (WHERE, {"intent": "order_status", "slot": {"order_number": "42719"}, "emotion": "angry"}),
        (WHERE, {"latency_ms": 600}),
        (WHERE, {"handoff": {"rule": "asked_for_person"}}),
        (WHERE, {"interrupted": False}),
        (COUGH, {"resumed": True, "interrupted": False}),
        (CUT, {"interrupted": True, "resumed": False}),
        (CUT, {"text": "sure", "lacks": "delivery", "intent": "deny"}),
    ],
    ids=str,
)
def test_holds(which, wanted):
    found = checked(which, **wanted)
    assert found.held, found.found


@pytest.mark.parametrize(
    ("which", "wanted", "why"),
    [
        (WHERE, {"text": "delivered"}, "the answer lacks “delivered”"),
        (WHERE, {"text": "and more"}, "lacks “and more”"),
        (WHERE, {"text": "sure"}, "lacks"),
        (WHERE, {"lacks": "delivery"}, "the answer has “delivery”"),
        (WHERE, {"text": "/for$/"}, "the answer lacks “/for$/”"),
        (WHERE, {"lacks": "/deli.+y/"}, "the answer has “/deli.+y/”"),
        (WHERE, {"intent": "deny"}, "intent is order_status, not deny"),
        (WHERE, {"slot": {"order_number": "42718"}}, "slot order_number is 42719, not 42718"),
        (WHERE, {"slot": {"email": "x"}}, "slot email is missing"),
        (CUT, {"emotion": "angry"}, "emotion is missing"),
        (WHERE, {"latency_ms": 500}, "answered after 600 ms, not 500"),
        (WHERE, {"handoff": {"rule": "legal"}}, "no such handoff"),
        (WHERE, {"interrupted": True}, "was not interrupted"),
        (WHERE, {"resumed": True}, "was not speaking"),
        (CUT, {"interrupted": False}, "the agent was interrupted"),
        (CUT, {"resumed": True}, "broke off"),
        (COUGH, {"resumed": False}, "the agent went on"),
        (COUGH, {"text": "delivery"}, "lacks"),
    ],
    ids=str,
)
def test_fails_and_says_what_was_found(which, wanted, why):
    found = checked(which, **wanted)
    assert not found.held
    assert why in found.found


def test_an_agent_that_falls_silent_at_a_cough_has_not_resumed():
    found = checked(COUGH, QUIET, UNBROKEN, resumed=True)
    assert not found.held
    assert "fell silent 200 ms after it began" in found.found


def test_an_agent_that_talks_through_a_cough_has_resumed():
    assert checked(COUGH, [Span(4600, 8000)], UNBROKEN, resumed=True).held


def test_no_answer_has_no_latency():
    assert "no answer was heard" in checked(WHERE, SPANS[:1], latency_ms=600).found


def test_keys_end_an_answer_and_a_cough_does_not():
    about = UTTERANCES[WHERE]
    asked = Asked(AnswerExpected(text="delivery", latency_ms=2000), about.step, about.start_ms, about.end_ms)
    cough = [about, Utterance("noise cough", "noise", "", 4200, 4400)]
    assert check_answer(asked, Played(cough), SPANS, RECORD, True).held
    assert not check_answer(asked, Played(cough, pressed=[4450.0]), SPANS, RECORD, True).held


def test_an_answer_counts_only_until_the_caller_speaks_again():
    assert "no answer was heard" in checked(WHERE, [Span(100, 2500), Span(9500, 9900)], latency_ms=9000).found


def test_what_is_expected_of_the_beginning_is_about_the_greeting():
    asked = Asked(AnswerExpected(text="hello"), "the beginning of the call", 0.0, 0.0)
    assert check_answer(asked, Played(UTTERANCES), SPANS, RECORD, True).held


def test_without_a_record_the_ear_decides():
    seen = {"turns": [turn(0, "agent", 4600, 4600, "It is out for delivery")], "actions": [], "handoffs": []}
    assert checked(WHERE, record=seen, kept=False, text="delivery", latency_ms=600).held
    assert checked(COUGH, record=seen, kept=False, resumed=True, interrupted=False).held
    assert checked(CUT, record=seen, kept=False, interrupted=True).held
    assert not checked(COUGH, QUIET, seen, False, resumed=True).held


def test_what_nobody_knows_does_not_hold():
    seen = {"turns": [], "actions": [], "handoffs": []}
    found = checked(WHERE, record=seen, kept=False, intent="order_status")
    assert not found.held
    assert "not known" in found.found
