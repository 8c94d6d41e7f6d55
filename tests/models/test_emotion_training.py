"""Training the emotion heads: from a folder of clips to heads the reader loads."""

import wave
from pathlib import Path

import numpy as np
import pytest

from models.emotion import EMOTIONS, VoiceEmotionReader
from models.training import voice_emotion
from models.training.examples import DataError
from models.training.voice_emotion import (
    LONGEST_HISTORY,
    Basis,
    activation_targets,
    against_history,
    anger_targets,
    check,
    discriminant,
    draw_history,
    fit_heads,
    four_targets,
)
from models.training.voice_emotion_adaptation import adapt_heads
from models.training.voice_emotion_data import Clip, Dataset, load_dataset, read_audio, read_clips, read_noises
from models.training.voice_emotion_lines import TRAINED, add_noise, alaw, low_rate, muffled, telephone, vary
from models.training.voice_emotion_report import evaluate

pytestmark = [pytest.mark.slow, pytest.mark.aside]

RATE = 16_000
WIDTH = 12


def made_up(speakers: int, signal: float, seed: int = 0, shift: float = 0.0, times: int = 2) -> Dataset:
    """Features whose first eight columns know the emotion as well as `signal` says, on top of the speaker's own.

    shift: how far a line moves them, and mixes their columns.
    """
    rng, line = np.random.default_rng(seed), np.random.default_rng(99)
    mixed = np.eye(WIDTH) + shift * line.standard_normal((WIDTH, WIDTH)) / np.sqrt(WIDTH)
    moved = 3 * shift * line.standard_normal(WIDTH)
    clips, rows = [], []
    for speaker in range(speakers):
        own = rng.standard_normal(WIDTH)
        for number, emotion in enumerate(EMOTIONS * times):
            text = ("one sentence", "another sentence")[number % 16 // 8]
            clips.append(Clip(Path(f"{seed}-{speaker}-{number}.wav"), emotion, f"speaker {speaker}", text))
            known = signal * np.eye(WIDTH)[EMOTIONS.index(emotion)]
            rows.append((own + rng.standard_normal(WIDTH) + known) @ mixed + moved)
    features = np.array(rows, dtype=np.float32)
    return Dataset(tuple(clips), dict.fromkeys(TRAINED[:2], features))


def accuracy(heads: voice_emotion.Heads, data: Dataset) -> float:
    said = heads.first.scores(data.features["telephone"]).argmax(axis=1)
    return float(np.mean([heads.emotions[i] == emotion for i, emotion in zip(said, data.emotions, strict=True)]))


def cells(report: str, test: str, task: str) -> list[str]:
    line = next(line for line in report.splitlines() if line.startswith(f"| {test} | {task} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_report_finds_a_signal_that_is_there_and_none_in_noise() -> None:
    heard = evaluate(made_up(6, signal=8.0), made_up(6, signal=8.0))
    deaf = evaluate(made_up(6, signal=0.0), made_up(6, signal=0.0))
    condition = "telephone, history 3 of any"
    good, bad = heard.markdown(), deaf.markdown()
    assert float(cells(good, condition, "all emotions")[3]) > 70
    assert float(cells(bad, condition, "all emotions")[3]) < 30
    assert float(cells(good, condition, "anger")[3]) > 95
    assert float(cells(bad, condition, "anger")[3]) == pytest.approx(50, abs=17)
    assert "other sentence" in good
    assert all(svg.startswith("<svg xmlns") for svg in heard.plots().values())


def test_scores_of_held_out_clips_are_kept_for_fusion(tmp_path: Path) -> None:
    data = made_up(6, signal=8.0)
    evaluate(data, data).save_scores(tmp_path / "scores.npz", data)
    with np.load(tmp_path / "scores.npz") as stored:
        assert stored["scores"].shape == (6 * 2 * 5, 4)
        np.testing.assert_allclose(stored["scores"].sum(axis=1), 1.0, rtol=1e-6)
        angry = stored["emotions"] == "angry"
        assert stored["scores"][angry, 3].mean() > 0.6 > 0.2 > stored["scores"][~angry, 3].mean()
        assert len(stored["speakers"]) == len(angry)


def test_clips_only_one_set_has_are_left_out() -> None:
    data = made_up(6, signal=8.0)
    most = data.only({clip.path for clip in data.clips[1:]})
    assert len(most.clips) == len(data.clips) - 1
    np.testing.assert_array_equal(most.features["noisy"], data.features["noisy"][1:])
    report = evaluate(data, most).markdown()
    for condition in ("telephone, history 3 of any", "noisy telephone, history 3 of any"):
        assert cells(report, condition, "all emotions")[2] == str(len(most.clips))


def test_evaluation_needs_speakers_to_hold_out() -> None:
    few = made_up(3, signal=1.0)
    with pytest.raises(DataError, match=r"of 3 speakers, evaluation needs 6; add some, or use --no-evaluation"):
        evaluate(few, few)


def test_first_turn_and_later_ones_are_read_alike_whoever_speaks() -> None:
    heads, others = fit_heads(made_up(6, signal=8.0)), made_up(4, signal=8.0, seed=5)
    assert accuracy(heads, others) > 0.8
    features = others.features["telephone"]
    history = [draw_history(others, row, "3 of any", np.random.default_rng(row)) for row in range(len(features))]
    said = heads.later.scores(against_history(features, history, range(len(features)))).argmax(axis=1)
    assert np.mean([EMOTIONS[i] == emotion for i, emotion in zip(said, others.emotions, strict=True)]) > 0.8


def test_thresholds_let_about_one_in_twenty_of_the_others_pass() -> None:
    heads, others = fit_heads(made_up(12, signal=3.0)), made_up(12, signal=3.0, seed=5)
    logs = heads.first.scores(others.features["telephone"])
    anger = heads.first.anger.probability(voice_emotion.odds(logs, heads.emotions, ("angry",)))
    quiet = others.emotions != "angry"
    assert np.mean(anger[quiet] >= heads.first.anger.threshold) == pytest.approx(0.05, abs=0.05)


def test_seventy_clips_of_another_line_help() -> None:
    heads = fit_heads(made_up(10, signal=4.0))
    line, rest = made_up(5, signal=4.0, seed=7, shift=1.0), made_up(20, signal=4.0, seed=8, shift=1.0)
    given = line.only({clip.path for clip in line.clips[:70]})
    moved, stiffness = adapt_heads(heads, given)
    assert np.isfinite(stiffness)
    assert accuracy(moved, rest) > accuracy(heads, rest) + 0.1


def test_clips_that_say_nothing_new_do_not_spoil_the_heads() -> None:
    heads, same = fit_heads(made_up(10, signal=4.0)), made_up(4, signal=4.0, seed=7)
    moved, _ = adapt_heads(heads, same)
    rest = made_up(20, signal=4.0, seed=8)
    assert accuracy(moved, rest) > accuracy(heads, rest) - 0.03


def test_emotions_the_clips_do_not_have_stay_known() -> None:
    heads, line = fit_heads(made_up(10, signal=6.0)), made_up(5, signal=6.0, seed=7, shift=0.3)
    two = line.only({clip.path for clip in line.clips if clip.emotion in ("neutral", "angry")})
    moved, _ = adapt_heads(heads, two)
    assert moved.emotions == heads.emotions
    assert moved.first.activation.slope > 0
    with pytest.raises(DataError, match="give 8 or more, of two emotions"):
        adapt_heads(heads, two.only({clip.path for clip in two.clips[:5]}))


@pytest.mark.parametrize(
    ("emotions", "speakers", "message"),
    [
        (("angry",), 3, "all 6 clips are angry; add clips of other emotions"),
        (("angry", "happy", "sad"), 3, r"no clip is neutral; add some \(neutral: neutral or calm\)"),
        (("neutral", "happy", "sad", "angry"), 1, "all clips are of one speaker, speaker 0"),
    ],
)
def test_clips_no_heads_can_be_trained_on_are_refused(emotions: tuple[str, ...], speakers: int, message: str) -> None:
    data = made_up(speakers, signal=1.0)
    part = data.only({clip.path for clip in data.clips if clip.emotion in emotions})
    for refuse in (check, fit_heads):
        with pytest.raises(DataError, match=message):
            refuse(part)


def test_discriminant_finds_the_direction_that_parts_classes_not_the_one_that_varies_most() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    x = np.stack([y + 0.2 * rng.standard_normal(400), 2 * rng.standard_normal(400)], axis=1).astype(np.float32)
    weight, bias = discriminant(x, y, 2)
    assert np.mean((x @ weight.T + bias).argmax(axis=1) == y) > 0.95


def test_weights_over_components_and_over_features_say_the_same() -> None:
    rng = np.random.default_rng(0)
    features = (rng.standard_normal((50, 8)) * np.arange(1, 9) + 3).astype(np.float32)
    basis = Basis.fit(features, clips=10)
    assert basis.directions.shape == (8, 4)
    inputs = np.concatenate([features, features[::-1]], axis=1)
    weight, bias = rng.standard_normal((3, 8)), rng.standard_normal(3)
    over, offset = basis.unfolded(weight, bias)
    np.testing.assert_allclose(inputs @ over.T + offset, basis.reduced(inputs) @ weight.T + bias, rtol=1e-3, atol=1e-3)


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
    np.testing.assert_allclose(compared[1, WIDTH:], features[7] - (features[3] + features[5]) / 2, rtol=1e-5, atol=1e-5)


def test_targets_leave_out_what_a_task_does_not_know() -> None:
    emotions = np.array(EMOTIONS)
    assert four_targets(emotions).tolist() == [0, 0, 1, 2, 3, -1, -1, -1]
    assert anger_targets(emotions).tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
    assert activation_targets(emotions).tolist() == [0, 0, 1, 0, 1, 1, -1, 1]


@pytest.mark.parametrize("line", [telephone, alaw, low_rate])
def test_line_cuts_what_a_telephone_cuts(line: "type[telephone]") -> None:
    time = np.arange(RATE) / RATE
    for hertz, passes in ((60, False), (1000, True), (5000, False)):
        tone = (0.3 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)
        heard = line(tone)
        assert len(heard) == len(tone)
        assert (float(np.std(heard)) > 0.15) is passes


def test_low_rate_codec_keeps_time_and_a_muffled_line_loses_the_treble() -> None:
    time = np.arange(RATE) / RATE
    voice = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 22)) * np.abs(np.sin(2 * np.pi * 3 * time))
    voice = (0.1 * voice).astype(np.float32)
    plain, coded, dull = telephone(voice), low_rate(voice), muffled(voice)
    assert np.corrcoef(plain, coded)[0, 1] > 0.9
    treble = np.fft.rfftfreq(RATE, 1 / RATE) > 2500
    power = [float(np.sum(np.abs(np.fft.rfft(sound))[treble] ** 2)) for sound in (coded, dull)]
    assert power[1] < 0.05 * power[0]


def test_variants_come_from_their_seed() -> None:
    noise = read_noises((), 0)[0]
    voice = (0.1 * np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE)).astype(np.float32)
    for variant in TRAINED:
        one, two = (vary(voice, variant, -3.0, noise, np.random.default_rng(4)) for _ in range(2))
        np.testing.assert_array_equal(one, two)


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


def write_folder(folder: Path, speakers: int = 2) -> None:
    lines = ["file\temotion\tactor"]
    for speaker in range(speakers):
        for number, emotion in enumerate(("neutral", "happy", "sad", "angry", "neutral", "angry")):
            name = f"{speaker}-{number}.wav"
            write_clip(folder / name, 110 + 40 * number + 10 * speaker, 0.1 + 0.1 * number)
            lines.append(f"{name}\t{emotion}\t{speaker}")
    (folder / "metadata.tsv").write_text("\n".join(lines), encoding="utf-8")


def test_a_folder_of_clips_becomes_heads_the_reader_loads(tmp_path: Path) -> None:
    write_folder(tmp_path)
    cache, told = tmp_path / "cache", []
    clips, noises = read_clips(tmp_path), read_noises((), 0)
    data = load_dataset(clips, TRAINED, noises, 0, cache, lambda done, total, what: told.append((done, total)))
    again = load_dataset(clips, TRAINED, noises, 0, cache)
    assert len(data.clips) == 12
    assert told == [(n, 12) for n in range(12)]
    for variant in TRAINED:
        np.testing.assert_array_equal(data.features[variant], again.features[variant])
    heads = fit_heads(data)
    assert heads.emotions == ("neutral", "happy", "sad", "angry")
    heads.save(tmp_path / "heads.npz")
    reader = VoiceEmotionReader(heads=tmp_path / "heads.npz")
    time = np.arange(RATE) / RATE
    turn = (0.2 * sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 20))).astype(np.float32)
    history = reader.new_history()
    for _ in range(2):
        emotion = reader.read(turn, history)
        assert emotion is not None
        assert 0 <= emotion.anger <= 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "has no metadata.tsv"),
        (b"file\temotion\nx.wav\tangry\n", "column 'actor' is missing"),
        (b"file\temotion\tactor\nx.wav\tfurious\t1\n", "metadata.tsv:2: emotion is 'furious'; use one of neutral"),
        (b"file\temotion\tactor\nx.wav\tangry\t1\n", "metadata.tsv:2: file 'x.wav' is not in"),
        (b"file\temotion\tactor\nmetadata.tsv\tangry\t\n", "metadata.tsv:2: actor is empty"),
        (b"file\temotion\tactor\nmetadata.tsv\tsad\t1\nmetadata.tsv\tsad\t1\n", "tsv:3: .* is on line 2 too; keep one"),
        (b"file\temotion\tactor\nx.wav\tangry\tJos\xe9\n", "metadata.tsv: is not UTF-8 at byte 34; save it as UTF-8"),
        (b"file\temotion\tactor\n", "names no clip of neutral"),
    ],
)
def test_bad_tables_are_refused_by_line(tmp_path: Path, table: bytes | None, message: str) -> None:
    if table is not None:
        (tmp_path / "metadata.tsv").write_bytes(table)
    with pytest.raises(DataError, match=message):
        read_clips(tmp_path)


def test_every_bad_line_is_told_at_once(tmp_path: Path) -> None:
    lines = "\n".join(f"{n}.wav\tangry\t1" for n in range(30))
    (tmp_path / "metadata.tsv").write_text(f"file\temotion\tactor\n{lines}\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_clips(tmp_path)
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1].endswith("and 10 more lines like these")


def test_an_unreadable_clip_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF nothing of the kind")
    with pytest.raises(DataError, match=r"broken\.wav: cannot be read as audio .*; replace it or drop its line"):
        read_audio(tmp_path / "broken.wav")
