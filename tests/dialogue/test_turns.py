"""What callers do besides following the flow: correct, digress, interrupt, wait, stay silent, get angry."""

from __future__ import annotations

import asyncio

import pytest
from conversation import Conversation, Desk, gather
from sqlalchemy import select

from agent.dialogue.actions import ActionContext
from agent.dialogue.contracts import Acted, HandoffOutcome, Say
from agent.domains.backend import Backend
from agent.domains.shop import actions as shop_actions
from agent.domains.shop.store import Order, Return
from models.contracts import Slot, Understood, VoiceEmotion


async def status_of(desk: Desk, number: str) -> str:
    shop = desk.actions._database
    assert isinstance(shop, Backend)
    async with shop.session() as session:
        return (await session.scalars(select(Order.status).where(Order.number == number))).one()


@pytest.mark.parametrize("intent", ["give_information", "deny", "wait", "order_status", "out_of_scope"])
async def test_correction_after_the_answer(talk: Conversation, intent: str) -> None:
    await talk.say("where is 42719", "order_status", order_number="42719")
    answer = await talk.say("no wait I meant 42718", intent, order_number="42718")
    assert "Order 42718 was delivered" in answer.text
    assert answer.hang_up is None


async def test_correction_while_another_question_is_answered(talk: Conversation) -> None:
    await talk.say("where is 42719", "order_status", order_number="42719")
    await talk.say("what is your return policy", "policy_question")
    talk.call.heard("You can return anything within 30 days", False)
    answer = await talk.say("no wait, I meant order 4 2 7 1 8", "wait", order_number="42718")
    assert answer.text.startswith("Got it. Order 42718 was delivered")


async def test_correction_of_a_confirmation_does_not_confirm(desk: Desk, talk: Conversation) -> None:
    await talk.say("cancel 42731", "cancel_order", order_number="42731")
    answer = await talk.say("yes, no, I mean 42750", "affirm", yes_no=True, order_number="42750")
    assert "Shall I cancel order 42750" in answer.text
    assert await status_of(desk, "42731") == "processing"
    assert await status_of(desk, "42750") == "processing"


async def test_the_other_order_is_the_one_spoken_of_before(talk: Conversation) -> None:
    await talk.say("where is 42719", "order_status", order_number="42719")
    await talk.say("and 42718", "give_information", order_number="42718")
    answer = await talk.say("no, the other order", "deny", yes_no=False)
    assert "Order 42719 is out for delivery" in answer.text


async def test_another_order_is_asked_for(talk: Conversation) -> None:
    await talk.say("where is 42719", "order_status", order_number="42719")
    answer = await talk.say("I want to check another order", "order_status")
    assert answer.text == "What's the five-digit order number?"


async def test_bare_number_is_an_order(talk: Conversation) -> None:
    assert "Order 42719" in (await talk.say("42719", "give_information", order_number="42719")).text


async def test_digression_comes_back(desk: Desk, talk: Conversation) -> None:
    await talk.say("cancel 42731", "cancel_order", order_number="42731")
    aside = await talk.say("how long does a refund take", "policy_question")
    assert aside.text.startswith("A refund takes 3 to 5 business days")
    assert aside.text.endswith(
        "Now, back to the cancellation. Shall I cancel order 42731, the Beacon lantern, for $38.50?"
    )
    assert "is cancelled" in (await talk.say("yes", "affirm", yes_no=True)).text
    assert await status_of(desk, "42731") == "cancelled"


async def test_changed_mind_does_not_come_back(talk: Conversation) -> None:
    await talk.say("where is my order", "order_status")
    asked = await talk.say("actually cancel order 42731", "cancel_order", order_number="42731")
    assert "Shall I cancel" in asked.text
    assert "back to" not in (await talk.say("no", "deny", yes_no=False)).text


async def test_never_mind_drops_the_task(desk: Desk, talk: Conversation) -> None:
    await talk.say("cancel 42731", "cancel_order", order_number="42731")
    answer = await talk.say("never mind", "deny", yes_no=False)
    assert answer.text.startswith("Okay, I'll leave order 42731 as it is.")
    assert await status_of(desk, "42731") == "processing"


async def test_never_mind_drops_a_task_that_waits_for_a_value(talk: Conversation) -> None:
    await talk.say("I want to cancel my order", "cancel_order")
    answer = await talk.say("never mind", "deny", yes_no=False)
    assert answer.text.startswith("Okay, I've left the cancellation as it is.")
    assert answer.facts["decision"] == "never mind"


async def test_repeat_says_the_same_again(talk: Conversation) -> None:
    first = await talk.say("where is 42719", "order_status", order_number="42719")
    again = await talk.say("say that again", "repeat")
    assert again.text == first.text
    assert again.acted == []


async def test_wait_is_patient_and_keeps_the_question(talk: Conversation) -> None:
    await talk.say("where is my order", "order_status")
    waiting = await talk.say("hold on", "wait")
    assert waiting.text == "Sure, take your time."
    assert waiting.expect.profile == "digits"
    assert "Take your time" in (await talk.stay_silent(1)).text
    assert "Order 42719" in (await talk.say("42719", "give_information", order_number="42719")).text


async def test_silence_asks_again_then_offers_a_person_then_ends(talk: Conversation) -> None:
    await talk.say("where is my order", "order_status")
    assert (await talk.stay_silent(1)).text == "What's the five-digit order number?"
    assert "connect you with a person" in (await talk.stay_silent(2)).text
    last = await talk.stay_silent(3)
    assert "Goodbye" in last.text
    assert last.hang_up is not None


async def test_unsure_words_do_not_confirm(desk: Desk, talk: Conversation) -> None:
    await talk.say("cancel 42731", "cancel_order", order_number="42731")
    answer = await talk.say("yes", "affirm", 0.95, yes_no=True, confident=False)
    assert "Shall I cancel order 42731" in answer.text
    assert await status_of(desk, "42731") == "processing"


async def test_a_question_that_was_not_heard_is_asked_again(desk: Desk, talk: Conversation) -> None:
    asked = await talk.say("cancel 42731", "cancel_order", order_number="42731")
    talk.call.heard(asked.text[:12], False)
    again = await talk.say("yes", "affirm", yes_no=True)
    assert again.text == asked.text
    assert await status_of(desk, "42731") == "processing"
    talk.call.heard(again.text[:-5], False)
    await talk.say("yes", "affirm", yes_no=True)
    assert await status_of(desk, "42731") == "cancelled"


async def test_go_on_says_the_rest(talk: Conversation) -> None:
    tent = await talk.say("which tent would you recommend for winter", "product_question")
    cut = tent.text.index("The Spruce handles")
    talk.call.heard(tent.text[:cut], False)
    rest = await talk.say("go on", "out_of_scope", 0.3)
    assert rest.text.startswith("The Spruce handles snow flurries")


async def test_answer_stopped_halfway_still_has_its_rest(talk: Conversation) -> None:
    said: list[str] = []
    parts = talk.call.respond(talk.turn("which tent would you recommend for winter", "product_question"))
    async for part in parts:
        if isinstance(part, Say):
            said.append(part.text)
            if len(said) == 1:
                break
    talk.call.heard(" ".join(said), False)
    rest = await talk.say("go on", "out_of_scope", 0.3)
    assert rest.text.startswith("The Spruce handles snow flurries")
    assert rest.text.endswith("?")


async def test_unclear_asks_then_offers_a_person(talk: Conversation) -> None:
    first = await talk.say("book me a canoe", "out_of_scope", 0.4)
    assert first.text.startswith("Sorry, could you say that another way?")
    second = await talk.say("a canoe", "out_of_scope", 0.4)
    assert "connect you with a person" in second.text
    third = await talk.say("canoe canoe", "out_of_scope", 0.4)
    assert third.hand_off is not None
    assert third.hand_off.rule == "repeated_failure"


async def test_plausible_intents_are_asked_about(talk: Conversation) -> None:
    ranking = (("return_order", 0.35), ("cancel_order", 0.3))
    talk.number += 1
    turn = talk.turn("I don't want it", "return_order", 0.35)
    turn = type(turn)(turn.number, turn.text, Understood("return_order", 0.35, ranking))
    asked = await gather(talk.call.respond(turn))
    assert asked.text == "Just to be sure, do you want to return something, or to cancel an order?"
    assert (await talk.say("cancel it", "cancel_order", 0.5)).text == "What's the five-digit order number?"


async def test_a_flow_opened_by_a_yes_remembers_what_was_said(talk: Conversation) -> None:
    ranking = (("complaint", 0.5), ("return_order", 0.1))
    turn = talk.turn("everything is a mess", "out_of_scope", 0.5)
    turn = type(turn)(turn.number, turn.text, Understood("out_of_scope", 0.5, ranking))
    assert "do you want to make a complaint?" in (await gather(talk.call.respond(turn))).text
    answer = await talk.say("yes", "affirm", yes_no=True)
    assert answer.acted[0].arguments["text"] == "everything is a mess"


async def test_a_search_in_vain_is_not_offered_again(talk: Conversation) -> None:
    turn = talk.turn("do you sell kayaks", "out_of_scope", 0.6)
    turn = type(turn)(turn.number, turn.text, Understood("out_of_scope", 0.6, (("product_question", 0.4),)))
    assert "another way" in (await gather(talk.call.respond(turn))).text


async def test_a_caller_without_the_number_is_offered_a_person(talk: Conversation) -> None:
    await talk.say("where is my order", "order_status")
    answer = await talk.say("I don't have it", "deny", yes_no=False)
    assert answer.text == "That's alright. Would you like me to connect you with a person?"
    back = await talk.say("no", "deny", yes_no=False)
    assert back.text.endswith("What's the five-digit order number?")


async def test_one_angry_turn_gets_an_apology_two_an_offer_three_a_person(talk: Conversation) -> None:
    loud = VoiceEmotion("angry", {"angry": 0.8}, 0.8, 0.9)
    first = await talk.say("where the hell is 42719", "order_status", angry=0.8, voice=loud, order_number="42719")
    assert first.tones[0] == "sorry"
    assert set(first.tones[1:]) == {"calm"}
    assert first.hand_off is None
    second = await talk.say("that is a joke", "complaint", angry=0.9, voice=loud)
    assert "Would you like me to connect you with a person?" in second.text
    third = await talk.say("unbelievable", "complaint", angry=0.9, voice=loud)
    assert third.hand_off is not None
    assert third.hand_off.rule == "anger_persists"
    assert talk.call.summary()["emotion"][-1]["label"] == "angry"


async def test_a_loud_voice_alone_does_not_apologise(talk: Conversation) -> None:
    loud = VoiceEmotion("angry", {"angry": 1.0}, 1.0, 1.0)
    answer = await talk.say("where is 42719", "order_status", voice=loud, order_number="42719")
    assert "sorry" not in answer.tones


@pytest.mark.parametrize("after", ["words", "silence", "keys"])
async def test_an_announcement_that_was_interrupted_still_leads_to_the_person(talk: Conversation, after: str) -> None:
    asked = await talk.say("a person please", "human")
    talk.call.heard("Let me", False)
    if after == "words":
        again = await talk.say("hello?", "greeting")
    else:
        again = await (talk.stay_silent(1) if after == "silence" else talk.press("5"))
    assert again.text
    assert asked.hand_off is not None
    assert again.hand_off == asked.hand_off
    await gather(talk.call.handoff_outcome("unavailable"))
    assert (await talk.say("where is 42719", "order_status", order_number="42719")).hand_off is None


async def test_person_and_what_becomes_of_it(talk: Conversation) -> None:
    answer = await talk.say("a person please", "human")
    assert answer.hand_off is not None
    assert answer.hand_off.rule == "asked_for_person"
    assert "in line" in (await talk.say("hello", "greeting")).text
    outcomes: list[HandoffOutcome] = ["declined", "unavailable", "failed"]
    for outcome in outcomes:
        words = await gather(talk.call.handoff_outcome(outcome))
        assert words.text.startswith("I'm sorry")
        assert words.expect is not None
    assert "Order 42719" in (await talk.say("where is 42719", "order_status", order_number="42719")).text


async def test_apology_needs_nothing_and_hands_over(talk: Conversation) -> None:
    answer = await gather(talk.call.apology())
    assert answer.tones == ["sorry", "sorry"]
    assert answer.hand_off is not None
    assert answer.hand_off.rule == "part_failed"


async def test_restore_takes_back_state_but_not_deeds(desk: Desk, talk: Conversation) -> None:
    await talk.say("cancel 42731", "cancel_order", order_number="42731")
    before = talk.call.snapshot()
    await talk.say("yes", "affirm", yes_no=True)
    talk.call.restore(before)
    answer = await talk.say("yes please do", "affirm", yes_no=True)
    acted = [part for part in answer.acted if part.name == "cancel_order"]
    assert [(one.ok, one.replayed, one.result["outcome"]) for one in acted] == [(True, True, "cancelled")]
    assert answer.text.count("is cancelled") == 1
    assert "gone through" not in answer.text


async def test_restored_deed_is_told_when_the_caller_goes_elsewhere(talk: Conversation) -> None:
    await talk.say("cancel 42731", "cancel_order", order_number="42731")
    before = talk.call.snapshot()
    await talk.say("yes", "affirm", yes_no=True)
    talk.call.restore(before)
    answer = await talk.say("yes... no, don't", "deny", yes_no=False)
    assert answer.text.startswith("About order 42731, the cancellation has gone through.")


async def test_cancelled_mid_action_goes_on_and_is_told_later(
    desk: Desk, talk: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, real = asyncio.Event(), desk.actions._runnables["cancel_order"]

    async def slow(arguments: object, context: object) -> object:
        await gate.wait()
        return await real(arguments, context)  # type: ignore[arg-type]

    monkeypatch.setitem(desk.actions._runnables, "cancel_order", slow)
    await talk.say("cancel 42731", "cancel_order", order_number="42731")
    task = asyncio.create_task(gather(talk.call.respond(talk.turn("yes", "affirm", yes_no=True))))
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    meanwhile = await talk.say("are you open on sunday", "policy_question")
    assert "9 am" in meanwhile.text
    gate.set()
    await asyncio.gather(*desk.actions._tasks)
    await asyncio.sleep(0)
    later = await talk.say("thanks", "thanks")
    assert later.text.startswith("About order 42731, the cancellation has gone through.")
    assert [one.name for one in later.acted] == ["cancel_order"]
    assert "gone through" not in (await talk.say("hello", "greeting")).text


async def test_slow_action_has_a_filler(desk: Desk, talk: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, real = asyncio.Event(), desk.actions._runnables["find_order"]

    async def slow(arguments: object, context: object) -> object:
        await gate.wait()
        return await real(arguments, context)  # type: ignore[arg-type]

    monkeypatch.setitem(desk.actions._runnables, "find_order", slow)
    task = asyncio.create_task(talk.say("where is 42719", "order_status", order_number="42719"))
    for _ in range(20):
        await asyncio.sleep(0)
    desk.clock.move(900)
    for _ in range(20):
        await asyncio.sleep(0)
    gate.set()
    answer = await task
    assert answer.text.startswith("One moment, I'm looking that up. Order 42719 is out for delivery")


async def test_action_that_never_answers_ends_with_a_person(
    desk: Desk, talk: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stuck(arguments: object, context: object) -> object:
        return await asyncio.Event().wait()

    monkeypatch.setitem(desk.actions._runnables, "find_order", stuck)
    task = asyncio.create_task(talk.say("where is 42719", "order_status", order_number="42719"))
    for _ in range(5):
        for _ in range(20):
            await asyncio.sleep(0)
        desk.clock.move(1000)
    answer = await task
    assert answer.hand_off is not None
    assert answer.hand_off.rule == "action_failed"
    assert answer.acted[0].result == {"error": "timeout"}
    assert not answer.acted[0].ok


async def test_broken_action_ends_with_a_person(
    desk: Desk, talk: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(arguments: object, context: object) -> object:
        raise ConnectionError("database is gone")

    monkeypatch.setitem(desk.actions._runnables, "find_order", broken)
    answer = await talk.say("where is 42719", "order_status", order_number="42719")
    assert "system isn't answering" in answer.text
    assert answer.hand_off is not None


async def test_same_key_twice_makes_one_return(desk: Desk) -> None:
    shop = desk.actions._database
    assert isinstance(shop, Backend)
    calls = desk.actions.for_call("call-9")
    arguments = {"order_number": "42718", "item": "Beacon lantern", "reason": "damaged"}
    first = await calls.start("create_return", arguments)[0]
    task, joined = calls.start("create_return", arguments)
    assert joined
    assert await task == first
    context = ActionContext("call-9", first.idempotency_key, desk.clock)
    direct = await shop_actions.create_return(shop, shop_actions.NewReturn.model_validate(arguments), context)
    assert (direct.outcome, direct.reference) == ("already", first.result["reference"])
    async with shop.session() as session:
        assert len((await session.scalars(select(Return))).all()) == 1


async def test_calls_do_not_share_state(desk: Desk) -> None:
    one, two = desk.call("one"), desk.call("two")
    await one.say("where is 42719", "order_status", order_number="42719")
    assert (await two.say("where is my order", "order_status")).text == "What's the five-digit order number?"


async def test_summary_tells_a_person_what_happened(talk: Conversation) -> None:
    await talk.say("cancel 42731", "cancel_order", order_number="42731")
    await talk.say("yes", "affirm", yes_no=True)
    await talk.say("a person please", "human")
    summary = talk.call.summary()
    assert summary["intent"] == "cancel_order"
    assert summary["reason"] == "the caller asked for a person"
    assert summary["paragraph"] == (
        "Caller +15035550101. Spoke about the cancellation. Order number 42731. Cancel order (42731): done. "
        "Handed over because: the caller asked for a person."
    )
    assert [one["name"] for one in summary["actions"]] == ["find_order", "cancel_order"]


async def test_fixed_phrases_have_no_holes_and_the_engine_has_the_same(desk: Desk, talk: Conversation) -> None:
    phrases = talk.call.fixed_phrases()
    assert phrases == desk.engine.fixed_phrases()
    assert ("What's the five-digit order number?", "neutral") in phrases
    assert ("Thanks for calling Harbor & Pine Outfitters.", "warm") in phrases
    assert not [text for text, _ in phrases if "{" in text]


async def test_slot_of_last_mention_wins(talk: Conversation) -> None:
    talk.number += 1
    slots = tuple(Slot("order_number", value, value, (0, 0)) for value in ("42719", "42718"))
    turn = talk.turn("42719 no 42718", "order_status")
    turn = type(turn)(turn.number, turn.text, Understood("order_status", 0.9, (), slots))
    answer = await gather(talk.call.respond(turn))
    assert "Order 42718" in answer.text
    assert isinstance(answer.acted[0], Acted)


async def test_free_words_that_only_sound_like_a_no_are_an_answer(talk: Conversation) -> None:
    await talk.say("I want to return 42733", "return_order", order_number="42733")
    asked = await talk.say("everything", "give_information")
    assert "reason" in asked.text
    answer = await talk.say("they were no good for me", "deny")
    assert answer.text.startswith("Shall I set up the return")
