"""Gateways that hear and speak by themselves, in virtual time: what was heard is what they say was heard."""

from __future__ import annotations

import asyncio

from callfakes import PHONE, FakeCall, Phone
from virtual_time import run_virtual

from agent.gateways.base import (
    Capabilities,
    Command,
    Hangup,
    MediaPaused,
    Play,
    Probed,
    ShowReply,
    ShowSpeech,
    SpeakText,
    TextHeard,
    TextIn,
    Truncated,
    TurnBegan,
)

RELAY = Capabilities(
    PHONE,
    marks="none",
    clear=False,
    audio_in=False,
    audio_out=False,
    text_in=True,
    text_out=True,
    transfer="message",
    hangup="message",
)


def sent(phone: Phone) -> list[Command]:
    """Everything the call sends from now on."""
    seen: list[Command] = []
    append = phone.append

    def note(command: Command) -> None:
        seen.append(command)
        append(command)

    phone.append = note  # type: ignore[method-assign]
    return seen


async def idle(phone: Phone, ms: float) -> None:
    await asyncio.sleep(ms / 1000.0)


def test_sentences_go_as_text_and_end_with_a_last_one() -> None:
    async def main() -> None:
        call = FakeCall(RELAY)
        seen = sent(call.phone)
        phone = await call.start()
        await idle(phone, 5000)
        said = [command for command in seen if isinstance(command, SpeakText)]
        assert [(one.text, one.last) for one in said] == [
            ("This call is recorded.", False),
            ("How can I help?", False),
            ("", True),
        ]
        assert said[0].interruptible is False
        assert said[1].interruptible is True
        phone.give(TextIn("where is it"))
        await idle(phone, 5000)
        assert [one.text for one in seen if isinstance(one, SpeakText)][3:] == ["You said where is it.", ""]
        assert call.turn(1, "agent").heard == "You said where is it."
        phone.give(TextIn("bye now"))
        await idle(phone, 4000)
        assert isinstance(seen[-1], Hangup)
        phone.hang_up()
        ended = await call.ended()
        assert ended.outcome == "completed"

    run_virtual(main())


def test_what_was_heard_is_what_the_gateway_says() -> None:
    async def main() -> None:
        call = FakeCall(RELAY)
        phone = await call.start()
        await idle(phone, 5000)
        phone.give(TextIn("tell me"))
        await idle(phone, 900)
        phone.give(TextHeard("You said", stopped=True))
        await idle(phone, 50)
        phone.give(TextIn("where is it"))
        await idle(phone, 5000)
        first = call.turn(1, "agent")
        assert (first.heard, first.interrupted) == ("You said", True)
        assert call.turn(2, "agent").heard == "You said where is it."
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_who_begins_to_speak_is_not_prompted() -> None:
    async def main() -> None:
        call = FakeCall(RELAY)
        seen = sent(call.phone)
        phone = await call.start()
        await idle(phone, 4000)
        for _ in range(4):
            phone.give(TurnBegan())
            await idle(phone, 4000)
        assert [one.text for one in seen if isinstance(one, SpeakText)][3:] == []
        await idle(phone, 10_000)
        assert [one.text for one in seen if isinstance(one, SpeakText)][3:] != []
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_a_client_that_plays_by_itself_says_what_it_played() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("where is it")
        await phone.wait_for_sound()
        await phone.wait(500)
        phone.give(Truncated(300.0))
        await phone.wait(300)
        turn = call.turn(1, "agent")
        assert turn.interrupted
        assert "You said where is it.".startswith(turn.heard or "")
        assert turn.heard != "You said where is it."
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_no_audio_is_no_fault_while_media_is_paused() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        phone.give(MediaPaused(True))
        await idle(phone, 30_000)
        phone.give(MediaPaused(False))
        await phone.wait(1000)
        assert call.record.finished is None
        await idle(phone, 11_000)
        assert (await call.ended()).reason == "media_timeout"

    run_virtual(main())


def test_a_probe_is_no_call() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start(announce=False)
        phone.give(Probed("trial"))
        ended = await call.ended(within_s=7.0)
        assert (ended.outcome, ended.reason, ended.code) == ("refused", "trial", 1000)
        assert call.records.calls == []

    run_virtual(main())


def test_speech_and_replies_are_shown() -> None:
    async def main() -> None:
        call = FakeCall()
        seen = sent(call.phone)
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("where is it")
        await phone.wait_for_agent()
        speech = [one for one in seen if isinstance(one, ShowSpeech)]
        assert [one.on for one in speech] == [True, False]
        assert 0 < speech[0].at_ms < speech[1].at_ms
        replies = [one for one in seen if isinstance(one, ShowReply)]
        assert [(one.generation, one.event) for one in replies] == [
            (generation, event) for generation in (1, 2) for event in ("began", "audible", "done")
        ]
        assert replies[-1].heard_ms > 500
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_a_gateway_that_wants_silence_always_gets_a_steady_stream() -> None:
    async def main() -> None:
        call = FakeCall(Capabilities(PHONE, marks="none", clear=False, bulk=False, lead_ms=40.0, silence=True))
        seen = sent(call.phone)
        phone = await call.start()
        await phone.wait(6000)
        sounds = [one for one in seen if isinstance(one, Play)]
        assert 6000 <= len(sounds) * 20 <= 6000 + 40 + 60
        phone.hang_up()
        await call.ended()

    run_virtual(main())
