"""Voice emotion on the real encoder and heads, with voices made here."""

import threading

import numpy as np
import pytest

from models.emotion import HEADS_FILE, LABELS, LONGEST_SECONDS, CallerHistory, Heads, VoiceEmotionReader
from models.errors import ModelDamaged, ModelMissing

RATE = 16_000


@pytest.fixture(scope="module")
def reader() -> VoiceEmotionReader:
    return VoiceEmotionReader()


def voice(pitch_hz: float, swing: float, level: float, tilt: float, seconds: float = 2.0) -> np.ndarray:
    """A vowel in syllables; swing in semitones, level the loudest sample, tilt the fall of the harmonics."""
    time = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(pitch_hz * 2 ** (swing * np.sin(2 * np.pi * 1.1 * time) / 12)) / RATE
    formants = ((650, 90), (1300, 110), (2500, 150))
    sound = np.zeros_like(time)
    for harmonic in range(1, int(3400 / pitch_hz)):
        hertz = pitch_hz * harmonic
        gain = sum(1 / (1 + ((hertz - centre) / width) ** 2) for centre, width in formants) / harmonic**tilt
        sound += gain * np.sin(harmonic * phase)
    sound *= np.clip(np.sin(2 * np.pi * 4 * time) + 0.7, 0.0, None)
    return (level * sound / np.abs(sound).max()).astype(np.float32)


def calm(seconds: float = 2.0) -> np.ndarray:
    return voice(110, 0.5, 0.03, 1.5, seconds)


def agitated(seconds: float = 2.0) -> np.ndarray:
    return voice(290, 5.0, 0.6, 0.2, seconds)


def test_reading_is_a_distribution_over_the_four_labels(reader: VoiceEmotionReader) -> None:
    emotion = reader.read(calm(), reader.new_history())
    assert emotion is not None
    assert tuple(emotion.scores) == LABELS
    assert sum(emotion.scores.values()) == pytest.approx(1.0)
    assert emotion.label == max(LABELS, key=lambda label: emotion.scores[label])
    assert 0.0 <= emotion.anger <= 1.0
    assert 0.0 <= emotion.activation <= 1.0


def test_loud_high_swinging_voice_is_more_active_than_a_soft_low_flat_one(reader: VoiceEmotionReader) -> None:
    soft = reader.read(calm(), reader.new_history())
    loud = reader.read(agitated(), reader.new_history())
    assert soft is not None
    assert loud is not None
    assert loud.activation > soft.activation + 0.3


def test_same_voice_reads_as_more_active_from_a_caller_who_was_calm(reader: VoiceEmotionReader) -> None:
    after_calm, after_same = reader.new_history(), reader.new_history()
    for _ in range(3):
        reader.read(calm(), after_calm)
        reader.read(agitated(), after_same)
    changed, unchanged = reader.read(agitated(), after_calm), reader.read(agitated(), after_same)
    assert changed is not None
    assert unchanged is not None
    assert changed.activation > unchanged.activation


def test_padding_with_silence_changes_little(reader: VoiceEmotionReader) -> None:
    alone = reader.read(agitated(), reader.new_history())
    silence = (1e-4 * np.random.default_rng(0).standard_normal(RATE // 2)).astype(np.float32)
    padded = reader.read(np.concatenate([agitated(), silence]), reader.new_history())
    assert alone is not None
    assert padded is not None
    assert padded.activation == pytest.approx(alone.activation, abs=0.1)
    assert padded.anger == pytest.approx(alone.anger, abs=0.2)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(0, np.float32),
        np.zeros(3 * RATE, np.float32),
        calm(0.3),
        np.concatenate([np.zeros(RATE, np.float32), calm(0.25), np.zeros(RATE, np.float32)]),
        (0.05 * np.random.default_rng(0).standard_normal(2 * RATE)).astype(np.float32),
        1e-4 * calm(),
    ],
    ids=["nothing", "silence", "too short", "a short sound in silence", "noise", "an empty line"],
)
def test_too_little_speech_is_none_and_leaves_no_history(reader: VoiceEmotionReader, samples: np.ndarray) -> None:
    history = reader.new_history()
    assert reader.read(samples, history) is None
    assert history.count == 0
    assert history.mean is None


def test_only_the_end_of_a_long_turn_is_read(reader: VoiceEmotionReader) -> None:
    end = agitated(LONGEST_SECONDS)
    long = np.concatenate([calm(5.0), end])
    assert reader.read(long, reader.new_history()) == reader.read(end, reader.new_history())


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, RATE), np.float32), r"shape \(2, 16000\); give mono"),
        (np.full(RATE, np.nan, np.float32), "NaN or infinity"),
    ],
)
def test_bad_samples_are_refused(reader: VoiceEmotionReader, samples: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reader.read(samples, reader.new_history())


def test_history_is_the_running_mean_and_does_not_grow() -> None:
    history = CallerHistory()
    features = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)
    np.testing.assert_array_equal(history.compare(features[0])[5:], 0)
    for row in features:
        history.add(row)
    assert history.count == 200
    assert history.mean is not None
    assert history.mean.shape == (5,)
    np.testing.assert_allclose(history.mean, features.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(history.compare(features[3])[5:], features[3] - features.mean(axis=0), atol=1e-5)


def test_calls_read_at_once_from_threads_do_not_mix(reader: VoiceEmotionReader) -> None:
    turns = [calm(), agitated(), voice(180, 2.0, 0.2, 0.8)]
    expected = []
    for turn in turns:
        history = reader.new_history()
        expected.append([reader.read(turn, history) for _ in range(3)])
    found: dict[int, list[object]] = {}

    def call(number: int) -> None:
        history = reader.new_history()
        found[number] = [reader.read(turns[number], history) for _ in range(3)]

    threads = [threading.Thread(target=call, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(3)] == expected


def test_heads_survive_saving_and_bad_files_are_named(tmp_path, reader: VoiceEmotionReader) -> None:
    heads = Heads.load(HEADS_FILE)
    copy = tmp_path / "copy.npz"
    heads.save(copy)
    np.testing.assert_array_equal(Heads.load(copy).four_weight, heads.four_weight)
    with pytest.raises(ModelMissing, match=r"none\.npz"):
        Heads.load(tmp_path / "none.npz")
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK not really")
    with pytest.raises(ModelDamaged, match=r"broken\.npz"):
        Heads.load(broken)
    narrow = tmp_path / "narrow.npz"
    Heads(
        heads.four_weight[:, :10], heads.four_bias, heads.anger_weight, heads.anger_bias,
        heads.activation_weight, heads.activation_bias,
    ).save(narrow)  # fmt: skip
    with pytest.raises(ModelDamaged, match=r"four_weight has shape \(4, 10\), the encoder needs \(4, 1688\)"):
        VoiceEmotionReader(heads=narrow)
