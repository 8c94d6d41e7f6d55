"""What is prepared before a turn is over: in time, without a trace, and never another answer."""

from __future__ import annotations

import asyncio
from typing import Any

from prometheus_client import generate_latest

from agent.call.floor import FloorSettings
from agent.config import Settings
from agent.dialogue.contracts import Say
from models.pool import Priority
from tests.callfakes import FakeCall
from tests.virtual_time import run_virtual

DELAYS = {Priority.SPECULATION: 120.0, Priority.FINAL_RECOGNITION: 120.0, Priority.FIRST_SENTENCE: 0.0}


def call_with(speculate: str, **floor: Any) -> FakeCall:
    settings = Settings(floor=FloorSettings(speculate=speculate, **floor))  # type: ignore[arg-type]
    return FakeCall(delays_ms=DELAYS, settings=settings)


def answers(call: FakeCall) -> list[Any]:
    return [turn for turn in call.record.turns.values() if turn.speaker == "agent" and turn.number]


async def answered(call: FakeCall) -> Any:
    """The one answer of a call in which the caller says one thing."""
    phone = await call.start()
    await phone.wait_for_agent()
    await phone.say("hello there")
    await phone.wait(2500)
    phone.hang_up()
    await call.ended()
    (answer,) = answers(call)
    return answer


def test_the_first_sentence_is_ready_when_the_turn_is_over() -> None:
    async def main() -> None:
        call = call_with("reply")
        answer = await answered(call)
        assert answer.reasons["prepared"] is True
        # The scripted voice takes 50 ms, which were spent before the turn was over.
        assert answer.latency["synthesis"] < 20
        assert [turn.text for turn in call.dialogue.previews] == ["hello there"]

    run_virtual(main())


def test_without_preparation_the_sentence_is_made_after_the_turn() -> None:
    async def main() -> None:
        call = call_with("words")
        answer = await answered(call)
        assert "prepared" not in answer.reasons
        assert answer.latency["synthesis"] >= 50
        assert call.dialogue.previews == []

    run_virtual(main())


async def converse(speculate: str) -> tuple[list[Any], list[str], list[Any]]:
    """A conversation with a pause inside a turn, an interruption, a cough and a goodbye."""
    call = call_with(speculate)
    phone = await call.start()
    await phone.wait_for_agent()
    await phone.say("hello there")
    await phone.wait_for_agent()
    await phone.say("my number is...")
    await phone.wait(400)
    await phone.say("four two")
    await phone.wait_for_agent()
    await phone.say("long story")
    await phone.wait_for_sound()
    await phone.wait(1500)
    await phone.noise(200)
    await phone.wait(1500)
    await phone.say("stop it")
    await phone.wait_for_agent()
    await phone.say("bye")
    await phone.wait(6000)
    await call.ended()
    turns = sorted(call.record.turns.values(), key=lambda turn: (turn.number, turn.speaker == "agent"))
    told = [(turn.number, turn.speaker, turn.text, turn.interrupted) for turn in turns]
    return told, [turn.text for turn in call.dialogue.turns], call.dialogue.previews


def test_with_and_without_speculation_the_answers_are_the_same() -> None:
    async def main() -> None:
        told, taken, previews = await converse("reply")
        assert previews, "nothing was prepared, so nothing was compared"
        assert "my number is... four two" in taken
        for speculate in ("words", "off"):
            assert await converse(speculate) == (told, taken, [])

    run_virtual(main())


def test_a_speculation_that_is_dropped_leaves_nothing_behind() -> None:
    """The caller goes on when words are recognized, understood and a sentence is prepared: no trace of it."""

    async def main() -> None:
        call = call_with("reply", wait_sure_ms=600)
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.wait(200)
        before = (list(call.record.kinds()), dict(call.record.turns), list(call.dialogue.turns))
        counted = generate_latest(call.metrics.registry)
        tasks = {task.get_name() for task in running_tasks()}
        await phone.say("hello there")
        await phone.wait(500)
        assert [turn.text for turn in call.dialogue.previews] == ["hello there"]
        await phone.say("and more...")
        assert (call.record.kinds(), call.record.turns, call.dialogue.turns) == before
        assert generate_latest(call.metrics.registry) == counted
        assert {task.get_name() for task in running_tasks()} == tasks
        await phone.wait(2500)
        phone.hang_up()
        await call.ended()
        assert [turn.text for turn in call.dialogue.turns] == ["hello there and more..."]
        assert call.dialogue.restored == 0
        assert [turn.text for turn in answers(call)] == ["You said hello there and more...."]

    run_virtual(main())


def running_tasks() -> set[Any]:
    return {task for task in asyncio.all_tasks() if not task.done()}


def test_a_preparation_that_fails_costs_nothing_but_time() -> None:
    async def main() -> None:
        call = call_with("reply")
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("hello there")
        call.dialogue.preview_error = RuntimeError("a preview broke")
        await phone.wait(2500)
        phone.hang_up()
        ended = await call.ended()
        assert ended.outcome == "caller_left"
        (answer,) = answers(call)
        assert answer.text == "You said hello there."
        assert answer.reasons["prepared"] is False

    run_virtual(main())


def test_another_sentence_than_the_prepared_one_is_made_anew() -> None:
    async def main() -> None:
        call = call_with("reply")
        call.dialogue.preview_says = Say("Something else entirely.")
        answer = await answered(call)
        assert (answer.text, answer.heard) == ("You said hello there.", "You said hello there.")
        assert answer.reasons["prepared"] is False

    run_virtual(main())


def test_nothing_is_prepared_for_a_turn_that_sounds_unfinished() -> None:
    async def main() -> None:
        call = call_with("reply")
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("my number is...")
        await phone.wait(1000)
        assert call.dialogue.previews == []
        phone.hang_up()
        await call.ended()

    run_virtual(main())
