"""One reply: parts in, sound out, in order and not further ahead than it pays."""

import asyncio

import numpy as np
import pytest
from callfakes import PHONE
from virtual_time import run_virtual

from agent.call.playout import Playout
from agent.call.replying import AHEAD_MS, Reply, Speaker, priority
from agent.clock import LoopClock
from agent.dialogue.contracts import Acted, Because, Expect, HandOff, HangUp, Say
from agent.gateways.base import Capabilities
from models.contracts import Speech
from models.pool import Priority


class Voice:
    """Speaks each word for 200 ms at twice the line's rate; notes how urgent each sentence was."""

    def __init__(self) -> None:
        self.spoken: list[tuple[str, str, Priority]] = []

    async def speak(self, text, tone="neutral", *, pace=1.0, language=None):
        at = 0
        for word in text.split():
            self.spoken.append((word, tone, priority.get()))
            await asyncio.sleep(0.01)
            end = text.index(word, at) + len(word)
            yield Speech(np.full(3200, 0.3, dtype=np.float32), 16_000, (at, end))
            at = end


class Stage:
    def __init__(self, mute: bool = False) -> None:
        self.voice = Voice()
        self.playout = Playout(Capabilities(PHONE))
        self.clock = LoopClock()
        self.parts = []
        self.wakes = 0
        self.speaker = Speaker(
            self.voice, self.playout, PHONE.rate, self.clock, self._wake, self._part, "mute" if mute else "voice"
        )
        self.reply = Reply(1, 1, 0.0, answers_caller=True)
        self.playout.begin(1)

    def _wake(self) -> None:
        self.wakes += 1

    def _part(self, reply, part) -> None:
        self.parts.append(part)


async def these(*parts):
    for part in parts:
        yield part


def test_all_that_is_said_is_queued_and_each_part_is_told():
    async def main():
        stage = Stage()
        parts = [Because({"intent": "x"}), Say("One two.", "warm"), Say("Three.", must_hear=True), Expect("digits")]
        await stage.speaker.speak(stage.reply, these(*parts))
        assert stage.parts == parts
        assert stage.reply.text == "One two. Three."
        assert stage.reply.tones == ["warm", "neutral"]
        assert stage.reply.must_hear
        assert stage.reply.finished
        assert stage.reply.reasons == {"intent": "x"}
        assert stage.wakes >= 3
        assert stage.playout.ahead_ms(stage.clock.now_ms()) == pytest.approx(600.0, abs=30.0)

    run_virtual(main())


def test_only_the_first_sound_is_urgent():
    async def main():
        stage = Stage()
        await stage.speaker.speak(stage.reply, these(Say("One two."), Say("Three.")))
        assert [urgency for _, _, urgency in stage.voice.spoken] == [
            Priority.FIRST_SENTENCE,
            Priority.LATER_SENTENCE,
            Priority.LATER_SENTENCE,
        ]
        assert stage.reply.latency["synthesis"] == pytest.approx(10.0, abs=1.0)

    run_virtual(main())


def test_time_spent_by_the_dialogue_is_told_from_synthesis():
    async def slow():
        await asyncio.sleep(0.3)
        yield Say("One.")
        await asyncio.sleep(0.5)
        yield Say("Two.")

    async def main():
        stage = Stage()
        await stage.speaker.speak(stage.reply, slow())
        assert stage.reply.latency == {
            "dialogue": pytest.approx(300.0, abs=1.0),
            "synthesis": pytest.approx(10.0, abs=1.0),
        }

    run_virtual(main())


@pytest.mark.parametrize(
    ("part", "then"), [(HangUp("goodbye"), "hangup"), (HandOff("asked", "asked_for_person"), "transfer")]
)
def test_what_comes_after_the_words_is_kept_for_later(part, then):
    async def main():
        stage = Stage()
        await stage.speaker.speak(stage.reply, these(Say("Goodbye."), part))
        assert stage.reply.then == then
        assert stage.reply.ending == ("goodbye" if then == "hangup" else "")
        assert stage.reply.handoff == (part if then == "transfer" else None)

    run_virtual(main())


def test_an_action_without_words_says_nothing():
    async def main():
        stage = Stage()
        acted = Acted("find_order", {}, True, {}, "k")
        await stage.speaker.speak(stage.reply, these(acted))
        assert stage.parts == [acted]
        assert stage.reply.text == ""
        assert stage.voice.spoken == []
        assert stage.reply.finished

    run_virtual(main())


def test_a_long_answer_is_not_made_far_ahead_of_the_caller():
    async def main():
        stage = Stage()
        words = int(2 * AHEAD_MS / 200)
        speaking = asyncio.create_task(stage.speaker.speak(stage.reply, these(Say(" ".join(["word"] * words)))))
        await asyncio.sleep(3.0)
        made = len(stage.voice.spoken)
        assert made * 200 <= AHEAD_MS + 1000
        assert not stage.reply.finished
        while not speaking.done():
            stage.playout.due(stage.clock.now_ms())
            await asyncio.sleep(0.02)
        await speaking
        assert len(stage.voice.spoken) == words

    run_virtual(main())


def test_a_reply_that_was_stopped_is_spoken_no_further():
    async def main():
        stage = Stage()
        speaking = asyncio.create_task(stage.speaker.speak(stage.reply, these(Say("a b c d e f g h"), Say("i j k"))))
        await asyncio.sleep(0.025)
        stage.playout.stop(stage.clock.now_ms())
        stage.playout.begin(2)
        await speaking
        assert len(stage.voice.spoken) < 5
        assert stage.playout.ahead_ms(stage.clock.now_ms()) == 0.0

    run_virtual(main())


def test_a_typed_call_gets_its_words_without_sound():
    async def main():
        stage = Stage(mute=True)
        await stage.speaker.speak(stage.reply, these(Say("One two."), Say("Three.")))
        assert stage.voice.spoken == []
        assert stage.reply.text == "One two. Three."
        stage.playout.due(stage.clock.now_ms())
        assert stage.playout.done(stage.clock.now_ms())

    run_virtual(main())


def test_an_answer_given_up_half_way_has_ended_before_the_next_begins():
    async def main():
        stage, ended = Stage(), []

        async def answer():
            try:
                yield Say("One.")
                await asyncio.sleep(60)
            finally:
                ended.append(True)

        speaking = asyncio.create_task(stage.speaker.speak(stage.reply, answer()))
        await asyncio.sleep(0.5)
        speaking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await speaking
        assert ended == [True]
        assert not stage.reply.finished

    run_virtual(main())
