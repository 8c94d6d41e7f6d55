"""How the caller wants to be spoken to, offers, thanks and goodbyes."""

from __future__ import annotations

from typing import Any

import pytest
from counter import Call

from agent.dialogue.speaking import FASTEST, LOUDEST_DB, SLOWEST

CLOSING = "Is there anything else I can help with?"


async def at_anything_else(call: Call) -> str:
    return (await call.say("where is 4020", "find_book", book="4020")).text


async def test_slower_says_it_again_slower_and_stays_so(call: Call) -> None:
    first = await at_anything_else(call)
    again = await call.say("could you speak more slowly", "repeat", 0.5)
    assert again.text == f"Of course, I'll speak more slowly. {first}"
    assert call.library.names == ["find_book"]
    later = await call.say("where is 4021", "find_book", book="4021")
    assert {round(say.pace, 2) for say in later.says} == {0.85}


@pytest.mark.parametrize(("words", "bound"), [("slower please", SLOWEST), ("speak faster", FASTEST)])
async def test_the_pace_has_bounds(call: Call, words: str, bound: float) -> None:
    for _ in range(4):
        answer = await call.say(words, "out_of_scope", 0.3)
    assert call.state.pace == pytest.approx(bound)
    assert all(SLOWEST - 1e-9 <= say.pace <= FASTEST + 1e-9 for say in answer.says)


async def test_louder_has_a_bound_and_stays(call: Call) -> None:
    await at_anything_else(call)
    for _ in range(3):
        answer = await call.say("I can't hear you", "out_of_scope", 0.3)
    assert answer.text.startswith("Is this better?")
    assert {say.gain_db for say in answer.says} == {LOUDEST_DB}


async def test_a_wish_of_the_domain_with_such_a_word_is_no_wish_about_speaking(call: Call) -> None:
    await call.say("I need a room faster than tomorrow", "room")
    assert call.state.pace == 1.0
    assert call.state.frames[-1].flow == "pick_day"


async def offered(call: Call) -> str:
    return (await call.say("where is 4030", "find_book", book="4030")).text


async def test_an_offer_is_made_once_and_a_yes_takes_it(call: Call) -> None:
    assert (await offered(call)).endswith("Shall I send you our list of new books?")
    assert (await call.yes()).text.startswith("The list is on its way.")
    assert "list of new books" not in await offered(call)


async def test_no_to_an_offer_asks_what_else(call: Call) -> None:
    await offered(call)
    assert (await call.no()).text == CLOSING


async def test_no_more_offers_are_made_and_the_business_is_told(call: Call) -> None:
    await offered(call)
    answer = await call.say("no more offers please", "deny", yes_no=False)
    assert answer.text == f"Of course. I won't mention offers again. {CLOSING}"
    assert call.library.names[-1] == "stop_offers"
    assert call.state.no_offers


async def test_no_offer_where_none_fits_or_the_caller_is_upset(call: Call) -> None:
    assert "list of new books" not in await at_anything_else(call)
    upset = await call.say("where is 4030, damn it", "find_book", book="4030", angry=1.0)
    assert "Dracula" in upset.text
    assert "list of new books" not in upset.text
    assert upset.facts["no_offer"] == "upset"


@pytest.mark.parametrize(
    ("words", "intent", "more", "ends"),
    [
        ("no thanks", "deny", {"yes_no": False}, True),
        ("okay that's it bye", "affirm", {"yes_no": True, "ranking": [("affirm", 0.5), ("goodbye", 0.4)]}, True),
        ("yes that's all, goodbye", "affirm", {"yes_no": True}, True),
        ("bye", "goodbye", {}, True),
        ("okay thank you", "affirm", {"yes_no": True, "ranking": [("affirm", 0.3), ("thanks", 0.65)]}, False),
        ("thank you", "thanks", {}, False),
        ("yes", "affirm", {"yes_no": True}, False),
    ],
)
async def test_goodbyes_and_thanks_at_the_closing_question(
    call: Call, words: str, intent: str, more: dict[str, Any], ends: bool
) -> None:
    assert (await at_anything_else(call)).endswith(CLOSING)
    answer = await call.say(words, intent, **more)
    assert (answer.hang_up is not None) is ends
    assert ("Goodbye." in answer.text) is ends


async def test_a_new_wish_at_the_closing_question_is_taken_whatever_word_it_begins_with(call: Call) -> None:
    await at_anything_else(call)
    answer = await call.say("yes where is 4021", "affirm", yes_no=True, book="4021", wishes=[])
    assert "Emma is on shelf 7." in answer.text


async def test_a_faint_goodbye_in_the_middle_of_a_task_does_not_end_the_call(call: Call) -> None:
    await call.say("I need a room", "room")
    answer = await call.say("buy", "goodbye", 0.6)
    assert answer.hang_up is None
    assert (await call.say("okay goodbye then", "goodbye", 0.6)).hang_up is not None
