"""People at consoles on live calls: listen in, take over, talk, hand back. In virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from browserfakes import Browser, Ear, FakeFeed, announced, control_of, now_ms, quiet_line
from callfakes import PHONE, FakeCall, FakeDialogue
from virtual_time import run_virtual

from agent.call.control import Gone, NotYours, Taken
from agent.gateways.base import Capabilities, SpeakText

VOICE = 0.3
"""Level of the scripted agent's voice."""


def watched(call: FakeCall) -> FakeFeed:
    feed = FakeFeed()
    call.services = replace(call.services, feed=feed)
    call.session.services = call.services
    call.session.notes._services = call.services
    return feed


def test_what_happens_in_a_call_is_told_to_consoles() -> None:
    async def main() -> None:
        call = FakeCall()
        feed = watched(call)
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("my card is 4111 1111 1111 1111")
        await phone.wait_for_agent()
        state = control_of(call).state()
        assert (state["call_id"], state["with"], state["human"]) == ("c-test", "agent", None)
        assert state["caller"] == "+15550123"
        assert state["duration_s"] > 1
        phone.hang_up()
        await call.ended()
        kinds = [message["type"] for message in feed.messages]
        assert kinds[0] == "call_started"
        assert feed.messages[0]["caller"] == "+15550123", "whole, as in the state"
        assert kinds[-1] == "call_ended"
        assert feed.messages[-1]["outcome"] == "caller_left"
        assert {message["call"] for message in feed.messages} == {"c-test"}
        turn = next(message for message in feed.of("turn") if message["speaker"] == "caller")
        assert (turn["text"], turn["number"]) == ("my card is [card]", 1)
        assert "4111" not in str(feed.messages)
        assert {"listening", "thinking", "speaking"} <= {message["phase"] for message in feed.of("state")}
        assert any(message["final"] and message["speaker"] == "agent" for message in feed.of("caption"))

    run_virtual(main())


def test_who_listens_in_hears_both_and_is_heard_by_nobody() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        ear = Ear(phone)
        async with Browser((await announced(call)).join("sam", "listen"), call) as sam:
            await phone.wait_for_agent()
            talking = asyncio.create_task(sam.send_level(0.9, 2000))
            asked = now_ms()
            await phone.say("where is it")
            await phone.wait_for_agent()
            await talking
            assert sam.hears(VOICE)
            level = call.lines.level("where is it")
            heard = sam.first_heard(level, asked)
            assert heard is not None
            assert heard - asked <= 150
            assert not ear.hears(0.9)
            phone.hang_up()
            await call.ended()
        assert sam.closed == "call_over"
        assert call.turn(1, "agent").heard == "You said where is it."
        assert [event["event"] for kind, event in call.record.events if kind == "human"] == ["joined", "left"]

    run_virtual(main())


def test_listening_in_leaves_the_agents_sound_as_it_is() -> None:
    async def played(listening: bool) -> list[tuple[float, float]]:
        call = FakeCall()
        phone = await call.start()
        ear = Ear(phone)
        control = await announced(call)
        if listening:
            control.join("sam", "listen")
        await phone.wait_for_agent()
        await phone.say("where is it")
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        return ear.heard

    async def main() -> None:
        began = now_ms()
        without = [(at - began, level) for at, level in await played(False)]
        began = now_ms()
        heard = [(at - began, level) for at, level in await played(True)]
        assert [level for _, level in heard] == [level for _, level in without]
        assert max(abs(at - before) for (at, _), (before, _) in zip(heard, without, strict=True)) <= 2

    run_virtual(main())


def test_a_person_takes_over_talks_and_hands_back() -> None:
    async def main() -> None:
        call = FakeCall()
        feed = watched(call)
        phone = await call.start()
        ear = Ear(phone)
        await phone.wait_for_agent()
        await phone.say("long please")
        await phone.wait_for_sound()
        control = control_of(call)
        seat = await control.take_over("ana")
        stopped = now_ms()
        assert (control.state()["with"], control.state()["human"]) == ("human", "ana")
        async with Browser(seat, call) as ana:
            async with quiet_line(phone):
                await ana.say("good morning this is ana", 1000)
                await ana.wait(1500)
            said = call.lines.level("good morning this is ana")
            assert ear.hears(said)
            assert not [at for at, level in ear.heard if at > stopped + 100 and abs(level - VOICE) < 0.01]
            talking = asyncio.create_task(ana.wait(4000))
            await phone.say("my number is seven", 1000)
            await phone.wait(3000)
            await talking
            assert ana.hears(call.lines.level("my number is seven"))
            async with quiet_line(phone):
                back = asyncio.create_task(control.hand_back("ana", "gave a refund"))
                await ana.wait(200)
                await back
            assert ana.closed == "handed_back"
        await phone.wait_for_agent()
        assert control.state()["with"] == "agent"
        await phone.say("bye now")
        await phone.wait(4000)
        ended = await call.ended()
        assert (ended.outcome, ended.reason) == ("completed", "goodbye")
        people = [turn for (_, speaker), turn in call.record.turns.items() if speaker == "human"]
        assert [(turn.text, turn.reasons["who"]) for turn in people] == [("good morning this is ana", "ana")]
        callers = [turn.text for (_, speaker), turn in call.record.turns.items() if speaker == "caller"]
        assert callers == ["long please", "my number is seven", "bye now"]
        numbers = list(call.record.turns)
        assert len(numbers) == len(set(numbers))
        assert call.turn(1, "agent").interrupted
        assert call.dialogue.overheard_log == [
            ("human", "good morning this is ana"),
            ("caller", "my number is seven"),
        ]
        assert ("I am back.", True) in call.dialogue.heard_log
        assert [event["event"] for event in feed.of("human")] == ["took_over", "joined", "handed_back", "left"]
        assert feed.of("note")[0]["text"] == "gave a refund"
        assert "human" in {message["with"] for message in feed.of("state")}

    run_virtual(main())


@pytest.mark.parametrize("chunk_ms", [20, 60])
def test_voices_are_passed_on_within_150_ms(chunk_ms: int) -> None:
    async def main() -> None:
        call = FakeCall()
        call.phone.chunk_ms = chunk_ms
        phone = await call.start()
        ear = Ear(phone)
        await phone.wait_for_agent()
        async with Browser(await control_of(call).take_over("ana"), call) as ana:
            for n in range(8):
                async with quiet_line(phone):
                    await ana.wait(400 + 7 * n)
                    spoke = now_ms()
                    await ana.say(f"word {n}", 300)
                    await ana.wait(300)
                sent = ear.first_heard(call.lines.level(f"word {n}"), spoke)
                assert sent is not None
                # A frame spoken from `spoke` on leaves the browser 20 ms later; `spoke` is when it came in here.
                assert sent - spoke <= 100
                talking = asyncio.create_task(ana.wait(1500))
                spoke = now_ms()
                await phone.say(f"answer {n}", 300)
                await phone.wait(1200)
                await talking
                heard = ana.first_heard(call.lines.level(f"answer {n}"), spoke)
                assert heard is not None
                assert heard - spoke <= 150
            phone.hang_up()
            await call.ended()

    run_virtual(main())


def test_no_frame_of_a_voice_is_lost_or_late_for_long() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        ear = Ear(phone)
        await phone.wait_for_agent()
        async with Browser(await control_of(call).take_over("ana"), call) as ana, quiet_line(phone):
            began = now_ms()
            await ana.send_level(0.5, 12_000)
            await ana.wait(500)
            sent = [at for at, level in ear.heard if at >= began and abs(level - 0.5) < 0.01]
            assert abs(len(sent) - 600) <= 3
            assert sent[-1] - began <= 12_000 + 150
            phone.hang_up()
            await call.ended()
        assert "talk_late" not in call.session.notes.counters

    run_virtual(main())


def test_two_who_take_a_call_over_one_wins() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        control = control_of(call)
        results = await asyncio.gather(control.take_over("ana"), control.take_over("bo"), return_exceptions=True)
        assert results[0].who == "ana"  # type: ignore[union-attr]
        assert isinstance(results[1], Taken)
        assert results[1].who == "ana"
        with pytest.raises(NotYours):
            await control.hand_back("bo")
        with pytest.raises(PermissionError):
            control.join("bo", "talk")
        first = results[0]
        assert await control.take_over("ana") is first
        again = control.join("ana", "talk")
        assert again is not first
        assert first.closed  # type: ignore[union-attr]
        phone.hang_up()
        await call.ended()
        with pytest.raises(Gone):
            await control.take_over("bo")

    run_virtual(main())


def test_mute_and_hold() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        ear = Ear(phone)
        await phone.wait_for_agent()
        seat = await control_of(call).take_over("ana")
        async with Browser(seat, call) as ana:
            async with quiet_line(phone):
                seat.change(muted=True)
                await ana.send_level(0.5, 600)
                seat.change(muted=False, held=True)
                await ana.send_level(0.6, 600)
            talking = asyncio.create_task(ana.wait(600))
            await phone.send_level(0.7, 600)
            await talking
            await phone.wait(100)
            async with quiet_line(phone):
                seat.change(held=False)
                await ana.send_level(0.8, 600)
            assert [ear.hears(level) for level in (0.5, 0.6, 0.8)] == [False, False, True]
            assert not ana.hears(0.7)
            phone.hang_up()
            await call.ended()

    run_virtual(main())


def test_what_is_typed_is_spoken_where_there_is_no_microphone() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        ear = Ear(phone)
        await phone.wait_for_agent()
        control = control_of(call)
        with pytest.raises(NotYours):
            control.say("ana", "hello")
        await control.take_over("ana")
        typed = now_ms()
        control.say("ana", "This is Ana.")
        control.say("ana", "How are you?")
        with pytest.raises(ValueError, match="send 1 to"):
            control.say("ana", "  ")
        await phone.wait(3000)
        sounds = [at for at, level in ear.heard if at > typed and abs(level - VOICE) < 0.01]
        assert abs(len(sounds) * 20 - 50 * len("This is Ana.How are you?")) <= 80
        people = [turn for (_, speaker), turn in call.record.turns.items() if speaker == "human"]
        assert [turn.text for turn in people] == ["This is Ana.", "How are you?"]
        for _ in range(8):
            control.say("ana", "again")
        with pytest.raises(ValueError, match="wait"):
            control.say("ana", "again")
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_a_gateway_that_speaks_itself_is_given_what_is_typed() -> None:
    async def main() -> None:
        can = Capabilities(
            PHONE, marks="none", clear=False, audio_in=False, audio_out=False, text_in=True, text_out=True
        )
        call = FakeCall(can)
        sent: list[object] = []
        inner = call.phone.append
        call.phone.append = lambda command: (sent.append(command), inner(command))[1]  # type: ignore[method-assign]
        phone = await call.start()
        await asyncio.sleep(8)
        control = control_of(call)
        await control.take_over("ana")
        control.say("ana", "This is Ana.")
        await asyncio.sleep(1)
        phone.type("hello ana")
        await asyncio.sleep(1)
        assert SpeakText("This is Ana.", language="en") in sent
        assert call.dialogue.overheard_log == [("human", "This is Ana."), ("caller", "hello ana")]
        assert call.dialogue.turns == []
        await control.hand_back("ana")
        await asyncio.sleep(4)
        phone.type("thanks")
        await asyncio.sleep(2)
        assert [turn.text for turn in call.dialogue.turns] == ["thanks"]
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_the_recording_has_what_the_caller_heard_of_a_person() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        recorded: list[tuple[float, float]] = []

        class Recording:
            def caller(self, samples: Any, at_ms: float) -> None: ...

            def agent(self, samples: Any, at_ms: float) -> None:
                recorded.extend((at_ms + n / 8.0, abs(int(value)) / 32768.0) for n, value in enumerate(samples))

        await asyncio.sleep(0.01)
        call.record.recording = Recording()  # type: ignore[assignment]
        await phone.wait_for_agent()
        async with Browser(await control_of(call).take_over("ana"), call) as ana, quiet_line(phone):
            await ana.send_level(0.5, 1000)
            await ana.wait(400)
        loud = [at for at, level in recorded if abs(level - 0.5) < 0.02]
        assert abs(len(loud) / 8.0 - 1000) < 40
        assert [level for _, level in recorded if abs(level - VOICE) < 0.01]
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_a_call_that_ends_with_a_person_counts_as_handed_off() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        async with Browser(await control_of(call).take_over("ana"), call) as ana:
            talking = asyncio.create_task(ana.say("goodbye then", 800))
            await phone.wait(900)
            await talking
            phone.hang_up()
            ended = await call.ended()
        assert (ended.outcome, ended.reason) == ("handed_off", "stop")
        assert [turn.text for (_, who), turn in call.record.turns.items() if who == "human"] == ["goodbye then"]

    run_virtual(main())


def test_a_line_that_breaks_while_a_person_has_the_call_may_come_back() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        async with Browser(await control_of(call).take_over("ana"), call) as ana:
            await asyncio.gather(ana.say("are you there", 600), phone.wait(600))
            phone.drop()
            await ana.send_level(0.5, 4000)
            assert not call.session.done
            assert "audio_dropped" not in call.session.notes.counters
        ended = await call.ended(200)
        assert (ended.outcome, ended.reason) == ("handed_off", "line_lost")

    run_virtual(main())


def test_a_secret_that_the_agent_had_asked_for_is_not_kept_when_it_is_told_to_a_person() -> None:
    class Asking(FakeDialogue):
        sensitive = True  # type: ignore[assignment]

    async def main() -> None:
        call = FakeCall()
        call.dialogue = Asking()
        feed = watched(call)
        phone = await call.start()
        await phone.wait_for_agent()
        async with Browser(await control_of(call).take_over("ana"), call) as ana:
            talking = asyncio.create_task(ana.wait(4000))
            await phone.say("my pin is 4711", 1500)
            await phone.wait(1500)
            await phone.say("thank you", 900)
            await phone.wait(900)
            await talking
            phone.hang_up()
            await call.ended()
        assert [turn.text for (_, who), turn in call.record.turns.items() if who == "caller"] == [
            "[withheld]",
            "thank you",
        ]
        assert "4711" not in str(feed.messages)
        assert "4711" not in str(call.record.events)

    run_virtual(main())
