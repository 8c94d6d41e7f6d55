"""How a reply meets the caller's feelings: stances with hysteresis, opening words, tone, pace."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from conversation import Conversation
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.dialogue.contracts import Acted, Expect, Part, Say
from agent.dialogue.emotion import TurnFacts, choose, facts_of, feel, is_complaint, shape, upset
from agent.dialogue.escalation import Signals, evaluate
from agent.dialogue.feelings import Feelings
from agent.dialogue.manner import EmotionSettings, EscalationRule, Stance
from models.contracts import TextEmotion, VoiceEmotion

SETTINGS = EmotionSettings(
    say={
        "angry": ("I'm really sorry about this.", "I understand, this is not good enough."),
        "sad": ("I'm sorry to hear that.",),
        "happy": ("Wonderful.",),
        "encourage": ("We'll get this done.",),
    }
)
ANGRY = TextEmotion("angry", {"angry": 0.95, "neutral": 0.05})
SAD = TextEmotion("sad", {"sad": 0.95, "neutral": 0.05})
HAPPY = TextEmotion("happy", {"happy": 0.95, "neutral": 0.05})
NEUTRAL = TextEmotion("neutral", {"neutral": 1.0})
SAD_VOICE = VoiceEmotion("sad", {"sad": 1.0}, 0.0, 0.1)
DONE = TurnFacts("done", "good")


class Call:
    """The feelings of a caller over turns, and what the replies make of them."""

    def __init__(self, settings: EmotionSettings = SETTINGS) -> None:
        self.settings = settings
        self.feelings = Feelings()
        self.turn = 0

    def hear(self, words: TextEmotion, voice: VoiceEmotion | None = None) -> None:
        self.turn += 1
        feel(self.feelings, self.settings, self.turn, words, voice)

    def reply(self, *parts: Part, facts: TurnFacts | None = None, pace: float = 1.0) -> list[Part]:
        return shape(parts or (Say("Here it is."),), self.feelings, self.settings, self.turn, facts, pace)

    def turn_of(self, words: TextEmotion, facts: TurnFacts | None = None) -> tuple[Stance, list[str]]:
        self.hear(words)
        texts = [part.text for part in self.reply(facts=facts) if isinstance(part, Say)]
        return self.feelings.stance, texts


def says(parts: list[Part]) -> list[Say]:
    return [part for part in parts if isinstance(part, Say)]


@pytest.mark.parametrize(
    ("words", "facts", "stance"),
    [
        (NEUTRAL, TurnFacts(), "plain"),
        (NEUTRAL, DONE, "plain"),
        (NEUTRAL, TurnFacts("failed", "bad"), "soothe"),
        (NEUTRAL, TurnFacts(stuck=1), "plain"),
        (NEUTRAL, TurnFacts(stuck=2), "encourage"),
        (ANGRY, TurnFacts(), "apologise"),
        (ANGRY, DONE, "apologise"),
        (SAD, TurnFacts(), "soothe"),
        (SAD, TurnFacts("done"), "encourage"),
        (SAD, TurnFacts("done", "bad"), "soothe"),
        (HAPPY, TurnFacts(), "plain"),
        (HAPPY, TurnFacts("done"), "plain"),
        (HAPPY, DONE, "celebrate"),
        (HAPPY, TurnFacts("failed", "bad"), "soothe"),
    ],
)
def test_the_stance_of_a_first_turn(words: TextEmotion, facts: TurnFacts, stance: Stance) -> None:
    assert Call().turn_of(words, facts)[0] == stance


def test_an_angry_caller_is_apologised_to_then_answered_briefly_then_as_before() -> None:
    call = Call()
    course = [call.turn_of(words)[0] for words in (ANGRY, ANGRY, NEUTRAL, NEUTRAL, NEUTRAL, NEUTRAL)]
    assert course == ["apologise", "brief", "brief", "brief", "plain", "plain"]


def test_a_stance_does_not_flip_with_the_caller_from_turn_to_turn() -> None:
    call = Call()
    course = [call.turn_of(words)[0] for words in (SAD, NEUTRAL, SAD, NEUTRAL, SAD, NEUTRAL)]
    assert course == ["soothe"] * 6


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_noise_changes_the_stance_seldom(seed: int) -> None:
    rng, call = random.Random(seed), Call()
    course = []
    for _ in range(40):
        angry = rng.uniform(0.2, 0.5)
        call.hear(TextEmotion("neutral", {"angry": angry, "neutral": 1.0 - angry}))
        call.reply()
        course.append(call.feelings.stance)
    assert sum(one != other for one, other in pairwise(course)) <= 6


def test_once_upset_a_caller_counts_as_upset_until_well_below() -> None:
    was, was_not = Feelings(anger=0.8, raised=True), Feelings(anger=0.8)
    for feelings in (was, was_not):
        feel(feelings, SETTINGS, 1, NEUTRAL, None)
        assert SETTINGS.calm < feelings.anger < SETTINGS.upset
    assert upset(was, SETTINGS)
    assert not upset(was_not, SETTINGS)
    feel(was, SETTINGS, 2, NEUTRAL, None)
    assert not upset(was, SETTINGS)


def test_no_apology_is_said_twice_and_none_when_all_are_said() -> None:
    call = Call()
    openings: list[str] = []
    for _ in range(6):
        for words in (ANGRY, NEUTRAL, NEUTRAL, NEUTRAL):
            texts = call.turn_of(words)[1]
            openings += texts[:-1]
    assert openings == ["I'm really sorry about this.", "I understand, this is not good enough."]


def test_an_apology_is_not_put_before_one() -> None:
    call = Call()
    call.hear(ANGRY)
    parts = says(call.reply(Say("I'm sorry, it's too late to cancel.", "sorry")))
    assert [part.text for part in parts] == ["I'm sorry, it's too late to cancel."]
    assert call.feelings.apologised == 1
    call.hear(ANGRY)
    assert len(says(call.reply())) == 1


def test_openings_keep_their_distance() -> None:
    call = Call(
        EmotionSettings(say={"sad": "I'm sorry to hear that.", "encourage": "We'll get this done."}, opener_turns=3)
    )
    assert len(call.turn_of(SAD)[1]) == 2
    assert len(call.turn_of(SAD, TurnFacts("done"))[1]) == 1
    assert len(call.turn_of(SAD)[1]) == 1
    assert call.turn_of(SAD, TurnFacts("done"))[1][0] == "We'll get this done."


def test_a_reply_in_pieces_opens_once_and_may_turn_to_joy() -> None:
    call = Call()
    call.hear(ANGRY)
    assert len(says(call.reply(Say("One moment.")))) == 2
    assert [part.text for part in says(call.reply(Say("It's cancelled.", "warm"), facts=DONE))] == ["It's cancelled."]
    glad = Call()
    glad.hear(HAPPY)
    assert len(says(glad.reply(Say("One moment.")))) == 1
    assert [part.text for part in says(glad.reply(Say("Done.", "warm"), facts=DONE))] == ["Wonderful.", "Done."]


def test_no_words_open_a_reply_without_words() -> None:
    call = Call()
    call.hear(ANGRY)
    assert call.reply(Expect("open")) == [Expect("open")]
    assert call.feelings.apologised is None
    assert says(call.reply())[0].text == "I'm really sorry about this."


@pytest.mark.parametrize(
    ("words", "facts", "tones", "pace"),
    [
        (NEUTRAL, None, ["neutral", "warm", "sorry"], 0.9),
        (NEUTRAL, TurnFacts(), ["neutral", "warm", "sorry"], 1.0),
        (NEUTRAL, TurnFacts(stuck=1), ["neutral", "warm", "sorry"], 0.9),
        (SAD, TurnFacts(), ["calm", "calm", "calm", "sorry"], 0.9),
        (ANGRY, TurnFacts(), ["sorry", "calm", "calm", "sorry"], 1.0),
        (HAPPY, DONE, ["warm", "warm", "warm", "sorry"], 1.0),
    ],
)
def test_tone_and_pace(words: TextEmotion, facts: TurnFacts | None, tones: list[str], pace: float) -> None:
    call = Call()
    call.hear(words)
    parts = says(call.reply(Say("a"), Say("b", "warm"), Say("c", "sorry"), facts=facts))
    if facts is None:
        assert {part.pace for part in parts} == {pace}
        return
    assert [part.tone for part in parts] == tones
    assert {part.pace for part in parts} == {pace}


def test_an_angry_caller_is_spoken_to_briskly_and_without_courtesies() -> None:
    call = Call(EmotionSettings())
    call.hear(ANGRY)
    call.reply()
    call.hear(ANGRY)
    parts = says(call.reply(Say("Sure.", optional=True), Say("It's sent.", must_hear=True), Say("It comes today.")))
    assert [(part.text, part.pace) for part in parts] == [("It's sent.", 1.0), ("It comes today.", 1.05)]
    assert [part.text for part in says(call.reply(Say("You're welcome.", optional=True)))] == ["You're welcome."]


@given(st.floats(0.1, 5.0))
def test_the_pace_a_caller_likes_is_kept_within_limits_and_steps(liked: float) -> None:
    call = Call()
    call.hear(NEUTRAL)
    (part,) = says(call.reply(pace=liked))
    assert 0.7 <= part.pace <= 1.3
    assert abs(part.pace * 20 - round(part.pace * 20)) < 1e-6
    assert abs(part.pace - min(max(liked, 0.7), 1.3)) <= 0.026


def acted(ok: bool) -> Acted:
    return Acted("act", {}, ok, {}, "k")


@pytest.mark.parametrize(
    ("tone", "oks", "facts"),
    [
        ("neutral", (), TurnFacts()),
        ("warm", (), TurnFacts()),
        ("sorry", (), TurnFacts(news="bad")),
        ("warm", (True,), DONE),
        ("neutral", (True,), TurnFacts("done")),
        ("sorry", (True,), TurnFacts("done", "bad")),
        ("warm", (True, False), TurnFacts("failed", "bad")),
    ],
)
def test_what_a_turn_brought(tone: Any, oks: tuple[bool, ...], facts: TurnFacts) -> None:
    assert facts_of([Say("a", tone)], [acted(ok) for ok in oks]) == facts


def test_a_sad_voice_alone_counts_from_its_second_turn() -> None:
    call = Call()
    course = []
    for _ in range(3):
        call.hear(NEUTRAL, SAD_VOICE)
        course.append(call.feelings.sad)
    assert course == [False, True, True]
    assert call.feelings.sad_turns == 2


def test_sadness_that_lasts_can_call_a_person() -> None:
    rule = EscalationRule(name="distress", reason="the caller is distressed", sad_turns=3)
    assert evaluate((rule,), Signals(sad_turns=2)) is None
    assert evaluate((rule,), Signals(sad_turns=3)) == rule


def test_the_same_again_within_a_turn() -> None:
    call = Call()
    call.hear(SAD)
    first = choose(call.feelings, SETTINGS, TurnFacts(), 1)
    assert choose(call.feelings, SETTINGS, TurnFacts(), 1) == first


def test_complaints_are_known_by_name() -> None:
    assert is_complaint(["track", "log_complaint"], SETTINGS)
    assert not is_complaint(["track"], SETTINGS)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ({"say": {"bored": ["Hm."]}}, "no feeling with words of its own; use one of angry"),
        ({"say": {"sad": None}}, "has no words"),
        ({"say": {"sad": [""]}}, "at least 1"),
        ({"calm": 0.6}, "above 'upset'"),
        ({"consoled": 0.6}, "above 'sad'"),
    ],
)
def test_settings_that_cannot_be_meant(written: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        EmotionSettings.model_validate(written)


def test_openers_may_be_named_by_feeling_or_stance() -> None:
    both = EmotionSettings.model_validate({"say": {"sad": "Oh.", "soothe": ["I see."], "worried": "We'll manage."}})
    assert both.say == {"soothe": ("Oh.", "I see."), "encourage": ("We'll manage.",)}


async def test_an_upset_caller_is_spared_what_the_domain_marks_optional(talk: Conversation) -> None:
    await talk.say("where is 42719", "order_status", order_number="42719")
    calm = await talk.say("no wait I meant 42718", "give_information", order_number="42718")
    assert calm.text.startswith("Got it.")
    await talk.say("what the hell, where is 42719", "order_status", angry=0.95, order_number="42719")
    short = await talk.say("no I meant 42718", "give_information", order_number="42718")
    assert short.text.startswith("Order 42718")
    assert {say.pace for say in short.says} == {1.05}
