"""Two things at once: interruptions, second thoughts and hang-ups at every moment of a call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
from callfakes import PHONE, FakeCall, FakeDesk, Phone
from hypothesis import given
from hypothesis import strategies as st
from test_floor import EVENTS, SETTINGS
from virtual_time import run_virtual

from agent.call import floor
from agent.call.floor import FloorSettings, FloorState, Phase, step
from agent.call.listening import FRAME, LONGEST_S, Listening
from agent.call.outbox import Outbox
from agent.config import Settings
from agent.dialogue.contracts import Acted, CallerTurn, HandOff, Part, Say
from agent.gateways.base import AudioIn, Capabilities, Clear, Hangup, Mark, Play
from agent.handoff.contracts import HandoffResult
from models.contracts import VoiceEmotion
from models.errors import Overloaded
from models.pool import Priority

QUICK = Settings(floor=FloorSettings(wait_high_ms=350))
"""Turns end so early that a caller who only paused is answered too soon."""
TYPED = Capabilities(PHONE, marks="none", clear=False, audio_in=False, audio_out=False, transfer="message")


def slow_voice(call: FakeCall, seconds: float = 0.8) -> None:
    """Synthesis takes `seconds`, so that replies stay unheard for a while."""
    speak = call.voice.speak

    async def slowly(text: str, tone: Any = "neutral", **_: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(seconds)
        async for speech in speak(text, tone):
            yield speech

    call.voice.speak = slowly  # type: ignore[method-assign]


def answering(call: FakeCall, respond: Callable[[CallerTurn], AsyncIterator[Part]]) -> None:
    """Let `respond` answer the turns of the call."""
    call.dialogue.respond = respond  # type: ignore[method-assign]


def now_ms() -> float:
    return asyncio.get_running_loop().time() * 1000.0


# What the caller enters


@pytest.mark.parametrize("entered", ["keys", "text"])
def test_what_was_entered_is_not_taken_back_by_a_voice(entered: str) -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("hello")
        await phone.wait_for_agent()
        slow_voice(call)
        if entered == "keys":
            phone.press("42#")
        else:
            phone.type("forty two")
        await phone.noise(400)
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        taken = [turn.dtmf or turn.text for turn in call.dialogue.turns]
        assert taken == ["hello", "42" if entered == "keys" else "forty two"]
        assert call.dialogue.restored == 0
        assert call.turn(2, "caller").text in ("[keys 42]", "forty two")

    run_virtual(main())


def test_keys_pressed_while_a_person_is_looked_for_do_not_replace_later_words() -> None:
    async def main() -> None:
        call = FakeCall(desk=FakeDesk(HandoffResult("declined"), delay_s=3.0))
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("person please")
        await phone.wait_for_agent(quiet_ms=300)
        assert call.session.phase == "transferring"
        phone.press("5#")
        await phone.wait_for_agent()
        await phone.say("hello again")
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert [turn.text for turn in call.dialogue.turns] == ["person please", "hello again"]

    run_virtual(main())


@pytest.mark.parametrize("how", ["keys", "text", "voice", "failing ears"])
def test_nothing_stops_the_farewell_to_a_caller_whom_a_person_waits_for(how: str) -> None:
    async def main() -> None:
        call = FakeCall(desk=FakeDesk(delay_s=1.0))
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("person please")
        while not call.dialogue.outcomes:
            await phone.wait(60)
        if how == "keys":
            phone.press("5#")
        elif how == "text":
            phone.type("hello")
        elif how == "failing ears":
            call.vad.error = RuntimeError("broken")
        await phone.wait(180)
        await phone.say("are you there", 600)
        await phone.wait(5000)
        ended = await call.ended()
        assert (ended.outcome, ended.reason) == ("handed_off", "transferred")
        assert len(call.desk.requests) == 1
        assert call.desk.ended == ["bridged"]
        assert call.dialogue.heard_log[-1] == ("Nobody is free now.", True)

    run_virtual(main())


@pytest.mark.parametrize("how", ["keys", "text"])
def test_what_must_be_heard_does_not_yield_to_keys_or_text_which_are_answered_after(how: str) -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait(360)
        if how == "keys":
            phone.press("12#")
        else:
            phone.type("where is it")
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert (call.turn(0, "agent").heard or "").startswith("This call is recorded.")
        taken = [turn.dtmf or turn.text for turn in call.dialogue.turns if not turn.silence]
        assert taken == ["12" if how == "keys" else "where is it"]

    run_virtual(main())


def test_two_lines_typed_in_a_row_are_both_taken() -> None:
    async def main() -> None:
        call = FakeCall(TYPED)
        phone = await call.start()
        await asyncio.sleep(1)
        phone.type("where is it")
        phone.type("the blue one")
        await asyncio.sleep(1)
        phone.hang_up()
        await call.ended()
        assert [turn.text for turn in call.dialogue.turns] == ["where is it", "the blue one"]
        assert call.turn(1, "caller").text == "where is it"
        assert call.turn(2, "agent").heard == "You said the blue one."

    run_virtual(main())


def test_text_typed_while_the_caller_speaks_is_answered_once() -> None:
    async def main() -> None:
        call = FakeCall(delays_ms={Priority.SPECULATION: 400})
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("hello there", 600)
        await phone.wait(240)
        phone.type("forty two")
        await phone.wait_for_agent()
        await phone.wait(2000)
        phone.hang_up()
        await call.ended()
        assert [turn.text for turn in call.dialogue.turns] == ["forty two"]
        assert call.session.phase == "listening"

    run_virtual(main())


# Interruptions


def test_a_caller_who_interrupts_the_announcement_by_voice_still_gets_an_answer() -> None:
    async def main() -> None:
        call = FakeCall()

        async def respond(turn: CallerTurn) -> AsyncIterator[Part]:
            call.dialogue.turns.append(turn)
            yield Say("Yes." if turn.number > 1 else "Let me connect you with one of our people, hold the line.")
            yield HandOff("asked", "asked_for_person")

        answering(call, respond)
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("somebody please")
        await phone.wait_for_sound()
        await phone.wait(900)
        await phone.say("hurry up", 900)
        await phone.wait(8000)
        assert (await call.ended()).outcome == "handed_off"
        assert call.turn(1, "agent").interrupted
        assert len(call.desk.requests) == 1

    run_virtual(main())


@pytest.mark.parametrize("pause_ms", [120, 240, 600])
def test_two_interruptions_in_a_row_are_one_turn(pause_ms: float) -> None:
    async def main() -> None:
        call = FakeCall(settings=QUICK, delays_ms={Priority.SPECULATION: 100, Priority.FINAL_RECOGNITION: 100})
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("long please")
        await phone.wait_for_sound()
        await phone.wait(1500)
        await phone.say("stop...", 420)
        await phone.wait(pause_ms)
        await phone.say("now", 420)
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert [turn.text for turn in call.dialogue.turns] == ["long please", "stop... now"]
        assert [(turn.number, turn.text) for turn in call.dialogue.turns][-1][0] == 2
        assert call.record.kinds().count("interrupt") == 1
        assert (3, "caller") not in call.record.turns

    run_virtual(main())


def test_an_interrupted_answer_is_closed_before_the_next_one_begins() -> None:
    async def main() -> None:
        call = FakeCall(settings=QUICK)
        order: list[str] = []

        async def respond(turn: CallerTurn) -> AsyncIterator[Part]:
            order.append(f"begin {turn.number}")
            try:
                yield Say("One moment please, I am looking into this for you now.")
                await asyncio.sleep(20)
                yield Say("Done.")
            finally:
                order.append(f"end {turn.number}")

        answering(call, respond)
        slow_voice(call, 0.2)
        phone = await call.start()
        await phone.wait_for_agent()
        for words in ("first", "second"):
            await phone.say(words)
            await phone.wait(420)
        await phone.wait(1800)
        await phone.say("third one", 900)
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert order[0] == "begin 1"
        for begin, end in zip(order[::2], order[1::2], strict=True):
            assert (begin.split()[0], end.split()[0]) == ("begin", "end")

    run_virtual(main())


def test_a_turn_taken_back_twice_is_answered_once() -> None:
    async def main() -> None:
        call = FakeCall(settings=QUICK, delays_ms={Priority.SPECULATION: 100})
        slow_voice(call)
        phone = await call.start()
        await phone.wait_for_agent()
        for words in ("cancel it", "no wait"):
            await phone.say(words, 420)
            await phone.wait(540)
        await phone.say("keep it", 420)
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert call.record.kinds().count("retract") == 2
        assert call.dialogue.restored == 2
        assert [(turn.number, turn.text) for turn in call.dialogue.turns] == [(1, "cancel it no wait keep it")]
        assert call.turn(1, "caller").text == "cancel it no wait keep it"
        assert max(number for number, _ in call.record.turns) == 1

    run_virtual(main())


def test_a_turn_taken_back_while_its_words_are_recognized_is_not_restored() -> None:
    async def main() -> None:
        settings = Settings(floor=FloorSettings(wait_max_ms=600))
        call = FakeCall(settings=settings, delays_ms={Priority.SPECULATION: 2000, Priority.FINAL_RECOGNITION: 300})
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("cancel it", 420)
        await phone.wait(900)
        await phone.say("no keep it", 420)
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert call.dialogue.restored == 0
        assert [(turn.number, turn.text) for turn in call.dialogue.turns] == [(1, "cancel it no keep it")]

    run_virtual(main())


def test_a_turn_taken_back_for_a_noise_is_answered_all_the_same() -> None:
    async def main() -> None:
        call = FakeCall(settings=QUICK, delays_ms={Priority.SPECULATION: 100})
        slow_voice(call)
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("cancel it", 420)
        await phone.wait(540)
        await phone.noise(240)
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert "retract" in call.record.kinds()
        assert [turn.text for turn in call.dialogue.turns] == ["cancel it"]
        assert call.turn(1, "agent").heard == "You said cancel it."

    run_virtual(main())


class _Emotion:
    """Counts in its history how many utterances it has read."""

    def new_history(self) -> list[int]:
        return []

    def read(self, samples: Any, history: list[int]) -> VoiceEmotion:
        history.append(len(samples))
        self.last = list(history)
        return VoiceEmotion("neutral", {"neutral": 1.0}, 0.1, 0.5)


def test_the_voice_of_a_turn_taken_back_counts_once() -> None:
    async def main() -> None:
        call = FakeCall(settings=QUICK, delays_ms={Priority.SPECULATION: 100})
        emotion = _Emotion()
        object.__setattr__(call.services, "emotion", emotion)
        call.session.__init__(call.services, call.gateway, call.phone, "c-test")  # type: ignore[misc]
        slow_voice(call)
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("cancel it", 420)
        await phone.wait(540)
        await phone.say("no keep it", 420)
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert "retract" in call.record.kinds()
        assert len(emotion.last) == 1

    run_virtual(main())


def test_an_action_told_again_after_its_turn_was_taken_back_is_recorded_once() -> None:
    async def main() -> None:
        call = FakeCall(settings=QUICK, delays_ms={Priority.SPECULATION: 100})

        acted = Acted("cancel_order", {"order": "42718"}, True, {}, "key-1")

        async def respond(turn: CallerTurn) -> AsyncIterator[Part]:
            call.dialogue.turns.append(turn)
            yield acted
            yield Say("It is cancelled.")

        answering(call, respond)
        slow_voice(call)
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("cancel it", 420)
        await phone.wait(540)
        await phone.say("please", 420)
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert call.dialogue.restored == 1
        assert len(call.record.actions) == 1

    run_virtual(main())


def test_a_caller_who_speaks_just_before_the_agent_asks_again_is_not_talked_over() -> None:
    async def main() -> None:
        call = FakeCall(settings=QUICK)
        phone = await call.start()
        await phone.wait_for_agent()
        slow_voice(call)
        while call.session.phase != "thinking":
            await phone.wait(60)
        sounds = len(phone.first_sound)
        await phone.say("here I am", 1800)
        assert len(phone.first_sound) == sounds
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert [turn.text for turn in call.dialogue.turns if turn.text] == ["here I am"]
        assert not any("Are you there" in (turn.heard or "") for turn in call.record.turns.values())

    run_virtual(main())


@pytest.mark.parametrize(("words", "answered"), [("", False), ("thank you", False), ("wait one more thing", True)])
def test_a_sound_over_the_goodbye_ends_the_call_and_words_keep_it(words: str, answered: bool) -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("bye")
        await phone.wait_for_sound()
        await phone.wait(120)
        await phone.say(words, 180)
        await phone.wait(5000)
        if answered:
            phone.hang_up()
        ended = await call.ended(within_s=1.0)
        assert ended.reason == ("stop" if answered else "goodbye")
        assert call.turn(1, "agent").heard == "Goodbye."
        assert ((2, "agent") in call.record.turns) is answered

    run_virtual(main())


# What must be heard


def test_the_greeting_before_a_disclosure_does_not_yield_either() -> None:
    async def main() -> None:
        call = FakeCall()

        async def greet(caller: Any, parameters: Any) -> AsyncIterator[Part]:
            yield Say("Hello, this is the shop.")
            yield Say("This call is recorded.", must_hear=True)
            yield Say("How can I help?")

        call.dialogue.open = greet  # type: ignore[method-assign]
        phone = await call.start()
        await phone.wait(600)
        await phone.say("where is my parcel", 900)
        await phone.wait_for_agent(at_most_ms=12_000)
        phone.hang_up()
        await call.ended()
        assert "This call is recorded." in (call.turn(0, "agent").heard or "")
        assert [turn.text for turn in call.dialogue.turns if not turn.silence] == ["where is my parcel"]

    run_virtual(main())


# Hanging up


PHASES = ["greeting", "thinking", "speaking", "yielding", "interrupted", "announcing", "asking", "farewell", "goodbye"]


async def reach(call: FakeCall, phone: Phone, phase: str) -> None:
    if phase == "greeting":
        await phone.wait(900)
        return
    await phone.wait_for_agent()
    words = {"announcing": "person please", "asking": "person please", "farewell": "person please", "goodbye": "bye"}
    await phone.say(words.get(phase, "long please"))
    if phase == "thinking":
        while call.session.phase != "thinking":
            await phone.wait(60)
        return
    await phone.wait_for_sound()
    if phase == "goodbye":
        return
    await phone.wait(1200)
    if phase in ("yielding", "interrupted"):
        phone.chunk_ms = 20
        level = phone.lines.level("stop that")
        while call.session.phase != "yielding":
            await phone.send_level(level, 20)
        if phase == "interrupted":
            phone.give(AudioIn(PHONE.encode(np.full(8000, int(level * 32767), dtype=np.int16))))
            for _ in range(100):
                if "interrupt" in call.record.kinds():
                    break
                await asyncio.sleep(0.002)
    elif phase == "asking":
        while call.session.phase != "transferring":
            await phone.wait(60)
    elif phase == "farewell":
        while not call.dialogue.outcomes:
            await phone.wait(60)
        await phone.wait(600)


@pytest.mark.parametrize("phase", PHASES)
def test_a_caller_may_hang_up_at_any_moment(phase: str) -> None:
    async def main() -> None:
        call = FakeCall(desk=FakeDesk(delay_s=1.5), delays_ms={Priority.SPECULATION: 100})
        slow_voice(call, 0.2)
        finished: list[Any] = []
        phone = await call.start()
        await reach(call, phone, phase)
        inner = call.record.finish

        async def finish(end: Any) -> Any:
            finished.append(end)
            return await inner(end)

        call.record.finish = finish  # type: ignore[method-assign]
        phone.hang_up()
        ended = await call.ended(within_s=2.0)
        assert ended.outcome == ("completed" if phase == "goodbye" else "caller_left")
        assert len(finished) == 1
        assert call.desk.left == [request.handoff_id for request in call.desk.requests]
        assert not call.session._tasks
        for (_, speaker), turn in call.record.turns.items():
            if speaker == "agent":
                assert turn.text.startswith(turn.heard or "")
        if phase in ("speaking", "yielding", "interrupted"):
            answer = call.turn(1, "agent")
            assert answer.interrupted
            assert answer.heard
            assert call.dialogue.heard_log[-1] == (answer.heard, False)

    run_virtual(main())


def test_a_hang_up_while_an_interrupted_answer_still_ends_keeps_what_was_heard() -> None:
    async def main() -> None:
        call = FakeCall()
        inner = call.dialogue.respond

        async def respond(turn: CallerTurn) -> AsyncIterator[Part]:
            try:
                async for part in inner(turn):
                    yield part
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.05)

        answering(call, respond)
        slow_voice(call, 0.2)
        phone = await call.start()
        await reach(call, phone, "interrupted")
        phone.hang_up()
        await call.ended(within_s=2.0)
        answer = call.turn(1, "agent")
        assert "interrupt" in call.record.kinds()
        assert answer.interrupted
        assert answer.heard
        assert call.dialogue.heard_log[-1] == (answer.heard, False)

    run_virtual(main())


class _Carrier:
    def __init__(self, phone: Phone) -> None:
        self._phone = phone

    async def transfer(self, call_sid: str, target: str, context: Any = None) -> None:
        self._phone.hang_up()
        await asyncio.sleep(0.3)

    async def hang_up(self, call_sid: str) -> bool:
        return True


def test_a_carrier_that_ends_the_stream_before_it_answers_has_moved_the_caller() -> None:
    async def main() -> None:
        call = FakeCall(Capabilities(PHONE, transfer="rest"))
        call.services.carriers["fake"] = _Carrier(call.phone)  # type: ignore[index]
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("person please")
        await phone.wait(8000)
        ended = await call.ended()
        assert ended.outcome == "handed_off"
        assert call.desk.ended == ["bridged"]
        assert call.desk.left == []

    run_virtual(main())


def test_a_desk_that_fails_at_the_end_does_not_cost_the_record() -> None:
    async def main() -> None:
        call = FakeCall(desk=FakeDesk(delay_s=9.0))

        async def broken(handoff_id: str) -> None:
            raise RuntimeError("database is locked")

        call.desk.caller_left = broken  # type: ignore[method-assign]
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("person please")
        await phone.wait(4000)
        phone.hang_up()
        ended = await call.ended()
        assert ended.outcome == "caller_left"
        assert call.record.finished is not None
        assert call.metrics.calls.labels("fake")._value.get() == 0

    run_virtual(main())


def test_a_desk_that_raises_leaves_the_caller_with_the_agent() -> None:
    async def main() -> None:
        call = FakeCall()

        async def broken(request: Any) -> HandoffResult:
            raise RuntimeError("database is locked")

        call.desk.request = broken  # type: ignore[method-assign]
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("person please")
        await phone.wait_for_agent()
        await phone.wait_for_agent()
        assert call.dialogue.outcomes == ["failed"]
        await phone.say("bye")
        await phone.wait(4000)
        assert (await call.ended()).outcome == "completed"

    run_virtual(main())


def test_a_peer_that_stops_reading_cannot_hold_the_end_of_the_call() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        send = call.gateway.send

        async def stuck(message: str | bytes) -> None:
            await asyncio.Event().wait()

        async def talk() -> None:
            while True:
                await phone.wait(60)

        await phone.say("bye")
        await phone.wait_for_sound()
        call.gateway.send = lambda command: [*send(command), "message"]  # type: ignore[method-assign]
        phone.send = stuck  # type: ignore[method-assign]
        talking = asyncio.create_task(talk())
        ended = await call.ended(within_s=30.0)
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
        assert ended.outcome == "completed"

    run_virtual(main())


def test_a_clear_overtakes_sound_and_marks_but_nothing_else() -> None:
    async def main() -> None:
        written: list[Any] = []
        taken = asyncio.Event()

        class Wire:
            async def send(self, message: Any) -> None:
                await taken.wait()

        class Protocol:
            capabilities = Capabilities(PHONE)

            def send(self, command: Any) -> list[str]:
                written.append(command)
                return ["message"]

        outbox = Outbox(Protocol(), Wire(), lambda: None)  # type: ignore[arg-type]
        writer = asyncio.create_task(outbox.run())
        outbox.put(Play(b"1"))
        await asyncio.sleep(0.1)
        for command in (Play(b"2"), Mark("m"), Hangup("bye"), Clear(), Play(b"3")):
            outbox.put(command)
        taken.set()
        await outbox.drained()
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)
        assert written == [Play(b"1"), Hangup("bye"), Clear(), Play(b"3")]

    run_virtual(main())


def test_a_peer_that_takes_nothing_is_cut_off_as_too_slow() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        send = call.gateway.send

        async def stuck(message: str | bytes) -> None:
            await asyncio.Event().wait()

        call.gateway.send = lambda command: [*send(command), "message"]  # type: ignore[method-assign]
        phone.send = stuck  # type: ignore[method-assign]
        call.dialogue.turns.clear()

        async def respond(turn: CallerTurn) -> AsyncIterator[Part]:
            for number in range(20):
                yield Say(f"Sentence number {number} of an answer that has no end.")

        answering(call, respond)
        await phone.say("hello")
        await phone.wait(20_000)
        ended = await call.ended(within_s=1.0)
        assert (ended.outcome, ended.reason, ended.code) == ("failed", "slow_consumer", 1008)
        assert call.record.finished is not None

    run_virtual(main())


# Models that are slow or fail


def test_recognition_rests_while_nobody_speaks() -> None:
    async def main() -> None:
        call = FakeCall(settings=Settings(floor=FloorSettings(reprompt_ms=300_000)))
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("hello")
        await phone.wait_for_agent()
        calls = call.recognizer.calls
        await phone.wait(90_000)
        phone.hang_up()
        await call.ended()
        assert call.recognizer.calls == calls

    run_virtual(main())


def test_a_piece_of_a_long_turn_that_could_not_be_recognized_is_tried_again() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        recognize = call.recognizer.recognize
        failed: list[bool] = []

        def once(samples: Any, *rest: Any) -> Any:
            if len(samples) > 20 * 16_000 and not failed:
                failed.append(True)
                raise RuntimeError("overloaded")
            return recognize(samples, *rest)

        call.recognizer.recognize = once  # type: ignore[method-assign]
        await phone.say("my whole story", 27_000)
        await phone.say("is told", 1500)
        await phone.wait_for_agent()
        phone.hang_up()
        ended = await call.ended()
        assert failed
        assert ended.outcome == "caller_left"
        assert call.dialogue.turns[0].text.split()[-2:] == ["is", "told"]
        assert call.dialogue.turns[0].text.startswith("my whole story")

    run_virtual(main())


def test_pieces_of_continuous_speech_neither_lose_nor_double_a_sample() -> None:
    listening = Listening(PHONE, 0.5, 0.35)
    loud = PHONE.encode(np.full(480, 9000, dtype=np.int16))
    pieces: list[tuple[int, int]] = []
    opened = False
    for _ in range(round(70_000 / 60)):
        frames, _ = listening.feed(loud)
        for _ in frames:
            listening.judge(0.9)
            if not opened:
                listening.open(0)
                opened = True
        if listening.turn_s() >= LONGEST_S:
            piece = listening.turn()
            assert piece is not None
            assert len(piece.samples) == piece.end - piece.begin
            pieces.append((piece.begin, piece.end))
            listening.cut(piece.end)
    last = listening.turn()
    assert last is not None
    pieces.append((last.begin, last.end))
    assert pieces[0][0] == 0
    assert [begin for begin, _ in pieces[1:]] == [end for _, end in pieces[:-1]]
    assert pieces[-1][1] >= 69 * 16_000


@pytest.mark.parametrize("sizes", [[1], [3, 7, 11], [160], [7999], [80_000]])
def test_frames_do_not_depend_on_how_audio_is_cut(sizes: list[int]) -> None:
    rng = np.random.default_rng(7)
    pcm = rng.integers(-9000, 9000, 8000 if sizes == [1] else 80_000).astype(np.int16)
    whole, _ = Listening(PHONE, 0.5, 0.35).feed(PHONE.encode(pcm))
    listening, frames, at, n = Listening(PHONE, 0.5, 0.35), [], 0, 0
    while at < len(pcm):
        size = sizes[n % len(sizes)]
        frames += listening.feed(PHONE.encode(pcm[at : at + size]))[0]
        at, n = at + size, n + 1
    assert abs(len(frames) - len(whole)) <= 1
    for one, other in zip(frames, whole, strict=False):
        assert one.shape == (FRAME,)
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_more_audio_at_once_than_is_kept_does_not_break_the_turn() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        level = int(phone.lines.level("hello there") * 32767)
        pcm = np.concatenate([np.full(8 * 2000, level, dtype=np.int16), np.zeros(8 * 40_000, dtype=np.int16)])
        phone.give(AudioIn(PHONE.encode(pcm)))
        await phone.wait(12_000)
        phone.hang_up()
        await call.ended()
        assert "answer_failed" not in (call.record.finished.counters if call.record.finished else {"answer_failed": 1})
        assert call.session.phase != "transferring"

    run_virtual(main())


def test_ten_seconds_of_audio_at_once_are_one_turn() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        level = int(phone.lines.level("hello there") * 32767)
        pcm = np.concatenate([np.full(8 * 2000, level, dtype=np.int16), np.zeros(8 * 8000, dtype=np.int16)])
        phone.give(AudioIn(PHONE.encode(pcm)))
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert [turn.text for turn in call.dialogue.turns] == ["hello there"]

    run_virtual(main())


def test_no_packets_for_five_seconds_then_speech() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("first part", 900)
        await phone.wait(60)
        await asyncio.sleep(5.0)
        await phone.say("second part", 900)
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert [turn.text for turn in call.dialogue.turns] == ["first part", "second part"]

    run_virtual(main())


def test_a_slow_recognizer_answers_late_but_once() -> None:
    async def main() -> None:
        call = FakeCall(delays_ms={Priority.SPECULATION: 3000, Priority.FINAL_RECOGNITION: 3000})
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("hello there", 600)
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert [turn.text for turn in call.dialogue.turns] == ["hello there"]
        assert call.turn(1, "agent").heard == "You said hello there."

    run_virtual(main())


def test_a_guess_that_fails_costs_the_middle_wait_and_not_the_turn() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        call.recognizer.error = RuntimeError("broken")
        await phone.say("hello there", 600)
        await phone.wait(600)
        call.recognizer.error = None
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert "guess_failed" in [data.get("code") for kind, data in call.record.events if kind == "fault"]
        assert [turn.text for turn in call.dialogue.turns] == ["hello there"]
        waited = call.turn(1, "agent").latency["endpoint_wait"]
        assert FloorSettings().wait_middle_ms <= waited < FloorSettings().wait_middle_ms + 40

    run_virtual(main())


@pytest.mark.parametrize("pieces", [3, 1000])
def test_an_overloaded_pool_costs_a_moment_of_hearing_unless_it_lasts(pieces: int) -> None:
    async def main() -> None:
        call = FakeCall()
        judge, left = call.vad.probabilities, [pieces]

        def overloaded(frames: Any) -> list[float]:
            if left[0]:
                left[0] -= 1
                raise Overloaded("130 jobs wait for a model")
            return judge(frames)

        phone = await call.start()
        await phone.wait_for_agent()
        call.vad.probabilities = overloaded  # type: ignore[method-assign]
        await phone.wait(300)
        await phone.say("hello there", 900)
        await phone.wait(9000)
        phone.hang_up()
        ended = await call.ended()
        words = [turn.text for turn in call.dialogue.turns if turn.text]
        if pieces == 3:
            assert words == ["hello there"]
            assert call.desk.requests == []
        else:
            assert words == []
            assert ended.outcome == "handed_off"

    run_virtual(main())


def test_a_slow_database_does_not_make_an_announced_call_unannounced() -> None:
    async def main() -> None:
        call = FakeCall()
        open_call = call.records.open_call

        async def slowly(opened: Any) -> Any:
            await asyncio.sleep(7.0)
            return await open_call(opened)

        call.records.open_call = slowly  # type: ignore[method-assign]
        phone = await call.start()
        await phone.wait(12_000)
        phone.hang_up()
        assert (await call.ended()).outcome == "caller_left"
        assert call.turn(0, "agent").heard == "This call is recorded. How can I help?"

    run_virtual(main())


def test_an_emotion_that_never_comes_does_not_hold_the_answer() -> None:
    async def main() -> None:
        call = FakeCall(delays_ms={Priority.EMOTION: 60_000})
        object.__setattr__(call.services, "emotion", _Emotion())
        call.session.__init__(call.services, call.gateway, call.phone, "c-test")  # type: ignore[misc]
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("hello there", 600)
        await phone.wait_for_agent()
        assert call.turn(1, "agent").latency["total"] < 1000
        phone.hang_up()
        await call.ended()

    run_virtual(main())


# The floor always moves on


def test_an_utterance_that_must_be_heard_ends_a_pause_but_keeps_the_words() -> None:
    state = FloorState(phase=Phase.YIELDING, generation=3, open=True, over_agent=True, voiced_ms=900.0, revision=2)
    state, commands = step(state, floor.MustHear(True), 1000.0, SETTINGS)
    assert commands == [floor.Resume()]
    assert state.phase is Phase.SPEAKING
    assert state.open
    state, commands = step(state, floor.Guess(2, 0.9, 3, claim=True), 1100.0, SETTINGS)
    assert commands == []


@pytest.mark.parametrize("event", [floor.Entered(), floor.Key(), floor.AgentTurn(), floor.GiveUp()])
@pytest.mark.parametrize("audible", [False, True])
def test_the_farewell_belongs_to_the_caller_who_moves(event: floor.Event, audible: bool) -> None:
    state, _ = step(FloorState(phase=Phase.TRANSFERRING, generation=3), floor.AgentTurn(True), 0.0, SETTINGS)
    if audible:
        state, _ = step(state, floor.ReplyAudible(4), 10.0, SETTINGS)
    before = state.phase
    state, commands = step(state, event, 500.0, SETTINGS)
    assert commands == []
    assert (state.phase, state.generation) == (before, 4)
    state, commands = step(state, floor.ReplyDone(4, "move"), 900.0, SETTINGS)
    assert commands == [floor.MoveCaller()]
    state, _ = step(state, floor.TransferEnded(worked=False), 1000.0, SETTINGS)
    assert [type(c) for c in step(state, floor.Entered(), 1100.0, SETTINGS)[1]] == [floor.Commit]


@given(st.lists(st.tuples(EVENTS | st.just(floor.AgentTurn(farewell=True)), st.floats(0, 400)), max_size=100))
def test_silence_always_leads_somewhere(events: list[tuple[floor.Event, float]]) -> None:
    """While replies end, stops finish and transfers return, silence brings a prompt, an answer or an end."""
    state, now = FloorState(), 0.0
    for event, wait in events:
        now += wait
        state, _ = step(state, event, now, SETTINGS)
    entered, phase, until = now, state.phase, now + 30_000.0
    while now < until:
        now += floor.FRAME_MS
        state, commands = step(state, floor.Frame(False), now, SETTINGS)
        if state.phase in (Phase.HUMAN, Phase.CLOSING):
            return
        if any(isinstance(c, floor.Prompt | floor.Commit | floor.MoveCaller) for c in commands):
            return
        if state.phase is not phase:
            phase, entered = state.phase, now
        due: floor.Event | None = None
        if phase is Phase.THINKING and now - entered > 500:
            due = floor.ReplyAudible(state.generation)
        elif phase is Phase.SPEAKING and now - entered > 2000:
            due = floor.ReplyDone(state.generation)
        elif phase is Phase.INTERRUPTED and now - entered > 100:
            due = floor.ReplyStopped()
        elif phase is Phase.TRANSFERRING and now - entered > 1000:
            due = floor.TransferEnded(worked=False)
        if due is not None:
            state, commands = step(state, due, now, SETTINGS)
            if any(isinstance(c, floor.Commit | floor.MoveCaller) for c in commands):
                return
    raise AssertionError(f"nothing happened in 30 s of silence: {state}")
