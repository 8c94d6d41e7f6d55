"""The evaluation of turn ends, with a judge that the test scripts instead of the models."""

import numpy as np
import pytest

from models.evaluation import turns
from models.evaluation.turns import POOL, measure_turns
from models.training.turn import Heard
from models.training.turn_cuts import Cut


def cut(source, number, whole):
    """A cut of a set; its text says what the scripted judge finds."""
    return Cut(source, "who", "said", whole, "end", f"{number}", None, -0.3, np.zeros(8, np.int16))


def told(done, total, what):
    """Progress that nobody looks at."""


@pytest.fixture(autouse=True)
def scripted(monkeypatch):
    """P(turn over) is the number that a cut's text is, in percent; from the words alone it is one half."""

    def judge(heard, folder):
        scores = np.array([float(one.cut.text) / 100 for one in heard])
        return {kind: scores if kind == "all" else np.full(len(heard), 0.5) for kind in turns.INPUTS}

    monkeypatch.setattr(turns, "judge", judge)
    monkeypatch.setattr(turns, "hear", lambda cuts: [Heard(one, None, None, None) for one in cuts])


def set_of(source, ends, pauses):
    return [*(cut(source, number, True) for number in ends), *(cut(source, number, False) for number in pauses)]


def test_sets_are_measured_apart_and_those_without_questions_together(tmp_path):
    sets = {
        "harvard": set_of("harvard", (80, 90, 95), (10, 20, 85)),
        "digits": set_of("digits", (50, 60), (40, 30)),
        "ravdess": set_of("ravdess", (70, 75), (5, 15)),
    }
    found = measure_turns(sets, [cut("talk", 97, False), cut("talk", 3, False)], tmp_path, 0, told)
    values = {one.name: one.value for one in found.figures}
    assert values["auroc_harvard"] == pytest.approx(100 * 8 / 9, abs=1e-3)
    assert values["auroc_digits"] == 100.0
    assert values["auroc"] == pytest.approx(100 * (25 - 3) / 25, abs=1e-3)
    assert found.figure("auroc").n == 10
    assert found.figure("wait").unit == "ms"
    assert found.figure("wait").better == "lower"
    assert found.n == 14
    rows = found.tables[0].rows
    assert rows[0][:3] == (POOL, "5 / 5", "words")
    assert len(rows) == 4 * len(turns.INPUTS)
    points = {row[0]: row[1:] for row in found.tables[1].rows}
    assert points["0.5"] == ("100.0%", "20.0%", "50.0%")
    assert points["0.95"] == ("20.0%", "0.0%", "50.0%")


def test_without_recorded_talk_its_column_is_left_out(tmp_path):
    found = measure_turns({"harvard": set_of("harvard", (80,), (10,))}, [], tmp_path, 0, told)
    assert found.tables[1].columns == ("P at least", "ends", "pauses")


@pytest.mark.parametrize(("ends", "pauses"), [((), (10,)), ((10,), ())])
def test_a_set_of_one_kind_cannot_be_measured(tmp_path, ends, pauses):
    with pytest.raises(ValueError, match="hold no ends or no pauses"):
        measure_turns({"harvard": set_of("harvard", ends, pauses)}, [], tmp_path, 0, told)
