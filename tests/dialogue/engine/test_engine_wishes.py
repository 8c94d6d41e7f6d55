"""Several wishes in one breath are answered in order, each with its own values."""

from __future__ import annotations

from typing import Any

import pytest
from counter import Call

from agent.dialogue.state import MOST_WISHES
from models.contracts import Slot


def at(text: str, name: str, value: Any, raw: str) -> Slot:
    start = text.index(raw)
    return Slot(name, value, raw, (start, start + len(raw)))


async def test_two_wishes_are_answered_in_their_order(call: Call) -> None:
    text = "when is the library open and where is book 4021"
    exact = (at(text, "book", "4021", "4021"),)
    wishes = [("question", "when is the library open"), ("find_book", "where is book 4021")]
    answer = await call.say(text, "question", exact=exact, wishes=wishes)
    first, second = answer.text.index("from nine to six"), answer.text.index("Emma is on shelf 7.")
    assert first < answer.text.index("And now to your search.") < second


async def test_the_first_wish_leads_whichever_was_surer(call: Call) -> None:
    text = "find book 4021 and tell me when the library is open"
    exact = (at(text, "book", "4021", "4021"),)
    wishes = [("find_book", "find book 4021"), ("question", "tell me when the library is open")]
    answer = await call.say(text, "question", exact=exact, wishes=wishes)
    assert answer.text.index("Emma") < answer.text.index("from nine to six")


async def test_a_wish_waits_until_the_first_is_done(call: Call) -> None:
    text = "I want to pay my fine and book a room for May seventh"
    exact = (at(text, "day", "2026-05-07", "May seventh"),)
    wishes = [("pay", "I want to pay my fine"), ("room", "book a room for May seventh")]
    await call.say(text, "pay", exact=exact, wishes=wishes)
    await call.prove()
    await call.say("two dollars", "give_information", amount={"minor": 200, "currency": "USD"})
    answer = await call.yes()
    assert answer.text == "Your payment of $2 is done. And now to your room. For how many people?"
    assert call.state.slots["day"].value == "2026-05-07"


async def test_values_stay_with_their_wish(call: Call) -> None:
    text = "where is book 4020 and please renew book 4021"
    exact = (at(text, "book", "4020", "4020"), at(text, "book", "4021", "4021"))
    wishes = [("find_book", "where is book 4020"), ("renew", "please renew book 4021")]
    answer = await call.say(text, "find_book", exact=exact, wishes=wishes)
    assert "Moby Dick is on shelf 7." in answer.text
    answer = await call.prove()
    assert "Emma is yours for two more weeks" in answer.text


async def test_a_complaint_that_leads_on_is_not_answered_by_itself(call: Call) -> None:
    text = "this is ridiculous, where is book 4020"
    exact = (at(text, "book", "4020", "4020"),)
    wishes = [("complain", "this is ridiculous"), ("find_book", "where is book 4020")]
    answer = await call.say(text, "complain", exact=exact, wishes=wishes)
    assert "Moby Dick is on shelf 7." in answer.text
    assert call.state.done[-1].flow == "find_book"
    assert "your complaint" not in answer.text


async def test_a_complaint_alone_is_answered(call: Call) -> None:
    assert "I'm sorry to hear that." in (await call.say("this is ridiculous", "complain")).text


async def test_two_questions_get_two_answers(call: Call) -> None:
    text = "when is the library open and is there parking behind the library"
    wishes = [("question", "when is the library open"), ("question", "is there parking behind the library")]
    answer = await call.say(text, "question", wishes=wishes)
    assert answer.text.index("from nine to six") < answer.text.index("Parking behind the library is free")


async def test_the_same_task_twice_is_one(call: Call) -> None:
    text = "I want a room. book a room please"
    wishes = [("room", "I want a room"), ("room", "book a room please")]
    await call.say(text, "room", wishes=wishes)
    assert call.state.wishes == []


async def test_no_more_wishes_are_kept_than_anybody_remembers(call: Call) -> None:
    flows = ["room", "loans", "renew", "pay", "find_book", "join"]
    text = ", ".join(f"wish {name}" for name in flows)
    await call.say(text, "room", wishes=[(name, f"wish {name}") for name in flows])
    assert [wish.flow for wish in call.state.wishes] == flows[1 : MOST_WISHES + 1]


@pytest.mark.parametrize("words", ["never mind all that", "forget it"])
async def test_never_mind_drops_what_was_asked_for_besides(call: Call, words: str) -> None:
    wishes = [("room", "book a room"), ("join", "join the library")]
    await call.say("book a room and join the library", "room", wishes=wishes)
    await call.say(words, "deny", yes_no=False)
    assert call.state.wishes == []
    assert call.state.frames == []
