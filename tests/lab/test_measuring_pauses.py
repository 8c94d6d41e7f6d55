"""Pauses are put between words, where there is a gap, and change nothing else."""

import random

import numpy as np
import pytest

from agent.config import CONFIGS
from agent.lab.cues import RATE, Cue, CueSheet, read_cues, silence
from agent.lab.measuring.pauses import PAUSE_MS, find_gaps, paused_sheet, trimmed, with_pause, word_gap
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
    sheet = CueSheet({"a": Cue("a", "two words", 0, 960)}, TWO_WORDS)
    (gap,) = find_gaps(sheet, Timekeeper((0.0, 0.4), (0.44, 0.96))).values()
    assert 400 * 8 <= gap <= 460 * 8
    assert find_gaps(sheet, Timekeeper((0.0, 0.96))) == {}


def test_a_pause_is_as_long_as_asked_and_silent():
    at = GAP
    paused = with_pause(TWO_WORDS, at, 300)
    assert len(paused) == len(TWO_WORDS) + 300 * 8
    assert not paused[at : at + 300 * 8].any()
    assert np.array_equal(paused[: 399 * 8], TWO_WORDS[: 399 * 8])


def test_silence_at_the_end_is_cut_to_20_ms():
    assert 0 <= len(trimmed(np.concatenate([voice(410), silence(500)]))) - 410 * 8 < 160


def test_a_sheet_with_pauses_says_the_same_lines_longer():
    sheet = read_cues(CONFIGS / "scenarios" / "latency.json", CONFIGS / "scenarios" / "latency.wav")
    gaps = dict.fromkeys(list(sheet.cues)[:6], 4000)
    changed, pauses = paused_sheet(sheet, gaps, random.Random(0), 1.0)
    assert set(pauses) == set(gaps)
    for cue in sheet.cues:
        longer = len(changed.audio(cue)) - len(trimmed(sheet.audio(cue)))
        assert abs(longer / 8 - pauses.get(cue, 0)) < 1.0
        assert changed.cues[cue].text == sheet.cues[cue].text
    assert all(PAUSE_MS[0] <= ms <= PAUSE_MS[1] for ms in pauses.values())


def test_the_seed_alone_decides():
    sheet = CueSheet({"a": Cue("a", "two words", 0, 960)}, TWO_WORDS)
    one, two, three = (paused_sheet(sheet, {"a": GAP}, random.Random(seed), 1.0) for seed in (5, 5, 6))
    assert np.array_equal(one[0].samples, two[0].samples)
    assert one[1] == two[1] != three[1]


def test_a_share_of_none_pauses_nothing():
    sheet = CueSheet({"a": Cue("a", "two words", 0, 960)}, TWO_WORDS)
    assert paused_sheet(sheet, {"a": GAP}, random.Random(0), 0.0)[1] == {}
