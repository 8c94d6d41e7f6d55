"""Whole conversations with the shop domain: every flow, on the real database."""

from __future__ import annotations

import pytest
from conversation import Conversation, Desk, gather
from sqlalchemy import select

from agent.dialogue.contracts import Say
from agent.dialogue.text import sentences
from agent.domains.backend import Backend
from agent.domains.shop.store import Complaint, Order, Return


def shop_of(desk: Desk) -> Backend:
    shop = desk.actions._database
    assert isinstance(shop, Backend)
    return shop


async def order(desk: Desk, number: str) -> Order:
    async with shop_of(desk).session() as session:
        found = await session.get(Order, number)
        assert found is not None
        return found


async def test_greets_discloses_and_offers_help(talk: Conversation) -> None:
    answer = await gather(talk.call.open("+15035550101", {}))
    assert answer.text == (
        "Thanks for calling Harbor & Pine Outfitters. I'm an automated assistant, and this call is recorded. "
        "How can I help you today?"
    )
    assert [say.must_hear for say in answer.says] == [False, True, False]
    assert answer.expect.profile == "open"


async def test_order_status_asks_the_number_and_tells(talk: Conversation) -> None:
    asked = await talk.say("where is my order", "order_status")
    assert asked.text == "What's the five-digit order number?"
    assert asked.expect.profile == "digits"
    assert talk.call.context.expected_slots == ("order_number",)
    told = await talk.say("four two seven one nine", "give_information", order_number="42719")
    assert told.text.startswith("Order 42719 is out for delivery with Cascade Parcel")
    assert told.acted[0].name == "find_order"
    assert talk.call.summary()["slots"]["order_number"] == {"value": "42719", "verified": True}


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("42731", "being prepared, and should arrive on May 9"),
        ("42728", "is packed"),
        ("42720", "on its way with Blue Heron Freight, and should arrive on May 6"),
        ("42732", "should arrive tomorrow"),
        ("42718", "was delivered on May 1"),
        ("42733", "was delivered yesterday"),
        ("42725", "is delayed. We now expect it on May 9"),
        ("42724", "was cancelled"),
        ("42727", "was returned to us"),
    ],
)
async def test_every_state_has_words(talk: Conversation, number: str, words: str) -> None:
    answer = await talk.say(f"where is order {number}", "order_status", order_number=number)
    assert words in answer.text
    assert answer.text.endswith(("?", "."))


async def test_unknown_number_is_asked_twice_more_then_a_person(talk: Conversation) -> None:
    await talk.say("where is my order", "order_status")
    first = await talk.say("99999", "give_information", order_number="99999")
    assert first.text == "I can't find order 99999. Could you read me the number again, digit by digit?"
    second = await talk.say("99998", "give_information", order_number="99998")
    assert "99998" in second.text
    assert second.hand_off is None
    third = await talk.say("99997", "give_information", order_number="99997")
    assert third.hand_off is not None
    assert third.hand_off.rule == "slot_attempts"


async def test_a_number_that_is_none_is_asked_twice_more_then_a_person(talk: Conversation) -> None:
    await talk.say("where is my order", "order_status")
    for _ in range(2):
        answer = await talk.say("the blue thing", "out_of_scope", 0.3)
        assert answer.hand_off is None
        assert answer.expect.profile == "digits"
    answer = await talk.say("the blue thing", "out_of_scope", 0.3)
    assert answer.hand_off is not None


async def test_keys_are_digits(talk: Conversation) -> None:
    await talk.say("where is my order", "order_status")
    more = await talk.press("427")
    assert more.text == "Go on."
    assert "Order 42718 was delivered" in (await talk.press("18")).text


async def test_keys_answer_yes_and_no_and_call_a_person(talk: Conversation) -> None:
    await talk.say("cancel 42731", "cancel_order", order_number="42731")
    assert "as it is" in (await talk.press("2")).text
    handed = (await talk.press("0")).hand_off
    assert handed is not None
    assert handed.rule == "asked_for_person"


async def test_cancel_confirms_and_does_it_once(desk: Desk, talk: Conversation) -> None:
    asked = await talk.say("cancel my order 42731", "cancel_order", order_number="42731")
    assert asked.text == "Shall I cancel order 42731, the Beacon lantern, for $38.50?"
    assert asked.expect.context.asked_yes_no
    assert (await order(desk, "42731")).status == "processing"
    done = await talk.say("yes please", "affirm", yes_no=True)
    assert done.text.startswith("Order 42731 is cancelled. You'll get $38.50 back in 3 to 5 business days.")
    assert (await order(desk, "42731")).status == "cancelled"
    again = await talk.say("cancel order 42731", "cancel_order", order_number="42731")
    assert "already cancelled" in again.text


async def test_cancel_said_no(desk: Desk, talk: Conversation) -> None:
    await talk.say("cancel my order 42731", "cancel_order", order_number="42731")
    assert "leave order 42731" in (await talk.say("no", "deny", yes_no=False)).text
    assert (await order(desk, "42731")).status == "processing"


@pytest.mark.parametrize(
    ("text", "cancelled"), [("cancel it", True), ("no don't cancel it", False), ("I don't want you to cancel", False)]
)
async def test_the_same_wish_again_confirms_unless_negated(
    desk: Desk, talk: Conversation, text: str, cancelled: bool
) -> None:
    await talk.say("cancel my order 42731", "cancel_order", order_number="42731")
    await talk.say(text, "cancel_order")
    assert ((await order(desk, "42731")).status == "cancelled") is cancelled


async def test_shipped_order_offers_a_return_instead(desk: Desk, talk: Conversation) -> None:
    offered = await talk.say("cancel 42720", "cancel_order", order_number="42720")
    assert "return it instead" in offered.text
    asked = await talk.say("yes", "affirm", yes_no=True)
    assert asked.text == "And what's the reason for returning the Ridge backpack?"
    assert (await order(desk, "42720")).status == "shipped"


async def test_return_of_one_item(desk: Desk, talk: Conversation) -> None:
    asked = await talk.say("I want to return my order 42718", "return_order", order_number="42718")
    assert "Which one do you want to return, or everything?" in asked.text
    reason = await talk.say("the lantern", "give_information", 0.7)
    assert "reason for returning the Beacon lantern" in reason.text
    confirm = await talk.say("it's broken", "complaint", 0.9, reason="damaged")
    assert "for a refund of $38.50?" in confirm.text
    done = await talk.say("yes", "affirm", yes_no=True)
    assert "$38.50 back 3 to 5 business days after it reaches us" in done.text
    async with shop_of(desk).session() as session:
        rows = (await session.scalars(select(Return))).all()
    assert [(row.order_number, row.sku, row.reason, row.refund) for row in rows] == [
        ("42718", "LAN-1", "damaged", 3850)
    ]


async def test_return_of_everything_in_own_words(desk: Desk, talk: Conversation) -> None:
    await talk.say("I want to return order 42718", "return_order", order_number="42718")
    await talk.say("everything please", "give_information", 0.7)
    confirm = await talk.say("my dog did not like the color", "out_of_scope", 0.5)
    assert "the whole order from order 42718, for a refund of $187.50?" in confirm.text
    await talk.say("yes", "affirm", yes_no=True)
    again = await talk.say("return order 42718", "return_order", order_number="42718")
    assert "already with us" in again.text
    async with shop_of(desk).session() as session:
        assert [row.sku for row in (await session.scalars(select(Return))).all()] == [None]


async def test_return_after_thirty_days_offers_a_person(talk: Conversation) -> None:
    late = await talk.say("return 42721", "return_order", order_number="42721")
    assert "returns close after 30 days" in late.text
    handed = (await talk.say("yes", "affirm", yes_no=True)).hand_off
    assert handed is not None
    assert handed.rule == "flow:return_order"


async def test_return_before_shipping_offers_cancelling(talk: Conversation) -> None:
    await talk.say("return 42750", "return_order", order_number="42750")
    asked = await talk.say("yes", "affirm", yes_no=True)
    assert asked.text.startswith(
        "Shall I cancel order 42750, the Ridge backpack and the Ember camp stove, for $194.25?"
    )


async def test_address_is_read_back_and_changed(desk: Desk, talk: Conversation) -> None:
    asked = await talk.say("change the address of 42750", "change_address", order_number="42750")
    assert asked.expect.profile == "address"
    first = "5 Birch Lane, Salem, Oregon 97301"
    read_back = await talk.say("5 Birch Lane...", "give_information", address=first)
    assert read_back.text == f"Order 42750 goes to {first}. Is that right?"
    assert "new delivery address" in (await talk.say("no", "deny", yes_no=False)).text
    right = "50 Birch Lane, Salem, Oregon 97301"
    await talk.say("50 Birch Lane...", "give_information", address=right)
    assert "now goes to the new address" in (await talk.say("yes", "affirm", yes_no=True)).text
    assert (await order(desk, "42750")).address == right
    assert talk.call.summary()["slots"]["order_number"]["verified"] is True


async def test_address_corrected_in_the_same_breath_as_no(desk: Desk, talk: Conversation) -> None:
    await talk.say("change the address of 42750", "change_address", order_number="42750")
    await talk.say("5 Birch Lane...", "give_information", address="5 Birch Lane, Salem, Oregon 97301")
    right = "50 Birch Lane, Salem, Oregon 97301"
    again = await talk.say("no it's 50 Birch Lane...", "deny", yes_no=False, address=right)
    assert f"goes to {right}. Is that right?" in again.text


async def test_address_of_a_shipped_order_stays(desk: Desk, talk: Conversation) -> None:
    before = (await order(desk, "42719")).address
    answer = await talk.say("change the address of 42719", "change_address", order_number="42719")
    assert "already left our warehouse" in answer.text
    assert (await order(desk, "42719")).address == before


async def test_complaint_is_logged_with_an_apology_and_a_person_offered(desk: Desk, talk: Conversation) -> None:
    await talk.say("where is 42719", "order_status", order_number="42719")
    answer = await talk.say("this is ridiculous", "complaint", angry=0.9)
    assert answer.says[0] == Say("I'm so sorry for the trouble.", "sorry")
    assert answer.text.count("sorry") == 1
    assert "connect you with a person" in answer.text
    async with shop_of(desk).session() as session:
        rows = (await session.scalars(select(Complaint))).all()
    assert [(row.order_number, row.text) for row in rows] == [("42719", "this is ridiculous")]
    handed = (await talk.say("yes", "affirm", yes_no=True)).hand_off
    assert handed is not None
    assert handed.priority == 1


async def test_policy_question_is_answered_from_its_source(talk: Conversation) -> None:
    answer = await talk.say("what is your return policy", "policy_question")
    assert answer.facts["knowledge"]["source"] == "returns-and-payment.md#what-is-your-return-policy"
    (section,) = (
        fact for fact in talk.call.ongoing.here.domain.facts if fact.source.endswith("#what-is-your-return-policy")
    )
    *told, question = [say.text for say in answer.says]
    assert 1 <= len(told) <= 2
    assert all(sentence in section.text for sentence in told)
    assert question.endswith("?")


async def test_tell_me_more_says_what_the_section_has_besides(talk: Conversation) -> None:
    first = await talk.say("what is your return policy", "policy_question")
    (section,) = (
        fact for fact in talk.call.ongoing.here.domain.facts if fact.source.endswith("#what-is-your-return-policy")
    )
    heard = {say.text for say in first.says}
    while any(sentence not in heard for sentence in sentences(section.text)):
        more = [say.text for say in (await talk.say("tell me more", "out_of_scope", 0.3)).says[:-1]]
        assert 1 <= len(more) <= 2
        assert not heard & set(more)
        assert all(sentence in section.text for sentence in more)
        heard |= set(more)
    after = await talk.say("tell me more", "out_of_scope", 0.3)
    assert not [say for say in after.says if say.text in section.text]


async def test_question_without_an_answer_offers_a_person(talk: Conversation) -> None:
    answer = await talk.say("do you sell submarines made of chocolate", "product_question")
    assert answer.text == "I'm sorry, I don't have an answer to that. Would you like me to connect you with a person?"
    assert (
        await talk.say("no thanks", "deny", yes_no=False)
    ).text == "Alright. Is there anything else I can help with?"


async def test_goodbye_and_nothing_else_hang_up(desk: Desk) -> None:
    for text, intent in (("bye", "goodbye"), ("no that's all", "deny")):
        talk = desk.call(text)
        await talk.say("where is 42719", "order_status", order_number="42719")
        answer = await talk.say(text, intent)
        assert answer.hang_up is not None
        assert answer.text == "Thanks for calling Harbor & Pine Outfitters. Goodbye."


@pytest.mark.parametrize(
    ("text", "intent", "words"),
    [
        ("hello", "greeting", "Hello."),
        ("thanks", "thanks", "You're welcome. Is there anything else"),
        ("how are you", "small_talk", "automated assistant"),
    ],
)
async def test_small_talk(talk: Conversation, text: str, intent: str, words: str) -> None:
    answer = await talk.say(text, intent)
    assert answer.text.startswith(words) or words in answer.text
    assert answer.hang_up is None
    assert answer.hand_off is None
