"""Where a language model may word an answer, and what is said as it is written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from agent.dialogue.contracts import Expect, Part, Say
from agent.dialogue.domain import Fact
from agent.dialogue.knowledge import Found
from agent.dialogue.phrasing import Phrasing, private_of
from agent.dialogue.state import CallState, Known
from agent.dialogue.writing.contracts import Outcome, Written

FACT = Fact("house.md#open", "When?", "Nine to six. Not on Sundays.")
FOUND = Found(FACT, 0.9, 0.9, 0.9, True, True, "Nine to six.")
EXPECT = Expect("open")


class Words:
    """A writer that says what a test gives it, and keeps what it was asked."""

    def __init__(self, *uses: str, says: Sequence[str] = ("In other words.",), reason: Any = None) -> None:
        self.uses = uses
        self.says = says
        self.reason = reason
        self.asked: list[dict[str, Any]] = []

    def does(self, use: str) -> bool:
        return use in self.uses

    async def answer(self, question: str, sections: Any, extract: Any, **more: Any) -> AsyncIterator[Written]:
        self.asked.append({"question": question, "sections": sections, "extract": extract, **more})
        for text in self.says:
            yield Written(text, "rule" if self.reason else "model", reason=self.reason)

    async def rephrase(self, sentences: Sequence[str], **more: Any) -> list[str]:
        self.asked.append({"sentences": sentences, **more})
        return list(self.says)

    async def summary(self, facts: Sequence[str], paragraph: str, **more: Any) -> str:
        self.asked.append({"facts": facts, **more})
        return self.says[0]

    async def clarify(self, words: str, options: Sequence[str], template: str, **more: Any) -> str:
        self.asked.append({"words": words, "options": options, **more})
        return self.says[0]

    async def act(self, *arguments: Any, **more: Any) -> Outcome:
        raise AssertionError

    async def aclose(self) -> None:
        pass


def state() -> CallState:
    return CallState(
        slots={"name": Known("Noor Lind", 1), "pin": Known("9876", 1), "day": Known("2026-05-07", 1)},
        sensitive={"pin"},
        customer={"name": "Noor Lind", "address": "1 Fern Street", "id": "m1", "phone": None},
        history=[("caller", "hello"), ("agent", "hi there")],
    )


def test_what_an_outside_model_must_not_see() -> None:
    assert private_of(state()) == {"name": "Noor Lind", "pin": "9876", "address": "1 Fern Street"}


async def told(phrasing: Phrasing, facts: dict[str, Any]) -> list[str]:
    return [text async for text in phrasing.answer("when?", FOUND, state(), "en", facts)]


@pytest.mark.parametrize("writer", [None, Words("rephrase")])
async def test_without_a_model_for_it_an_answer_is_the_extract(writer: Any) -> None:
    facts: dict[str, Any] = {}
    assert await told(Phrasing(writer), facts) == ["Nine to six."]
    assert facts == {}


@pytest.mark.parametrize(("reason", "by"), [(None, "model"), ("first_token", "rule: first_token")])
async def test_an_answer_in_a_models_words(reason: Any, by: str) -> None:
    writer, facts = Words("answer", reason=reason), dict[str, Any]()
    assert await told(Phrasing(writer), facts) == ["In other words."]
    assert facts == {"worded_by": [by]}
    asked = writer.asked[0]
    assert (asked["sections"], asked["extract"]) == ([FACT], ["Nine to six."])
    assert [(line.who, line.text) for line in asked["history"]] == [("caller", "hello"), ("agent", "hi there")]
    assert asked["private"]["pin"] == "9876"


PARTS: list[Part] = [Say("You must hear this.", must_hear=True), Say("One."), EXPECT, Say("Two.", "warm")]


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        (("First.", "Second."), ["You must hear this.", "First.", "Second."]),
        (("All in one.",), ["You must hear this.", "All in one."]),
    ],
)
async def test_what_must_be_heard_is_said_as_it_is_written(says: Sequence[str], expected: list[str]) -> None:
    writer = Words("rephrase", says=says)
    parts = await Phrasing(writer).reworded(PARTS, state(), "en")
    assert [part.text for part in parts if isinstance(part, Say)] == expected
    assert [part for part in parts if not isinstance(part, Say)] == [EXPECT]
    assert next(part.must_hear for part in parts if isinstance(part, Say))
    assert writer.asked[0]["sentences"] == ["One.", "Two."]
    assert writer.asked[0]["avoid"] == ["hi there"]


async def test_nothing_to_say_is_not_reworded() -> None:
    writer = Words("rephrase")
    assert await Phrasing(writer).reworded([EXPECT], state(), "en") == [EXPECT]
    assert writer.asked == []


async def test_a_question_in_a_models_words_keeps_its_tone_and_what_is_expected() -> None:
    parts: list[Part] = [Say("Do you want a?", "calm"), Say("Or b?"), EXPECT]
    writer = Words("clarify", says=["Is it a or b?"])
    assert await Phrasing(writer).question("hm", ["a", "b"], parts, state(), "en") == [
        Say("Is it a or b?", "calm"),
        EXPECT,
    ]
    way_out = Words("clarify", says=["Do you want a? Or b?"])
    assert await Phrasing(way_out).question("hm", ["a", "b"], parts, state(), "en") == parts


async def test_a_summary_rests_on_the_paragraph_and_what_was_said() -> None:
    writer = Words("summary", says=["In short."])
    assert await Phrasing(writer).paragraph({"paragraph": "By rule."}, state()) == "In short."
    assert writer.asked[0]["facts"] == ["By rule.", "caller: hello", "agent: hi there"]
    assert await Phrasing(Words()).paragraph({"paragraph": "By rule."}, state()) == "By rule."
