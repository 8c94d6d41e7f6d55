"""Voice emotion on the real encoder and heads, with voices made here."""

import errno
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.emotion import (
    EMOTIONS,
    HEADS_FILE,
    LABELS,
    LONGEST_SECONDS,
    Calibration,
    CallerHistory,
    Heads,
    ReadOut,
    VoiceEmotionReader,
)
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
    np.testing.assert_array_equal(history.compare(features[0]), features[0])
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


def test_heads_survive_saving_and_bad_files_are_named(tmp_path: Path) -> None:
    heads = Heads.load(HEADS_FILE)
    copy = tmp_path / "copy.npz"
    heads.save(copy)
    again = Heads.load(copy)
    np.testing.assert_array_equal(again.later.weight, heads.later.weight)
    assert (again.emotions, again.first.anger, again.later.sharpness) == (
        heads.emotions,
        heads.first.anger,
        heads.later.sharpness,
    )
    with pytest.raises(ModelMissing, match=r"none\.npz; run agent train emotion"):
        Heads.load(tmp_path / "none.npz")
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"PK not really")
    with pytest.raises(ModelDamaged, match=r"broken\.npz"):
        Heads.load(broken)
    odd = tmp_path / "odd.npz"
    replace(heads, first=replace(heads.first, weight=heads.first.weight[:, :10])).save(odd)
    with pytest.raises(
        ModelDamaged, match=r"first_weight has shape \(8, 10\), 8 emotions of 2380 features need \(8, 2380\)"
    ):
        Heads.load(odd)
    few = tmp_path / "few.npz"
    replace(heads, emotions=("neutral", "calm", "happy", "sad", "fearful", "disgust", "surprised", "furious")).save(few)
    with pytest.raises(ModelDamaged, match=r"its emotions are neutral, .*, furious; train the heads again"):
        Heads.load(few)
    narrow = tmp_path / "narrow.npz"
    cut = [replace(part, weight=part.weight[:, : 10 * n]) for n, part in ((1, heads.first), (2, heads.later))]
    replace(heads, first=cut[0], later=cut[1], centre=heads.centre[:10], spread=heads.spread[:10]).save(narrow)
    with pytest.raises(ModelDamaged, match="the heads read 10 features, the encoder gives 2380"):
        VoiceEmotionReader(heads=narrow)


def test_a_full_disk_leaves_the_old_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heads, path = Heads.load(HEADS_FILE), tmp_path / "heads.npz"
    heads.save(path)
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space left"):
        replace(heads, emotions=heads.emotions[::-1]).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["heads.npz"]


def test_labels_anger_and_activation_follow_from_the_emotions() -> None:
    plain = Calibration(1.0, 0.0, 0.5)
    logs = np.log(np.array([[0.3, 0.1, 0.1, 0.1, 0.2, 0.1, 0.05, 0.05]])).astype(np.float32)
    part = ReadOut(np.zeros((8, 2), np.float32), logs[0], 1.0, plain, plain)
    heads = Heads(EMOTIONS, part, part, np.zeros(2, np.float32), np.ones(2, np.float32))
    read = heads.read(np.zeros(2, np.float32))
    assert read.label == "neutral"
    assert read.scores == pytest.approx({"neutral": 0.5, "happy": 0.125, "sad": 0.125, "angry": 0.25})
    assert read.anger == pytest.approx(0.2)
    assert read.activation == pytest.approx(0.45 / 0.95)


def test_silence_around_the_speech_is_not_paid_for(reader: VoiceEmotionReader) -> None:
    heard: list[int] = []
    original = reader.encoder._mel

    def counted(samples: np.ndarray, **options: object) -> np.ndarray:
        heard.append(len(samples))
        return original(samples, **options)

    reader.encoder._mel = counted
    try:
        silence = np.zeros(3 * RATE, np.float32)
        assert reader.encoder.features(np.concatenate([silence, agitated(), silence])) is not None
    finally:
        reader.encoder._mel = original
    assert heard == [pytest.approx(3 * RATE, abs=RATE // 10)]
