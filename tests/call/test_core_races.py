"""Connections that break or answer at the worst moment, in virtual time: nothing is said twice, lost or believed."""

from __future__ import annotations

import asyncio

import numpy as np
from callfakes import PHONE, FakeCall, FakeDesk, FakeGateway, Phone
from test_monitoring import FakeRecording
from test_returning import START, Returned
from test_text_gateways import RELAY, sent
from virtual_time import run_virtual

from agent.call.playout import Playout
from agent.call.session import Admission, Session
from agent.gateways.base import (
    Answer,
    CallEnded,
    Capabilities,
    Dtmf,
    MediaPaused,
    SpeakText,
    TextHeard,
    TextIn,
    Transfer,
    Truncated,
)
from agent.handoff.contracts import HandoffResult
from audio.codec import Encoding
from models.pool import Priority


def back(call: FakeCall, *, capabilities: Capabilities) -> tuple[Phone, asyncio.Task[object]]:
    """A second connection of the same gateway, not announced yet."""
    gateway = FakeGateway(capabilities)
    phone = Phone(gateway, call.lines)
    session = Session(
        call.services,
        gateway,
        phone,
        "c-second",
        Admission(),
        lambda name, known: call.session if call.session.answers_to(name, known) else None,
    )
    return phone, asyncio.create_task(session.run())


def test_what_follows_at_once_on_the_start_of_a_call_that_came_back_is_for_that_call() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        phone.drop()
        await asyncio.sleep(1.0)
        second = Returned(call)
        second.phone.press("123#")
        await second.phone.wait_for_agent()
        assert call.turn(1, "caller").text == "[keys 123]"
        second.phone.hang_up()
        await call.ended()
        await second.running

    run_virtual(main())


def test_the_rest_of_the_message_that_announced_a_call_again_is_for_that_call() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        phone.drop()
        await asyncio.sleep(1.0)
        second, running = back(call, capabilities=Capabilities(PHONE, transfer="close"))
        taken = second.gateway.receive
        second.gateway.receive = lambda message: [*taken(message), *map(Dtmf, "77#")]  # type: ignore[method-assign]
        second.give(START)
        await asyncio.sleep(0.01)
        second.gateway.receive = taken  # type: ignore[method-assign]
        await second.wait_for_agent()
        assert call.turn(1, "caller").text == "[keys 77]"
        second.hang_up()
        await call.ended()
        await running

    run_virtual(main())


def test_a_call_that_ends_while_its_return_is_answered_is_not_carried_on() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        phone.drop()
        await asyncio.sleep(1.0)
        second, running = back(call, capabilities=Capabilities(PHONE, transfer="close"))

        async def slowly(message: str | bytes) -> None:
            await asyncio.sleep(0.5)

        second.send = slowly  # type: ignore[method-assign]
        second.give(Answer("opened"))
        second.give(START)
        await asyncio.sleep(0.1)
        call.session.stop("server_stopping")
        assert (await call.ended()).reason == "server_stopping"
        await asyncio.sleep(1.0)
        assert not call.session._tasks
        assert len(call.records.calls) == 2
        second.hang_up()
        async with asyncio.timeout(2.0):
            await running

    run_virtual(main())


def test_audio_that_was_missing_on_each_connection_is_counted() -> None:
    async def main() -> None:
        call = FakeCall()
        call.gateway.sequence_gaps, call.gateway.lost_ms = 3, 60  # type: ignore[attr-defined]
        phone = await call.start()
        await phone.wait_for_agent()
        phone.drop()
        await asyncio.sleep(1.0)
        second = Returned(call)
        second.gateway.sequence_gaps, second.gateway.lost_ms = 4, 80  # type: ignore[attr-defined]
        await second.phone.wait(500)
        second.phone.hang_up()
        await call.ended()
        await second.running
        finished = call.record.finished
        assert finished is not None
        assert (finished.counters["sequence_gaps"], finished.counters["lost_ms"]) == (7, 140)

    run_virtual(main())


def test_a_gateway_that_speaks_itself_is_told_again_what_it_lost() -> None:
    async def main() -> None:
        for lost_after_ms in (20, 500, 1200):
            call = FakeCall(RELAY)
            phone = await call.start()
            await asyncio.sleep(lost_after_ms / 1000.0)
            phone.drop()
            await asyncio.sleep(2.0)
            second, running = back(call, capabilities=RELAY)
            seen = sent(second)
            second.give(START)
            await asyncio.sleep(6.0)
            said = [(one.text, one.interruptible) for one in seen if isinstance(one, SpeakText) and one.text]
            assert said == [("This call is recorded.", False), ("How can I help?", True)], lost_after_ms
            assert call.turn(0, "agent").heard == "This call is recorded. How can I help?"
            second.hang_up()
            await call.ended()
            await running

    run_virtual(main())


def test_an_answer_made_while_a_gateway_that_speaks_itself_was_away_is_spoken() -> None:
    async def main() -> None:
        call = FakeCall(RELAY)
        phone = await call.start()
        await asyncio.sleep(5.0)
        phone.give(TextIn("where is it"))
        await asyncio.sleep(0.0)
        phone.drop()
        await asyncio.sleep(4.0)
        second, running = back(call, capabilities=RELAY)
        seen = sent(second)
        second.give(START)
        await asyncio.sleep(5.0)
        said = [one.text for one in seen if isinstance(one, SpeakText)]
        assert said == ["You said where is it.", ""]
        assert call.turn(1, "agent").heard == "You said where is it."
        second.hang_up()
        await call.ended()
        await running

    run_virtual(main())


def test_what_is_said_to_be_cut_short_after_it_was_over_is_not_the_next_reply() -> None:
    async def main() -> None:
        for event in (Truncated(100.0), TextHeard("This", stopped=True)):
            call = FakeCall(delays_ms={Priority.FINAL_RECOGNITION: 400, Priority.SPECULATION: 400})
            phone = await call.start()
            await phone.wait_for_agent()
            await phone.say("where is it")
            while call.session.phase != "thinking":
                await phone.wait(20)
            phone.give(event)
            await phone.wait_for_agent()
            assert call.turn(1, "agent").heard == "You said where is it.", event
            phone.hang_up()
            await call.ended()

    run_virtual(main())


def test_time_that_passes_while_the_line_is_away_is_not_counted_twice() -> None:
    async def main() -> None:
        call = FakeCall(desk=FakeDesk(HandoffResult("busy"), delay_s=8.0))
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("person please")
        while call.session.phase != "transferring":
            await phone.wait(20)
        phone.drop()
        await asyncio.sleep(12.0)
        second = Returned(call)
        await second.phone.wait(100)
        conversation = call.session._conversation
        assert conversation is not None
        now = call.services.clock.now_ms()
        assert max(conversation.floor.state.idle_ms, conversation.floor.state.thinking_ms) <= now
        await second.phone.wait_for_agent()
        assert "Nobody is free now." in (call.turn(2, "agent").heard or "")
        second.phone.hang_up()
        await call.ended()
        await second.running

    run_virtual(main())


def test_a_client_that_comes_back_without_sound_is_a_call_of_its_own() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        phone.drop()
        await asyncio.sleep(1.0)
        typed = Capabilities(PHONE, transfer="close", audio_in=False, audio_out=False)
        second, running = back(call, capabilities=typed)
        second.give(START)
        await asyncio.sleep(1.0)
        assert len(call.records.calls) == 2
        second.hang_up()
        await running
        assert (await call.ended()).reason == "line_lost"

    run_virtual(main())


def test_a_pause_of_the_audio_ends_with_its_connection() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        phone.give(MediaPaused(True))
        await asyncio.sleep(1.0)
        phone.drop()
        await asyncio.sleep(1.0)
        second = Returned(call)
        await second.phone.wait(12_000)
        assert call.turn(1, "agent").text.startswith("Are you there?")
        second.phone.hang_up()
        await call.ended()
        await second.running

    run_virtual(main())


def test_a_typed_call_is_patient_after_a_pause_too() -> None:
    async def main() -> None:
        call = FakeCall(Capabilities(PHONE, audio_in=False, audio_out=False, transfer="close"))
        phone = await call.start()
        await asyncio.sleep(1.0)
        phone.give(MediaPaused(True))
        phone.give(MediaPaused(False))
        await asyncio.sleep(30.0)
        assert list(call.record.turns) == [(0, "agent")]
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_a_caller_is_not_moved_by_a_message_while_the_line_is_away() -> None:
    async def main() -> None:
        can = Capabilities(PHONE, transfer="message")
        call = FakeCall(can, desk=FakeDesk(delay_s=2.0))
        phone = await call.start()
        await phone.wait_for_agent()
        conversation = call.session._conversation
        assert conversation is not None
        for _ in range(2):
            conversation.part_failed("answer", RuntimeError("broken"))
        await asyncio.sleep(1.0)
        assert call.session.phase == "transferring"
        phone.drop()
        await asyncio.sleep(8.0)
        second, running = back(call, capabilities=can)
        seen = sent(second)
        second.give(START)
        await asyncio.sleep(1.0)
        assert [one for one in seen if isinstance(one, Transfer)] != []
        assert (await call.ended()).outcome == "handed_off"
        await running

    run_virtual(main())


def test_a_caller_who_does_not_come_back_was_not_moved() -> None:
    async def main() -> None:
        call = FakeCall(Capabilities(PHONE, transfer="message"), desk=FakeDesk(delay_s=2.0))
        phone = await call.start()
        await phone.wait_for_agent()
        conversation = call.session._conversation
        assert conversation is not None
        for _ in range(2):
            conversation.part_failed("answer", RuntimeError("broken"))
        await asyncio.sleep(1.0)
        phone.drop()
        ended = await call.ended()
        assert (ended.outcome, ended.reason) == ("caller_left", "line_lost")
        assert call.desk.ended == []
        assert len(call.desk.left) == 1

    run_virtual(main())


def test_a_call_may_be_over_in_the_message_that_announced_it() -> None:
    async def main() -> None:
        call = FakeCall()
        taken = call.gateway.receive
        call.gateway.receive = lambda message: [*taken(message), CallEnded("gone"), Answer("closed")]  # type: ignore[method-assign]
        written: list[str | bytes] = []

        async def write(message: str | bytes) -> None:
            written.append(message)

        call.phone.send = write  # type: ignore[method-assign]
        await call.start()
        ended = await call.ended()
        assert (ended.outcome, ended.reason) == ("caller_left", "gone")
        assert written == ["closed"]
        assert call.record.finished is not None
        assert not call.session._tasks

    run_virtual(main())


def test_a_hang_up_by_message_does_not_wait_for_ever() -> None:
    async def main() -> None:
        for how in ("message", "rest"):
            call = FakeCall(Capabilities(PHONE, transfer="close", hangup=how))  # type: ignore[arg-type]
            phone = await call.start()
            await phone.wait_for_agent()
            await phone.say("bye now")
            before = asyncio.get_running_loop().time()
            ended = await call.ended(within_s=12.0)
            assert (ended.outcome, ended.reason) == ("completed", "goodbye")
            assert asyncio.get_running_loop().time() - before < 10.0

    run_virtual(main())


def test_a_gateway_that_reads_faster_than_we_think_is_believed() -> None:
    async def main() -> None:
        call = FakeCall(RELAY)
        phone = await call.start()
        await asyncio.sleep(5.0)
        phone.give(TextIn("tell me"))
        await asyncio.sleep(0.3)
        phone.give(TextHeard("You said tell me.", stopped=True))
        await asyncio.sleep(0.1)
        assert call.turn(1, "agent").heard == "You said tell me."
        assert call.dialogue.heard_log[-1] == ("You said tell me.", False)
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_the_recording_goes_by_the_clock_after_a_line_was_away() -> None:
    async def main() -> None:
        call = FakeCall()
        recording = FakeRecording()
        phone = await call.start()
        await phone.wait(300)
        call.record.recording = recording  # type: ignore[assignment]
        await phone.wait(300)
        phone.drop()
        await asyncio.sleep(4.0)
        second = Returned(call)
        await second.phone.wait(1000)
        now = call.services.clock.now_ms() - call.session.notes.began_ms
        for side in ("caller", "agent"):
            at_ms, count = recording.sides[side][-1]
            assert now - 200 <= at_ms + count / 8 <= now + 5, side
            assert not [at for at, _ in recording.sides[side] if 800 < at < 4500]
        second.phone.hang_up()
        await call.ended()
        await second.running

    run_virtual(main())


def test_what_was_dropped_and_is_said_again_after_a_pause_was_heard() -> None:
    playout = Playout(Capabilities(Encoding("pcm16", 8000), marks="none"))
    playout.begin(1)
    number = playout.utterance(1, "one two three four")
    assert number is not None
    playout.add(1, number, (0, 18), np.zeros(16_000, dtype=np.int16))
    playout.complete(1)
    for now in range(0, 1000, 20):
        playout.due(now)
    playout.lost(30)
    assert [one.heard for one in playout.heard(1000)] == ["one"]
    playout.pause(1000)
    playout.resume(1000)
    for now in range(1000, 4000, 20):
        playout.due(now)
    assert [one.heard for one in playout.heard(4000)] == ["one two three four"]


def test_what_was_heard_after_a_return_counts_from_what_was_said_again() -> None:
    async def main() -> None:
        call = FakeCall(RELAY)
        phone = await call.start()
        await asyncio.sleep(1.7)
        phone.drop()
        await asyncio.sleep(2.0)
        second, running = back(call, capabilities=RELAY)
        seen = sent(second)
        second.give(START)
        await asyncio.sleep(0.4)
        assert [one.text for one in seen if isinstance(one, SpeakText) and one.text] == ["How can I help?"]
        second.give(TextHeard("How can", stopped=True))
        await asyncio.sleep(0.1)
        assert call.turn(0, "agent").heard == "This call is recorded. How can"
        second.hang_up()
        await call.ended()
        await running

    run_virtual(main())
