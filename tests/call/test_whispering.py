"""Whispering, barging in, instructing the agent, pressing keys, transferring and hanging up. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from browserfakes import Browser, Ear, announced, control_of, now_ms, quiet_line
from callfakes import PHONE, FakeCall, FakeDialogue
from virtual_time import run_virtual

from agent.call.control import NotYours
from agent.call.floor import FloorSettings, FloorState, GivenBack, PersonLost, Phase, TakenOver, step
from agent.call.moves import DropTurn, Interrupt
from agent.dialogue.contracts import Acted
from agent.gateways.base import Capabilities, Command, SendDtmf, Transfer

VOICE = 0.3


def sent_by(call: FakeCall) -> list[Command]:
    sent: list[Command] = []
    inner = call.phone.append

    def append(command: Command) -> None:
        sent.append(command)
        inner(command)

    call.phone.append = append  # type: ignore[method-assign]
    return sent


def test_a_whisper_is_heard_by_the_person_and_not_by_the_caller() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        ear = Ear(phone)
        await phone.wait_for_agent()
        control = control_of(call)
        seat = await control.take_over("ana")
        async with Browser(seat, call) as ana, Browser(control.join("sam", "whisper"), call) as sam, quiet_line(phone):
            await asyncio.gather(ana.wait(800), sam.send_level(0.8, 800))
            assert ana.hears(0.8)
            assert not ear.hears(0.8)
            sam.seat.change(mode="listen")
            since = now_ms() + 300
            await asyncio.gather(ana.wait(800), sam.send_level(0.6, 800))
            assert ana.first_heard(0.6, since) is None
        phone.hang_up()
        await call.ended()
        assert not [key for key in call.record.turns if key[1] == "human"]

    run_virtual(main())


def test_who_barges_in_is_heard_over_the_agent_which_goes_on() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        ear = Ear(phone)
        await phone.wait_for_agent()
        control = control_of(call)
        await phone.say("long please")
        await phone.wait_for_sound()
        await phone.wait(1000)
        async with Browser(control.join("sam", "barge"), call) as sam:
            spoke = now_ms()
            talking = asyncio.create_task(sam.say("sam here", 900))
            await phone.wait(1500)
            await talking
            both = call.lines.level("sam here") + VOICE
            heard = ear.first_heard(both, spoke)
            assert heard is not None
            assert heard - spoke <= 150
            assert sam.hears(VOICE)
            await phone.wait(16_000)
        answer = call.turn(1, "agent")
        assert answer.heard == answer.text
        assert not answer.interrupted
        await phone.say("where is it")
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert [turn.text for turn in call.dialogue.turns] == ["long please", "where is it"]
        assert [turn.text for (_, who), turn in call.record.turns.items() if who == "human"] == ["sam here"]
        assert ("human", "sam here") in call.dialogue.overheard_log

    run_virtual(main())


def test_every_word_of_the_agent_arrives_once_when_somebody_barges_in_and_leaves() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        ear = Ear(phone)
        await phone.wait_for_agent()
        control = control_of(call)
        began = now_ms()
        await phone.say("long please")
        await phone.wait_for_sound()
        await phone.wait(2000)
        seat = control.join("sam", "barge")
        await phone.wait(2000)
        seat.leave()
        await phone.wait(14_000)
        answer = call.turn(1, "agent")
        assert answer.heard == answer.text
        spoken = sum(20 for at, level in ear.heard if at > began and abs(level - VOICE) < 0.01)
        whole = 50.0 * sum(len(text) for text in answer.text.split(". ")) + 50.0 * answer.text.count(". ")
        # What was sent ahead and cleared, and the word that was cut, twice, comes again.
        assert whole - 400 <= spoken <= whole + 1500
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_three_hear_each_other_where_a_person_has_the_call() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        ear = Ear(phone)
        await phone.wait_for_agent()
        control = control_of(call)
        seat = await control.take_over("ana")
        async with Browser(seat, call) as ana, Browser(control.join("sam", "barge"), call) as sam:
            talking = asyncio.gather(ana.send_level(0.2, 800), sam.send_level(0.4, 800))
            await phone.send_level(0.1, 800)
            await talking
            assert ear.hears(0.6)
            assert ana.hears(0.5)
            assert sam.hears(0.3)
            phone.hang_up()
            await call.ended()

    run_virtual(main())


def test_an_instruction_reaches_the_dialogue_and_the_record() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        control = await announced(call)
        control.instruct("sam", "offer a voucher")
        assert call.dialogue.instructed == "offer a voucher"
        [data] = [data for kind, data in call.record.events if kind == "instruction"]
        assert (data["who"], data["text"]) == ("sam", "offer a voucher")
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_who_has_the_call_runs_actions() -> None:
    class Acting(FakeDialogue):
        def runnable(self) -> list[dict[str, Any]]:
            return [{"name": "refund", "description": "", "arguments": {}}]

        async def act(self, name: str, arguments: Mapping[str, Any]) -> Acted:
            return Acted(name, arguments, True, {"refunded": 20}, "key-1")

    async def main() -> None:
        call = FakeCall()
        call.dialogue = Acting()
        phone = await call.start()
        await phone.wait_for_agent()
        control = control_of(call)
        assert [one["name"] for one in control.actions()] == ["refund"]
        with pytest.raises(NotYours):
            await control.act("ana", "refund", {})
        await control.take_over("ana")
        done = await control.act("ana", "refund", {"order": "42719"})
        assert done == {"ok": True, "result": {"refunded": 20}, "replayed": False}
        phone.hang_up()
        await call.ended()
        assert [(action.name, action.ok) for action in call.record.actions] == [("refund", True)]
        assert ("action_by", {"who": "ana", "name": "refund", "ok": True}) in call.record.events

    run_virtual(main())


def test_keys_are_pressed_where_the_gateway_can() -> None:
    async def main() -> None:
        call = FakeCall(Capabilities(PHONE, transfer="close", dtmf_out=True))
        sent = sent_by(call)
        phone = await call.start()
        control = await announced(call)
        control.press("12#a")
        await phone.wait(100)
        assert SendDtmf("12#A") in sent
        for wrong in ("", "hello", "1" * 33):
            with pytest.raises(ValueError, match="no keys"):
                control.press(wrong)
        phone.hang_up()
        await call.ended()
        assert ("keys_pressed", {"count": 4}) in call.record.events
        assert "12#A" not in str(call.record.events)

    run_virtual(main())


def test_keys_are_refused_where_the_gateway_cannot() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        with pytest.raises(ValueError, match="sends no keys"):
            (await announced(call)).press("1")
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_a_person_sends_the_caller_elsewhere() -> None:
    async def main() -> None:
        call = FakeCall(Capabilities(PHONE, transfer="message", hangup="message"))
        sent = sent_by(call)
        phone = await call.start()
        await phone.wait_for_agent()
        control = control_of(call)
        with pytest.raises(NotYours):
            await control.transfer("ana", "+15550111")
        async with Browser(await control.take_over("ana"), call) as ana:
            with pytest.raises(ValueError, match="none"):
                await control.transfer("ana", "a b")
            await control.transfer("ana", "+15550111")
            await phone.wait(100)
            assert ana.closed == "call_over"
        [transfer] = [command for command in sent if isinstance(command, Transfer)]
        assert transfer.target == "+15550111"
        phone.hang_up()
        assert (await call.ended()).outcome == "handed_off"

    run_virtual(main())


def test_a_transfer_that_fails_leaves_the_call_with_the_person() -> None:
    async def main() -> None:
        call = FakeCall(Capabilities(PHONE, transfer="none"))
        phone = await call.start()
        await phone.wait_for_agent()
        control = control_of(call)
        await control.take_over("ana")
        with pytest.raises(ValueError, match="cannot transfer"):
            await control.transfer("ana", "+15550111")
        assert control.state()["human"] == "ana"
        phone.hang_up()
        assert (await call.ended()).outcome == "handed_off"

    run_virtual(main())


def test_a_person_hangs_up() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        control = control_of(call)
        await control.take_over("ana")
        await control.hang_up("ana")
        await phone.wait(6000)
        ended = await call.ended()
        assert (ended.outcome, ended.reason) == ("handed_off", "human_hung_up")

    run_virtual(main())


@pytest.mark.parametrize("phase", list(Phase))
def test_a_call_can_be_taken_over_in_every_phase_but_the_last(phase: Phase) -> None:
    state = FloorState(phase=phase, generation=3, open=True)
    after, commands = step(state, TakenOver(), 100.0, FloorSettings())
    if phase in (Phase.CLOSING, Phase.HUMAN):
        assert (after, commands) == (state, [])
        return
    assert (after.phase, after.open) == (Phase.HUMAN, False)
    assert DropTurn() in commands
    speaking = phase in (Phase.THINKING, Phase.SPEAKING, Phase.YIELDING)
    assert (Interrupt(3) in commands) is speaking
    assert step(after, GivenBack(), 200.0, FloorSettings())[0].phase is Phase.LISTENING
    assert step(after, PersonLost(), 200.0, FloorSettings())[0].phase is Phase.TRANSFERRING
