"""The voice's round trip, with a voice that beeps and a recognizer that hears what the test says."""

import numpy as np
import pytest

from agent.config import CONFIGS
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.round_trip import measure_voice, read_sentences, written_out
from agent.lab.measuring.word_errors import word_errors
from models.contracts import Recognition


class Beeper:
    """Half a second a sentence; silent for what it cannot say."""

    rate = 22_050

    def synthesize(self, text):
        return np.zeros(0, np.float32) if "???" in text else np.full(11_025, 0.1, dtype=np.float32)


class Writer:
    """Writes down `texts` in turn."""

    def __init__(self, *texts):
        self.texts = list(texts)
        self.lengths = []

    def recognize(self, samples, hints):
        self.lengths.append(len(samples))
        return Recognition(self.texts.pop(0))


def told(done, total, what):
    """Progress that nobody looks at."""


def measured(file, *heard, conditions=("mulaw",)):
    sentences = read_sentences(file)
    return measure_voice(Beeper(), Writer(*heard), sentences, conditions, {"name": "beeper"}, file.name, 0, told)


def test_errors_are_counted_by_kind_and_in_all(tmp_path):
    file = tmp_path / "sentences.txt"
    file.write_text("# ours\n[plain]\nThe tent is green.\n\n[numbers]\nCode 427 costs $5.\nAt 4:30 p.m. then.\n")
    found = measured(file, "the tend is green", "code 4 2 7 costs five dollars", "at 4.30pm then")
    values = {one.name: one.value for one in found.figures}
    assert values["wer_mulaw"] == pytest.approx(100 / 16, abs=0.01)
    assert values["cer_mulaw"] > 0
    rows = {row[0]: row[1:5] for row in found.tables[0].rows}
    assert rows == {"plain": ("mulaw", "1", "4", "1"), "numbers": ("mulaw", "2", "12", "0")}
    assert found.folded[0].rows == (("plain, mulaw", "The tent is green.", "the tend is green"),)
    assert found.figure("synthesis_p50").n == 3


def test_what_the_voice_cannot_say_is_named(tmp_path):
    file = tmp_path / "sentences.txt"
    file.write_text("What ??? is this")
    with pytest.raises(MeasureFailed, match="says nothing"):
        measured(file)


@pytest.mark.parametrize(("content", "why"), [(b"# only this\n", "holds no sentence"), (b"caf\xe9\n", "not UTF-8")])
def test_a_file_without_sentences_is_refused(tmp_path, content, why):
    file = tmp_path / "sentences.txt"
    file.write_bytes(content)
    with pytest.raises(MeasureFailed, match=why):
        read_sentences(file)
    with pytest.raises(MeasureFailed, match="cannot be read"):
        read_sentences(tmp_path / "none.txt")


def test_the_shipped_sentences_are_of_every_kind_and_all_can_be_written_out():
    found = read_sentences(CONFIGS / "evaluation" / "voice_sentences.txt")
    assert len(found) >= 60
    assert len({one.text for one in found}) == len(found)
    assert {one.kind for one in found} == {"plain", "numbers", "money and dates", "names", "e-mail and spelling"}
    assert not [one for one in found if any(letter.isdigit() for letter in written_out(one.text))]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It leaves at 7:15 in the morning.", "it leaves at 7.15 in the morning"),
        ("Write to jane@example.com.", "write to jane at example dot com"),
        ("That is $84.50.", "that is eighty-four dollars and fifty cents"),
    ],
)
def test_the_same_words_count_as_the_same_however_they_are_written(one, other):
    assert word_errors(written_out(one), written_out(other)).errors == 0
