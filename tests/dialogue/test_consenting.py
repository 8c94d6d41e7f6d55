"""Callers are told or asked before they are recorded, and heeded when they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from callfakes import FakeDialogue

from agent.dialogue.consenting import ConsentedDialogue
from agent.dialogue.contracts import CallerTurn, Expect, Say
from agent.records.consent import GIVEN, NOTICE, QUESTION, REFUSED, ConsentRule
from models.contracts import AFFIRM, DENY, Understood

GREETING = ["This call is recorded.", "How can I help?"]


async def said(parts: Any) -> list[str]:
    return [part.text async for part in parts if isinstance(part, Say)]


def turn(text: str, intent: str = "other", **more: Any) -> CallerTurn:
    return CallerTurn(1, text, Understood(intent, 0.9), **more)


def dialogue(mode: Any, language: str = "en") -> tuple[ConsentedDialogue, FakeDialogue]:
    inner = FakeDialogue()
    return ConsentedDialogue(inner, ConsentRule(mode), language), inner


async def test_a_notice_opens_the_recording_once_it_was_heard_whole() -> None:
    consented, inner = dialogue("notice")
    assert not consented.may_record
    assert await said(consented.open(None, {})) == [NOTICE["en"], *GREETING]
    consented.heard("This call is recorded. If you", False)
    assert not consented.may_record
    assert await said(consented.respond(turn("hello"))) == [NOTICE["en"], "You said hello."]
    consented.heard(f"{NOTICE['en']} You said hello.", True)
    assert consented.may_record
    assert await said(consented.respond(turn("hello"))) == ["You said hello."]
    assert inner.heard_log[-1][1]


@pytest.mark.parametrize(
    ("answer", "open_", "words"),
    [
        (turn("yes", AFFIRM), True, GIVEN["en"]),
        (turn("", dtmf="1"), True, GIVEN["en"]),
        (turn("no", DENY), False, REFUSED["en"]),
        (turn("", dtmf="2"), False, REFUSED["en"]),
        (turn("I do not want you to record this"), False, REFUSED["en"]),
    ],
)
async def test_a_question_is_answered_before_the_greeting(answer: CallerTurn, open_: bool, words: str) -> None:
    consented, inner = dialogue("ask")
    parts = [part async for part in consented.open("+15035550101", {})]
    assert [part.text for part in parts if isinstance(part, Say)] == [QUESTION["en"]]
    assert any(isinstance(part, Expect) and part.profile == "yes_no" for part in parts)
    assert consented.context.asked_yes_no
    assert await said(consented.preview(answer)) == []
    assert await said(consented.respond(answer)) == [words, *GREETING]
    assert consented.may_record is open_
    assert inner.turns == []
    assert await said(consented.respond(turn("hello"))) == ["You said hello."]


async def test_a_wish_in_place_of_an_answer_is_asked_again_and_then_served_unrecorded() -> None:
    consented, _ = dialogue("ask")
    await said(consented.open(None, {}))
    assert await said(consented.respond(turn("where is my order"))) == [QUESTION["en"]]
    served = await said(consented.respond(turn("where is my order")))
    assert served == [REFUSED["en"], *GREETING, "You said where is my order."]
    assert not consented.may_record


@pytest.mark.parametrize("mode", ["notice", "ask"])
@pytest.mark.parametrize("text", ["please don't record this call", "Stop recording me", "请不要录音"])
async def test_a_later_refusal_is_heeded(mode: str, text: str) -> None:
    consented, inner = dialogue(mode)
    await said(consented.open(None, {}))
    if mode == "ask":
        await said(consented.respond(turn("yes", AFFIRM)))
    else:
        consented.heard(NOTICE["en"], True)
    assert consented.may_record
    assert await said(consented.respond(turn(text))) == [REFUSED["en"]]
    assert not consented.may_record
    assert inner.turns == []


async def test_a_turn_that_is_taken_back_takes_the_answer_back() -> None:
    consented, _ = dialogue("ask")
    await said(consented.open(None, {}))
    before = consented.snapshot()
    await said(consented.respond(turn("yes", AFFIRM)))
    consented.restore(before)
    assert not consented.may_record
    assert consented.context.asked_yes_no


async def test_everything_else_is_the_dialogues_inside() -> None:
    consented, inner = dialogue("notice")
    consented.use_tools({})
    await consented.over()
    assert await said(consented.apology()) == ["I am sorry, something went wrong."]
    assert await said(consented.handoff_outcome("unavailable")) == ["Nobody is free now."]
    assert consented.summary()["paragraph"] == (await consented.told())["paragraph"]
    assert consented.runnable() == []
    with pytest.raises(ValueError, match="no action"):
        await consented.act("anything", {})
    assert (consented.fixed_phrases()[0][0], inner.ended) == (NOTICE["en"], True)
