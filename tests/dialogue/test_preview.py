"""A preview says what the answer would be, and changes nothing."""

from __future__ import annotations

import copy

import pytest
from conversation import Answer, Conversation, Desk, gather
from pydantic import ValidationError
from sqlalchemy import func, select

from agent.dialogue.actionspec import ActionSpec
from agent.dialogue.contracts import Acted, CallerTurn
from agent.domains.backend import Backend
from agent.domains.shop.store import Complaint, Order, Return

TURNS = [
    ("hello", "greet", {}),
    ("where is my order", "order_status", {}),
    ("four two seven one nine", "give_information", {"order_number": "42719"}),
    ("what is your return policy", "policy_question", {}),
    ("cancel order 42731", "cancel_order", {"order_number": "42731"}),
    ("yes", "affirm", {"yes_no": True}),
    ("this is ridiculous", "complaint", {"angry": 0.9}),
    ("I want a person", "human", {}),
    ("goodbye", "goodbye", {}),
]


async def rows(desk: Desk) -> list[object]:
    shop = desk.actions._database
    assert isinstance(shop, Backend)
    async with shop.session() as session:
        orders = [tuple(row) for row in (await session.execute(select(Order.number, Order.status))).all()]
        return [orders, *[await session.scalar(select(func.count()).select_from(kind)) for kind in (Return, Complaint)]]


async def previewed(talk: Conversation, turn: CallerTurn) -> Answer:
    return await gather(talk.call.preview(turn))


async def test_a_preview_begins_as_the_answer_does_and_changes_nothing(desk: Desk, talk: Conversation) -> None:
    """Every turn is previewed twice, one of them given up half-way; a call without previews goes the same way."""
    plain = desk.call("call-2")
    foreseen = 0
    for text, intent, more in TURNS:
        turn = talk.turn(text, intent, **copy.deepcopy(more))
        before = (copy.deepcopy(talk.call.snapshot()), talk.call.context, talk.call.summary(), await rows(desk))
        stream = talk.call.preview(turn)
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]
        preview = await previewed(talk, turn)
        assert (talk.call.snapshot(), talk.call.context, talk.call.summary(), await rows(desk)) == before
        answer = await gather(talk.call.respond(turn))
        assert answer.says[: len(preview.says)] == preview.says
        foreseen += bool(preview.says)
        if intent != "affirm":  # the order is cancelled by then
            assert answer.says == (await plain.say(text, intent, **copy.deepcopy(more))).says
    assert foreseen >= len(TURNS) - 2


async def test_a_preview_ends_before_an_action_that_is_not_marked(desk: Desk, talk: Conversation) -> None:
    await talk.say("cancel order 42731", "cancel_order", order_number="42731")
    before = await rows(desk)
    preview = await previewed(talk, talk.turn("yes", "affirm", yes_no=True))
    assert not [part for part in preview.parts if isinstance(part, Acted)]
    assert await rows(desk) == before


async def test_a_preview_reads_what_may_be_read(talk: Conversation) -> None:
    preview = await previewed(talk, talk.turn("where is 42719", "order_status", order_number="42719"))
    assert preview.text.startswith("Order 42719 is out for delivery")
    assert talk.call.summary()["actions"] == []


def test_an_action_with_side_effects_cannot_be_speculated() -> None:
    with pytest.raises(ValidationError, match="'speculate'"):
        ActionSpec(python="shop:cancel", side_effects=True, speculate=True)
