"""Which words of the common base are wishes about the voice's pace, and which are about something else."""

from __future__ import annotations

import pytest

from agent.dialogue.extending import SHIPPED
from agent.dialogue.manner import matches
from agent.yamlfile import read_yaml

LISTENING = read_yaml(SHIPPED / "common" / "domain.yaml").data["listening"]


def pace(words: str) -> str | None:
    """The wish found first, in the order in which the agent looks."""
    return next((wish for wish in ("slower", "faster") if matches(tuple(LISTENING[wish]), words)), None)


@pytest.mark.parametrize(
    "words",
    [
        "slower please",
        "Could you speak more slowly?",
        "hey, slow down please",
        "you're talking too fast",
        "that was too fast",
        "not so fast",
        "you are way too fast for me",
        "Sorry, a bit slower.",
        "can you say that again slowly",
        "Don't talk so fast",
    ],
)
def test_wishes_for_a_slower_voice(words: str) -> None:
    assert pace(words) == "slower"


@pytest.mark.parametrize(
    "words",
    ["faster", "can you talk faster", "you're too slow", "speed up", "you speak too slowly", "a bit quicker please"],
)
def test_wishes_for_a_faster_voice(words: str) -> None:
    assert pace(words) == "faster"


@pytest.mark.parametrize(
    "words",
    [
        "So, can I get something delivered faster than normal?",
        "can it get here quicker?",
        "is express faster",
        "shipping is too slow",
        "can you speed up my order",
        "my internet is slower than before",
        "how do I go to the store faster than by bus",
    ],
)
def test_what_is_faster_or_slower_elsewhere_is_no_such_wish(words: str) -> None:
    assert pace(words) is None
