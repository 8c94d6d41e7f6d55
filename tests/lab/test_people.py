"""Calls made of recorded speech: what is drawn is drawn by the seed, and pauses lie between words."""

import json
from itertools import pairwise

import numpy as np
import pytest
from lab.agents import sound

from agent.lab.measuring.machine import MeasureFailed
from agent.lab.people import dictation_scenarios, speech_scenarios
from agent.lab.spoken import audible
from audio.resample import to_float
from audio.wav import write_wav
from models.contracts import Recognition, Word

pytestmark = [pytest.mark.slow, pytest.mark.aside]

QUIET = np.zeros(8 * 60, dtype=np.int16)
TWO_WORDS = np.concatenate([sound(500), QUIET, sound(500)])


class Timekeeper:
    """Says that the second word begins where the first has ended, after 530 ms."""

    def recognize(self, samples, hints=None):
        return Recognition("two words", (Word("two", 0.02, 0.53, 1.0), Word("words", 0.58, 1.1, 1.0)))


def folder(place, rows: dict[str, np.ndarray], header="file\ttext", column=lambda name: name):
    lines = [header]
    for n, (text, samples) in enumerate(rows.items()):
        write_wav(place / f"{n}.wav", to_float(samples), 8000)
        lines.append(f"{n}.wav\t{column(text)}")
    (place / "metadata.tsv").write_text("\n".join(lines) + "\n")
    return place


@pytest.fixture
def talk(tmp_path):
    return folder(tmp_path, {f"two words {n}": TWO_WORDS for n in range(4)})


def texts(jobs):
    return [[line.text for line in job.scenario.script.lines] for job in jobs]


def test_every_utterance_is_said_before_one_is_said_again(talk):
    jobs = speech_scenarios(talk, 4, utterances=3, seed=1, paused_share=0.0)
    said = [text for call in texts(jobs) for text in call]
    assert len(said) == 12
    for start in (0, 4, 8):
        assert len(set(said[start : start + 4])) == 4
    assert texts(speech_scenarios(talk, 4, utterances=3, seed=1, paused_share=0.0)) == texts(jobs)
    assert texts(speech_scenarios(talk, 4, utterances=3, seed=2, paused_share=0.0)) != texts(jobs)


def test_a_call_says_its_utterances_one_a_turn_and_hangs_up(talk):
    (job,) = speech_scenarios(talk, 1, utterances=2, paused_share=0.0)
    assert [step.action for step in job.scenario.script.steps] == [
        *("wait_for", "say", "wait_for", "say", "wait_for", "hang_up"),
    ]
    assert [step.say for step in job.scenario.script.steps if step.say] == list(job.scenario.sounds)
    assert job.scenario.script.tags[0] == "speech"


def test_a_share_of_them_has_a_pause_between_two_words(talk):
    jobs = speech_scenarios(talk, 10, utterances=4, seed=3, paused_share=0.5, recognizer=Timekeeper())
    sounds = [sound for job in jobs for sound in job.scenario.sounds.values()]
    paused = [sound for sound in sounds if sound.pauses]
    assert 12 <= len(paused) <= 28
    for each in paused:
        ((first, last),) = each.pauses
        assert 250 * 8 <= last - first <= 700 * 8
        assert audible(each.samples[first:last]) == (0, 0)
        assert 400 * 8 < first < 600 * 8
        assert each.end - each.start == pytest.approx(len(TWO_WORDS) + last - first, abs=80)


def test_long_recordings_are_taken_apart_into_their_sentences(tmp_path):
    gap = np.zeros(8 * 700, dtype=np.int16)
    whole = np.concatenate([sound(5000), gap, sound(6000), gap, sound(6000)])
    write_wav(tmp_path / "a.wav", to_float(whole), 8000)
    entry = {"filename": "a.wav", "transcription": "One is here. Two is there! Three"}
    (tmp_path / "list.json").write_text(json.dumps([entry]))
    (job,) = speech_scenarios(tmp_path, 1, utterances=5, paused_share=0.0)
    said = {line.text: job.scenario.sounds[line.id] for line in job.scenario.script.lines}
    lengths = {text: round((each.end - each.start) / 8) for text, each in said.items()}
    assert lengths == {"One is here.": 5000, "Two is there!": 6000, "Three": 6000}


@pytest.mark.parametrize(
    "samples", [np.concatenate([sound(9000), QUIET, sound(9000)]), sound(16_000)], ids=["flows", "one"]
)
def test_long_recordings_that_cannot_be_taken_apart_are_left_out(tmp_path, samples):
    with pytest.raises(MeasureFailed, match="no utterance of at most 15 s"):
        speech_scenarios(folder(tmp_path, {"One. Two.": samples}), 1, paused_share=0.0)


@pytest.fixture
def digits(tmp_path):
    rows = {f"{digit}\t{speaker}": sound(300 + digit * 10) for digit in range(10) for speaker in ("ann", "ben")}
    rows["3\tcal"] = sound(300)
    return folder(tmp_path, rows, "file\tdigit\tspeaker")


def test_one_speaker_dictates_a_number_with_pauses(digits):
    jobs = dictation_scenarios(digits, 3, seed=5)
    assert len({job.scenario.script.lines[0].text for job in jobs}) == 3
    for job in jobs:
        (line,) = job.scenario.script.lines
        number = line.text.replace(" ", "")
        said = job.scenario.sounds["number"]
        assert len(number) == 5
        assert job.scenario.script.description.split()[0] in ("ann", "ben")
        assert all(300 * 8 <= last - first <= 1500 * 8 for first, last in said.pauses)
        edges = [said.start, *(edge for pause in said.pauses for edge in pause), said.end]
        lengths = [(end - start) / 8 for start, end in list(pairwise(edges))[::2]]
        assert lengths == [pytest.approx(300 + int(digit) * 10, abs=11) for digit in number]
        (wanted,) = [step.expect for step in job.scenario.script.steps if step.expect is not None]
        assert wanted.slot == {"order_number": number}
    assert [job.scenario.script for job in dictation_scenarios(digits, 3, seed=5)] == [
        job.scenario.script for job in jobs
    ]


def test_a_folder_of_sentences_is_no_dictation(talk):
    with pytest.raises(MeasureFailed, match="single digits"):
        dictation_scenarios(talk, 1)


def test_a_speaker_without_all_digits_is_none(tmp_path):
    place = folder(tmp_path, {"3\tcal": sound(300)}, "file\tdigit\tspeaker")
    with pytest.raises(MeasureFailed, match="no speaker with all ten digits"):
        dictation_scenarios(place, 1)
