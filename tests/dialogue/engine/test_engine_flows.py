"""Flows that run other flows, dropping them, consent, and questions in place of a yes."""

from __future__ import annotations

import pytest
from counter import Call, Counter

DAY = {"day": "2026-05-07"}


async def at_the_confirmation(call: Call) -> str:
    await call.say("I need a room for May seventh", "room", **DAY)
    return (await call.say("three", "give_information", people="3")).text


async def test_results_and_slots_of_a_flow_that_is_run_are_known_to_the_flow_that_runs_it(call: Call) -> None:
    asked = await call.say("I need a room", "room")
    assert asked.text == "For which day?"
    asked = await call.say("on May seventh", "give_information", **DAY)
    assert asked.text == "For how many people?"
    asked = await call.say("three", "give_information", people="3")
    assert asked.text == "Shall I reserve the oak room for 3 on May 7?"
    assert (await call.yes()).text.startswith("The oak room is yours.")
    reserved = {"room": "oak room", "day": "2026-05-07", "people": 3, "note": "oak room"}
    assert call.library.ran[-1] == ("reserve", reserved)


async def test_slots_of_a_task_go_with_it(call: Call) -> None:
    await at_the_confirmation(call)
    await call.yes()
    assert not {"day", "people", "note"} & set(call.state.slots)
    assert (await call.say("another room please", "room")).text == "For which day?"


async def test_a_task_is_dropped_with_the_flow_it_runs(call: Call) -> None:
    await call.say("I need a room", "room")
    assert [frame.flow for frame in call.state.frames] == ["room", "pick_day"]
    answer = await call.say("oh never mind", "deny", yes_no=False)
    assert "I've left your room as it is" in answer.text
    assert call.state.frames == []
    assert call.library.names == []


async def test_a_digression_out_of_a_flow_that_is_run_comes_back_to_it(call: Call) -> None:
    await call.say("I need a room", "room")
    aside = await call.say("is there parking behind the library", "question")
    assert aside.text.startswith("Parking behind the library is free for two hours.")
    assert aside.text.endswith("For which day?")
    assert [frame.flow for frame in call.state.frames] == ["room", "pick_day"]


async def test_a_correction_reaches_the_task_below_a_digression(call: Call) -> None:
    await at_the_confirmation(call)
    answer = await call.say("no, four of us", "give_information", people="4")
    assert answer.text == "Got it. Shall I reserve the oak room for 4 on May 7?"
    assert "reserve" not in call.library.names


async def test_a_correction_reaches_the_flow_that_was_run(call: Call) -> None:
    await at_the_confirmation(call)
    answer = await call.say("no I meant May eighth", "give_information", day="2026-05-08")
    assert answer.text == "Got it. Shall I reserve the ash room for 3 on May 8?"


@pytest.mark.parametrize("agreed", [True, False])
async def test_a_consent_is_kept_with_the_words_of_both(counter: Counter, agreed: bool) -> None:
    call = counter.ring()
    await call.say("pay twelve dollars", "pay", amount={"minor": 1200, "currency": "USD"})
    asked = await call.prove()
    assert "Shall I take $12 from your account?" in asked.text
    assert [say.must_hear for say in asked.says if say.text.startswith("Shall")] == [True]
    answer = await (call.yes() if agreed else call.no())
    consent = call.call.summary()["consents"]["payment"]
    assert consent["agreed"] is agreed
    assert consent["words"] == ("yes please" if agreed else "no")
    assert "Shall I take $12" in consent["question"]
    assert answer.facts["consents"] == {"payment": agreed}
    assert ("pay" in call.library.names) is agreed


QUESTIONS = [
    ("how long do I have the room for", "room"),
    ("do I have to pay for the room", "room"),
    ("is it on the ground floor?", "room"),
]


@pytest.mark.parametrize(("words", "intent"), QUESTIONS)
async def test_a_question_at_a_confirmation_is_no_yes(call: Call, words: str, intent: str) -> None:
    await at_the_confirmation(call)
    await call.say(words, intent)
    assert "reserve" not in call.library.names


async def test_the_wish_said_again_at_a_confirmation_is_a_yes(call: Call) -> None:
    await at_the_confirmation(call)
    await call.say("please reserve that room", "room")
    assert "reserve" in call.library.names


async def test_a_yes_that_was_not_surely_heard_is_asked_again(call: Call) -> None:
    asked = await at_the_confirmation(call)
    again = await call.say("yes", "affirm", yes_no=True, confident=False)
    assert again.text == asked
    assert "reserve" not in call.library.names


async def test_a_yes_to_a_question_that_was_not_heard_is_asked_again(call: Call) -> None:
    asked = await at_the_confirmation(call)
    call.call.heard("Shall", False)
    assert (await call.say("yes", "affirm", yes_no=True)).text == asked
    assert "reserve" not in call.library.names


@pytest.mark.parametrize(("keys", "ran"), [("1", True), ("2", False)])
async def test_keys_answer_a_confirmation(call: Call, keys: str, ran: bool) -> None:
    await at_the_confirmation(call)
    await call.press(keys)
    assert ("reserve" in call.library.names) is ran
