"""Figures of classifiers, against scikit-learn and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_recall_fscore_support, roc_auc_score

from models.evaluation import metrics
from models.evaluation.calibration import calibration_error, reliability
from models.evaluation.confusion import confusion

labels = st.sampled_from("abcd")
pairs = st.lists(st.tuples(labels, labels), min_size=1, max_size=60)


@given(pairs)
def test_classes_score_as_in_scikit_learn(rows):
    truth, said = zip(*rows, strict=True)
    there = sorted(set(truth))
    expected = precision_recall_fscore_support(truth, said, labels=there, zero_division=0)
    found = metrics.class_scores(truth, said)
    assert [one.label for one in found] == there
    for name, column in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [getattr(one, name) for one in found] == pytest.approx(list(column))
    names = sorted({*truth, *said})
    macro = metrics.macro_f1(metrics.coded(truth, names), metrics.coded(said, names), len(names))
    assert macro == pytest.approx(f1_score(truth, said, labels=there, average="macro", zero_division=0))


scores = st.lists(st.integers(0, 8), min_size=1, max_size=30)


@given(scores, scores)
def test_auroc_counts_ties_half(positive, negative):
    truth = [1] * len(positive) + [0] * len(negative)
    expected = roc_auc_score(truth, [*positive, *negative])
    assert metrics.auroc(np.array(positive, float), np.array(negative, float)) == pytest.approx(expected)


def test_auroc_of_one_side_alone_is_not_told():
    assert math.isnan(metrics.auroc(np.zeros(0), np.ones(3)))


@given(
    st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=30),
    st.lists(st.integers(0, 20), min_size=1, max_size=30),
    st.floats(0.0, 1.0),
)
def test_recall_at_an_accuracy_is_the_best_of_all_thresholds(inside, outside, least):
    probability = np.array([p for p, _ in inside], float)
    right = np.array([r for _, r in inside])
    outer = np.array(outside, float)
    best = [
        float(np.mean(outer < threshold))
        for threshold in np.arange(0.0, 21.5, 0.5)
        if (right & (probability >= threshold)).sum() >= math.ceil(least * len(inside) - 1e-9)
    ]
    found = metrics.recall_at_accuracy(probability, right, outer, least)
    assert (math.isnan(found) and not best) or found == max(best)


def test_slots_count_only_where_span_and_name_are_right():
    meant = [(0, 5, "city"), (9, 14, "date")]
    assert metrics.span_counts(meant, meant).f1 == 1.0
    assert metrics.span_counts(meant, [(0, 4, "city"), (9, 14, "date")]) == metrics.SpanCounts(1, 2, 2)
    assert metrics.span_counts(meant, [(0, 5, "date")]) == metrics.SpanCounts(0, 1, 2)
    assert metrics.span_counts([], []).f1 == 1.0
    assert metrics.span_counts([], [(0, 1, "city")]).f1 == 0.0
    by_name = metrics.span_counts_by_name(meant, [(0, 5, "date")])
    assert by_name == {"city": metrics.SpanCounts(0, 0, 1), "date": metrics.SpanCounts(0, 1, 1)}


def test_emotions_of_a_text_without_a_likely_one_fall_to_the_likeliest():
    said = metrics.above(np.array([[0.1, 0.2], [0.6, 0.7]]), 0.5)
    assert said.tolist() == [[False, True], [True, True]]


def test_the_label_threshold_is_the_one_that_parts_best():
    truth = np.array([[True, False], [True, False], [False, True], [False, True]])
    chosen = metrics.label_threshold(truth, np.array([[0.62, 0.1], [0.7, 0.1], [0.4, 0.8], [0.59, 0.8]]))
    assert 0.59 < chosen <= 0.62


def test_label_f1_is_scikit_learns():
    random = np.random.default_rng(3)
    truth, said = random.random((50, 4)) < 0.4, random.random((50, 4)) < 0.4
    assert metrics.label_f1(truth, said) == pytest.approx(f1_score(truth, said, average=None))


def test_balanced_accuracy_is_the_mean_recall():
    assert metrics.balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), 2) == pytest.approx(
        (2 / 3 + 1) / 2
    )


def test_recall_at_alarms_lets_no_more_pass():
    negative, positive = np.arange(100.0), np.array([10.0, 95.5, 97.0])
    assert metrics.recall_at_alarms(positive, negative, 0.05) == pytest.approx(2 / 3)


def test_confusion_keeps_the_given_order_and_adds_what_else_there_is():
    found = confusion(["b", "a", "a", "b"], ["a", "a", "c", "b"], ("b", "a"))
    assert found.labels == ("b", "a", "c")
    assert found.counts.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert found.confused(1) == [("b", "a", 1, 2)]
    assert confusion(["a"], ["a"]).confused() == []


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), min_size=1, max_size=80))
def test_the_calibration_error_is_that_of_its_bins(rows):
    confidence = np.array([c for c, _ in rows])
    right = np.array([r for _, r in rows])
    found = reliability(confidence, right)
    assert found.count == len(rows)
    assert found.error == pytest.approx(calibration_error(confidence, right))
    assert 0.0 <= found.error <= 1.0


def test_a_confidence_that_means_what_it_says_has_no_error():
    confidence = np.array([0.75] * 4 + [1.0] * 2)
    right = np.array([True, True, True, False, True, True])
    assert calibration_error(confidence, right) == pytest.approx(0.0)
    assert calibration_error(confidence, ~right) == pytest.approx((4 * 0.5 + 2 * 1.0) / 6)
    assert math.isnan(calibration_error(np.zeros(0), np.zeros(0, bool)))
