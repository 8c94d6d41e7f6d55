"""Figures of epochs against values worked out by hand and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.contracts import OUT_OF_SCOPE
from models.training.examples import DataError, Example, Span
from models.training.understanding.labels import Labels, labels_of
from models.training.understanding.measuring import (
    Outcome,
    emotion_f1,
    figures,
    intent_figures,
    span_f1,
    spans_of,
)


def test_accuracy_is_of_what_is_inside_and_the_best_inside_label() -> None:
    logits = np.array([[2, 1, 3], [0, 1, 0], [1, 2, 0], [0, 0, 5]], np.float32)
    found = intent_figures(logits, np.array([0, 1, 0, 2]), ("a", "b", OUT_OF_SCOPE))
    assert found["accuracy"] == pytest.approx(2 / 3)
    # P(best inside): 0.24, 0.58, 0.67, and 0.007 of the one outside, which is below all others.
    assert found["outside_auroc"] == 1.0


def test_without_texts_outside_there_is_no_auroc() -> None:
    assert intent_figures(np.eye(2, dtype=np.float32), np.array([0, 0]), ("a", "b")) == {"accuracy": 0.5}


@pytest.mark.parametrize(
    ("path", "spans"),
    [
        ([0, 0], set()),
        ([1, 2, 2, 0, 1], {(0, 2, 0), (4, 4, 0)}),
        ([1, 1, 3, 4], {(0, 0, 0), (1, 1, 0), (2, 3, 1)}),
        ([2, 0, 4], {(0, 0, 0), (2, 2, 1)}),
        ([1, 4], {(0, 0, 0), (1, 1, 1)}),
    ],
)
def test_spans_of_label_paths(path: list[int], spans: set[tuple[int, int, int]]) -> None:
    assert spans_of(path) == spans


def test_span_f1_counts_exact_spans_only() -> None:
    certain = np.full((3, 3), -9, np.float32)
    certain[[0, 1, 2], [1, 2, 0]] = 0
    assert span_f1([certain], [np.array([1, 2, 0])]) == 1.0
    assert span_f1([certain], [np.array([1, 0, 0])]) == 0.0
    assert span_f1([certain, certain], [np.array([1, 2, 0]), np.array([0, 0, 0])]) == pytest.approx(2 / 3)
    assert span_f1([], []) == 0.0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30))
def test_emotion_f1_is_that_of_scikit_learn(rows: list[tuple[int, int]]) -> None:
    from sklearn.metrics import f1_score

    truth, guess = (np.array(column) for column in zip(*rows, strict=True))
    logits = np.eye(3, dtype=np.float32)[guess]
    expected = f1_score(truth, guess, labels=[0, 1, 2], average="macro", zero_division=0)
    assert emotion_f1(logits, np.eye(3, dtype=bool)[truth], several=False) == pytest.approx(expected)


def test_several_emotions_count_from_a_threshold() -> None:
    logits = np.array([[3.0, 2.0, -3.0]], np.float32)
    assert emotion_f1(logits, np.array([[True, True, False]]), several=True) == pytest.approx(2 / 3)
    assert emotion_f1(logits, np.array([[True, True, False]]), several=False) == pytest.approx(1 / 3)


def test_the_score_is_the_mean_of_the_heads_that_can_be_measured() -> None:
    examples = [Example("a", "x", (), ("happy",)), Example("b", "y"), Example("c", None, None, ("sad",))]
    outcome = Outcome(
        np.zeros((3, 4), np.float32),
        np.array([[1, 0], [1, 0], [0, 0]], np.float32),
        np.array([[1, 0], [0, 0], [1, 0]], np.float32),
        tuple(np.zeros((1, 3), np.float32) for _ in examples),
        tuple(np.zeros(1, np.int64) for _ in examples),
    )
    found = figures(outcome, examples, Labels(("x", "y"), ("s",), ("happy", "sad")))
    assert found.values == {"accuracy": 0.5, "slot_f1": 0.0, "emotion_f1": pytest.approx(1 / 3)}
    assert found.score == pytest.approx((0.5 + 0 + 1 / 3) / 3)
    with pytest.raises(ValueError, match="3 outputs for 2 examples"):
        figures(outcome, examples[:2], Labels(("x", "y")))


def test_nothing_held_out_has_no_figures() -> None:
    found = figures(Outcome.empty(), [], Labels(("x", OUT_OF_SCOPE), ("s",), ("happy", "sad")))
    assert (found.values, found.score) == ({}, 0.0)


def test_labels_are_sorted_with_out_of_scope_last() -> None:
    rows = [Example("1", "zoo"), Example("2", OUT_OF_SCOPE), Example("3", "art", (Span(0, 1, "n"),), ("sad", "glad"))]
    found = labels_of(rows)
    assert found == Labels(("art", "zoo", OUT_OF_SCOPE), ("n",), ("glad", "sad"))
    assert found.bio == ("O", "B-n", "I-n")
    assert Labels(("a", "b")).bio == ()


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (Example("1", "a"), "every example has the intent 'a'; a model needs at least two"),
        (Example("1", None, None, ("sad",)), "every example has the emotion 'sad'"),
        (Example("1"), "no example has a label; give intent, slots or emotion"),
    ],
)
def test_what_cannot_be_learnt_is_refused(example: Example, message: str) -> None:
    with pytest.raises(DataError, match=message):
        labels_of([example, example])
