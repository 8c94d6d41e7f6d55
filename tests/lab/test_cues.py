"""The demo caller's WAV says what its script says, and a damaged sheet is refused."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from agent.config import CONFIGS
from agent.lab.cues import RATE, Cue, CueError, read_cues, silence, write_cues
from agent.lab.make_demo_caller import heard, same_words
from agent.lab.scenario import read_scenario
from audio.wav import write_wav
from models.recognizer import WhisperRecognizer

SCENARIOS = CONFIGS / "scenarios"


@pytest.fixture(scope="module")
def sheet():
    return read_cues(SCENARIOS / "demo-caller.json", SCENARIOS / "demo-caller.wav")


def test_the_sheet_has_the_lines_of_the_script(sheet):
    script = read_scenario(SCENARIOS / "demo.yaml").script
    assert [(cue.id, cue.text) for cue in sheet.cues.values()] == [(line.id, line.text) for line in script.lines]


def test_the_wav_is_small_and_silent_between_cues(sheet):
    assert (SCENARIOS / "demo-caller.wav").stat().st_size < 1_000_000
    assert len(sheet.samples) < 60 * RATE
    between = sheet.samples.copy()
    for cue in sheet.cues.values():
        between[cue.start_ms * 8 : cue.end_ms * 8] = 0
    assert not between.any()


def test_digits_are_dictated_with_pauses(sheet):
    frames = sheet.audio("number").astype(float)
    frames = frames[: len(frames) // 160 * 160].reshape(-1, 160)
    quiet = np.sqrt((frames**2).mean(axis=1)) < 60
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(int), [0]])))
    pauses = [20 * (end - start) for start, end in zip(edges[::2], edges[1::2], strict=True) if end - start >= 15]
    assert len(pauses) == 4
    assert all(300 <= pause <= 700 for pause in pauses)


def test_the_angry_line_is_the_loudest(sheet):
    level = {name: float(np.sqrt((sheet.audio(name).astype(float) ** 2).mean())) for name in sheet.cues}
    assert level.pop("angry") > 1.5 * max(level.values())


def test_a_recognizer_hears_every_line_right_over_a_telephone_line(sheet):
    for cue, text in heard(sheet, WhisperRecognizer()):
        assert same_words(cue.text, text), text


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("It's four, two, seven!", "It's 4-2-7.", True),
        ("order four two seven", "order 427", True),
        ("four two", "for two", False),
        ("I want a person", "I want the person", False),
    ],
)
def test_words_are_compared_however_they_are_written(one, other, same):
    assert same_words(one, other) is same


def test_a_sheet_and_its_wav_come_back_as_written(tmp_path):
    sound = np.arange(4000, dtype=np.int16)
    write_wav(tmp_path / "a.wav", sound, RATE)
    cues = [Cue("a", "A.", 0, 100), Cue("b", "B.", 200, 500)]
    write_cues(tmp_path / "a.json", "voice", cues)
    read = read_cues(tmp_path / "a.json", tmp_path / "a.wav")
    assert list(read.cues.values()) == cues
    assert np.array_equal(read.audio("b"), sound[1600:4000])


@pytest.mark.parametrize(
    ("data", "rate", "words"),
    [
        ({"cues": [asdict(Cue("a", "A.", 0, 600))]}, RATE, "is not in"),
        ({"cues": [asdict(Cue("a", "A.", 50, 50))]}, RATE, "is not in"),
        ({"cues": [{"id": "a"}]}, RATE, "no list 'cues'"),
        ({}, RATE, "no list 'cues'"),
        ({"cues": []}, 16_000, "8000 Hz mono"),
    ],
)
def test_a_damaged_sheet_is_refused(tmp_path, data, rate, words):
    write_wav(tmp_path / "a.wav", silence(500), rate)
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(CueError, match=words):
        read_cues(tmp_path / "a.json", tmp_path / "a.wav")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CueError, match=r"no\.json.*make_demo_caller"):
        read_cues(tmp_path / "no.json", tmp_path / "no.wav")
