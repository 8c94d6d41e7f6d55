"""People on a live call at awkward moments: nobody is lost, nothing said is, and the caller is never left alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from browserfakes import Browser, Ear, control_of, now_ms
from callfakes import PHONE, FakeCall, FakeDesk, FakeDialogue, FakeUnderstanding, Phone
from test_returning import Returned
from test_waiting_for_people import QueueDesk, agent_turns, waiting
from virtual_time import run_virtual

from agent import logs
from agent.call.control import Gone
from agent.gateways.base import Capabilities, Hangup
from agent.handoff.contracts import HandoffResult
from agent.records.pausing import paused_call
from models.contracts import Understood

VOICE = 0.3


async def with_ana(call: FakeCall) -> Phone:
    """A call that Ana has."""
    phone = await call.start()
    await phone.wait_for_agent()
    await control_of(call).take_over("ana")
    return phone


async def given_by_the_queue(desk: QueueDesk) -> tuple[FakeCall, Phone, Ear]:
    """A call that the queue gave to Ana."""
    call, phone, ear = await waiting(desk)
    desk.accept("ana", desk.requests[0].handoff_id)
    await phone.wait(3000)
    await control_of(call).take_over("ana", desk.requests[0].handoff_id)
    return call, phone, ear


async def hangs_up(call: FakeCall, phone: Phone) -> None:
    phone.hang_up()
    await call.ended()


class SlowRecognizer:
    """Words take a second, so that a hand-back has something to wait for."""

    def __init__(self, call: FakeCall) -> None:
        self._run = call.services.pool.run
        call.services.pool.run = self.run  # type: ignore[method-assign]

    async def run(self, priority: Any, work: Any, *, within_ms: float | None = None) -> Any:
        if "recognize" in getattr(work, "__qualname__", ""):
            await asyncio.sleep(1.0)
        return await self._run(priority, work, within_ms=within_ms)


def test_a_call_given_back_comes_back_though_the_browser_is_gone() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await with_ana(call)
        SlowRecognizer(call)
        await phone.say("thank you", 900)
        asked = asyncio.create_task(control_of(call).hand_back("ana"))
        await phone.wait(100)
        asked.cancel()
        await phone.wait(3000)
        assert control_of(call).state()["phase"] != "human"
        assert agent_turns(call)[-1] == "I am back."
        await hangs_up(call, phone)

    run_virtual(main())


@pytest.mark.parametrize("how", ["slow", "broken"])
def test_the_agent_is_back_before_the_desk_knows(how: str) -> None:
    class Desk(QueueDesk):
        async def finished(self, handoff_id: str, outcome: str) -> None:
            await super().finished(handoff_id, outcome)
            if outcome == "handed_back":
                await asyncio.sleep(8.0 if how == "slow" else 0.0)
                raise OSError("the database is away")

    async def main() -> None:
        desk = Desk()
        call, phone, ear = await given_by_the_queue(desk)
        since = now_ms()
        back = asyncio.create_task(control_of(call).hand_back("ana"))
        await phone.wait(2000)
        spoken = ear.first_heard(VOICE, since)
        assert spoken is not None
        assert spoken - since < 1000
        assert desk.ended == ["bridged", "handed_back"]
        await phone.say("where is it")
        await phone.wait(7000)
        await back
        assert [turn.text for turn in call.dialogue.turns][-1] == "where is it"
        assert call.session.notes.counters["desk_not_told"] == 1
        await hangs_up(call, phone)

    run_virtual(main())


def test_a_desk_that_cannot_be_told_of_the_bridge_costs_nothing() -> None:
    class Desk(QueueDesk):
        async def finished(self, handoff_id: str, outcome: str) -> None:
            raise OSError("the database is away")

    async def main() -> None:
        call, phone, _ = await given_by_the_queue(Desk())
        assert control_of(call).state()["human"] == "ana"
        phone.hang_up()
        assert (await call.ended()).outcome == "handed_off"

    run_virtual(main())


def test_a_line_that_breaks_while_a_call_is_given_back_may_come_back() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await with_ana(call)
        SlowRecognizer(call)
        await phone.say("thank you", 900)
        back = asyncio.create_task(control_of(call).hand_back("ana"))
        await phone.wait(100)
        phone.drop()
        await asyncio.sleep(3.0)
        await back
        assert not call.session.done
        second = Returned(call)
        await second.phone.wait_for_agent()
        assert agent_turns(call)[-1] == "I am back."
        second.phone.hang_up()
        await call.ended()
        await second.running

    run_virtual(main())


def test_what_was_typed_before_a_call_is_given_back_is_spoken() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await with_ana(call)
        ear, typed = Ear(phone), now_ms()
        text = "I give you back to the assistant now."
        control_of(call).say("ana", text)
        back = asyncio.create_task(control_of(call).hand_back("ana"))
        await phone.wait(300)
        await phone.say("all right", 900)
        await phone.wait(4000)
        await back
        assert ("caller", "all right") in call.dialogue.overheard_log
        people = [turn.text for (_, speaker), turn in call.record.turns.items() if speaker == "human"]
        assert people == [text]
        spoken = [at for at, level in ear.heard if at > typed and abs(level - VOICE) < 0.01]
        assert abs(len(spoken) * 20 - 50 * len(text + "I am back.")) <= 100
        await hangs_up(call, phone)

    run_virtual(main())


def test_who_takes_a_call_that_is_being_given_back_and_is_lost_is_replaced() -> None:
    async def main() -> None:
        desk = QueueDesk()
        call, phone, _ = await given_by_the_queue(desk)
        SlowRecognizer(call)
        await phone.say("thank you", 900)
        control = control_of(call)
        back = asyncio.create_task(control.hand_back("ana"))
        await phone.wait(100)
        await control.take_over("bo")
        await phone.wait(2000)
        await back
        assert control.state()["human"] == "bo"
        assert desk.ended == ["bridged", "handed_back"]
        control.human_lost("bo")
        await phone.wait(500)
        # The desk knows nothing of Bo: it is asked anew.
        assert [request.rule for request in desk.requests] == ["asked_for_person", "human_lost"]
        await hangs_up(call, phone)

    run_virtual(main())


@pytest.mark.parametrize("queue", [True, False])
def test_who_takes_a_call_in_the_moment_in_which_another_was_lost_has_it_alone(queue: bool) -> None:
    async def main() -> None:
        desk = QueueDesk(hold="music") if queue else FakeDesk(delay_s=2.0)
        call = FakeCall(desk=desk)
        phone = await with_ana(call)
        ear = Ear(phone)
        control = control_of(call)
        control.human_lost("ana")
        taking = asyncio.create_task(control.take_over("bo"))
        await phone.wait(6000)
        async with Browser(await taking, call) as bo:
            state = control.state()
            assert (state["human"], state["phase"], state["waiting_s"]) == ("bo", "human", None)
            since = now_ms()
            talking = asyncio.create_task(bo.wait(4000))
            await phone.say("my number is seven", 900)
            await phone.wait(3000)
            await talking
        assert not [level for at, level in ear.heard if at > since and 0 < abs(level) < 0.1]
        assert ("caller", "my number is seven") in call.dialogue.overheard_log
        # Whom the desk had been asked for, it no longer looks for.
        assert len(desk.requests) <= 1
        assert desk.left == ([] if queue else [request.handoff_id for request in desk.requests])
        await hangs_up(call, phone)

    run_virtual(main())


def test_who_takes_a_call_for_which_nobody_was_found_hears_and_is_heard() -> None:
    async def main() -> None:
        desk = QueueDesk()
        call, phone, _ = await given_by_the_queue(desk)
        control = control_of(call)
        control.human_lost("ana")
        await phone.wait(200)
        desk.decide(HandoffResult("unavailable", detail="nobody"))
        await phone.wait(200)  # the caller is still being told that Ana was cut off
        taking = asyncio.create_task(control.take_over("bo"))
        await phone.wait(100)
        await taking
        await phone.wait(5000)
        await phone.say("my number is seven", 900)
        await phone.wait(2000)
        assert control.state()["human"] == "bo"
        assert ("caller", "my number is seven") in call.dialogue.overheard_log
        assert call.dialogue.outcomes == ["accepted"]
        await hangs_up(call, phone)

    run_virtual(main())


@pytest.mark.parametrize("how", ["slow", "broken", "cancelled"])
def test_a_call_is_taken_out_of_a_queue_at_once_whatever_the_desk_does(how: str) -> None:
    class Desk(FakeDesk):
        async def caller_left(self, handoff_id: str) -> None:
            await asyncio.sleep(0.0 if how == "broken" else 8.0)
            if how == "broken":
                raise OSError("the database is away")
            await super().caller_left(handoff_id)

    async def main() -> None:
        desk = Desk(delay_s=60.0)
        call = FakeCall(desk=desk)
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("person please")
        await phone.wait_for_agent()
        await phone.wait(500)
        control = control_of(call)
        taking = asyncio.create_task(control.take_over("sam"))
        await phone.wait(100)
        if how == "cancelled":
            taking.cancel()
        assert control.state()["human"] == "sam"
        phone.hang_up()
        await call.ended(60)
        assert set(desk.left) == (set() if how == "broken" else {desk.requests[0].handoff_id})

    run_virtual(main())


def test_what_is_typed_just_before_a_person_takes_over_is_read_by_that_person() -> None:
    async def main() -> None:
        can = Capabilities(PHONE, transfer="close", text_in=True)
        call = FakeCall(can)
        phone = await call.start()
        await phone.wait_for_sound()
        phone.type("my order is late")  # while what must be heard is said
        await phone.wait(200)
        await control_of(call).take_over("ana")
        await phone.wait(1000)
        assert call.dialogue.overheard_log == [("caller", "my order is late")]
        assert [turn.text for (_, who), turn in call.record.turns.items() if who == "caller"] == ["my order is late"]
        await hangs_up(call, phone)

    run_virtual(main())


def test_what_is_typed_to_a_person_is_read_though_no_model_understands_it() -> None:
    class Broken(FakeUnderstanding):
        def understand(self, text: str, context: Any = None) -> Understood:
            raise RuntimeError("the model is gone")

    async def main() -> None:
        call = FakeCall(Capabilities(PHONE, transfer="close", text_in=True))
        call.services = replace(call.services, understanding=Broken())
        call.session.services = call.services
        phone = await with_ana(call)
        lines = ["one", "two", "three", "four"]
        for line in lines:
            phone.type(line)
            await phone.wait(200)
        assert call.dialogue.overheard_log == [("caller", line) for line in lines]
        assert not call.session.done
        await hangs_up(call, phone)

    run_virtual(main())


def test_a_dialogue_that_fails_to_follow_people_does_not_end_their_call() -> None:
    class Failing(FakeDialogue):
        def overheard(self, speaker: str, text: str, understood: Understood | None) -> None:
            raise KeyError("a slot")

    async def main() -> None:
        call = FakeCall()
        call.dialogue = Failing()
        phone = await with_ana(call)
        await phone.say("hello there", 900)
        await phone.wait(1500)
        await phone.say("my number is seven", 900)
        await phone.wait(1500)
        assert not call.session.done
        callers = [turn.text for (_, who), turn in call.record.turns.items() if who == "caller"]
        assert callers == ["hello there", "my number is seven"]
        assert call.session.notes.counters["not_overheard"] == 2
        await hangs_up(call, phone)

    run_virtual(main())


def test_who_hangs_up_and_closes_the_page_is_not_looked_for() -> None:
    async def main() -> None:
        desk = QueueDesk()
        call = FakeCall(Capabilities(PHONE, transfer="close", hangup="message"), desk=desk)
        phone = await call.start()
        sent: list[Any] = []
        inner = phone.append
        phone.append = lambda command: (sent.append(command), inner(command))[1]  # type: ignore[method-assign]
        await phone.wait_for_agent()
        control = control_of(call)
        async with Browser(await control.take_over("ana"), call) as ana:
            await phone.wait(8000)
            await control.hang_up("ana")
            ana.seat.leave()
            control.human_lost("ana")
            with pytest.raises(Gone):
                await control.hang_up("ana")
            await phone.wait(4500)
            assert ana.closed == "call_over"
        assert desk.requests == []
        assert len([command for command in sent if isinstance(command, Hangup)]) == 1
        await phone.wait(2000)
        ended = await call.ended()
        assert (ended.outcome, ended.reason) == ("handed_off", "human_hung_up")

    run_virtual(main())


def test_nobody_is_looked_for_once_the_caller_has_hung_up() -> None:
    async def main() -> None:
        desk = QueueDesk()
        call = FakeCall(desk=desk)
        phone = await with_ana(call)
        SlowRecognizer(call)
        await phone.say("thank you", 900)
        phone.hang_up()
        await asyncio.sleep(0.2)
        assert call.session.done  # what was said last is still being recognized
        assert not call.record.finished
        control_of(call).human_lost("ana")
        with pytest.raises(Gone):
            await control_of(call).take_over("bo")
        await call.ended()
        assert desk.requests == []
        assert [turn.text for (_, who), turn in call.record.turns.items() if who == "caller"] == ["thank you"]

    run_virtual(main())


def test_a_page_has_its_time_to_come_back_however_late_it_is_loaded_again() -> None:
    async def main() -> None:
        call = FakeCall(desk=QueueDesk())
        phone = await call.start()
        await phone.wait_for_agent()
        control = control_of(call)
        async with Browser(await control.take_over("ana"), call) as ana:
            await phone.wait(9_500)
            ana.seat.leave()
        await phone.wait(1500)  # past the ten seconds that a new person's console has
        assert control.state()["human"] == "ana"
        async with Browser(control.join("ana", "talk"), call) as ana:
            await phone.wait(1000)
            ana.seat.leave()
            await phone.wait(2000)
            assert control.state()["human"] == "ana"
            await phone.wait(2000)
        assert control.state()["with"] == "queue"
        await hangs_up(call, phone)

    run_virtual(main())


class SlowCarrier:
    def __init__(self, fails: bool) -> None:
        self._fails = fails
        self.asked: list[str] = []

    async def transfer(self, call_sid: str, target: str, context: Any = None) -> None:
        self.asked.append(target)
        await asyncio.sleep(2.0)
        if self._fails:
            raise RuntimeError("the carrier refused")

    async def hang_up(self, call_sid: str) -> bool:
        return True


@pytest.mark.parametrize("fails", [False, True])
def test_a_person_lost_while_the_caller_is_sent_on_is_only_replaced_where_that_fails(fails: bool) -> None:
    async def main() -> None:
        desk, carrier = QueueDesk(), SlowCarrier(fails)
        call = FakeCall(Capabilities(PHONE, transfer="rest"), desk=desk)
        call.services = replace(call.services, carriers={"fake": carrier})
        call.session.services = call.services
        phone = await with_ana(call)
        control = control_of(call)
        sending = asyncio.create_task(control.transfer("ana", "+15550111"))
        twice = asyncio.create_task(control.transfer("ana", "+15550112"))
        await phone.wait(200)
        with pytest.raises(ValueError, match="already"):
            await twice
        with pytest.raises(Gone):
            await control.hand_back("ana")
        control.human_lost("ana")
        sending.cancel()
        await phone.wait(1000)
        assert desk.requests == []
        await phone.wait(1500)
        assert carrier.asked == ["+15550111"]
        if fails:
            assert [request.rule for request in desk.requests] == ["human_lost"]
            assert control.state()["with"] == "queue"
            await hangs_up(call, phone)
            assert desk.left == [desk.requests[0].handoff_id]
        else:
            await phone.wait(6000)
            ended = await call.ended()
            assert (ended.outcome, ended.reason, desk.requests) == ("handed_off", "transferred", [])

    run_virtual(main())


def test_the_logs_of_a_line_that_came_back_know_its_call_and_the_pauses_of_it() -> None:
    async def main() -> None:
        call = FakeCall()
        found: list[Any] = []

        class Asking(FakeDialogue):
            def heard(self, text: str, complete: bool) -> None: ...

            async def respond(self, turn: Any) -> Any:
                found.append((paused_call.get(), logs.call_id.get()))
                async for part in super().respond(turn):
                    yield part

        call.dialogue = Asking()
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("hello there")
        await phone.wait_for_agent()
        phone.drop()
        await asyncio.sleep(2.0)
        second = Returned(call)
        await second.phone.wait(500)
        second.phone.press("4711#")
        await second.phone.wait_for_agent()
        second.phone.hang_up()
        await call.ended()
        await second.running
        (before, _), (after, call_id) = found
        assert before is after is not None
        assert call_id == "c-test"

    run_virtual(main())
