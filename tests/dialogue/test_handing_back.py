"""What the agent makes of what a person on the call said, did and asks of it."""

from __future__ import annotations

import pytest
from conversation import Desk, gather, understood

from agent.dialogue.instructing import read_instruction


async def test_handed_back_the_agent_asks_for_anything_else(desk: Desk) -> None:
    call = desk.call()
    await gather(call.call.open(None, {}))
    await call.say("where is my order", "order_status")
    call.call.overheard("human", "I have found it for you", None)
    call.call.overheard("caller", "thank you so much", understood("thanks"))
    answer = await gather(call.call.handed_back("ana", "refunded 20 pounds"))
    assert answer.text.startswith("I am back.")
    assert answer.facts == {"rule": "handed_back", "by": "ana", "goes_on": False}
    state = call.call.snapshot().state
    assert not state.frames
    assert ("human", "I have found it for you") in state.history
    assert ("human", "(refunded 20 pounds)") in state.history
    nothing_else = await call.say("no", "deny", yes_no=False)
    assert nothing_else.hang_up is not None


async def test_a_note_may_ask_to_go_on_with_what_was_heard(desk: Desk) -> None:
    call = desk.call()
    await gather(call.call.open(None, {}))
    await call.say("where is my order", "order_status")
    call.call.overheard("caller", "it is 42719", understood("give_information", order_number="42719"))
    answer = await gather(call.call.handed_back("ana", "please go on with the order"))
    assert answer.text.startswith("I am back.")
    assert answer.facts["goes_on"]
    assert call.call.summary()["slots"]["order_number"]["value"] == "42719"
    assert call.call.summary()["intent"] == "order_status"
    assert "What's the five-digit order number?" not in answer.text
    assert "42719" in answer.text


async def test_after_a_handoff_the_agent_answers_again(desk: Desk) -> None:
    call = desk.call()
    await gather(call.call.open(None, {}))
    leaving = await call.say("I want a person", "human")
    assert leaving.hand_off is not None
    await gather(call.call.handed_back("ana", ""))
    answer = await call.say("where is order 42719", "order_status", order_number="42719")
    assert "order" in answer.text.lower()
    assert answer.hand_off is None


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("say: We open at nine", "say", "We open at nine."),
        ("Tell the caller that it is on its way", "say", "it is on its way."),
        ("offer free shipping", "offer", "I can offer you free shipping."),
        ("please offer him a voucher.", "offer", "I can offer you a voucher."),
        ("ask for the order number", "ask", "Could you tell me your order number?"),
        ("apologise", "apologise", ""),
        ("Please apologize.", "apologise", ""),
        ("transfer", "transfer", ""),
        ("transfer the call to a person", "transfer", ""),
        ("hand over", "transfer", ""),
        ("提供免费配送", "offer", "我可以为您提供免费配送。"),
        ("道歉", "apologise", ""),
        ("说：我们九点开门", "say", "我们九点开门。"),
    ],
)
def test_instructions(text: str, kind: str, words: str) -> None:
    instruction = read_instruction(text)
    assert (instruction.kind, instruction.words) == (kind, words)


@pytest.mark.parametrize(
    "text", ["", "be nicer", "offer", "ask", "say:", "x" * 301, "transfer 20 pounds to my account"]
)
def test_what_is_no_instruction_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="instruction"):
        read_instruction(text)


async def test_an_instruction_is_followed_once_in_the_next_answer(desk: Desk) -> None:
    call = desk.call()
    await gather(call.call.open(None, {}))
    assert call.call.instruct("offer free shipping") == "the agent offers: free shipping"
    call.call.instruct("apologise")
    turn = call.turn("where is my order", "order_status")
    assert not (await gather(call.call.preview(turn))).says
    before = call.call.snapshot()
    answer = await gather(call.call.respond(turn))
    assert answer.text.startswith("I am sorry about that. I can offer you free shipping.")
    followed = [{"asked": one, "by": "rule", "followed": True} for one in ("offer", "apologise")]
    assert answer.facts["instructed"] == followed
    assert answer.expect.context.expected_slots == ("order_number",)
    call.call.restore(before)
    again = await gather(call.call.respond(turn))
    assert "free shipping" in again.text
    later = await call.say("42719", "give_information", order_number="42719")
    assert "free shipping" not in later.text


async def test_the_agent_hands_over_when_told_to(desk: Desk) -> None:
    call = desk.call()
    await gather(call.call.open(None, {}))
    call.call.instruct("transfer")
    answer = await call.say("where is my order", "order_status")
    assert answer.hand_off is not None
    assert answer.hand_off.rule == "instructed"
    assert answer.says


async def test_a_person_runs_an_action_once(desk: Desk) -> None:
    call = desk.call()
    await gather(call.call.open(None, {}))
    await call.say("where is order 42719", "order_status", order_number="42719")
    actions = {one["name"]: one for one in call.call.runnable()}
    assert actions["find_order"]["arguments"]["order_number"]["value"] == "42719"
    assert actions["find_order"]["arguments"]["order_number"]["required"]
    acted = await call.call.act("find_order", {"order_number": "42719"})
    assert acted.ok
    assert ("human", "(find_order: done)") in call.call.snapshot().state.history
    for name, arguments, wrong in [
        ("no_such", {}, "none that can be run"),
        ("find_order", {}, "missing: order_number"),
        ("find_order", {"order_number": "42719", "colour": "red"}, "unknown: colour"),
    ]:
        with pytest.raises(ValueError, match=wrong):
            await call.call.act(name, arguments)
