"""A value that the business refuses is looked for among what else the recognizer may have heard."""

from __future__ import annotations

from dataclasses import replace

from conversation import Answer, Conversation, gather, understood

from models.contracts import Understood


async def said(talk: Conversation, number: str, *others: str, error: bool = False) -> tuple[Answer, list[int]]:
    asked: list[int] = []

    async def hear_again() -> tuple[Understood, ...]:
        asked.append(1)
        if error:
            raise RuntimeError("the recognizer failed")
        return tuple(understood("give_information", order_number=one) for one in others)

    turn = talk.turn(f"it's {number}", "give_information", order_number=number)
    return await gather(talk.call.respond(replace(turn, hear_again=hear_again))), asked


async def test_another_hypothesis_that_exists_is_asked_about(talk: Conversation) -> None:
    await talk.say("where is my order", "order_status")
    answer, asked = await said(talk, "42790", "42791", "42719")
    assert answer.text == "Did you mean 4 2 7 1 9?"
    assert [one.arguments["order_number"] for one in answer.acted] == ["42790", "42791", "42719"]
    assert asked == [1]
    assert "Order 42719 is out for delivery" in (await talk.say("yes", "affirm", yes_no=True)).text


async def test_a_hypothesis_that_was_not_meant_is_asked_for_again(talk: Conversation) -> None:
    await talk.say("where is my order", "order_status")
    await said(talk, "42790", "42719")
    answer = await talk.say("no", "deny", yes_no=False)
    assert answer.text.endswith("?")
    assert "42719" not in answer.text
    assert answer.expect.profile == "digits"
    assert "Order 42718" in (await talk.say("42718", "give_information", order_number="42718")).text


async def test_where_no_hypothesis_exists_the_first_is_named(talk: Conversation) -> None:
    await talk.say("where is my order", "order_status")
    answer, _ = await said(talk, "42790", "42791")
    assert answer.text.startswith("I can't find order 42790.")


async def test_what_was_heard_right_is_not_heard_again(talk: Conversation) -> None:
    await talk.say("where is my order", "order_status")
    answer, asked = await said(talk, "42719", "42790")
    assert asked == []
    assert "Order 42719" in answer.text


async def test_a_recognizer_that_fails_costs_nothing_but_the_guess(talk: Conversation) -> None:
    await talk.say("where is my order", "order_status")
    answer, asked = await said(talk, "42790", error=True)
    assert asked == [1]
    assert answer.text.startswith("I can't find order 42790.")
