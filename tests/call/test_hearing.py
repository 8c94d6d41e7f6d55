"""Readings of the open turn: read-only until one is settled; long turns in pieces; what fails is told or left out."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from callfakes import FakeCall
from virtual_time import run_virtual

from agent.call.hearing import PROMPTS, UNSURE, Heard, Hearing
from agent.call.listening import FRAME, FREEZE_S, LONGEST_S, RATE, Listening
from audio.codec import Encoding
from models.contracts import OUT_OF_SCOPE, Recognition, UnderstandingContext, Understood, VoiceEmotion
from models.pool import Priority

PCM = Encoding("pcm16", RATE)


class Recognizer:
    """Hears the second a piece begins with, as a word per voiced second."""

    def __init__(self) -> None:
        self.hints = []
        self.errors: list[Exception] = []
        self.sure = 0.0
        self.doubtful: str | None = None

    def recognize(self, samples, hints):
        self.hints.append(hints)
        if self.errors:
            raise self.errors.pop(0)
        levels = np.round(samples[RATE // 2 :: RATE] * 100).astype(int)
        text = " ".join(f"w{level}" for level in levels if level)
        if hints.quick and self.doubtful is not None:
            return Recognition(self.doubtful, average_log_probability=self.sure, doubtful=True)
        return Recognition(text, average_log_probability=self.sure)


class Emotion:
    """Counts turns in its history."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def new_history(self):
        return []

    def read(self, samples, history):
        if self.error is not None:
            raise self.error
        history.append(len(samples))
        return VoiceEmotion("neutral", {"neutral": 1.0}, 0.0, 0.1 * len(history))


class Pool:
    def __init__(self) -> None:
        self.asked = []
        self.delays_s: dict[Priority, float] = {}

    async def run(self, priority, work, *, within_ms=None):
        self.asked.append(priority)
        await asyncio.sleep(self.delays_s.get(priority, 0.001))
        return work()


class Understanding:
    def __init__(self) -> None:
        self.contexts = []

    def understand(self, text, context):
        self.contexts.append(context)
        return Understood(f"about {text}" if text else OUT_OF_SCOPE, 0.9)


class Ears:
    """A `Hearing` and the line it listens to."""

    def __init__(self, emotion: bool = True) -> None:
        self.recognizer, self.pool, self.understanding = Recognizer(), Pool(), Understanding()
        self.emotion = Emotion() if emotion else None
        self.services = replace(
            FakeCall().services,
            recognizer=self.recognizer,
            pool=self.pool,
            understanding=self.understanding,
            emotion=self.emotion,
        )
        self.listening = Listening(PCM, 0.5, 0.35)
        self.profile = "open"
        self.context = UnderstandingContext()
        self.hearing = Hearing(self.services, self.listening, lambda: (self.context, self.profile))
        self._second = 0

    def speak(self, seconds: float) -> None:
        self._feed(seconds, voiced=True)

    def pause(self, seconds: float = 0.32) -> None:
        self._feed(seconds, voiced=False)

    def _feed(self, seconds: float, voiced: bool) -> None:
        for _ in range(round(seconds * RATE / FRAME)):
            at = self.listening.received // RATE + 1
            level = at / 100 if voiced else 0.0
            samples = np.full(FRAME, round(level * 32768), dtype=np.int16)
            for _ in self.listening.feed(PCM.encode(samples))[0]:
                self.listening.judge(0.9 if voiced else 0.0)

    def open(self) -> None:
        """A turn opens with the frame that was last judged."""
        self.hearing.open(1)


def test_a_turn_is_recognized_understood_and_its_voice_read():
    async def main():
        ears = Ears()
        ears.open()
        ears.speak(2.0)
        heard = await ears.hearing.read(Priority.FINAL_RECOGNITION)
        assert heard.text == "w1 w2"
        assert heard.understood.intent == "about w1 w2"
        assert heard.confident
        assert heard.voice is not None
        assert heard.recognition_ms == pytest.approx(1.0, abs=0.5)
        assert heard.understanding_ms == pytest.approx(1.0, abs=0.5)
        assert set(ears.pool.asked) == {Priority.FINAL_RECOGNITION, Priority.UNDERSTANDING, Priority.EMOTION}

    run_virtual(main())


def test_readings_count_only_once_one_is_settled():
    async def main():
        ears = Ears()
        ears.open()
        ears.speak(1.0)
        first = await ears.hearing.read(Priority.SPECULATION)
        second = await ears.hearing.read(Priority.SPECULATION)
        assert first.voice == second.voice
        assert len(second.history) == 1
        ears.hearing.settle(second)
        third = await ears.hearing.read(Priority.SPECULATION)
        assert len(third.history) == 2
        ears.hearing.unsettle()
        assert len((await ears.hearing.read(Priority.SPECULATION)).history) == 1

    run_virtual(main())


def test_without_a_turn_nothing_was_said():
    async def main():
        ears = Ears()
        ears.speak(1.0)
        heard = await ears.hearing.read(Priority.FINAL_RECOGNITION)
        assert (heard.text, heard.understood.intent, heard.voice) == ("", OUT_OF_SCOPE, None)
        assert ears.pool.asked == []

    run_virtual(main())


def test_the_recognizer_is_told_what_was_asked_and_in_which_language():
    async def main():
        ears = Ears()
        ears.open()
        ears.speak(1.0)
        await ears.hearing.read(Priority.SPECULATION)
        ears.profile, ears.context = "digits", UnderstandingContext(("order_number",))
        await ears.hearing.read(Priority.SPECULATION)
        assert [hints.prompt for hints in ears.recognizer.hints] == [None, PROMPTS["digits"]]
        assert {hints.language for hints in ears.recognizer.hints} == {"en"}
        assert ears.understanding.contexts[-1].expected_slots == ("order_number",)

    run_virtual(main())


@pytest.mark.parametrize(("sure", "confident"), [(0.0, True), (UNSURE, True), (UNSURE - 0.01, False)])
def test_words_hardly_recognized_are_marked_so(sure, confident):
    async def main():
        ears = Ears()
        ears.open()
        ears.speak(1.0)
        ears.recognizer.sure = sure
        assert (await ears.hearing.read(Priority.SPECULATION)).confident is confident

    run_virtual(main())


def test_a_recognizer_that_fails_is_heard_of():
    async def main():
        ears = Ears()
        ears.open()
        ears.speak(1.0)
        ears.recognizer.errors = [RuntimeError("out of memory")]
        with pytest.raises(RuntimeError, match="out of memory"):
            await ears.hearing.read(Priority.FINAL_RECOGNITION)

    run_virtual(main())


def test_a_voice_that_cannot_be_read_is_left_out():
    async def main():
        ears = Ears()
        ears.open()
        ears.speak(1.0)
        ears.emotion.error = RuntimeError("broken")
        heard = await ears.hearing.read(Priority.FINAL_RECOGNITION)
        assert (heard.text, heard.voice) == ("w1", None)
        faults = ears.services.metrics.faults.labels("emotion_failed")
        assert faults._value.get() == 1

    run_virtual(main())


def test_a_slow_reading_of_the_voice_does_not_hold_the_words_up():
    async def main():
        ears = Ears()
        ears.open()
        ears.speak(1.0)
        ears.pool.delays_s = {Priority.EMOTION: 5.0}
        began = asyncio.get_running_loop().time()
        heard = await ears.hearing.read(Priority.FINAL_RECOGNITION)
        assert asyncio.get_running_loop().time() - began < 0.2
        assert (heard.text, heard.voice, heard.history) == ("w1", None, [])
        await asyncio.sleep(0)

    run_virtual(main())


def test_without_a_model_for_it_no_emotion_is_read():
    async def main():
        ears = Ears(emotion=False)
        ears.open()
        ears.speak(1.0)
        heard = await ears.hearing.read(Priority.FINAL_RECOGNITION)
        assert (heard.text, heard.voice) == ("w1", None)
        assert Priority.EMOTION not in ears.pool.asked

    run_virtual(main())


def test_the_words_of_a_long_turn_are_kept_at_a_pause():
    async def main():
        ears = Ears()
        ears.open()
        ears.speak(FREEZE_S + 1)
        ears.pause()
        guess = await ears.hearing.read(Priority.SPECULATION)
        ears.hearing.freeze(guess)
        ears.speak(2.0)
        heard = await ears.hearing.read(Priority.FINAL_RECOGNITION)
        assert heard.text.startswith(guess.text + " ")
        assert len(ears.recognizer.hints) == 2
        words = heard.text.split()
        assert len(words) == len(set(words)) == 15

    run_virtual(main())


def test_a_short_turn_is_recognized_whole():
    async def main():
        ears = Ears()
        ears.open()
        ears.speak(3.0)
        ears.pause()
        ears.hearing.freeze(await ears.hearing.read(Priority.SPECULATION))
        ears.speak(1.0)
        assert (await ears.hearing.read(Priority.FINAL_RECOGNITION)).text.split()[0] == "w1"

    run_virtual(main())


def test_a_turn_without_a_pause_is_recognized_in_pieces():
    async def main():
        ears = Ears()
        ears.open()
        ears.speak(LONGEST_S - 1)
        assert ears.hearing.cut_if_long() is None
        ears.speak(1.5)
        task = ears.hearing.cut_if_long()
        assert task is not None
        assert ears.hearing.cut_if_long() is None
        ears.speak(4.0)
        heard = await ears.hearing.read(Priority.FINAL_RECOGNITION)
        words = heard.text.split()
        assert words[0] == "w1"
        assert words[-1] == "w30"
        assert len(words) >= 29
        await task

    run_virtual(main())


def test_a_piece_that_was_dropped_is_tried_again_and_one_that_fails_twice_is_heard_of():
    async def main():
        ears = Ears()
        ears.open()
        ears.speak(LONGEST_S + 0.5)
        ears.recognizer.errors = [RuntimeError("displaced")]
        task = ears.hearing.cut_if_long()
        assert task is not None
        assert str(await task).startswith("w1 ")
        assert ears.pool.asked == [Priority.SPECULATION, Priority.FINAL_RECOGNITION]

        failing = Ears()
        failing.open()
        failing.speak(LONGEST_S + 0.5)
        failing.recognizer.errors = [RuntimeError("displaced"), RuntimeError("broken")]
        failing.hearing.cut_if_long()
        failing.speak(1.0)
        with pytest.raises(RuntimeError, match="broken"):
            await failing.hearing.read(Priority.FINAL_RECOGNITION)

    run_virtual(main())


def test_a_turn_that_goes_on_keeps_its_pieces_and_one_that_was_none_leaves_nothing():
    async def main():
        ears = Ears()
        ears.open()
        ears.speak(FREEZE_S + 1)
        ears.pause()
        ears.hearing.freeze(await ears.hearing.read(Priority.SPECULATION))
        ears.hearing.commit()
        ears.pause(1.0)
        ears.open()
        ears.speak(1.0)
        ears.hearing.merge()
        merged = await ears.hearing.read(Priority.FINAL_RECOGNITION)
        assert merged.text.split()[0] == "w1"
        ears.hearing.drop()
        assert (await ears.hearing.read(Priority.FINAL_RECOGNITION)).text == ""

    run_virtual(main())


def test_typed_words_are_understood_in_context():
    async def main():
        ears = Ears()
        ears.context = UnderstandingContext(asked_yes_no=True)
        assert (await ears.hearing.understand("yes")).intent == "about yes"
        assert ears.understanding.contexts == [ears.context]

    run_virtual(main())


def test_settling_a_reading_without_history_keeps_the_one_there_was():
    async def main():
        ears = Ears()
        ears.open()
        ears.speak(1.0)
        ears.hearing.settle(await ears.hearing.read(Priority.SPECULATION))
        ears.hearing.settle(Heard("typed", Understood("x", 1.0)))
        assert len((await ears.hearing.read(Priority.SPECULATION)).history) == 2

    run_virtual(main())


@pytest.mark.parametrize("doubtful", ["", "a maze"])
def test_a_doubtful_guess_is_heard_again_before_it_is_told(doubtful):
    async def main():
        ears = Ears()
        ears.recognizer.doubtful = doubtful
        ears.speak(0.064)
        ears.open()
        ears.speak(1.9)
        ears.pause()
        told = []
        heard = await ears.hearing.read(Priority.SPECULATION, lambda words: told.append(words.text))
        assert heard.text.startswith("w")
        assert told == [heard.text]
        assert [hints.quick for hints in ears.recognizer.hints] == [True, False]

    run_virtual(main())


def test_a_final_reading_is_never_quick():
    async def main():
        ears = Ears()
        ears.recognizer.doubtful = "a maze"
        ears.speak(0.064)
        ears.open()
        ears.speak(1.9)
        ears.pause()
        heard = await ears.hearing.read(Priority.FINAL_RECOGNITION)
        assert heard.text.startswith("w")
        assert [hints.quick for hints in ears.recognizer.hints] == [False]

    run_virtual(main())
