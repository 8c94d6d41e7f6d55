import numpy as np
import pytest

from agent.lab.speech import Piece, speech_of
from agent.lab.spoken import RATE as CALLER_RATE
from agent.lab.spoken import spoken
from audio.resample import resample, to_float
from models.contracts import RecognitionHints, Samples, Word
from models.pauses import LEFT_S, LONGEST_S, shorten
from models.recognizer import WhisperRecognizer

RATE = 16_000


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), dtype=np.float32)


def voice(seconds: float, level: float = 0.2) -> Samples:
    return np.random.default_rng(1).normal(0, level, round(seconds * RATE)).astype(np.float32)


def noise(seconds: float, level: float) -> Samples:
    return np.random.default_rng(2).normal(0, level, round(seconds * RATE)).astype(np.float32)


def test_only_long_pauses_between_speech_are_cut_short() -> None:
    sound = np.concatenate([silence(1), voice(0.4), silence(0.5), voice(0.4), silence(1.5), voice(0.4), silence(1)])
    short = shorten(sound, RATE)
    assert len(sound) - len(short.samples) == pytest.approx((1.5 - LEFT_S) * RATE)
    assert short.kept == ((0, round((2.3 + LEFT_S / 2) * RATE)), (round((3.8 - LEFT_S / 2) * RATE), len(sound)))
    assert np.array_equal(short.samples, np.concatenate([sound[first:last] for first, last in short.kept]))


@pytest.mark.parametrize("level", [0.0005, 0.005, 0.01])
def test_pauses_are_found_in_line_noise(level: float) -> None:
    sound = np.concatenate([voice(0.5), silence(1.5), voice(0.5), silence(1.0), voice(0.5)])
    short = shorten(sound + noise(len(sound) / RATE, level), RATE)
    assert len(short.samples) == pytest.approx((3 * 0.5 + 2 * LEFT_S) * RATE, abs=0.04 * RATE)


@pytest.mark.parametrize(
    "sound",
    [
        silence(0),
        silence(3),
        voice(0.01),
        voice(4),
        np.concatenate([voice(1), silence(LONGEST_S - 0.04), voice(1)]),
        np.concatenate([voice(1), voice(1.5, 0.03), voice(1)]),
    ],
    ids=["nothing", "silence", "click", "speech", "short pause", "soft speech"],
)
def test_without_a_long_pause_nothing_is_cut(sound: Samples) -> None:
    short = shorten(sound, RATE)
    assert short.samples is sound
    assert short.kept == ((0, len(sound)),)


def test_words_get_back_the_times_they_were_said_at() -> None:
    sound = np.concatenate([voice(0.5), silence(1.5), voice(0.5), silence(1.3), voice(0.5)])
    words = (Word("one", 0.0, 0.5, 1.0), Word("two", 0.8, 1.3, 1.0), Word("three", 1.6, 2.1, 1.0))
    times = [(word.start, word.end) for word in shorten(sound, RATE).restored(words)]
    assert np.allclose(times, [(0.0, 0.5), (2.0, 2.5), (3.8, 4.3)])


def test_a_word_has_no_pause_inside_where_its_edge_lies_in_what_is_left_of_one() -> None:
    sound = np.concatenate([voice(0.5), silence(1.5), voice(0.5)])
    words = (Word("one", 0.0, 0.72, 1.0), Word("two", 0.58, 1.3, 1.0))
    times = [(word.start, word.end) for word in shorten(sound, RATE).restored(words)]
    assert np.allclose(times, [(0.0, 0.72), (1.78, 2.5)])


def test_digits_said_slowly_are_heard_once_and_when_they_were_said() -> None:
    speech = speech_of([])
    said = spoken([speech.sound(Piece(word, "jm_kumo")) for word in "four two seven one nine".split()], [1500])
    sound = resample(to_float(said.samples), CALLER_RATE, RATE)
    recognizer = WhisperRecognizer(context_s=15, words=True)
    heard = recognizer.recognize(sound, RecognitionHints("The number is 5 0 3 8 6.", "en"))
    assert heard.text.split() == ["4", "2", "7", "1", "9"]
    begins = np.array([said.start, *(end for _, end in said.pauses)]) / CALLER_RATE
    assert np.allclose([word.start for word in heard.words], begins, atol=0.4)
