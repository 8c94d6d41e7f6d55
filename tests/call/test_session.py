"""Whole calls in virtual time, with everything but the call itself scripted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from callfakes import PHONE, FakeCall, FakeDesk
from virtual_time import run_virtual

from agent.call.floor import FloorSettings
from agent.call.gatewayed import MOST_WAITING
from agent.config import Settings
from agent.gateways.base import Capabilities, Fault, Hangup, Play, ShowTurn, Transfer
from agent.handoff.contracts import HandoffResult
from models.contracts import Samples
from models.pool import Priority


def test_a_conversation_from_greeting_to_goodbye() -> None:
    async def main() -> None:
        call = FakeCall(delays_ms={Priority.SPECULATION: 150})
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("where is it")
        await phone.wait_for_agent()
        await phone.say("bye now")
        await phone.wait(4000)
        ended = await call.ended()
        assert (ended.outcome, ended.reason, ended.code) == ("completed", "goodbye", 1000)
        assert call.turn(0, "agent").heard == "This call is recorded. How can I help?"
        assert call.turn(1, "caller").text == "where is it"
        assert call.turn(1, "agent").heard == "You said where is it."
        assert call.dialogue.heard_log[-1] == ("Goodbye.", True)
        assert call.record.finished is not None
        assert phone.closed == (1000, "goodbye")

    run_virtual(main())


def test_how_a_call_went_is_recorded_and_told() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert call.record.events[-1] == ("verdict", {"topic": "order_status", "negative": False})
        told = call.metrics.registry.get_sample_value(
            "callagent_topic_calls_total", {"topic": "order_status", "negative": "no"}
        )
        assert told == 1.0

    run_virtual(main())


def test_latency_parts_add_up_to_what_the_caller_waits() -> None:
    async def main() -> None:
        call = FakeCall(delays_ms={Priority.SPECULATION: 300})
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("hello")
        stopped = asyncio.get_running_loop().time() * 1000.0
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        latency = call.turn(1, "agent").latency
        parts = [latency[name] for name in ("endpoint_wait", "recognition", "dialogue", "synthesis", "pacing")]
        assert latency["total"] == pytest.approx(sum(parts) + latency["leading_silence"], abs=1.0)
        waited = phone.first_sound[-1] - stopped
        assert latency["total"] == pytest.approx(waited, abs=call.phone.chunk_ms + 40)

    run_virtual(main())


def test_a_pause_inside_a_sentence_is_not_answered() -> None:
    async def main() -> None:
        call = FakeCall(delays_ms={Priority.SPECULATION: 150})
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("my number is...", 600)
        await phone.wait(660)
        await phone.say("four two", 600)
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert [turn.text for turn in call.dialogue.turns] == ["my number is... four two"]
        assert call.dialogue.restored == 0

    run_virtual(main())


def test_a_turn_answered_too_early_is_taken_back_before_it_sounds() -> None:
    async def main() -> None:
        call = FakeCall(delays_ms={Priority.SPECULATION: 150})
        call.voice.speak = _slow(call.voice.speak)  # type: ignore[method-assign]
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("cancel it", 600)
        await phone.wait(900)
        await phone.say("no keep it", 600)
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert call.dialogue.restored == 1
        assert [turn.text for turn in call.dialogue.turns] == ["cancel it no keep it"]
        assert call.turn(1, "agent").heard == "You said cancel it no keep it."
        assert (2, "caller") not in call.record.turns
        assert "retract" in call.record.kinds()

    run_virtual(main())


def test_a_caller_who_goes_on_as_the_reply_begins_is_answered_on_the_whole_turn() -> None:
    async def main() -> None:
        call = FakeCall(delays_ms={Priority.SPECULATION: 150})
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("do you ship", 600)
        await phone.wait(840)
        await phone.say("to canada", 600)
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert [turn.text for turn in call.dialogue.turns] == ["do you ship to canada"]
        assert call.dialogue.restored == 1
        assert call.turn(1, "agent").interrupted
        assert call.turn(1, "caller").text == ""
        assert call.turn(1, "caller").reasons["continued_in"] == 2
        assert call.turn(2, "agent").heard == "You said do you ship to canada."
        assert "continue" in call.record.kinds()

    run_virtual(main())


def _slow(speak):  # type: ignore[no-untyped-def]
    async def slowly(text, tone="neutral", **_):  # type: ignore[no-untyped-def]
        await asyncio.sleep(0.8)
        async for speech in speak(text, tone):
            yield speech

    return slowly


def test_barge_in_stops_the_sound_and_keeps_what_was_heard() -> None:
    async def main() -> None:
        call = FakeCall(delays_ms={Priority.SPECULATION: 150})
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("long please")
        await phone.wait_for_sound()
        await phone.wait(3000)
        began = asyncio.get_running_loop().time() * 1000.0
        await phone.say("stop that", 600)
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert phone.cleared[-1] - began <= 400 or phone.cleared[0] - began <= 400
        answer = call.turn(1, "agent")
        assert answer.interrupted
        assert answer.heard
        assert answer.text.startswith(answer.heard)
        assert len(answer.heard) < len(answer.text) / 2
        assert (answer.heard, False) in call.dialogue.heard_log
        assert call.turn(2, "caller").text == "stop that"
        assert call.turn(2, "agent").heard == "You said stop that."

    run_virtual(main())


def test_a_cough_pauses_the_agent_which_then_says_the_rest() -> None:
    async def main() -> None:
        call = FakeCall(delays_ms={Priority.SPECULATION: 150})
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("long please")
        await phone.wait_for_sound()
        await phone.wait(2000)
        await phone.noise(300)
        await phone.wait(16_000)
        phone.hang_up()
        await call.ended()
        answer = call.turn(1, "agent")
        assert answer.heard == answer.text
        assert not answer.interrupted
        kinds = call.record.kinds()
        assert kinds.count("pause") == kinds.count("resume") == 1
        assert "interrupt" not in kinds

    run_virtual(main())


def test_the_disclosure_is_heard_out_and_the_words_spoken_over_it_are_answered() -> None:
    async def main() -> None:
        call = FakeCall(delays_ms={Priority.SPECULATION: 150})
        phone = await call.start()
        await phone.wait(400)
        await phone.say("hello there", 660)
        await phone.wait(3000)
        phone.hang_up()
        await call.ended()
        heard = call.turn(0, "agent").heard or ""
        assert heard.startswith("This call is recorded.")
        assert [turn.text for turn in call.dialogue.turns] == ["hello there"]

    run_virtual(main())


def test_silence_is_prompted_and_then_ended_politely() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait(50_000)
        ended = await call.ended()
        assert (ended.outcome, ended.reason) == ("completed", "silence")
        assert [turn.silence for turn in call.dialogue.turns] == [1, 2, 3]
        assert call.dialogue.heard_log[-1] == ("Are you there? 3", True)

    run_virtual(main())


def test_keys_are_collected_into_one_turn() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        phone.press("427")
        await phone.wait(900)
        phone.press("19")
        await phone.wait_for_agent()
        phone.press("5#")
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert [turn.dtmf for turn in call.dialogue.turns] == ["42719", "5"]

    run_virtual(main())


def test_typed_turns_without_sound() -> None:
    async def main() -> None:
        typed = Capabilities(PHONE, marks="none", clear=False, audio_in=False, audio_out=False, transfer="message")
        call = FakeCall(typed)
        phone = await call.start()
        await asyncio.sleep(60)
        phone.type("where is it")
        await asyncio.sleep(1)
        phone.type("bye")
        ended = await call.ended()
        assert ended.outcome == "completed"
        assert call.turn(1, "agent").heard == "You said where is it."
        assert not phone.first_sound

    run_virtual(main())


def test_a_person_is_asked_for_once_the_announcement_was_heard() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("person please")
        await phone.wait(8000)
        ended = await call.ended()
        assert (ended.outcome, ended.reason) == ("handed_off", "transferred")
        request = call.desk.requests[0]
        assert request.rule == "asked_for_person"
        assert request.caller == "+15550123"
        assert [row["text"] for row in request.transcript][-1] == "I will connect you."
        assert call.desk.ended == ["bridged"]

    run_virtual(main())


@pytest.mark.parametrize("outcome", ["declined", "unavailable", "failed"])
def test_a_handoff_that_does_not_take_leaves_the_caller_with_the_agent(outcome: str) -> None:
    async def main() -> None:
        call = FakeCall(desk=FakeDesk(HandoffResult(outcome)))  # type: ignore[arg-type]
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("person please")
        await phone.wait_for_agent()
        await phone.wait_for_agent()
        await phone.say("bye")
        await phone.wait(4000)
        ended = await call.ended()
        assert ended.outcome == "completed"
        assert call.dialogue.outcomes == [outcome]

    run_virtual(main())


def test_a_caller_who_leaves_while_waiting_for_a_person_is_reported() -> None:
    async def main() -> None:
        call = FakeCall(desk=FakeDesk(delay_s=9.0))
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("person please")
        await phone.wait(4000)
        phone.hang_up()
        ended = await call.ended()
        assert ended.outcome == "caller_left"
        assert call.desk.left == [call.desk.requests[0].handoff_id]

    run_virtual(main())


def test_the_transfer_message_goes_to_gateways_that_take_one() -> None:
    async def main() -> None:
        call = FakeCall(Capabilities(PHONE, transfer="message", hangup="message"))
        sent: list[object] = []
        inner = call.phone.append
        call.phone.append = lambda command: (sent.append(command), inner(command))[1]  # type: ignore[method-assign]
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("person please")
        await phone.wait(3500)
        [transfer] = [command for command in sent if isinstance(command, Transfer)]
        assert transfer.target == "+15550100"
        assert transfer.context["handoff_id"] == call.desk.requests[0].handoff_id
        phone.hang_up()
        assert (await call.ended()).outcome == "handed_off"
        assert any(isinstance(command, ShowTurn) for command in sent)

    run_virtual(main())


def test_hang_up_message_goes_out_before_the_socket_closes() -> None:
    async def main() -> None:
        call = FakeCall(Capabilities(PHONE, transfer="message", hangup="message"))
        sent: list[object] = []
        inner = call.phone.append
        call.phone.append = lambda command: (sent.append(command), inner(command))[1]  # type: ignore[method-assign]
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("bye")
        await phone.wait(4000)
        await call.ended()
        assert [command.reason for command in sent if isinstance(command, Hangup)] == ["goodbye"]

    run_virtual(main())


@pytest.mark.parametrize("part", ["recognizer", "dialogue", "vad"])
def test_a_failing_part_is_apologised_for_and_a_person_takes_over(part: str) -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        if part == "recognizer":
            call.recognizer.error = RuntimeError("broken")
        elif part == "vad":
            call.vad.error = RuntimeError("broken")
        await phone.say("fail now")
        await phone.wait(9000)
        ended = await call.ended()
        assert ended.outcome == "handed_off"
        assert any("sorry" in text for text, _ in call.dialogue.heard_log)
        assert call.desk.requests[0].rule == "fault"
        codes = [data["code"] for kind, data in call.record.events if kind == "fault"]
        assert any(code.endswith("_failed") for code in codes)

    run_virtual(main())


def test_an_answer_that_hangs_is_apologised_for() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()

        async def hang(turn):  # type: ignore[no-untyped-def]
            await asyncio.sleep(3600)
            yield

        call.dialogue.respond = hang  # type: ignore[method-assign]
        await phone.say("hello")
        await phone.wait(22_000)
        ended = await call.ended()
        assert ended.outcome == "handed_off"
        assert any("sorry" in text for text, _ in call.dialogue.heard_log)

    run_virtual(main())


def test_a_voice_that_fails_still_reaches_a_person() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        call.voice.error = RuntimeError("broken")
        await phone.say("hello")
        await phone.wait(6000)
        ended = await call.ended()
        assert ended.outcome == "handed_off"
        assert call.desk.requests[0].rule == "fault"

    run_virtual(main())


def test_a_socket_that_dies_mid_word_keeps_what_was_heard() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait(700)
        phone.drop()
        ended = await call.ended()
        assert (ended.outcome, ended.reason) == ("caller_left", "line_lost")
        greeting = call.turn(0, "agent")
        assert greeting.interrupted
        assert greeting.heard == "This call is"
        assert call.record.finished is not None
        assert call.record.finished.outcome == "caller_left"

    run_virtual(main())


def test_no_start_message_ends_the_socket() -> None:
    async def main() -> None:
        call = FakeCall()
        await call.start(announce=False)
        ended = await call.ended(within_s=6.0)
        assert (ended.outcome, ended.reason) == ("refused", "handshake_timeout")
        assert not call.records.calls

    run_virtual(main())


@pytest.mark.parametrize("spoke", [False, True])
def test_a_call_without_media_is_closed(spoke: bool) -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        if spoke:
            await phone.wait(1000)
        ended = await call.ended(within_s=15.0)
        assert ended.reason == "media_timeout"
        assert ended.code == 4408
        assert call.record.finished is not None

    run_virtual(main())


def test_a_fault_that_closes_ends_the_call_and_others_do_not() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        phone.give(Fault("bad_base64", "payload is not base64"))
        await phone.wait(500)
        assert call.session.phase != "closing"
        phone.give(Fault("second_start", "one call a socket", 1008))
        ended = await call.ended()
        assert (ended.outcome, ended.reason, ended.code) == ("failed", "second_start", 1008)
        assert call.record.finished is not None
        assert call.record.finished.counters["bad_base64"] == 1

    run_virtual(main())


def test_audio_that_does_not_fit_is_counted_and_the_call_goes_on() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        from agent.gateways.base import AudioIn

        phone.give(AudioIn(b"\x01"))
        await phone.wait_for_agent()
        await phone.say("hello")
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert call.turn(1, "agent").heard == "You said hello."
        assert call.record.finished is not None
        assert call.record.finished.counters["bad_audio"] == 1

    run_virtual(main())


def test_audio_lost_upstream_is_kept_in_the_record() -> None:
    async def main() -> None:
        call = FakeCall()
        call.gateway.lost_ms = 40  # type: ignore[attr-defined]
        phone = await call.start()
        await phone.wait(300)
        phone.hang_up()
        await call.ended()
        assert call.record.finished is not None
        assert call.record.finished.counters["lost_ms"] == 40

    run_virtual(main())


def test_a_flood_of_messages_is_cut_off() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        for _ in range(1000):
            phone.press("1")
        ended = await call.ended()
        assert (ended.reason, ended.code) == ("message_flood", 1008)

    run_virtual(main())


def test_a_long_turn_is_recognized_in_pieces() -> None:
    async def main() -> None:
        call = FakeCall(settings=Settings(floor=FloorSettings(wait_low_ms=2000)))
        phone = await call.start()
        await phone.wait_for_agent()
        for part in range(4):
            await phone.say(f"part {part}...", 9000)
            await phone.wait(900)
        await phone.say("and that is all", 900)
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert call.dialogue.turns[0].text == "part 0... part 1... part 2... part 3... and that is all"

    run_virtual(main())


def test_an_empty_answer_gives_the_floor_back() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("quiet please")
        await phone.wait(1500)
        assert call.session.phase == "listening"
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_stopping_the_server_ends_the_call_with_a_record() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait(500)
        call.session.stop("server_stopping")
        ended = await call.ended()
        assert (ended.reason, ended.code) == ("server_stopping", 1001)
        assert call.record.finished is not None

    run_virtual(main())


@pytest.mark.parametrize("kind", ["refused", "early", "half_open", "talk", "dropped"])
def test_two_hundred_calls_leave_nothing_behind(kind: str) -> None:
    """`run_virtual` fails when a task is left; here also the gauge of running calls must be back at zero."""

    async def one(number: int) -> FakeCall:
        call = FakeCall()
        phone = await call.start(announce=kind != "half_open")
        if kind == "refused":
            phone.give(Fault("bad_start", "no", 1008))
        elif kind == "early":
            phone.hang_up()
        elif kind == "talk":
            await phone.wait_for_agent()
            await phone.say("long one")
            await phone.wait(1500)
            phone.hang_up()
        elif kind == "dropped":
            await phone.wait(300)
            phone.drop()
        await call.ended()
        assert not call.session._tasks
        return call

    async def main() -> None:
        calls = await asyncio.gather(*(one(number) for number in range(40)))
        for call in calls:
            gauge = call.metrics.calls.labels("fake")._value.get()
            assert gauge == 0

    run_virtual(main())


def test_nothing_is_played_after_the_call_was_handed_over() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("person please")
        await phone.wait(4200)
        plays: list[object] = []
        inner = call.phone.append
        call.phone.append = lambda c: (plays.append(c) if isinstance(c, Play) else None, inner(c))[1]  # type: ignore[method-assign]
        await phone.say("hello are you there")
        await phone.wait(3000)
        await call.ended()
        assert plays == []

    run_virtual(main())


def test_audio_that_comes_while_voice_is_sought_is_judged_together_afterwards() -> None:
    async def main() -> None:
        call = FakeCall(delays_ms={Priority.VOICE_ACTIVITY: 200, Priority.SPECULATION: 100})
        together: list[int] = []
        judge = call.vad.probabilities

        def counted(frames: Sequence[tuple[Any, Samples]]) -> list[float]:
            together.append(len(frames))
            return judge(frames)

        call.vad.probabilities = counted  # type: ignore[method-assign]
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("hello")
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        assert call.turn(1, "caller").text == "hello"
        # 200 ms hold six frames of 32 ms, give or take the 60 ms that pieces are long
        assert 5.0 <= sum(together[1:]) / len(together[1:]) <= 8.0
        assert max(together) <= MOST_WAITING

    run_virtual(main())


def test_a_socket_is_not_read_while_too_much_audio_waits_to_be_judged() -> None:
    async def main() -> None:
        call = FakeCall(delays_ms={Priority.VOICE_ACTIVITY: 60_000})
        phone = await call.start()
        await phone.wait(5_000)
        assert MOST_WAITING <= len(call.session._frames) <= MOST_WAITING + 2
        call.session.stop("over")
        assert (await call.ended()).reason == "over"

    run_virtual(main())
