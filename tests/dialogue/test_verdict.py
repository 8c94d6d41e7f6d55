"""How a call went."""

from __future__ import annotations

import pytest
from conversation import Conversation

from agent.dialogue.feelings import Feelings, Reading
from agent.dialogue.manner import EmotionSettings
from agent.dialogue.verdict import Verdict, judge


def felt(*angers: float, sadness: float = 0.0) -> Feelings:
    return Feelings([Reading(n, "neutral", anger, anger, 0.5, sadness) for n, anger in enumerate(angers)])


@pytest.mark.parametrize(
    ("feelings", "negative"),
    [
        (felt(), False),
        (felt(0.1, 0.2), False),
        (felt(0.1, 0.5, 0.2), False),
        (felt(0.1, 0.5, 0.5, 0.2), True),
        (felt(0.1, 0.2, 0.5), True),
        (felt(0.1, sadness=0.6), True),
    ],
)
def test_a_call_is_negative_if_it_ended_or_went_on_so(feelings: Feelings, negative: bool) -> None:
    assert judge(feelings, EmotionSettings(), ["track"]) == Verdict("track", negative)


def test_the_topic_is_what_the_caller_called_for() -> None:
    settings = EmotionSettings()
    assert judge(felt(), settings, ["verify", "balance", "transfer"], "verify").topic == "balance"
    assert judge(felt(), settings, ["verify"], "verify").topic == "none"
    assert judge(felt(), settings, []).topic == "none"


async def test_a_dialogue_sums_up_how_it_went(talk: Conversation) -> None:
    assert talk.call.summary()["verdict"] == {"topic": "none", "negative": False}
    await talk.say("what the hell", "greeting", angry=0.95)
    await talk.say("where the hell is 42719", "order_status", angry=0.95, order_number="42719")
    assert talk.call.summary()["verdict"] == {"topic": "order_status", "negative": True}
