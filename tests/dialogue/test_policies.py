"""The pure parts on their own: escalation rules, emotion, text."""

from __future__ import annotations

from datetime import date

import pytest
from conversation import SHOP
from hypothesis import given
from hypothesis import strategies as st

from agent.dialogue.contracts import Say
from agent.dialogue.emotion import feel, reading, toned
from agent.dialogue.escalation import Signals, evaluate
from agent.dialogue.feelings import Feelings
from agent.dialogue.loader import load_domain
from agent.dialogue.manner import EmotionSettings
from agent.dialogue.state import CallState
from agent.dialogue.text import choose_option, render, resolve, sentences
from models.contracts import TextEmotion, VoiceEmotion

RULES = load_domain(SHOP).manner.escalation
TODAY = date(2026, 5, 4)


@pytest.mark.parametrize(
    ("signals", "offered", "rule"),
    [
        (Signals("where is my order", "order_status", 0.9), (), None),
        (Signals("a person", "human", 0.9), (), "asked_for_person"),
        (Signals("a person", "human", 0.3), (), None),
        (Signals("I will call my lawyer", "complaint", 0.9), (), "legal"),
        (Signals("I'm going to sue you", "complaint", 0.9), (), "legal"),
        (Signals("my issue with the tissue", "complaint", 0.9), (), None),
        (Signals("the stove burned me", "complaint", 0.9), (), "injury"),
        (Signals("the lantern burns out", "complaint", 0.9), (), None),
        (Signals("I didn't make this order", "order_status", 0.9), (), "fraud"),
        (Signals("my lawyer says the stove burnt my hand", "complaint", 0.9), (), "injury"),
        (Signals(failures=2), (), None),
        (Signals(failures=3), (), "repeated_failure"),
        (Signals(angry_turns=1), (), None),
        (Signals(angry_turns=2), (), "anger_offer"),
        (Signals(angry_turns=2), ("anger_offer",), None),
        (Signals(angry_turns=3), (), "anger_persists"),
        (Signals("a person", "human", 0.9, angry_turns=2), (), "asked_for_person"),
        (Signals("a person", "human", 0.9, angry_turns=3), (), "anger_persists"),
    ],
)
def test_escalation_rules(signals: Signals, offered: tuple[str, ...], rule: str | None) -> None:
    found = evaluate(RULES, signals, frozenset(offered))
    assert (found.name if found else None) == rule


ANGRY = TextEmotion("angry", {"angry": 0.9, "neutral": 0.1})
NEUTRAL = TextEmotion("neutral", {"neutral": 1.0})
LOUD = VoiceEmotion("angry", {"angry": 1.0}, 1.0, 1.0)


def test_voice_alone_raises_anger_only_over_turns() -> None:
    feelings, settings = Feelings(), EmotionSettings()
    turns = [feel(feelings, settings, n, NEUTRAL, LOUD) for n in range(4)]
    assert turns == [False, False, False, False]
    assert [one.anger >= settings.upset for one in feelings.series] == [False, False, True, True]


def test_angry_words_are_apologised_for_once_in_a_while() -> None:
    feelings, settings = Feelings(), EmotionSettings()
    assert feel(feelings, settings, 1, ANGRY, None)
    feelings.apologised = 1
    assert not feel(feelings, settings, 2, ANGRY, LOUD)
    assert feel(feelings, settings, 4, ANGRY, LOUD)


def test_anger_fades_and_so_does_the_count() -> None:
    feelings, settings = Feelings(), EmotionSettings()
    feel(feelings, settings, 1, ANGRY, LOUD)
    feel(feelings, settings, 2, ANGRY, LOUD)
    assert feelings.angry_turns == 2
    feel(feelings, settings, 3, NEUTRAL, None)
    assert feelings.angry_turns == 0


def test_series_is_bounded() -> None:
    feelings = Feelings()
    for n in range(500):
        feel(feelings, EmotionSettings(), n, NEUTRAL, None)
    assert len(feelings.series) == 200
    assert feelings.series[-1].turn == 499


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_reading_is_a_probability_and_grows_with_each_sign(words: float, anger: float, activation: float) -> None:
    text = TextEmotion("neutral", {"angry": words})
    alone = reading(text, None)
    both = reading(text, VoiceEmotion("angry", {}, anger, activation))
    assert 0.0 <= alone <= both <= 1.0


def test_tone_follows_the_caller() -> None:
    settings = EmotionSettings()
    assert toned(Say("Hi", "warm"), Feelings(), settings).tone == "warm"
    assert toned(Say("Hi", "warm"), Feelings(anger=0.6), settings).tone == "calm"
    assert toned(Say("Oh", "sorry"), Feelings(anger=0.6), settings).tone == "sorry"
    assert toned(Say("Hi", must_hear=True), Feelings(sad=True), settings) == Say("Hi", "calm", True)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("It is {m|money}.", "It is $18.50."),
        ("It is {n|money}.", "It is $20."),
        ("By {d|date}", "By May 3"),
        ("It came {d|day}", "It came yesterday"),
        ("In {o.year}", "In 2020"),
        ("On {old|date}", "On May 3, 2020"),
        ("{l|list}", "a, b and c"),
    ],
)
def test_render(template: str, text: str) -> None:
    scope = {
        "m": {"minor": 1850, "currency": "USD"},
        "n": {"minor": 2000, "currency": "USD"},
        "d": "2026-05-03",
        "old": "2020-05-03",
        "o": {"year": 2020},
        "l": ["a", "b", "c"],
        "today": TODAY,
    }
    assert render(template, scope) == text


def test_render_names_what_is_missing() -> None:
    with pytest.raises(ValueError, match=r"'\{order.total\}' .* has no value"):
        render("It is {order.total}.", {"today": TODAY, "order": {}})


def test_resolve_keeps_the_type_of_a_single_hole() -> None:
    scope = {"n": 3, "today": TODAY}
    assert resolve("{n}", scope) == 3
    assert resolve("{gone}", scope) is None
    assert resolve("as written", scope) == "as written"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("It's $18.50. Anything else?", 2),
        ("Go to 12 Pine St. Portland now.", 1),
        ("We open at 9 a.m. Monday.", 1),
        ("One. Two! Three?", 3),
        ("No end", 1),
    ],
)
def test_sentences(text: str, count: int) -> None:
    assert len(sentences(text)) == count


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("the lantern", "Beacon lantern"),
        ("uh the boots please", "Summit hiking boots"),
        ("everything", "all"),
        ("both of them", "all"),
        ("the blue thing", None),
        ("boots or the lantern", None),
    ],
)
def test_choose_option(text: str, option: str | None) -> None:
    assert choose_option(text, ["Summit hiking boots", "Beacon lantern"]) == option


def test_state_keeps_earlier_good_values_and_forgets_wrong_ones() -> None:
    state = CallState()
    assert not state.learn("order_number", "1", verified=True)
    assert state.learn("order_number", "2")
    assert state.earlier["order_number"] == ["1"]
    state.forget("order_number")
    assert state.earlier["order_number"] == ["1"]
    assert "order_number" not in state.slots
