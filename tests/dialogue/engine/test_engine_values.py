"""Values: their rules, doubts about them, other hypotheses, and other ways to give them."""

from __future__ import annotations

from typing import Any

import pytest
from conversation import understood
from counter import Call, Counter

from agent.dialogue.policy import SURE
from models.contracts import Slot

AGAIN = "That day can't be booked. Which other day?"


def dollars(minor: int) -> dict[str, Any]:
    return {"minor": minor, "currency": "USD"}


@pytest.mark.parametrize(
    ("minor", "fits"), [(99, False), (100, True), (101, True), (5000, True), (5001, False), (0, False)]
)
async def test_an_amount_within_its_bounds(call: Call, minor: int, fits: bool) -> None:
    await call.say("pay my fine", "pay")
    await call.prove()
    answer = await call.say("an amount", "give_information", amount=dollars(minor))
    assert ("Shall I take" in answer.text) is fits
    assert ("I can take from one to fifty dollars." in answer.text) is not fits


@pytest.mark.parametrize(
    ("day", "fits"),
    [
        ("2026-05-03", False),
        ("2026-05-04", True),
        ("2026-06-03", True),
        ("2026-06-04", False),
    ],
)
async def test_a_day_within_its_bounds(call: Call, day: str, fits: bool) -> None:
    answer = await call.say("a room please", "room", day=day)
    assert answer.text == ("For how many people?" if fits else AGAIN)


@pytest.mark.parametrize(("code", "fits"), [("97201", True), ("10001", False)])
async def test_a_value_of_a_pattern(call: Call, code: str, fits: bool) -> None:
    await call.say("I want to join", "join", email="noor@example.com", postcode=code)
    answer = await call.say("Noor", "give_information")
    assert ("Welcome, Noor." in answer.text) is fits
    assert answer.text.startswith("We only serve postcodes that begin with a nine.") is not fits


async def test_values_said_before_they_are_asked_for_are_taken(call: Call) -> None:
    answer = await call.say("a room for three on May seventh", "room", day="2026-05-07", people="3")
    assert answer.text == "Shall I reserve the oak room for 3 on May 7?"


async def test_a_value_refused_too_often_calls_a_person(call: Call) -> None:
    await call.say("a room please", "room", day="2026-05-01")
    await call.say("May second", "give_information", day="2026-05-02")
    answer = await call.say("May third", "give_information", day="2026-05-03")
    assert answer.hand_off is not None
    assert answer.hand_off.rule in ("slot_attempts", "repeated_failure")


async def test_reasons_for_a_refusal_are_not_those_for_words_not_heard(call: Call) -> None:
    await call.say("a room please", "room", day="2026-05-01")
    answer = await call.say("uh", "give_information", confident=False, confidence=0.3)
    assert answer.text.endswith("Sorry, I didn't catch that. For which day?")


async def doubtful(call: Call, **more: Any) -> str:
    await call.say("a room please", "room")
    answer = await call.say("May seven", "give_information", day="2026-05-07", confident=False, **more)
    assert call.library.names == []
    return answer.text


async def test_a_doubtful_value_is_read_back_in_the_words_of_its_question(call: Call) -> None:
    assert await doubtful(call) == "May 7, is that the day?"
    assert (await call.yes()).text == "For how many people?"
    assert call.state.slots["day"].verified


async def test_a_value_whose_parser_doubts_is_read_back_too(call: Call) -> None:
    await call.say("a room please", "room")
    exact = Slot("day", "2026-05-07", "may seven", (0, 9), SURE - 0.01)
    assert "is that the day?" in (await call.say("may seven", "give_information", exact=(exact,))).text


async def test_a_no_to_a_value_read_back_asks_again(call: Call) -> None:
    await doubtful(call)
    assert (await call.no()).text == "For which day?"
    assert "day" not in call.state.slots


async def test_another_value_instead_of_a_no_is_taken(call: Call) -> None:
    await doubtful(call)
    answer = await call.say("no, May eighth", "deny", yes_no=False, day="2026-05-08")
    assert answer.text == "For how many people?"
    assert call.state.slots["day"].value == "2026-05-08"


async def test_after_a_no_the_next_hypothesis_is_asked_about(call: Call) -> None:
    other = understood("give_information", day="2026-05-11")
    await doubtful(call, others=[other])
    assert (await call.no()).text == "Did you mean May 11?"
    assert (await call.yes()).text == "For how many people?"
    assert call.library.ran == [("find_room", {"day": "2026-05-11"})]


async def test_another_hypothesis_is_tried_where_the_first_is_refused(call: Call) -> None:
    await call.say("find a book", "find_book")
    others = [understood("give_information", book="4920"), understood("give_information", book="4021")]
    answer = await call.say("4029", "give_information", book="4029", others=others)
    assert answer.text == "Did you mean 4 0 2 1?"
    assert [one["number"] for _, one in call.library.ran] == ["4029", "4920", "4021"]
    assert (await call.yes()).text.startswith("Emma is on shelf 7.")


async def test_a_hypothesis_that_was_not_meant_is_asked_for_again(call: Call) -> None:
    await call.say("find a book", "find_book")
    await call.say("4029", "give_information", book="4029", others=[understood("x", book="4021")])
    answer = await call.no()
    assert "Emma" not in answer.text
    assert answer.expect.context.expected_slots == ("book",)


async def test_without_a_hypothesis_that_exists_the_first_is_named(call: Call) -> None:
    await call.say("find a book", "find_book")
    answer = await call.say("4029", "give_information", book="4029", others=[understood("x", book="4920")])
    assert answer.text == "There is no book 4 0 2 9. What's its number?"


async def test_a_rule_is_kept_by_another_hypothesis(call: Call) -> None:
    other = understood("room", day="2026-05-07")
    answer = await call.say("a room on May first", "room", day="2026-05-01", others=[other])
    assert answer.text == "For how many people?"


async def missed(call: Call) -> str:
    """Words that answer nothing, in a turn after which no person is called yet."""
    state = call.call.ongoing.state
    state.failures = state.unclear = 0
    return (await call.say("mm", "give_information", 0.3, confident=False)).text


async def test_the_keypad_is_offered_at_the_second_reprompt_of_a_number(call: Call) -> None:
    await call.say("find a book", "find_book")
    assert "keypad" not in await missed(call)
    assert (await missed(call)).endswith("You can also type it on your phone's keypad.")
    assert (await call.press("4020")).text.startswith("Moby Dick is on shelf 7.")


async def test_spelling_is_offered_at_the_second_reprompt_of_an_address(call: Call) -> None:
    await call.say("I want to join", "join")
    await call.say("Noor", "give_information")
    assert "letter by letter" not in await missed(call)
    assert (await missed(call)).endswith("Could you spell it for me, letter by letter?")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("40", "Go on."),
        ("4020", "Moby Dick"),
        ("40#", "didn't catch"),
        ("40201", "didn't catch"),
        ("*", "number of the"),
    ],
)
async def test_keys_for_a_number(call: Call, keys: str, says: str) -> None:
    await call.say("find a book", "find_book")
    assert says in (await call.press(keys)).text


async def test_a_vague_value_that_nobody_asked_for_is_none(call: Call) -> None:
    vague = Slot("day", "2026-05-07", "next week", (8, 17), 0.4)
    assert (await call.say("a room, next week", "room", exact=(vague,))).text == "For which day?"
    answer = await call.say("next week", "give_information", exact=(vague,))
    assert answer.text == "May 7, is that the day?"


@pytest.mark.parametrize(
    ("asked", "spans", "taken"),
    [
        ("card", {"card": (0, 6), "book": (0, 4)}, "card"),
        ("book", {"card": (0, 6), "book": (0, 4)}, "card"),
        ("book", {"pin": (0, 4), "book": (0, 4)}, "book"),
        ("pin", {"pin": (0, 4), "book": (0, 4)}, "pin"),
        ("postcode", {"street": (0, 22), "postcode": (17, 22)}, "postcode"),
        (None, {"street": (0, 22), "postcode": (17, 22)}, "street"),
        ("book", {"book": (0, 4), "pin": (5, 9)}, "both"),
    ],
)
async def test_words_are_one_value(counter: Counter, asked: str | None, spans: dict[str, Any], taken: str) -> None:
    moves = counter.engine._tongues["en"].policy._moves
    exact = tuple(Slot(name, name, name, span) for name, span in spans.items())
    values = moves.values(counter.ring().turn("whatever", "give_information", exact=exact), asked)
    assert set(values) == (set(spans) if taken == "both" or asked == "postcode" else {taken})


async def test_the_other_value_spoken_of_before(call: Call) -> None:
    await call.say("find 4020", "find_book", book="4020")
    await call.say("and 4021", "give_information", book="4021")
    assert "Moby Dick is on shelf 7." in (await call.say("the other one again", "give_information")).text
