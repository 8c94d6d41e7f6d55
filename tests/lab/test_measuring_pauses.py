"""Pauses are put between words, where there is a gap, and change nothing else."""

import numpy as np
import pytest

from agent.lab.cues import RATE, silence
from agent.lab.measuring.pauses import gap_of, parted, trimmed, with_pause, word_gap
from agent.lab.spoken import Spoken
from models.contracts import Recognition, Word


def voice(ms: int) -> np.ndarray:
    return (np.sin(np.arange(RATE * ms // 1000) * 0.3) * 6000).astype(np.int16)


TWO_WORDS = np.concatenate([voice(400), silence(60), voice(500)])
GAP = 430 * 8


class Timekeeper:
    """Gives word times and no words."""

    def __init__(self, *times):
        self.words = tuple(Word("x", start, end, 1.0) for start, end in times)

    def recognize(self, samples, hints=None):
        assert len(samples) == 2 * len(TWO_WORDS)
        return Recognition("x", self.words)


def test_the_gap_nearest_to_the_time_between_two_words_is_taken():
    assert 400 * 8 <= word_gap(TWO_WORDS, [390.0]) <= 460 * 8


@pytest.mark.parametrize(
    ("samples", "between"),
    [
        (voice(960), [430.0]),
        (silence(960), [430.0]),
        (silence(20), [10.0]),
        (TWO_WORDS, []),
        (TWO_WORDS, [700.0]),
        (np.concatenate([voice(80), silence(60), voice(900)]), [110.0]),
    ],
    ids=["flowing", "silent", "click", "one word", "a gap inside a word", "too near the edge"],
)
def test_elsewhere_there_is_no_gap(samples, between):
    assert word_gap(samples, between) is None


def test_gaps_come_from_the_recognizers_word_times():
    sound = Spoken(TWO_WORDS, 0, len(TWO_WORDS))
    assert 400 * 8 <= gap_of(sound, Timekeeper((0.0, 0.4), (0.44, 0.96))) <= 460 * 8
    assert gap_of(sound, Timekeeper((0.0, 0.96))) is None


def test_a_pause_is_as_long_as_asked_and_silent():
    at = GAP
    paused = with_pause(TWO_WORDS, at, 300)
    assert len(paused) == len(TWO_WORDS) + 300 * 8
    assert not paused[at : at + 300 * 8].any()
    assert np.array_equal(paused[: 399 * 8], TWO_WORDS[: 399 * 8])


def test_silence_at_the_end_is_cut_to_20_ms():
    assert 0 <= len(trimmed(np.concatenate([voice(410), silence(500)]))) - 410 * 8 < 160


def test_a_parted_sound_is_longer_and_says_where():
    sound = Spoken(TWO_WORDS, 80, len(TWO_WORDS) - 80, ((800, 900), (5000, 5100)))
    longer = parted(sound, GAP, 500)
    assert len(longer.samples) == len(TWO_WORDS) + 4000
    assert (longer.start, longer.end) == (80, len(TWO_WORDS) + 4000 - 80)
    assert longer.pauses == ((800, 900), (GAP, GAP + 4000), (9000, 9100))
