"""A PIN is in nothing that is recorded, shown, kept or sent."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from counter import JOE, Call, Counter

from agent.dialogue.contracts import Acted, Because
from agent.dialogue.phrasing import private_of
from agent.dialogue.reasons import WITHHELD

PIN = "9876"


async def asked_for_the_pin(counter: Counter) -> Call:
    call = counter.ring()
    await call.say("what have I borrowed", "loans")
    answer = await call.say("112233", "give_information", card="112233")
    assert answer.expect.sensitive
    assert call.call.sensitive
    return call


@pytest.mark.parametrize("keys", [False, True])
@pytest.mark.parametrize("right", [True, False])
async def test_nothing_recorded_or_shown_has_it(counter: Counter, keys: bool, right: bool) -> None:
    call = await asked_for_the_pin(counter)
    pin = PIN if right else "4444"
    answer = await (call.press(pin) if keys else call.say(f"it's {pin}", "give_information", pin=pin))
    assert ("you have 3 books" in answer.text) is right
    acted = [asdict(part) for part in answer.parts if isinstance(part, Acted)]
    assert acted[0]["arguments"]["pin"] == WITHHELD
    reasons = [dict(part.facts) for part in answer.parts if isinstance(part, Because)]
    assert pin not in json.dumps([acted, reasons, call.call.summary(), call.state.history], default=str)
    assert not any(pin in say.text for say in answer.says)


async def test_it_is_told_to_no_model(counter: Counter) -> None:
    call = await asked_for_the_pin(counter)
    state = call.call.ongoing.state
    state.learn("pin", PIN)
    assert private_of(state)["pin"] == PIN


async def test_a_dropped_line_leaves_no_pin_in_what_is_kept(counter: Counter) -> None:
    call = await asked_for_the_pin(counter)
    await call.say("1111 no I mean", "give_information", pin="1111")
    state = call.call.ongoing.state
    state.learn("pin", "2222")
    state.learn("pin", "3333")
    await call.call.over()
    kept = await counter.engine._keeper.take("library", JOE)
    assert kept is not None
    assert '"loans"' in kept
    assert not [pin for pin in ("1111", "2222", "3333") if pin in kept]
