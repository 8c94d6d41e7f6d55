"""Prosody of voices made here, whose pitch and rhythm are known."""

import numpy as np
import pytest

from audio import g711
from audio.resample import resample, to_float, to_pcm16
from models import prosody
from models.prosody import FEATURE_NAMES, RATE, measure

FORMANTS = ((600, 80), (1200, 100), (2500, 140), (3400, 200))


def voice(pitch_hz: float, seconds: float = 1.5, *, rise: float = 0.0, level: float = 0.1) -> np.ndarray:
    """A vowel said four times a second; rise is in semitones per second, level the loudest sample."""
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = pitch_hz * 2 ** (rise * (time - time.mean()) / 12)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    sound = np.zeros_like(time)
    for harmonic in range(1, 60):
        hertz = pitch_hz * harmonic
        if hertz > 7000:
            break
        gain = sum(1 / (1 + ((hertz - centre) / width) ** 2) for centre, width in FORMANTS) / harmonic**0.5
        sound += gain * np.sin(harmonic * phase)
    sound *= np.clip(np.sin(2 * np.pi * 4 * time) + 0.6, 0.0, None)
    return (level * sound / np.abs(sound).max()).astype(np.float32)


def over_telephone(samples: np.ndarray) -> np.ndarray:
    spectrum = np.fft.rfft(samples)
    spectrum[np.fft.rfftfreq(len(samples), 1 / RATE) < 200] = 0
    narrow = resample(np.fft.irfft(spectrum, len(samples)).astype(np.float32), RATE, 8000)
    return resample(to_float(g711.decode_mulaw(g711.encode_mulaw(to_pcm16(narrow)))), 8000, RATE)


def feature(samples: np.ndarray, name: str) -> float:
    return float(measure(samples).features[FEATURE_NAMES.index(name)])


def hertz(semitones: float) -> float:
    return float(100 * 2 ** (semitones / 12))


@pytest.mark.parametrize("pitch", [85.0, 120.0, 180.0, 240.0, 330.0])
@pytest.mark.parametrize("line", [False, True], ids=["wideband", "telephone"])
def test_pitch_is_found_even_where_the_line_has_cut_the_fundamental(pitch: float, line: bool) -> None:
    samples = over_telephone(voice(pitch)) if line else voice(pitch)
    assert hertz(feature(samples, "pitch_p50")) == pytest.approx(pitch, rel=0.02)


def test_rising_and_falling_pitch_have_slopes_of_their_own_sign() -> None:
    assert feature(voice(180, rise=6), "pitch_slope") == pytest.approx(6, abs=1.0)
    assert feature(voice(180, rise=-6), "pitch_slope") == pytest.approx(-6, abs=1.0)
    assert feature(voice(180, rise=6), "pitch_range") > feature(voice(180), "pitch_range") + 3


def test_gain_moves_only_the_peak_level() -> None:
    quiet, loud = measure(voice(150, level=0.05)).features, measure(voice(150, level=0.5)).features
    peak = FEATURE_NAMES.index("level_peak")
    assert loud[peak] - quiet[peak] == pytest.approx(20.0, abs=0.1)
    np.testing.assert_allclose(np.delete(loud, peak), np.delete(quiet, peak), rtol=0.02, atol=0.02)


def test_four_syllables_a_second_are_counted() -> None:
    samples = voice(150, seconds=2.0)
    assert feature(samples, "rhythm_peaks_per_second") == pytest.approx(
        4.0 / (1 - feature(samples, "rhythm_pause_ratio")), abs=2.0
    )
    assert 0.2 < feature(samples, "rhythm_pause_ratio") < 0.7


def test_noise_is_not_voiced_and_a_voice_is() -> None:
    noise = (0.1 * np.random.default_rng(1).standard_normal(RATE)).astype(np.float32)
    assert measure(noise).voiced_seconds < 0.05
    assert measure(voice(150)).voiced_seconds > 0.6


def test_length_of_the_utterance_is_not_a_feature() -> None:
    short, long = measure(voice(150, seconds=1.5)).features, measure(voice(150, seconds=4.5)).features
    settled = [i for i, name in enumerate(FEATURE_NAMES) if not name.endswith("slope")]
    np.testing.assert_allclose(short[settled], long[settled], rtol=0.2, atol=0.6)


def test_silence_and_a_single_window_give_finite_features() -> None:
    for samples in (np.zeros(RATE, np.float32), voice(150)[: prosody.WINDOW]):
        features = measure(samples).features
        assert features.shape == (len(FEATURE_NAMES),)
        assert np.isfinite(features).all()


def test_less_than_a_window_is_refused_with_its_length() -> None:
    with pytest.raises(ValueError, match="length 100; give at least 640"):
        measure(np.zeros(100, np.float32))
