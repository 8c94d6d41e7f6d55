from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.resample import StreamResampler, resample, to_float, to_pcm16

PAIRS = [(8000, 16000), (16000, 8000), (22050, 8000), (24000, 8000), (22050, 16000), (8000, 48000), (44100, 16000)]


def tone(frequency: float, rate: int, seconds: float = 0.5) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


def stream(samples: np.ndarray, in_rate: int, out_rate: int, chunk: int) -> np.ndarray:
    resampler = StreamResampler(in_rate, out_rate)
    out = [resampler.process(samples[at : at + chunk]) for at in range(0, len(samples), chunk)]
    out.append(resampler.process(np.zeros(0, dtype=np.float32), last=True))
    return np.concatenate(out)


@pytest.mark.parametrize(("in_rate", "out_rate"), PAIRS)
def test_a_tone_keeps_its_pitch_level_and_place(in_rate: int, out_rate: int) -> None:
    out = stream(tone(1000, in_rate), in_rate, out_rate, in_rate // 50)
    expected = tone(1000, out_rate)
    assert len(out) == pytest.approx(len(expected), abs=1)
    inner = slice(out_rate // 20, -out_rate // 20)
    assert np.abs(out[: len(expected)][inner] - expected[inner]).max() < 0.002


@pytest.mark.parametrize(("in_rate", "out_rate"), [(16000, 8000), (22050, 8000), (24000, 8000)])
@pytest.mark.parametrize("frequency", [4100, 5000, 7000])
def test_what_the_slower_rate_cannot_hold_does_not_fold_back(in_rate: int, out_rate: int, frequency: int) -> None:
    out = stream(tone(frequency, in_rate), in_rate, out_rate, in_rate // 50)
    assert np.abs(out[400:-400]).max() < 0.5 * 10 ** (-58 / 20)


@pytest.mark.parametrize("frequency", [50, 300, 2000, 3300])
def test_the_telephone_band_passes(frequency: int) -> None:
    out = stream(tone(frequency, 16000), 16000, 8000, 320)[400:-400]
    assert np.sqrt(np.mean(out**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(PAIRS), st.lists(st.integers(0, 700), min_size=1, max_size=12))
def test_chunk_sizes_change_nothing(pair: tuple[int, int], sizes: list[int]) -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, sum(sizes)).astype(np.float32)
    resampler = StreamResampler(*pair)
    edges = np.cumsum([0, *sizes])
    parts = [resampler.process(samples[a:b]) for a, b in pairwise(edges)]
    parts.append(resampler.process(samples[:0], last=True))
    whole = StreamResampler(*pair).process(samples, last=True)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)
    assert len(whole) == -(-len(samples) * pair[1] // pair[0])


@pytest.mark.parametrize(("in_rate", "out_rate"), PAIRS)
def test_no_more_than_three_milliseconds_are_held_back(in_rate: int, out_rate: int) -> None:
    resampler = StreamResampler(in_rate, out_rate)
    given_s = got_s = 0.0
    for _ in range(20):
        given_s += 0.02
        got_s += len(resampler.process(np.zeros(in_rate // 50, dtype=np.float32))) / out_rate
        assert given_s - got_s <= 0.0033


def test_last_makes_it_ready_for_a_new_stream() -> None:
    resampler = StreamResampler(8000, 16000)
    first = resampler.process(tone(440, 8000), last=True)
    np.testing.assert_array_equal(resampler.process(tone(440, 8000), last=True), first)


def test_equal_rates_pass_samples_through() -> None:
    samples = tone(440, 8000)
    np.testing.assert_array_equal(StreamResampler(8000, 8000).process(samples), samples)
    np.testing.assert_array_equal(resample(samples, 8000, 8000), samples)


def test_one_shot_keeps_channels_apart() -> None:
    both = np.stack((tone(440, 48000), np.zeros(24000, dtype=np.float32)), axis=1)
    out = resample(both, 48000, 8000)
    assert out.shape == (4000, 2)
    assert np.abs(out[:, 0]).max() > 0.49
    assert not out[:, 1].any()


@pytest.mark.parametrize(("in_rate", "out_rate", "name"), [(0, 8000, "in_rate"), (8000, -1, "out_rate")])
def test_rates_must_be_positive(in_rate: int, out_rate: int, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        StreamResampler(in_rate, out_rate)
    with pytest.raises(ValueError, match=name):
        resample(tone(1, 8000), in_rate, out_rate)


def test_float_and_int16_agree_and_clip() -> None:
    every = np.arange(-32768, 32768).astype(np.int16)
    np.testing.assert_array_equal(to_pcm16(to_float(every)), every)
    loud = np.array([2.0, -2.0, np.inf, -np.inf, np.nan], dtype=np.float32)
    assert to_pcm16(loud).tolist() == [32767, -32768, 32767, -32768, 0]
