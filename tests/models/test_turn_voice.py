import numpy as np
import pytest

from models.contracts import Samples
from models.emotion import VoiceEncoder
from models.turn_voice import HEARD_S, VoiceEnd, spoken_end

RATE = 16_000


def buzz(seconds: float, fade_db: float = 0.0) -> Samples:
    """A vowel-like buzz that fades by `fade_db` over its last quarter second."""
    at = np.arange(round(seconds * RATE)) / RATE
    late = np.clip((at - seconds + 0.25) / 0.25, 0.0, 1.0)
    wave = sum(np.sin(2 * np.pi * 120 * n * at) / n for n in range(1, 16))
    return (0.1 * wave * 10 ** (-late * fade_db / 20)).astype(np.float32)


@pytest.fixture(scope="module")
def ear() -> VoiceEnd:
    return VoiceEnd(VoiceEncoder())


def test_silence_waited_makes_no_difference(ear: VoiceEnd) -> None:
    voice = buzz(1.2, 12.0)
    short, long = (ear.features(np.concatenate([voice, np.zeros(n, np.float32)])) for n in (1600, 6400))
    assert short is not None
    assert long is not None
    np.testing.assert_array_equal(short, long)


def test_what_was_said_earlier_makes_no_difference(ear: VoiceEnd) -> None:
    end = buzz(1.5)
    alone, after = ear.features(end), ear.features(np.concatenate([buzz(3.0)[::-1], np.zeros(8000, np.float32), end]))
    assert alone is not None
    assert after is not None
    np.testing.assert_allclose(alone, after, atol=1e-5)


def test_a_fading_end_is_told_from_one_that_breaks_off(ear: VoiceEnd) -> None:
    fading, broken = ear.features(buzz(1.2, 20.0)), ear.features(buzz(1.2))
    assert fading is not None
    assert broken is not None
    assert np.abs(fading - broken).max() > 0.1


def test_only_the_last_second_of_speech_is_heard() -> None:
    voice = buzz(2.0)
    heard = spoken_end(np.concatenate([voice, np.zeros(4000, np.float32)]))
    assert heard is not None
    assert len(heard) == pytest.approx(HEARD_S * RATE, abs=1)
    assert np.abs(heard[-320:]).max() > 0.01


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(RATE), np.ones(1000) * 0.1])
def test_too_little_speech_is_not_described(ear: VoiceEnd, samples: Samples) -> None:
    assert ear.features(samples.astype(np.float32)) is None
