"""Training the emotion heads: from a folder of clips to heads the reader loads."""

import wave
from pathlib import Path

import numpy as np
import pytest

from models.emotion import VoiceEmotionReader
from models.training.voice_emotion import (
    LONGEST_HISTORY,
    against_history,
    calibration_error,
    draw_history,
    evaluate,
    fit_heads,
    targets,
)
from models.training.voice_emotion_data import (
    EMOTIONS,
    VARIANTS,
    Clip,
    Dataset,
    add_noise,
    load_dataset,
    read_clips,
    read_noises,
    telephone,
)

RATE = 16_000
WIDTH = 12


def made_up(speakers: int, signal: float, seed: int = 0) -> Dataset:
    """Features whose first eight columns know the emotion as well as `signal` says, on top of the speaker's own."""
    rng = np.random.default_rng(seed)
    clips, rows = [], []
    for speaker in range(speakers):
        own = 2 * rng.standard_normal(WIDTH)
        for number, emotion in enumerate(EMOTIONS * 2):
            text = ("one sentence", "another sentence")[number % 16 // 8]
            clips.append(Clip(Path(f"{speaker}-{number}.wav"), emotion, f"speaker {speaker}", text))
            rows.append(own + rng.standard_normal(WIDTH) + signal * np.eye(WIDTH)[EMOTIONS.index(emotion)])
    features = np.array(rows, dtype=np.float32)
    return Dataset(tuple(clips), dict.fromkeys(VARIANTS, features))


def cells(report: str, test: str, task: str) -> list[str]:
    line = next(line for line in report.splitlines() if line.startswith(f"| {test} | {task} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_report_finds_a_signal_that_is_there_and_none_in_noise() -> None:
    heard = evaluate(made_up(6, signal=8.0), made_up(6, signal=8.0))
    deaf = evaluate(made_up(6, signal=0.0), made_up(6, signal=0.0))
    condition = "telephone, history 3 of any"
    assert float(cells(heard, condition, "eight")[3]) > 70
    assert float(cells(deaf, condition, "eight")[3]) < 25
    assert float(cells(heard, condition, "anger")[3]) > 95
    assert float(cells(deaf, condition, "anger")[3]) == pytest.approx(50, abs=15)
    assert "other sentence" in heard


def test_clips_only_one_set_has_are_left_out() -> None:
    data = made_up(6, signal=8.0)
    most = data.only({clip.path for clip in data.clips[1:]})
    assert len(most.clips) == len(data.clips) - 1
    np.testing.assert_array_equal(most.features["noisy"], data.features["noisy"][1:])
    report = evaluate(data, most)
    for condition in ("telephone, history 3 of any", "noisy telephone, history 3 of any"):
        assert cells(report, condition, "eight")[2] == str(len(most.clips))
        assert float(cells(report, condition, "eight")[3]) > 70


def test_evaluation_needs_speakers_to_hold_out() -> None:
    few = made_up(3, signal=1.0)
    with pytest.raises(ValueError, match="fewer than 6 speakers"):
        evaluate(few, few)


def test_history_is_of_the_same_caller_and_never_the_clip_itself() -> None:
    data = made_up(3, signal=1.0)
    rng = np.random.default_rng(0)
    sizes = set()
    for row in range(0, len(data.clips), 5):
        history = draw_history(data, row, "random", rng)
        sizes.add(len(history))
        assert row not in history
        assert len(set(history)) == len(history)
        assert {data.clips[i].speaker for i in history} <= {data.clips[row].speaker}
        angry = draw_history(data, row, "3 angry", rng)
        assert {data.clips[i].emotion for i in angry} == {"angry"}
        assert draw_history(data, row, "none", rng) == []
    assert max(sizes) <= LONGEST_HISTORY
    assert len(sizes) > 3


def test_comparison_matches_what_the_running_history_gives() -> None:
    data = made_up(2, signal=1.0)
    features = data.features["telephone"]
    compared = against_history(features, [[], [3, 5]], [0, 7])
    np.testing.assert_array_equal(compared[0, WIDTH:], 0)
    np.testing.assert_allclose(compared[1, WIDTH:], features[7] - (features[3] + features[5]) / 2, rtol=1e-5)


def test_targets_leave_out_what_a_task_does_not_know() -> None:
    emotions = np.array(EMOTIONS)
    assert targets(emotions, "eight").tolist() == list(range(8))
    assert targets(emotions, "four").tolist() == [0, 0, 1, 2, 3, -1, -1, -1]
    assert targets(emotions, "anger").tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
    assert targets(emotions, "activation").tolist() == [0, 0, 1, 0, 1, 1, -1, 1]


def test_calibrated_probabilities_are_what_they_say() -> None:
    probability = np.repeat([0.1, 0.9], 1000)
    honest = (np.random.default_rng(0).random(2000) < probability).astype(int)
    assert calibration_error(probability, honest) < 0.03
    assert calibration_error(probability, 1 - honest) > 0.7


def test_line_cuts_what_a_telephone_cuts() -> None:
    time = np.arange(RATE) / RATE
    for hertz, passes in ((60, False), (1000, True), (5000, False)):
        tone = (0.3 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)
        heard = telephone(tone)
        assert len(heard) == len(tone)
        assert (float(np.std(heard)) > 0.15) is passes


def test_noise_is_12_to_25_db_below_the_voice() -> None:
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal(RATE)).astype(np.float32)
    for noise in read_noises((), seed=0):
        added = add_noise(samples, noise, rng) - samples
        ratio = 10 * np.log10(float(np.mean(samples**2)) / float(np.mean(added**2)))
        assert 11.9 < ratio < 25.1


def write_clip(path: Path, pitch: float, level: float) -> None:
    time = np.arange(int(1.2 * RATE)) / RATE
    buzz = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 20)) * np.abs(np.sin(2 * np.pi * 3 * time))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((level * 16_000 * buzz).astype("<i2").tobytes())


def test_a_folder_of_clips_becomes_heads_the_reader_loads(tmp_path: Path) -> None:
    lines = ["file\temotion\tactor"]
    for speaker in range(2):
        for number, emotion in enumerate(("neutral", "happy", "sad", "angry", "neutral", "angry")):
            name = f"{speaker}-{number}.wav"
            write_clip(tmp_path / name, 110 + 40 * number + 10 * speaker, 0.1 + 0.1 * number)
            lines.append(f"{name}\t{emotion}\t{speaker}")
    (tmp_path / "metadata.tsv").write_text("\n".join(lines), encoding="utf-8")
    cache = tmp_path / "cache"
    data = load_dataset([tmp_path], read_noises((), 0), 0, cache)
    again = load_dataset([tmp_path], read_noises((), 0), 0, cache)
    assert len(data.clips) == 12
    for variant in VARIANTS:
        np.testing.assert_array_equal(data.features[variant], again.features[variant])
    heads, thresholds = fit_heads(data)
    assert set(thresholds) == {"anger", "activation"}
    heads.save(tmp_path / "heads.npz")
    reader = VoiceEmotionReader(heads=tmp_path / "heads.npz")
    time = np.arange(RATE) / RATE
    turn = (0.2 * sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 20))).astype(np.float32)
    emotion = reader.read(turn, reader.new_history())
    assert emotion is not None
    assert 0 <= emotion.anger <= 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "has no metadata.tsv"),
        ("file\temotion\nx.wav\tangry\n", "column 'actor' is missing"),
        ("file\temotion\tactor\nx.wav\tfurious\t1\n", "metadata.tsv:2: emotion is 'furious'; use one of neutral"),
        ("file\temotion\tactor\nx.wav\tangry\t1\n", "metadata.tsv:2: file 'x.wav' is not in"),
    ],
)
def test_bad_tables_are_refused_by_line(tmp_path: Path, table: str | None, message: str) -> None:
    if table is not None:
        (tmp_path / "metadata.tsv").write_text(table, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_clips(tmp_path)
