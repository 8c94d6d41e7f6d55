"""A dialogue's state as text and back, and going on after the line dropped."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent / "engine"))

from conversation import ManualClock, WordEncoder, gather
from counter import JOE, Call, Counter

from agent.dialogue.actions import open_actions
from agent.dialogue.contracts import Expect, HandOff, Say
from agent.dialogue.domain import Domain
from agent.dialogue.feelings import Feelings, Reading
from agent.dialogue.loader import load_domain
from agent.dialogue.saving import (
    MOST_KEPT,
    RESUME_S,
    MemoryKeeper,
    StateError,
    from_json,
    taken_up,
    to_json,
    worth_keeping,
)
from agent.dialogue.state import CallState, Consent, Frame, Known, Pending, Reply, Wish
from models.contracts import UnderstandingContext

MONEY = {"minor": 1200, "currency": "USD"}


def full() -> CallState:
    """A state in which no field has its default."""
    context = UnderstandingContext(("day",), True, "zh")
    return CallState(
        turn=7,
        frames=[
            Frame(
                "pay",
                "pay it",
                1,
                {"paid": {"done": True}},
                {1: 2},
                MONEY,
                "too much",
                resumed=True,
                failed=True,
                within=True,
                proven=True,
                borrowed={"day"},
            )
        ],
        done=[Frame("room", "a room")],
        slots={"amount": Known(MONEY, 3, True, True), "pin": Known("9876", 4)},
        earlier={"book": ["4020", None], "pin": ["1111"]},
        pending=Pending("read_back", ("pay",), "rule", "reason", 2, "words", "amount", MONEY),
        failures=1,
        unclear=2,
        silences=3,
        feelings=Feelings([Reading(1, "angry", 0.5, 0.4, 0.3, 0.2)], 0.4, 0.2, 1, 2, True, True, True, 3, "brief", 4),
        offered={"anger_offer"},
        handed_off=HandOff("why", "rule", 2, {"slots": {"amount": MONEY}}),
        closed=True,
        reply=Reply(
            [Say("Hello.", "warm", True, 0.9, 4.5, "zh", True)], "Hello?", Expect("open", context, True), "lo."
        ),
        keys="12",
        patient=True,
        intents=["pay"],
        spoken={"hello": 2},
        customer={"id": "m1"},
        consents={"payment": Consent(True, 5, "Shall I?", "yes")},
        wishes=[Wish("room", "a room", {"day": "2026-05-07"})],
        others={"book": ["4021"]},
        pace=0.85,
        gain_db=4.5,
        language="zh",
        no_offers=True,
        offers_made=["newsletter"],
        sensitive={"pin"},
        topic="house.md#parking",
        more=["A second sentence."],
        history=[("caller", "hello"), ("agent", "hi")],
    )


def test_every_field_comes_back_as_it_was() -> None:
    state = full()
    plain = CallState()
    same = [one.name for one in fields(CallState) if getattr(state, one.name) == getattr(plain, one.name)]
    assert same == [], "give these fields a value that is not the default in `full`"
    again = from_json(to_json(state))
    for one in fields(CallState):
        value = getattr(again, one.name)
        assert value == getattr(state, one.name), one.name
        if is_dataclass(value):
            assert type(value) is type(getattr(state, one.name))
    assert isinstance(again.frames[0].borrowed, set)
    assert again.reply.expect == state.reply.expect
    assert to_json(again) == to_json(state)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-20],
        lambda text: "[]",
        lambda text: "null",
        lambda text: text.replace('"turn":7', '"turn":"seven"'),
        lambda text: text.replace('"kind":"read_back"', '"kind":"guess"'),
        lambda text: text.replace('"flow":"pay"', '"flows":"pay"'),
    ],
)
def test_damaged_text_and_that_of_another_version_is_refused(damage: Any) -> None:
    with pytest.raises(StateError, match="begin a new one"):
        from_json(damage(to_json(full())))


def test_what_is_new_in_this_version_has_its_default() -> None:
    data = json.loads(to_json(full()))
    for name in ("more", "topic", "consents"):
        del data[name]
    assert from_json(json.dumps(data)).more == []


def test_what_is_taken_up_has_the_task_and_neither_secrets_nor_a_proof() -> None:
    state = taken_up(full())
    assert [frame.flow for frame in state.frames] == ["pay"]
    assert state.slots["amount"].value == MONEY
    assert (state.customer, state.pending, state.handed_off, state.closed) == (None, None, None, False)
    assert "pin" not in {*state.slots, *state.earlier}
    assert state.history == []
    assert state.frames[0].proven


@pytest.mark.parametrize(
    ("change", "worth"),
    [
        ({}, True),
        ({"frames": []}, False),
        ({"closed": True}, False),
        ({"handed_off": HandOff("why", "rule")}, False),
    ],
)
def test_what_is_worth_keeping(change: dict[str, Any], worth: bool) -> None:
    assert worth_keeping(replace(CallState(frames=[Frame("pay", "pay")]), **change)) is worth


async def test_the_oldest_of_too_many_goes_first() -> None:
    keeper = MemoryKeeper(ManualClock())
    for n in range(MOST_KEPT + 1):
        await keeper.keep("library", str(n), "state")
    assert await keeper.take("library", "0") is None
    assert await keeper.take("library", "1") == "state"
    assert await keeper.take("library", "1") is None
    assert await keeper.take("bank", "2") is None


@pytest.fixture(scope="module")
def domain() -> Domain:
    return load_domain(Path(__file__).parent / "engine" / "library")


@pytest.fixture
async def counter(domain: Domain) -> Any:
    clock = ManualClock()
    actions = await open_actions(domain, clock, "memory:")
    yield Counter(domain, actions, clock, WordEncoder())
    await actions.close()


async def dropped(counter: Counter, caller: str | None = JOE) -> None:
    """The line drops while it is asked how many people a room is for."""
    call = counter.ring(caller)
    await call.say("a room on May seventh", "room", day="2026-05-07")
    await call.call.over()


async def back(counter: Counter, caller: str | None = JOE) -> tuple[Call, str]:
    call = counter.ring(caller, "call-2")
    return call, (await call.greet()).text


async def test_the_same_caller_goes_on_where_the_line_dropped(counter: Counter) -> None:
    await dropped(counter)
    call, greeting = await back(counter)
    assert greeting.endswith("We were cut off earlier. Shall we go on with your room?")
    assert (await call.yes()).text == "For how many people?"
    assert (await call.say("three", "give_information", people="3")).text.startswith("Shall I reserve the oak room")


async def test_a_no_begins_anew(counter: Counter) -> None:
    await dropped(counter)
    call, _ = await back(counter)
    assert (await call.no()).text == "Sure, what can I do for you?"
    assert (call.state.frames, call.state.slots) == ([], {})
    assert (await call.say("a room please", "room")).text == "For which day?"


@pytest.mark.parametrize(("s", "offered"), [(RESUME_S - 1, True), (RESUME_S + 1, False)])
async def test_it_is_offered_for_some_minutes(counter: Counter, s: float, offered: bool) -> None:
    await dropped(counter)
    counter.clock.move(s * 1000)
    _, greeting = await back(counter)
    assert ("cut off" in greeting) is offered


@pytest.mark.parametrize("first", [JOE, None])
async def test_it_is_not_offered_to_others_nor_where_numbers_are_withheld(counter: Counter, first: str | None) -> None:
    await dropped(counter, first)
    _, greeting = await back(counter, "+12065550199" if first else None)
    assert "cut off" not in greeting


async def test_it_is_offered_once(counter: Counter) -> None:
    await dropped(counter)
    await back(counter)
    call = counter.ring(call_id="call-3")
    assert "cut off" not in (await call.greet()).text


@pytest.mark.parametrize("text", ["{}x", '{"frames": [{"flow": "gone", "words": ""}]}', '{"turn": "x"}'])
async def test_a_state_that_cannot_be_used_is_passed_over(counter: Counter, text: str) -> None:
    await counter.engine._keeper.keep("library", JOE, text)
    call, greeting = await back(counter)
    assert greeting.endswith("How can I help?")
    assert (await call.say("a room please", "room")).text == "For which day?"


async def test_who_calls_must_be_proven_again(counter: Counter) -> None:
    call = counter.ring()
    await call.say("pay twelve dollars", "pay", amount=MONEY)
    assert "Shall I take $12" in (await call.prove()).text
    await call.call.over()
    call, _ = await back(counter)
    answer = await call.yes()
    assert answer.text == "First I need to check who you are. What's your card number?"
    assert "pay" not in call.library.names
    assert "Shall I take $12 from your account?" in (await call.prove()).text
    await call.yes()
    assert call.library.names.count("pay") == 1


async def test_a_line_that_drops_during_the_proof(counter: Counter) -> None:
    call = counter.ring()
    await call.say("what have I borrowed", "loans")
    await call.say("112233", "give_information", card="112233")
    await call.call.over()
    call, greeting = await back(counter)
    assert greeting.endswith("Shall we go on with your loans?")
    assert (await call.yes()).text == "First I need to check who you are. What's your card number?"
    assert "you have 3 books" in (await call.prove()).text


@pytest.mark.parametrize("when", ["running", "told back"])
async def test_what_an_action_did_unheard_is_not_done_again_by_the_next_call(counter: Counter, when: str) -> None:
    """The caller says yes and the line drops: while the reservation runs, or before its answer was heard."""
    call = counter.ring()
    await call.say("a room for three on May seventh", "room", day="2026-05-07", people="3")
    before = call.call.snapshot()
    parts = call.call.respond(call.turn("yes", "affirm", yes_no=True))
    if when == "running":
        waiting = asyncio.ensure_future(gather(parts))
        while "reserve" not in [task.get_name().split()[1] for task in counter.actions._tasks]:  # noqa: ASYNC110
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    else:
        await gather(parts)
        call.call.restore(before)
    await call.call.over()
    while counter.actions._tasks:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert counter.library.names.count("reserve") == 1
    call, greeting = await back(counter)
    assert "cut off" not in greeting
