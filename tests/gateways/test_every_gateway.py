"""The same conversation over every gateway: it is heard, answered, interrupted and recorded alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from gatewaylines import HEARS, GatewayCall, gateway_call
from virtual_time import run_virtual

from agent.gateways.base import CallStarted, Fault
from agent.gateways.catalogue import gateways
from agent.gateways.gateway import Opening
from agent.lab.callers.catalogue import gateway_callers

BY_APPLICATION = {"jambonz"}
"""Gateways that are asked to transfer over a socket beside the media's."""

LONG = "You said long. " + " ".join(f"Sentence number {number} of a long answer." for number in range(6))


async def conversation(made: GatewayCall) -> dict[str, Any]:
    """Greeting, a long answer that is interrupted after two seconds, another question, keys, and the end."""
    await made.pass_ms(3500)
    await made.say("long")
    before = made.loud_ms
    if made.simulated.speaks:
        await made.pass_ms(2600)
    else:
        assert await made.line.until(lambda: made.loud_ms > before + 2000, 8000)
    await made.say("where is it")
    await made.pass_ms(3500)
    await made.line.press("7")
    await made.line.press("#")
    await made.pass_ms(2500)
    return {"wrongs": list(made.line.wrongs)}


@pytest.mark.parametrize("name", HEARS)
def test_a_conversation(name: str) -> None:
    async def main() -> None:
        async with gateway_call(name) as made:
            seen = await conversation(made)
        assert made.running is not None
        ended = made.running.result()
        assert seen["wrongs"] == []
        assert (ended.outcome, ended.code) == ("caller_left", 1000)
        record = made.call.record
        agent = [turn for (_, speaker), turn in sorted(record.turns.items()) if speaker == "agent"]
        assert agent[0].heard == "This call is recorded. How can I help?"
        interrupted = agent[1]
        assert interrupted.text == LONG
        assert interrupted.interrupted
        # 2 s of a voice that takes 50 ms a character, up to the word, and what barge-in takes; a relay's is slower
        heard = len(interrupted.heard or "")
        low, high = (25, 60) if made.simulated.speaks else (36, 62)
        assert low <= heard <= high, interrupted.heard
        assert LONG.startswith(interrupted.heard or "?")
        assert agent[2].heard == "You said where is it."
        if gateways()[name].capabilities.dtmf_in:
            assert agent[3].heard == "You said 7."
        assert record.call.gateway == name
        assert [data for kind, data in record.events if kind == "fault"] == []

    run_virtual(main())


@pytest.mark.parametrize("name", [name for name in HEARS if not gateway_callers()[name].speaks])
def test_what_counts_as_heard_is_what_the_phone_played(name: str) -> None:
    async def main() -> None:
        async with gateway_call(name) as made:
            await made.pass_ms(3500)
            before = made.loud_ms
            await made.say("long")
            assert await made.line.until(lambda: made.loud_ms > before + 1500, 8000)
            await made.say("where is it")
            await made.line.until(lambda: (2, "agent") in made.call.record.turns, 5000)
            turn = made.call.record.turns[1, "agent"]
            second = made.call.record.turns[2, "agent"]
            await made.pass_ms(4000)
            played = made.loud_ms - before - len(second.text) * 50.0
        truth = LONG[: round(played / 50.0)]
        assert abs(len((turn.heard or "").split()) - len(truth.split())) <= 1, (turn.heard, truth)

    run_virtual(main())


@pytest.mark.parametrize("name", HEARS)
def test_a_drop_of_the_line_after_the_start_leaves_a_record(name: str) -> None:
    async def main() -> None:
        async with gateway_call(name) as made:
            await made.pass_ms(1000)
            await made.say("long")
            await made.pass_ms(1000)
            await made.wire.shut(1000)
        assert made.running is not None
        assert made.running.result().outcome == "caller_left"
        assert made.call.record.finished is not None

    run_virtual(main())


@pytest.mark.parametrize("name", list(gateways()))
def test_capabilities_tell_what_the_protocol_does(name: str) -> None:
    gateway = gateways()[name]
    can = gateway.capabilities
    assert gateway.title
    assert gateway.wire
    assert gateway.verified
    assert can.max_out >= can.encoding.rate * can.frame_ms // 1000
    assert can.lead_ms >= 20 or not can.audio_out
    by_rest = gateway.control is not None or gateway.hook is not None or name in BY_APPLICATION
    assert can.transfer != "rest" or by_rest
    assert name in gateway_callers()


@pytest.mark.parametrize("name", list(gateways()))
@pytest.mark.parametrize(
    "message", ["", "{}", "[]", "null", "?", "\0", "\ud800", "[" * 60_000, b"", b"\0", b"\xff" * 400]
)
def test_a_first_message_that_is_nonsense_starts_no_call(name: str, message: str | bytes) -> None:
    protocol = gateways()[name].new(Opening("c-1"))
    events = protocol.receive(message)
    assert not [event for event in events if isinstance(event, CallStarted)]
    for event in events:
        if isinstance(event, Fault):
            json.dumps(event.detail).encode()
