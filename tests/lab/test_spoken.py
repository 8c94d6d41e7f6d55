"""A caller's words: trimmed to the voice, with pauses exactly as asked."""

import numpy as np
import pytest

from agent.lab.spoken import RATE, at_rate, audible, levelled, spoken

QUIET = np.zeros(4000, dtype=np.int16)


def voice(ms: int, level: int = 6000) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 300 * np.arange(ms * 8) / RATE)).astype(np.int16)


def test_audible_is_from_the_first_to_the_last_sound():
    assert audible(np.concatenate([QUIET, voice(500), QUIET])) == (4000, 8000)
    assert audible(QUIET) == (0, 0)
    assert audible(QUIET[:10]) == (0, 0)


def test_a_recordings_own_noise_is_not_audible():
    noise = np.random.default_rng(0).normal(0, 300, 12_000).astype(np.int16)
    noise[4000:8000] += voice(500, 12_000)
    first, last = audible(noise)
    assert first == pytest.approx(4000, abs=80)
    assert last == pytest.approx(8000, abs=80)


def test_silence_around_the_words_is_cut_off():
    said = spoken([np.concatenate([QUIET, voice(500), QUIET])])
    assert len(said.samples) == 4000 + 2 * 160
    assert (said.start, said.end, said.pauses) == (160, 4160, ())


def test_pauses_run_from_sound_to_sound_and_are_used_again():
    piece = np.concatenate([QUIET, voice(200), QUIET])
    said = spoken([piece] * 4, [600, 250])
    lengths = [(last - first) * 1000 // RATE for first, last in said.pauses]
    assert lengths == [600, 250, 600]
    for first, last in said.pauses:
        assert audible(said.samples[first:last]) == (0, 0)
        assert audible(said.samples[first - 80 : first]) != (0, 0)
        assert audible(said.samples[last : last + 80]) != (0, 0)
    assert said.end - said.start == 4 * 1600 + 8 * (600 + 250 + 600)


def test_nothing_said_is_nothing():
    said = spoken([QUIET])
    assert said.start == said.end
    assert len(spoken([]).samples) == 0


@pytest.mark.parametrize("level", [200, 3000, 30_000])
def test_recordings_are_brought_to_one_level(level):
    sound = levelled(np.concatenate([QUIET, voice(500, level), QUIET]))
    first, last = audible(sound)
    rms = np.sqrt(np.mean(sound[first:last].astype(float) ** 2))
    assert 20 * np.log10(rms / 32768) == pytest.approx(-23, abs=0.3)


def test_silence_has_no_level():
    assert not levelled(QUIET).any()


def test_another_rate_is_resampled():
    assert len(at_rate(voice(100), 16_000)) == 1600
    assert at_rate(QUIET, RATE) is QUIET
