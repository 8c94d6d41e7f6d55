"""Reports that are written, read back and compared; and their pictures."""

import contextlib
import json
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.evaluation import plots
from models.evaluation.calibration import reliability
from models.evaluation.confusion import confusion
from models.evaluation.figures import Sample, quantiles
from models.evaluation.report import (
    Answers,
    Evaluation,
    ReportError,
    change_table,
    changes,
    parse_limits,
    passed,
    read_report,
)

KEYS = tuple(map(str, range(300)))


def evaluation(wrong, times=(4.0, 5.0, 6.0)):
    """An evaluation of 300 examples of which the first `wrong` were not right."""
    right = np.arange(300) >= wrong
    sample = Sample(KEYS)
    figures = (
        sample.mean("accuracy", "accuracy", right),
        sample.mean("ece", "calibration error", ~right, "lower"),
        *quantiles("latency", "latency", list(times)),
    )
    answers = Answers("accuracy", sample.fingerprint, tuple(right.tolist()))
    return Evaluation("understanding", {"version": "v1"}, ("data",), "test", 0, 300, figures, answers=answers)


@pytest.fixture
def stored(tmp_path):
    def write(found, **changed):
        path = tmp_path / "old.json"
        path.write_text(json.dumps({**found.document(), "at": "2026-01-01T00:00:00", **changed}))
        return read_report(path, "understanding")

    return write


def test_what_is_written_is_read_back(stored):
    before = evaluation(30)
    back = stored(before)
    assert back.figures["accuracy"].value == before.figure("accuracy").value == 90.0
    assert back.figures["accuracy"].interval == pytest.approx(before.figure("accuracy").interval, abs=1e-3)
    assert back.answers == before.answers
    assert back.model == {"version": "v1"}


def test_the_same_examples_are_compared_pair_by_pair(stored):
    after = evaluation(42)
    found = {
        one.name: one
        for one in changes(stored(evaluation(30)).figures, after.figures, evaluation(30).answers, after.answers)
    }
    accuracy = found["accuracy"]
    assert (accuracy.fell, accuracy.verdict, accuracy.difference.paired) == (pytest.approx(4.0), "worse", True)
    assert accuracy.mcnemar == pytest.approx(2 * 0.5**12)
    assert found["ece"].verdict == "worse"
    assert found["ece"].mcnemar is None
    assert found["latency_p50"].verdict == "within noise"
    assert not found["latency_p50"].difference.paired
    table = change_table(list(found.values()), "Change")
    assert table.rows[0][:4] == ("accuracy", "90.0 %", "86.0 %", "-4.0")


def test_other_examples_are_compared_as_groups(stored):
    before = evaluation(30)
    other = Sample(tuple(f"other {key}" for key in KEYS)).mean("accuracy", "accuracy", np.arange(300) >= 36)
    (change,) = changes(stored(before).figures, [other], before.answers, None)
    assert not change.difference.paired
    assert change.verdict == "within noise"
    assert change.mcnemar is None


def test_a_fall_beyond_its_limit_is_told(stored):
    found = changes(stored(evaluation(30)).figures, evaluation(33).figures)
    names = evaluation(0).names
    assert passed(parse_limits("accuracy:1", names), found) == []
    assert passed(parse_limits("accuracy:0.5, ece:0.9", names), found) == [
        "accuracy: 90.0 % before, 89.0 % now, worse by 1.0, more than the 0.5 allowed",
        "calibration error: 10.0 % before, 11.0 % now, worse by 1.0, more than the 0.9 allowed",
    ]
    assert passed(parse_limits("accuracy:0", names), changes({}, evaluation(1).figures)) == [
        "accuracy: the earlier report has no such figure to compare with"
    ]


def test_a_gain_is_never_a_fall(stored):
    found = changes(stored(evaluation(30)).figures, evaluation(10).figures)
    assert passed(parse_limits("accuracy:0,ece:0", ("accuracy", "ece")), found) == []
    assert found[0].verdict == "better"


@pytest.mark.parametrize("text", ["accuracy", "accuracy:-1", "accuracy:x", ""])
def test_limits_of_another_form_are_refused(text):
    with pytest.raises(ReportError, match="NAME:POINTS"):
        parse_limits(text, ("accuracy",))


def test_limits_on_what_was_not_measured_are_refused():
    with pytest.raises(ReportError, match="there is accuracy, ece"):
        parse_limits("slot_f1:1", ("accuracy", "ece"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("no json", "is no report"),
        ("[]", "is no report"),
        ('{"measure": "emotion"}', "is a report of 'emotion', not of 'understanding'"),
        ('{"measure": "understanding", "version": 0}', "format 0"),
        ('{"measure": "understanding", "version": 1, "figures": {"a": {}}}', "is no report"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path, content, why):
    path = tmp_path / "old.json"
    path.write_text(content)
    with pytest.raises(ReportError, match=why):
        read_report(path, "understanding")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
REPORTS = st.fixed_dictionaries(
    {"measure": st.just("understanding"), "version": st.just(1)},
    optional={
        "at": JSON,
        "model": JSON,
        "answers": JSON | st.fixed_dictionaries({"figure": JSON, "sample": JSON, "right": JSON}),
        "figures": JSON
        | st.dictionaries(
            st.text(max_size=4),
            st.fixed_dictionaries(dict.fromkeys(("words", "value", "n", "unit", "better", "draws", "sample"), JSON)),
            max_size=2,
        ),
    },
)


@given(st.binary(max_size=40) | (JSON | REPORTS).map(lambda found: json.dumps(found).encode()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_file_holds_only_a_report_error_comes_of_it(tmp_path, content):
    path = tmp_path / "any.json"
    path.write_bytes(content)
    with contextlib.suppress(ReportError):
        read_report(path, "understanding")


def test_a_report_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ReportError, match="cannot be read"):
        read_report(tmp_path / "none.json", "understanding")


NASTY = "<script>&\"'"


def drawn():
    few = confusion(["a", NASTY, "a"], ["a", "a", NASTY])
    many = confusion([f"class {n}" for n in range(60)], [f"class {n // 2}" for n in range(60)])
    sure = reliability(np.array([0.2, 0.9, 1.0]), np.array([False, True, True]))
    return {
        "few": plots.confusion_plot(few, NASTY),
        "many": plots.confusion_plot(many),
        "reliability": plots.reliability_plot(sure, NASTY),
        "bars": plots.interval_plot(evaluation(30).figures[:2], NASTY),
        "empty": plots.confusion_plot(confusion([], [])),
    }


@pytest.mark.parametrize("name", list(drawn()))
def test_pictures_are_well_formed_and_whole(name):
    plot = drawn()[name]
    assert "<script" not in plot.svg
    root = ElementTree.fromstring(plots.standalone(plot))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root[0].tag.endswith("style")


def test_a_large_matrix_is_drawn_as_its_commonest_mistakes():
    svg = drawn()["many"].svg
    assert "commonest mistakes" in svg
    assert "class 1 → class 0" in svg
    assert svg.count("<rect") == 25


def test_a_small_matrix_tells_its_counts():
    svg = drawn()["few"].svg
    assert "a understood as a: 1 of 2" in svg
    assert svg.count("<title>") == 3
