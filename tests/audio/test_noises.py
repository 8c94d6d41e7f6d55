from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from audio import noises
from audio.noises import bed, event, limited
from audio.resample import resample, to_float
from audio.talker import SPEECH_DBFS, active_rms, at_speech_level, talk
from audio.wav import write_wav
from models.vad import FRAME, SileroVad, VadState


def dbfs(samples: np.ndarray, rate: int) -> float:
    return 20 * float(np.log10(active_rms(samples, rate)))


def voiced_share(samples: np.ndarray, rate: int) -> float:
    heard = resample(samples, rate, 16_000)
    frames = heard[: len(heard) // FRAME * FRAME].reshape(-1, FRAME)
    state = VadState()
    return float(np.mean(np.array(SileroVad().probabilities([(state, frame) for frame in frames])) > 0.5))


def centroid_hz(samples: np.ndarray, rate: int) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    return float(np.sum(power * np.fft.rfftfreq(len(samples), 1 / rate)) / np.sum(power))


@pytest.mark.parametrize("kind", noises.EVENTS)
def test_an_event_is_as_loud_as_asked_and_never_clips(kind: str) -> None:
    for seed in range(3):
        calm = event(kind, 8000, seed, level_db=-12.0)
        assert calm.dtype == np.int16
        assert dbfs(to_float(calm), 8000) == pytest.approx(SPEECH_DBFS - 12.0, abs=0.5)
        assert np.abs(event(kind, 8000, seed, level_db=20.0).astype(np.int32)).max() < 32767
        assert 0.3 < len(calm) / 8000 < 3.0


@pytest.mark.parametrize("kind", noises.EVENTS)
def test_an_event_is_the_same_for_a_seed_and_another_for_another(kind: str) -> None:
    np.testing.assert_array_equal(event(kind, 16_000, 5), event(kind, 16_000, 5))
    first, other = event(kind, 16_000, 5), event(kind, 16_000, 6)
    assert len(first) != len(other) or not np.array_equal(first, other)


@pytest.mark.parametrize("kind", noises.BEDS)
@pytest.mark.parametrize("rate", [8000, 16_000])
def test_a_bed_has_the_level_of_speech_and_no_click_where_it_begins_again(kind: str, rate: int) -> None:
    samples = bed(kind, rate, seed=2)
    assert dbfs(samples, rate) == pytest.approx(SPEECH_DBFS, abs=0.1)
    steps = np.abs(np.diff(samples, append=samples[:1]))
    assert steps[-1] <= steps[:-1].max()


def test_beds_of_two_seeds_begin_elsewhere() -> None:
    assert not np.array_equal(bed("tv", 8000, 0), bed("tv", 8000, 4))
    np.testing.assert_array_equal(bed("tv", 8000, 4), bed("tv", 8000, 4))


def test_pink_noise_falls_by_three_decibels_an_octave() -> None:
    power = np.abs(np.fft.rfft(bed("pink", 16_000).astype(np.float64))) ** 2
    hertz = np.fft.rfftfreq(len(bed("pink", 16_000)), 1 / 16_000)
    octaves = [10 * np.log10(np.mean(power[(hertz >= low) & (hertz < 2 * low)])) for low in (100, 200, 400, 800, 1600)]
    np.testing.assert_allclose(np.diff(octaves), -3.0, atol=0.3)


def test_white_noise_is_flat() -> None:
    assert centroid_hz(bed("white", 8000), 8000) == pytest.approx(2000, rel=0.03)


def test_a_keyboard_clicks_and_a_breath_swells() -> None:
    def crest(kind: str) -> float:
        samples = to_float(event(kind, 8000, 1))
        return float(np.abs(samples).max() / np.sqrt(np.mean(samples**2)))

    assert crest("keyboard") > 2.0 * crest("breath")


def test_a_talker_is_taken_for_speech_and_noise_is_not() -> None:
    talked = talk(8.0, 8000, 3, pitch_hz=120.0, pause_s=(0.2, 0.6))
    assert voiced_share(talked, 8000) > 0.5
    assert voiced_share(bed("tv", 8000)[: 8 * 8000], 8000) > 0.4
    assert voiced_share(bed("pink", 8000)[: 8 * 8000], 8000) < 0.02


def test_a_talker_pauses_between_phrases() -> None:
    talked = talk(20.0, 8000, 1, pitch_hz=200.0, pause_s=(2.0, 3.0))
    loud = np.sqrt(np.mean(talked.reshape(-1, 160) ** 2, axis=1)) > 0.003
    assert 0.2 < loud.mean() < 0.7


def test_talk_has_about_four_syllables_a_second() -> None:
    talked = talk(20.0, 8000, 1, pitch_hz=120.0, pause_s=(0.0, 0.01))
    envelope = np.sqrt(np.mean(talked.reshape(-1, 80) ** 2, axis=1))
    power = np.abs(np.fft.rfft(envelope - envelope.mean())) ** 2
    hertz = np.fft.rfftfreq(len(envelope), 0.01)
    assert 3.0 < float(hertz[1:][np.argmax(np.convolve(power, np.ones(21), "same")[1:])]) < 7.0


def test_a_file_is_levelled_and_resampled(tmp_path: Path) -> None:
    tone = np.sin(2 * np.pi * 400 * np.arange(16_000) / 16_000).astype(np.float32) * 0.9
    write_wav(tmp_path / "horn.WAV", tone, 16_000)
    samples = to_float(event(str(tmp_path / "horn.WAV"), 8000, level_db=-6.0))
    assert len(samples) == pytest.approx(8000, abs=1)
    assert dbfs(samples, 8000) == pytest.approx(SPEECH_DBFS - 6.0, abs=0.2)
    assert dbfs(bed(str(tmp_path / "horn.WAV"), 8000), 8000) == pytest.approx(SPEECH_DBFS, abs=0.1)


def test_what_cannot_be_played_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no sound 'sneeze'; use one of cough, .* path of a WAV file"):
        event("sneeze", 8000)
    with pytest.raises(ValueError, match="no noise 'brown'; use one of white, pink"):
        bed("brown", 8000)
    write_wav(tmp_path / "still.wav", np.zeros(8000, dtype=np.int16), 8000)
    with pytest.raises(ValueError, match=r"still\.wav: the file is silent"):
        bed(str(tmp_path / "still.wav"), 8000)
    with pytest.raises(FileNotFoundError):
        event(str(tmp_path / "none.wav"), 8000)


def test_limiting_leaves_quiet_samples_alone_and_keeps_their_order() -> None:
    ramp = np.linspace(-3.0, 3.0, 601, dtype=np.float32)
    bent = limited(ramp)
    quiet = np.abs(ramp) < 0.49
    np.testing.assert_array_equal(bent[quiet], ramp[quiet])
    assert np.all(np.diff(bent) > 0)
    assert np.abs(bent).max() < 1.0


def test_silence_has_no_level() -> None:
    still = np.zeros(4000, dtype=np.float32)
    assert active_rms(still, 8000) == 0.0
    np.testing.assert_array_equal(at_speech_level(still, 8000), still)
    assert active_rms(still[:10], 8000) == 0.0


def test_the_active_level_leaves_pauses_out() -> None:
    noise = np.random.default_rng(0).standard_normal(8000).astype(np.float32) * 0.1
    with_pause = np.concatenate([noise, np.zeros(24_000, dtype=np.float32)])
    assert active_rms(with_pause, 8000) == pytest.approx(active_rms(noise, 8000), rel=0.02)
