"""Speculation under bad luck: doubtful words, starved workers, turns that go on, lost audio, calls that end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from callfakes import FakeCall
from virtual_time import run_virtual

from agent.call.floor import FloorSettings
from agent.call.own_voice import HEARD_RATE, OwnVoice
from agent.call.replying import priority
from agent.config import Settings
from agent.dialogue.contracts import CallerTurn, Expect, Part, Say
from agent.gateways.base import ShowTranscript
from audio.echo import RATE
from audio.resample import resample, to_pcm16
from audio.talker import talk
from models.contracts import Recognition, RecognitionHints, Samples, Speech
from models.errors import Overloaded
from models.pool import Priority

SLOW = {Priority.SPECULATION: 250.0, Priority.FINAL_RECOGNITION: 250.0}


def doubting(call: FakeCall, quick: str, about: str, sure: float = -0.95) -> None:
    """A quick reading of `about` says `quick`, and that it is doubtful; a second look hears right and is sure."""
    recognize = call.recognizer.recognize

    def doubtfully(samples: Samples, hints: RecognitionHints = RecognitionHints()) -> Recognition:  # noqa: B008
        heard = recognize(samples, hints)
        if hints.quick and heard.text == about:
            return Recognition(quick, average_log_probability=sure, doubtful=True)
        return heard

    call.recognizer.recognize = doubtfully  # type: ignore[method-assign]


def words(call: FakeCall) -> list[str]:
    return [turn.dtmf or turn.text for turn in call.dialogue.turns]


def now_ms() -> float:
    return asyncio.get_running_loop().time() * 1000.0


# A doubtful reading and the second look


@pytest.mark.parametrize(("quick", "sure"), [("okay", -0.95), ("stop peas", -1.1)])
def test_doubtful_words_do_not_drop_what_the_caller_said_over_the_agent(quick: str, sure: float) -> None:
    async def main() -> None:
        call = FakeCall(delays_ms=SLOW)
        doubting(call, quick, "stop please", sure)
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("long story")
        await phone.wait_for_sound()
        await phone.wait(1500)
        await phone.say("stop please", 400)
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert words(call) == ["long story", "stop please"]

    run_virtual(main())


def test_doubtful_words_that_were_none_do_not_end_an_answer() -> None:
    async def main() -> None:
        call = FakeCall(delays_ms=SLOW)
        doubting(call, "so what is the", "")
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("long story")
        await phone.wait_for_sound()
        await phone.wait(1500)
        await phone.noise(300)
        await phone.wait_for_agent(quiet_ms=1500)
        await phone.wait(1000)
        phone.hang_up()
        await call.ended()
        assert call.turn(1, "agent").interrupted is False

    run_virtual(main())


@pytest.mark.parametrize(("quick", "really"), [("four two", "four two and..."), ("so what is the", "")])
def test_a_turn_is_not_ended_by_doubtful_words(quick: str, really: str) -> None:
    async def main() -> None:
        call = FakeCall(delays_ms=SLOW)
        doubting(call, quick, really)
        phone = await call.start()
        await phone.wait_for_agent()
        if really:
            await phone.say(really)
        else:
            await phone.noise(400)
        await phone.wait(1500)
        assert words(call) == []
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_the_second_look_of_a_turn_is_shown_as_that_turn() -> None:
    async def main() -> None:
        call = FakeCall(delays_ms=SLOW)
        doubting(call, "hello hair", "hello there")
        shown: list[ShowTranscript] = []
        append = call.phone.append

        def watch(command: Any) -> None:
            if isinstance(command, ShowTranscript) and command.speaker == "caller":
                shown.append(command)
            append(command)

        call.phone.append = watch  # type: ignore[method-assign]
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("hello there")
        await phone.wait(2500)
        phone.hang_up()
        await call.ended()
        assert [line.text for line in shown] == ["hello there", "hello there"]
        assert {line.turn for line in shown} == {1}

    run_virtual(main())


# A preparation and the workers


def test_an_answer_does_not_wait_behind_others_for_its_own_preparation() -> None:
    """Guesses get no worker for three seconds, first sentences at once."""

    async def main() -> None:
        call = FakeCall()
        speak = call.voice.speak

        async def queued(text: str, tone: Any = "neutral", **_: Any) -> AsyncIterator[Speech]:
            if priority.get() is Priority.SPECULATION:
                await asyncio.sleep(3.0)
                raise Overloaded("model job dropped: its deadline passed while it waited")
            async for speech in speak(text, tone):
                yield speech

        call.voice.speak = queued  # type: ignore[method-assign]
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("hello there")
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert call.turn(1, "agent").heard == "You said hello there."
        assert call.turn(1, "agent").latency["synthesis"] < 500

    run_virtual(main())


# A guess that fails or comes late


def test_words_over_a_disclosure_are_answered_soon_when_they_cannot_be_guessed() -> None:
    async def main() -> None:
        call = FakeCall()
        run = call.services.pool.run

        async def overloaded(kind: Priority, work: Any, *, within_ms: float | None = None) -> Any:
            if kind is Priority.SPECULATION:
                raise Overloaded("64 jobs wait for a model")
            return await run(kind, work, within_ms=within_ms)

        call.services.pool.run = overloaded  # type: ignore[method-assign]

        async def greet(caller: str | None, parameters: Any) -> AsyncIterator[Part]:
            yield Say("This call is recorded.", must_hear=True)
            yield Expect("open")

        call.dialogue.open = greet  # type: ignore[method-assign]
        phone = await call.start()
        await phone.wait_for_sound()
        await phone.wait(400)
        await phone.say("hello there", 600)
        said = now_ms()
        while not words(call) and now_ms() < said + 8000:
            await phone.wait(60)
        assert words(call) == ["hello there"]
        assert now_ms() - said < 2500
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_a_long_interruption_is_heard_though_its_first_words_cannot_be_guessed() -> None:
    """The pool has no place for guesses for two seconds of three that the caller speaks over the agent."""

    async def main() -> None:
        call = FakeCall()
        run = call.services.pool.run
        full = [False]

        async def overloaded(kind: Priority, work: Any, *, within_ms: float | None = None) -> Any:
            if full[0] and kind is Priority.SPECULATION:
                raise Overloaded("64 jobs wait for a model")
            return await run(kind, work, within_ms=within_ms)

        call.services.pool.run = overloaded  # type: ignore[method-assign]
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("long story")
        await phone.wait_for_sound()
        await phone.wait(1500)
        full[0] = True
        await phone.say("stop please", 2000)
        full[0] = False
        await phone.say("stop please", 1000)
        await phone.wait_for_agent(at_most_ms=8000)
        phone.hang_up()
        await call.ended()
        assert words(call) == ["long story", "stop please"]

    run_virtual(main())


# A turn that goes on


def test_words_before_a_back_channel_are_kept_when_the_caller_goes_on() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("I want to check")
        await phone.wait_for_sound()
        await phone.say("uh", 180)
        await phone.wait(240)
        await phone.say("my long order", 1000)
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        kept = " / ".join(turn.text for turn in call.dialogue.turns)
        assert "I want to check" in kept
        assert "my long order" in kept

    run_virtual(main())


def test_a_question_taken_back_no_longer_says_what_is_expected() -> None:
    async def main() -> None:
        call = FakeCall()

        async def respond(turn: CallerTurn) -> AsyncIterator[Part]:
            call.dialogue.turns.append(turn)
            yield Say("Sure. What is your order number, please?")
            yield Expect("digits")

        call.dialogue.respond = respond  # type: ignore[method-assign]
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("about my order")
        await phone.wait_for_sound()
        await phone.wait(120)
        await phone.say("and a refund...", 1000)
        conversation = call.session._conversation
        assert conversation is not None
        assert call.dialogue.restored == 1
        assert conversation.floor.state.profile == "open"
        phone.hang_up()
        await call.ended()

    run_virtual(main())


# What the agent's own voice is compared with


@pytest.mark.parametrize("lost_ms", [128, 256])
def test_an_echo_is_still_known_after_audio_was_lost(lost_ms: int) -> None:
    """The caller's audio is timed by its length, so that after a loss its echo seems to come before the sound."""
    agent = talk(6.0, RATE, 3, pause_s=(0.2, 0.5))
    echo = np.concatenate([np.zeros(480, dtype=np.float32), agent * np.float32(0.3)])[: len(agent)]
    heard, played, own = resample(echo, RATE, HEARD_RATE), to_pcm16(agent), OwnVoice()
    found, ours = 0, 0
    for number in range(len(heard) // 512):
        now = (number + 1) * 32.0
        own.played(played[number * 256 : (number + 1) * 256], number * 32.0)
        if 64 <= number * 32 < 64 + lost_ms:
            continue
        frame = heard[number * 512 : (number + 1) * 512]
        voiced = float(np.abs(frame).max()) > 0.03
        is_echo = own.in_frame(frame, now, voiced)
        if voiced and now > 2000.0:
            ours, found = ours + 1, found + is_echo
    assert ours > 50
    assert found > 0.8 * ours


# What holds: everything else that may happen while a sentence is prepared


async def preparing() -> FakeCall:
    """A call in which the words are known, the sentence is being made and the turn is not over."""
    call = FakeCall(settings=Settings(floor=FloorSettings(wait_sure_ms=900)))
    phone = await call.start()
    await phone.wait_for_agent()
    speak = call.voice.speak

    async def slowly(text: str, tone: Any = "neutral", **_: Any) -> AsyncIterator[Speech]:
        await asyncio.sleep(1.0)
        async for speech in speak(text, tone):
            yield speech

    call.voice.speak = slowly  # type: ignore[method-assign]
    await phone.say("hello there")
    await phone.wait(420)
    assert [turn.text for turn in call.dialogue.previews] == ["hello there"]
    assert words(call) == []
    return call


def prepares() -> bool:
    return any(":prepare-" in task.get_name() for task in asyncio.all_tasks() if not task.done())


@pytest.mark.parametrize("how", ["hang up", "socket dies", "server stops"])
def test_a_call_may_end_while_a_sentence_is_prepared(how: str) -> None:
    async def main() -> None:
        call = await preparing()
        assert prepares()
        if how == "hang up":
            call.phone.hang_up()
        elif how == "socket dies":
            call.phone.drop()
        else:
            call.session.stop("stopping")
        await call.ended()
        assert not prepares()
        assert words(call) == []

    run_virtual(main())


@pytest.mark.parametrize("entered", ["42#", "forty two"])
def test_what_is_entered_while_a_sentence_is_prepared_is_answered_with_its_own(entered: str) -> None:
    async def main() -> None:
        call = await preparing()
        if entered.endswith("#"):
            call.phone.press(entered)
        else:
            call.phone.type(entered)
        await call.phone.wait(60)
        assert not prepares()
        await call.phone.wait_for_agent()
        call.phone.hang_up()
        await call.ended()
        assert words(call) == [entered.rstrip("#")]
        assert call.turn(1, "agent").heard == f"You said {entered.rstrip('#')}."

    run_virtual(main())


def test_a_part_that_fails_while_a_sentence_is_prepared_is_apologised_for() -> None:
    async def main() -> None:
        call = await preparing()
        call.vad.error = RuntimeError("broken")
        await call.phone.wait(12_000)
        ended = await call.ended()
        assert ended.outcome == "handed_off"
        said = [turn.text for turn in call.record.turns.values() if turn.speaker == "agent"]
        assert "I am sorry, something went wrong." in said
        assert not prepares()

    run_virtual(main())
