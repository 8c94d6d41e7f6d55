"""Calls that are only listened to, whole and in virtual time, with everything around them scripted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest
from callfakes import PHONE, FakeCall, InlinePool
from virtual_time import run_virtual

from agent.call.assistant import KnowledgeAssistant, Question, Suggestion
from agent.call.gatewayed import LEAVE_S, PART_S
from agent.call.monitoring import FINISH_S, MonitorSession
from agent.call.session import Admission, Ended
from agent.call.transcribing import MOST_BEHIND, WHOLE
from agent.config import CONFIGS, Settings
from agent.dialogue.domain import Fact
from agent.dialogue.knowledge.base import Found
from agent.dialogue.loader import load_domain
from agent.gateways.base import (
    Answer,
    AudioIn,
    CallEnded,
    CallStarted,
    Capabilities,
    Clear,
    Command,
    Dtmf,
    Fault,
    HangingUp,
    Hangup,
    Mark,
    MediaPaused,
    Play,
    Probed,
    ShowSuggestion,
    ShowTranscript,
)
from agent.records.redaction import redact
from models.contracts import (
    Recognition,
    RecognitionHints,
    Said,
    Samples,
    UnderstandingContext,
    Understood,
    VoiceEmotion,
)
from models.errors import Overloaded
from models.pool import Priority

T = TypeVar("T")


class RefusingPool(InlinePool):
    """Refuses so many of the next jobs of a priority."""

    def __init__(self, delays_ms: Mapping[Priority, float] | None = None) -> None:
        super().__init__(delays_ms)
        self.refuse: dict[Priority, int] = {}
        self.asked: list[Priority] = []

    async def run(self, priority: Priority, work: Callable[[], T], *, within_ms: float | None = None) -> T:
        self.asked.append(priority)
        if self.refuse.get(priority, 0):
            self.refuse[priority] -= 1
            raise Overloaded("full")
        return await super().run(priority, work, within_ms=within_ms)


class FakeAssistant:
    """Knows something about returns."""

    def __init__(self) -> None:
        self.asked: list[Question] = []

    def suggest(self, question: Question) -> list[Suggestion]:
        self.asked.append(question)
        if "return" not in question.text:
            return []
        return [Suggestion("Returns", "Within 30 days.", "Within 30 days.", "returns.md#Returns", 0.8)]


class FakeEmotion:
    def new_history(self) -> list[int]:
        return []

    def read(self, samples: Samples, history: list[int]) -> VoiceEmotion:
        history.append(len(samples))
        return VoiceEmotion("angry", {"angry": 1.0}, 0.9, 0.8)


class FakeRecording:
    def __init__(self) -> None:
        self.sides: dict[str, list[tuple[float, int]]] = {"caller": [], "agent": []}

    def caller(self, samples: Any, at_ms: float) -> None:
        self.sides["caller"].append((at_ms, len(samples)))

    def agent(self, samples: Any, at_ms: float) -> None:
        self.sides["agent"].append((at_ms, len(samples)))


class MonitoredCall(FakeCall):
    """A caller and a person on a line that is listened to."""

    def __init__(
        self,
        settings: Settings | None = None,
        delays_ms: Mapping[Priority, float] | None = None,
        admission: Admission | None = None,
        hangup: HangingUp = "close",
        **services: Any,
    ) -> None:
        can = Capabilities(PHONE, monitor=True, audio_out=False, captions=True, hangup=hangup)
        super().__init__(can, settings)
        self.pool = RefusingPool(delays_ms)
        self.assistant = FakeAssistant()
        self.services = replace(
            self.services, **{"pool": self.pool, "assistant": self.assistant, "redact": redact, **services}
        )
        self.monitor = MonitorSession(self.services, self.gateway, self.phone, "c-monitored", admission)
        self.session = self.monitor  # type: ignore[assignment]
        self.answers: list[str | bytes] = []
        self.phone.send = self._sent  # type: ignore[method-assign]

    async def _sent(self, message: str | bytes) -> None:
        self.answers.append(message)

    async def begin(self) -> None:
        self.sent: list[Command] = []
        self.gateway.sent = self.sent
        await self.start()

    async def talk(self, caller: str | None = None, agent: str | None = None, ms: float = 900.0) -> None:
        """Both channels, 60 ms at a time; who says nothing is silent."""
        count = PHONE.rate * 60 // 1000
        sides = [("caller", caller), ("agent", agent)]
        for _ in range(max(1, round(ms / 60))):
            for side, text in sides:
                level = 0.0 if text is None else self.lines.level(text)
                audio = PHONE.encode(np.full(count, int(level * 32767), dtype=np.int16))
                self.phone.give(AudioIn(audio, speaker=side))  # type: ignore[arg-type]
            await asyncio.sleep(0.06)

    async def hang_up(self) -> Ended:
        self.phone.give(CallEnded("stopped"))
        return await self.ended()

    def shown(self, final: bool = True) -> list[tuple[str, str]]:
        captions = [command for command in self.sent if isinstance(command, ShowTranscript)]
        return [(caption.speaker, caption.text) for caption in captions if caption.final == final]

    @property
    def suggested(self) -> list[str]:
        return [command.source for command in self.sent if isinstance(command, ShowSuggestion)]

    @property
    def counters(self) -> Mapping[str, int]:
        assert self.record.finished is not None
        return self.record.finished.counters


def test_both_sides_are_transcribed_and_recorded_and_nothing_is_played() -> None:
    async def main() -> None:
        call = MonitoredCall(emotion=FakeEmotion())
        await call.begin()
        await call.talk(ms=600)
        await call.talk(agent="hello there")
        await call.talk(ms=900)
        await call.talk(caller="return it please")
        await call.talk(ms=900)
        assert call.monitor.phase == "monitoring"
        ended = await call.hang_up()
        assert (ended.outcome, ended.reason, ended.code) == ("completed", "stopped", 1000)
        assert call.shown() == [("agent", "hello there"), ("caller", "return it please")]
        assert not [command for command in call.sent if isinstance(command, Play | Mark | Clear)]
        agent, caller = call.turn(0, "agent"), call.turn(1, "caller")
        assert (agent.text, agent.heard, agent.intent) == ("hello there", "hello there", None)
        assert (caller.text, caller.heard, caller.intent) == ("return it please", None, "return")
        assert caller.emotion["voice"] == "angry"
        assert abs(agent.started_ms - 600) < 70
        assert abs(caller.started_ms - 2400) < 70
        assert abs(caller.ended_ms - 3300) < 70
        assert call.record.call.gateway == "fake"
        assert call.record.finished is not None
        assert call.record.finished.outcome == "completed"
        assert call.phone.closed == (1000, "stopped")

    run_virtual(main())


def test_captions_say_where_in_the_audio_and_how_sure() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.begin()
        await call.talk(ms=600)
        await call.talk(caller="yes hello", ms=900)
        await call.talk(ms=900)
        await call.hang_up()
        (caption,) = [command for command in call.sent if isinstance(command, ShowTranscript) and command.final]
        assert caption.begin_ms is not None
        assert caption.end_ms is not None
        assert abs(caption.begin_ms - 600) < 40
        assert abs(caption.end_ms - 1500) < 40
        assert caption.confidence == 1.0

    run_virtual(main())


def test_who_speak_at_once_are_heard_apart() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.begin()
        await call.talk(caller="first side", agent="second side", ms=1200)
        await call.talk(ms=900)
        await call.hang_up()
        assert sorted(call.shown()) == [("agent", "second side"), ("caller", "first side")]
        assert set(call.record.turns) == {(0, "caller"), (1, "agent")}

    run_virtual(main())


def test_words_of_a_long_turn_are_shown_early_once_a_second() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.begin()
        await call.talk(caller="a long story", ms=4500)
        await call.talk(ms=900)
        await call.hang_up()
        early = call.shown(final=False)
        assert 3 <= len(early) <= 5
        assert set(early) == {("caller", "a long story")}
        assert call.shown() == [("caller", "a long story")]
        assert isinstance(call.sent[-1], ShowTranscript)
        assert call.sent[-1].final

    run_virtual(main())


def test_words_that_come_too_late_are_not_shown_after_the_whole_turn() -> None:
    async def main() -> None:
        call = MonitoredCall(delays_ms={Priority.BACKGROUND: 3000})
        await call.begin()
        await call.talk(caller="a story", ms=1500)
        await call.talk(ms=3600)
        await call.hang_up()
        assert call.shown(final=False) == []
        assert call.shown() == [("caller", "a story")]

    run_virtual(main())


def test_what_could_be_answered_is_suggested_once_for_questions_of_the_caller() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.begin()
        for side, text in (
            ("agent", "return what"),
            ("caller", "return boots"),
            ("caller", "a return"),
            ("caller", "no"),
        ):
            await call.talk(**{side: text})
            await call.talk(ms=900)
        await call.hang_up()
        assert call.suggested == ["returns.md#Returns"]
        assert [question.text for question in call.assistant.asked] == ["return boots", "a return", "no"]
        assert [question.about for question in call.assistant.asked] == [
            None,
            "returns.md#Returns",
            "returns.md#Returns",
        ]
        assert "suggestion" in call.record.kinds()

    run_virtual(main())


def test_each_thing_asked_for_is_looked_up_and_answers_ask_nothing() -> None:
    class Wishful:
        def understand(self, text: str, context: UnderstandingContext = UnderstandingContext()) -> Understood:  # noqa: B008
            if text == "sure":
                return Understood("affirm", 0.9)
            wishes = (Said("a", 0.9, "one thing", 0), Said("b", 0.9, "a return", 14))
            return Understood("a", 0.9, wishes=wishes)

    async def main() -> None:
        call = MonitoredCall(understanding=Wishful())
        await call.begin()
        for text in ("one thing and a return", "sure"):
            await call.talk(caller=text)
            await call.talk(ms=900)
        await call.hang_up()
        assert [question.text for question in call.assistant.asked] == ["one thing", "a return"]

    run_virtual(main())


def test_private_numbers_do_not_leave_to_the_desktop() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.begin()
        await call.talk(caller="it is 4111 1111 1111 1111", ms=2400)
        await call.talk(ms=900)
        await call.hang_up()
        assert set(call.shown(False) + call.shown()) == {("caller", "it is [card]")}

    run_virtual(main())


def test_the_last_words_are_recognized_though_the_gateway_is_gone() -> None:
    async def main() -> None:
        call = MonitoredCall(delays_ms={WHOLE: 700})
        await call.begin()
        await call.talk(agent="goodbye then")
        call.phone.drop()
        ended = await call.ended()
        assert (ended.outcome, ended.reason) == ("failed", "socket_closed_1006")
        assert call.turn(0, "agent").text == "goodbye then"

    run_virtual(main())


def test_a_call_does_not_wait_for_ever_for_its_last_words() -> None:
    async def main() -> None:
        call = MonitoredCall(delays_ms={WHOLE: 60_000})
        await call.begin()
        await call.talk(agent="goodbye then")
        before = asyncio.get_running_loop().time()
        await call.hang_up()
        assert asyncio.get_running_loop().time() - before <= FINISH_S + 0.1
        assert call.counters["transcript_lost"] == 1
        assert call.turn(0, "agent").reasons["lost"]

    run_virtual(main())


def test_refused_work_on_whole_turns_is_tried_again() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.begin()
        call.pool.refuse[WHOLE] = 2
        await call.talk(caller="hello again")
        await call.talk(ms=4200)
        await call.hang_up()
        assert call.shown() == [("caller", "hello again")]
        assert call.counters["transcript_delayed"] == 2
        assert "transcript_lost" not in call.counters

    run_virtual(main())


def test_lost_words_are_counted_and_recorded() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.begin()
        call.pool.refuse[WHOLE] = 4
        await call.talk(caller="never known")
        await call.talk(ms=12_000)
        await call.talk(caller="known again")
        await call.talk(ms=900)
        await call.hang_up()
        assert call.shown() == [("caller", "known again")]
        assert call.counters["transcript_lost"] == 1
        lost = call.turn(0, "caller")
        assert (lost.text, "full" in lost.reasons["lost"]) == ("", True)
        assert call.metrics.registry.get_sample_value("callagent_faults_total", {"code": "transcript_lost"}) == 1.0

    run_virtual(main())


def test_of_lost_turns_the_words_shown_early_stay() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.begin()
        call.pool.refuse[WHOLE] = 4
        await call.talk(agent="a long story", ms=2400)
        await call.talk(ms=12_000)
        await call.hang_up()
        assert call.shown() == [("agent", "a long story")]
        assert call.turn(0, "agent").heard == "a long story"
        assert call.counters["transcript_lost"] == 1

    run_virtual(main())


def test_a_recognizer_that_fails_loses_the_turn_not_the_call() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.begin()
        call.recognizer.error = RuntimeError("broken")
        await call.talk(caller="never known")
        await call.talk(ms=12_000)
        call.recognizer.error = None
        await call.talk(caller="known again")
        await call.talk(ms=900)
        ended = await call.hang_up()
        assert ended.outcome == "completed"
        assert call.shown() == [("caller", "known again")]

    run_virtual(main())


def test_under_load_early_words_go_first_then_suggestions_and_no_whole_turn() -> None:
    async def main() -> None:
        call = MonitoredCall(delays_ms={WHOLE: 4000})
        await call.begin()
        texts = [f"return {number} please" for number in range(4)]
        for text in texts:
            await call.talk(caller=text, ms=1500)
            await call.talk(ms=900)
        await call.talk(ms=12_000)
        await call.talk(ms=12_000)
        await call.hang_up()
        assert [text for _, text in call.shown()] == texts
        assert call.counters["interim_dropped"] >= 1
        assert call.counters["suggestion_dropped"] >= 1
        assert "transcript_lost" not in call.counters

    run_virtual(main())


def test_too_many_turns_behind_lose_the_oldest() -> None:
    async def main() -> None:
        call = MonitoredCall(delays_ms={WHOLE: 120_000})
        await call.begin()
        for number in range(MOST_BEHIND + 2):
            await call.talk(caller=f"turn {number}")
            await call.talk(ms=900)
        await call.hang_up()
        assert call.counters["transcript_lost"] == MOST_BEHIND + 2
        assert call.turn(1, "caller").reasons["lost"] == "too many turns waited"

    run_virtual(main())


def test_no_early_words_for_a_while_after_work_was_refused() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.begin()
        call.pool.refuse[Priority.BACKGROUND] = 1
        await call.talk(caller="a long story", ms=4000)
        await call.talk(ms=900)
        await call.hang_up()
        assert call.shown(final=False) == []
        assert call.counters["interim_dropped"] >= 2

    run_virtual(main())


def test_calls_of_the_agent_go_first() -> None:
    async def main() -> None:
        call = MonitoredCall(emotion=FakeEmotion())
        await call.begin()
        await call.talk(caller="return this long story", ms=2400)
        await call.talk(ms=900)
        await call.hang_up()
        work = {priority for priority in call.pool.asked if priority is not Priority.VOICE_ACTIVITY}
        assert work
        assert min(work) > Priority.LATER_SENTENCE

    run_virtual(main())


def test_silence_shows_nothing_and_noise_without_words_is_no_turn() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.begin()
        await call.talk(caller="", ms=1500)
        await call.talk(ms=1500)
        await call.hang_up()
        assert call.shown() == []
        assert call.record.turns == {}

    run_virtual(main())


def test_a_pause_of_the_media_ends_turns_and_is_no_fault() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.begin()
        await call.talk(caller="hold on please")
        call.phone.give(MediaPaused(True))
        await asyncio.sleep(120)
        assert call.shown() == [("caller", "hold on please")]
        call.phone.give(MediaPaused(False))
        await call.talk(ms=900)
        await call.talk(agent="back again")
        await call.talk(ms=900)
        ended = await call.hang_up()
        assert ended.outcome == "completed"
        assert abs(call.turn(1, "agent").started_ms - 121_800) < 100

    run_virtual(main())


def test_silence_of_the_gateway_ends_the_call() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.begin()
        await call.talk(caller="are you there", ms=1200)
        ended = await call.ended()
        assert (ended.outcome, ended.reason, ended.code) == ("failed", "media_timeout", 4408)
        assert call.turn(0, "caller").text == "are you there"

    run_virtual(main())


def test_the_longest_call_is_bounded() -> None:
    async def main() -> None:
        settings = Settings()
        short = settings.model_copy(update={"server": settings.server.model_copy(update={"max_call_s": 3.0})})
        call = MonitoredCall(short)
        await call.begin()
        await call.talk(ms=3600)
        ended = await call.ended()
        assert (ended.reason, ended.code) == ("call_too_long", 1008)

    run_virtual(main())


def test_no_call_is_announced() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.start(announce=False)
        call.phone.give(AudioIn(b"\0\0"))
        assert call.monitor.phase == "starting"
        ended = await call.ended()
        assert (ended.outcome, ended.reason, ended.code) == ("refused", "handshake_timeout", 4408)
        assert call.records.calls == []

    run_virtual(main())


@pytest.mark.parametrize(("announced", "outcome"), [(True, "failed"), (False, "refused")])
def test_a_fault_that_ends_the_call(announced: bool, outcome: str) -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.start(announce=announced)
        call.phone.give(Fault("bad_field", "a field is wrong"))
        call.phone.give(Fault("bad_order", "out of order", 1008))
        ended = await call.ended()
        assert (ended.outcome, ended.reason, ended.code) == (outcome, "bad_order", 1008)

    run_virtual(main())


def test_a_flood_of_messages_ends_the_call() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.begin()
        for _ in range(1000):
            call.phone.give(Dtmf("1"))
        ended = await call.ended()
        assert (ended.outcome, ended.reason, ended.code) == ("failed", "message_flood", 1008)

    run_virtual(main())


def test_audio_that_does_not_fit_is_dropped() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.begin()
        call.phone.give(AudioIn(b"\0"))
        await call.talk(caller="fine now")
        await call.talk(ms=900)
        await call.hang_up()
        assert call.counters["bad_audio"] == 1
        assert call.shown() == [("caller", "fine now")]

    run_virtual(main())


def test_answers_of_the_protocol_go_out_even_at_the_end() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.begin()
        call.phone.give(Answer("opened"))
        call.phone.give(CallEnded("end"))
        call.phone.give(Answer("closed"))
        await call.ended()
        assert call.answers[0] == "opened"

    run_virtual(main())


def test_a_gateway_that_ends_calls_itself_is_asked_to_and_waited_for() -> None:
    async def main() -> None:
        call = MonitoredCall(hangup="message")
        await call.begin()
        await call.talk(caller="and then")
        call.monitor.stop("server_stopping")
        await asyncio.sleep(0.5)
        assert call.sent[-1] == Hangup("server_stopping")
        assert isinstance(call.sent[-2], ShowTranscript)
        assert call.phone.closed is None
        call.phone.give(Answer("closed"))
        call.phone.give(CallEnded("disconnect"))
        await asyncio.sleep(0.5)
        assert call.answers == ["closed"]
        assert call.phone.closed is None
        call.phone.drop()
        await asyncio.sleep(0.1)
        assert (await call.ended()).reason == "server_stopping"
        assert call.phone.closed == (1001, "server_stopping")

    run_virtual(main())


def test_a_gateway_that_does_not_end_the_call_is_left_in_the_end() -> None:
    async def main() -> None:
        call = MonitoredCall(hangup="message")
        await call.begin()
        await call.talk(caller="and then")
        call.monitor.stop("server_stopping")
        before = asyncio.get_running_loop().time()
        await call.ended()
        assert asyncio.get_running_loop().time() - before == pytest.approx(PART_S + LEAVE_S, abs=0.1)

    run_virtual(main())


def test_a_gateway_that_ends_the_call_may_close_first() -> None:
    async def main() -> None:
        call = MonitoredCall(hangup="message")
        await call.begin()
        await call.talk(caller="and then")
        call.phone.give(CallEnded("end"))
        await asyncio.sleep(0.5)
        assert call.phone.closed is None
        call.phone.drop()
        ended = await call.ended()
        assert (ended.outcome, ended.reason) == ("completed", "end")
        assert not [command for command in call.sent if isinstance(command, Hangup)]

    run_virtual(main())


def test_a_flooded_call_still_ends_at_once() -> None:
    async def main() -> None:
        call = MonitoredCall(hangup="message")
        await call.begin()
        for _ in range(1000):
            call.phone.give(Dtmf("1"))
        before = asyncio.get_running_loop().time()
        assert (await call.ended()).reason == "message_flood"
        assert asyncio.get_running_loop().time() - before < 1.0

    run_virtual(main())


def test_audio_that_waits_when_the_call_ends_is_still_judged() -> None:
    async def main() -> None:
        call = MonitoredCall(delays_ms={Priority.VOICE_ACTIVITY: 3000}, hangup="message")
        await call.begin()
        await call.talk(caller="spoken at the end", ms=3000)
        call.monitor.stop("server_stopping")
        await call.ended()
        assert call.turn(0, "caller").text == "spoken at the end"

    run_virtual(main())


def test_a_probe_is_no_call() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.start(announce=False)
        call.phone.give(Answer("opened"))
        call.phone.give(Probed("connection_probe"))
        await asyncio.sleep(1)
        call.phone.give(Answer("closed"))
        call.phone.give(CallEnded("end"))
        ended = await call.ended()
        assert (ended.outcome, ended.reason, ended.code) == ("refused", "connection_probe", 1000)
        assert call.answers == ["opened", "closed"]
        assert call.records.calls == []

    run_virtual(main())


def test_a_probe_that_does_not_close_is_closed() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.start(announce=False)
        call.phone.give(Probed("connection_probe"))
        before = asyncio.get_running_loop().time()
        assert (await call.ended()).code == 1000
        assert asyncio.get_running_loop().time() - before == pytest.approx(5.0, abs=0.1)

    run_virtual(main())


def test_a_connection_for_another_call_is_refused() -> None:
    async def main() -> None:
        call = MonitoredCall(admission=Admission("key", "CA2"))
        await call.begin()
        ended = await call.ended()
        assert (ended.outcome, ended.reason, ended.code) == ("refused", "call_mismatch", 1008)
        assert call.records.calls == []

    run_virtual(main())


def test_the_server_stops() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.begin()
        await call.talk(caller="and then")
        call.monitor.stop("server_stopping")
        ended = await call.ended()
        assert (ended.outcome, ended.reason, ended.code) == ("failed", "server_stopping", 1001)
        assert call.turn(0, "caller").text == "and then"

    run_virtual(main())


def test_voice_activity_that_fails_leaves_the_recording() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.begin()
        await call.talk(ms=60)
        recording = FakeRecording()
        call.record.recording = recording  # type: ignore[assignment]
        call.vad.error = RuntimeError("broken")
        await call.talk(caller="not heard", ms=3000)
        ended = await call.hang_up()
        assert ended.outcome == "completed"
        assert call.counters["not_transcribed"] == 1
        heard = {side: sum(count for _, count in pieces) for side, pieces in recording.sides.items()}
        assert heard["caller"] == heard["agent"] >= 3 * 8000

    run_virtual(main())


def test_overloaded_voice_activity_counts_as_silence() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.begin()
        await call.talk(ms=60)
        call.pool.refuse[Priority.VOICE_ACTIVITY] = 40
        await call.talk(ms=4200)
        call.pool.refuse.clear()
        await call.talk(caller="heard again")
        await call.talk(ms=900)
        await call.hang_up()
        assert call.counters["vad_overloaded"] == 40
        assert call.shown() == [("caller", "heard again")]

    run_virtual(main())


def test_what_is_not_understood_is_still_written() -> None:
    class Broken:
        def understand(self, text: str, context: UnderstandingContext = UnderstandingContext()) -> Understood:  # noqa: B008
            raise RuntimeError("broken")

    async def main() -> None:
        call = MonitoredCall(understanding=Broken())
        await call.begin()
        await call.talk(caller="return it")
        await call.talk(ms=900)
        await call.hang_up()
        assert (call.turn(0, "caller").text, call.turn(0, "caller").intent) == ("return it", None)
        assert call.counters["not_understood"] == 1
        assert call.suggested == ["returns.md#Returns"]

    run_virtual(main())


class Polyglot:
    """Hears Chinese whatever is said."""

    def __init__(self) -> None:
        self.hints: list[RecognitionHints] = []

    def recognize(self, samples: Samples, hints: RecognitionHints = RecognitionHints()) -> Recognition:  # noqa: B008
        self.hints.append(hints)
        return Recognition("我想要退货 谢谢你们", language="zh")


@pytest.mark.parametrize(("told", "first"), [("zh-CN", "zh"), ("fr", "en"), ("", "en")])
def test_the_gateway_may_say_what_is_spoken(told: str, first: str) -> None:
    async def main() -> None:
        recognizer = Polyglot()
        call = MonitoredCall(recognizer=recognizer, languages=("en", "zh"))
        await call.start(announce=False)
        call.sent = call.gateway.sent = []
        call.phone.give(CallStarted("conv-1", "s-1", parameters={"language": told}))
        await call.talk(agent="x")
        await call.talk(ms=900)
        await call.hang_up()
        assert [hints.language for hints in recognizer.hints] == [first]

    run_virtual(main())


def test_each_speaker_keeps_a_language_of_their_own() -> None:
    async def main() -> None:
        recognizer = Polyglot()
        call = MonitoredCall(recognizer=recognizer, languages=("en", "zh"))
        await call.begin()
        for side in ("caller", "caller", "agent"):
            await call.talk(**{side: "x"})
            await call.talk(ms=900)
        await call.hang_up()
        assert [hints.language for hints in recognizer.hints] == ["en", "zh", "en"]
        assert {question.language for question in call.assistant.asked} == {"zh"}

    run_virtual(main())


def test_the_knowledge_suggests_what_it_surely_answers() -> None:
    fact = Fact("a.md#Returns", "Returns", "Within 30 days. Keep the box.")

    class Known:
        def __init__(self, strong: bool) -> None:
            self.strong = strong

        def find(self, question: str, about: str | None = None) -> Found | None:
            return Found(fact, 0.7, 0.8, 0.9, True, self.strong, "Within 30 days.") if question else None

    domain = load_domain(CONFIGS / "domains" / "shop")
    sure = KnowledgeAssistant(domain, {"en": Known(True)})
    found = [Suggestion("Returns", "Within 30 days. Keep the box.", "Within 30 days.", "a.md#Returns", 0.7)]
    assert sure.suggest(Question("how long", "en")) == found
    assert sure.suggest(Question("how long", "en", "policy_question", 0.9)) == found
    assert sure.suggest(Question("where is it", "en", "order_status", 0.4)) == found
    assert sure.suggest(Question("where is it", "en", "order_status", 0.9)) == []
    assert sure.suggest(Question("", "en")) == []
    assert sure.suggest(Question("how long", "zh")) == []
    assert KnowledgeAssistant(domain, {"en": Known(False)}).suggest(Question("how long", "en")) == []


def test_callers_and_callees_of_the_record_are_those_of_the_gateway() -> None:
    async def main() -> None:
        call = MonitoredCall()
        await call.start(announce=False)
        call.sent = call.gateway.sent = []
        call.phone.give(CallStarted("conv-1", "s-1", "+15550123", "+15550100", parameters={"language": "en-US"}))
        await asyncio.sleep(0.1)
        await call.hang_up()
        opened = call.record.call
        assert (opened.gateway_call_id, opened.caller, opened.called) == ("conv-1", "+15550123", "+15550100")
        assert opened.parameters == {"language": "en-US"}

    run_virtual(main())
