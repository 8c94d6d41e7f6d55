"""Whole evaluations of a scripted model: what is measured, in which order, on which texts."""

import pytest

from models.contracts import OUT_OF_SCOPE
from models.evaluation import texts
from models.evaluation.robustness import WORSENED, worsened
from models.evaluation.texts import Plan, cross_validated, evaluate
from models.training.examples import DataError, Example, Span, Splits

TEST = tuple(
    Example(text, intent)
    for text, intent in (
        ("Where is my parcel, please?", "track"),
        ("I want my money back now", "refund"),
        ("Tell me a joke about cats", OUT_OF_SCOPE),
    )
)


def told(done, total, what):
    """Progress that nobody looks at."""


def sure(examples):
    """A table that reads each of `examples` as it is meant; in other words they are not known."""
    return {one.text: (one.intent, 0.9) for one in examples}


def test_a_whole_evaluation(scripted):
    model = scripted(sure(TEST))
    splits = Splits(test=TEST, sources=("ours: test.jsonl",))
    found = evaluate(model, splits, "test.jsonl", Plan(worsened=("plain", "typos")), told)
    assert (found.measure, found.split, found.n, found.data) == ("understanding", "test", 3, ("ours: test.jsonl",))
    assert found.model["name"] == "scripted"
    assert found.figure("accuracy").value == 100.0
    assert found.figure("latency_p50").n == 3
    robust = next(table for table in found.tables if table.title == "Robustness")
    assert [row[:3] for row in robust.rows] == [
        ("as they are", "0", "100.0 %"),
        ("in lower case without marks", "3", "33.3 %"),
        ("with typos", "3", "33.3 %"),
    ]
    assert found.figure("accuracy_plain").sample == found.figure("accuracy").sample
    first = next(texts for texts in model.reads if len(texts) > 1)
    timed = model.reads[: model.reads.index(first)]
    assert {one.text for one in TEST} <= {text for texts in timed for text in texts}


def test_slots_are_followed_into_worse_texts(scripted):
    example = Example("Send it to Oslo, please!", "track", (Span(11, 15, "city"),))
    (plain,) = worsened("plain", [example], 0)
    assert plain.text[plain.spans[0].start : plain.spans[0].end] == "oslo"
    table = {
        example.text: ("track", 0.9, [(11, 15, "city")]),
        plain.text: ("track", 0.9, [(plain.spans[0].start, plain.spans[0].end, "city")]),
    }
    model = scripted(table, slots=("city",))
    found = evaluate(model, Splits(test=(example,)), "x", Plan(worsened=("plain",), timed=False), told)
    assert found.figure("slot_f1_plain").value == 100.0
    assert found.figure("slot_f1_plain").sample == found.figure("slot_f1").sample


def test_spoken_texts_are_measured_beside_and_those_of_other_intents_left_out(scripted):
    spoken = (Example("where is my parcel", "track"), Example("my honey back", "refund"), Example("x", "other"))
    model = scripted({**sure(TEST), "where is my parcel": ("track", 0.9), "my honey back": ("track", 0.9)})
    found = evaluate(model, Splits(test=TEST), "x", Plan(spoken=spoken, timed=False), told)
    assert found.figure("accuracy_spoken").value == 50.0
    assert "1 spoken texts have other intents and were left out" in found.notes


def test_two_models_stand_side_by_side_on_the_same_texts(scripted):
    head = scripted({**sure(TEST), TEST[0].text: ("refund", 0.9)})
    found = evaluate(scripted(sure(TEST)), Splits(test=TEST), "x", Plan(), told, head)
    beside = found.tables[0]
    assert beside.title == "Frozen heads and scripted v1"
    rows = {row[0]: row[1:] for row in beside.rows}
    assert rows["intent accuracy, out of scope as a class"][:3] == ("66.7 %", "100.0 %", "+33.3")
    assert "time of one text, one thread, p50" in rows


def test_frozen_heads_have_nothing_to_say_on_emotions_alone(scripted):
    model = scripted({"a": ("track", 0.9, (), {"happy": 1.0})}, emotions=("happy",))
    splits = Splits(test=(Example("a", emotions=("happy",)),))
    with pytest.raises(DataError, match="leave out --method-head"):
        evaluate(model, splits, "x", Plan(), told, scripted({}))


def test_a_limit_draws_the_same_examples_for_the_same_seed():
    many = [Example(str(n)) for n in range(100)]
    first, again, other = (texts.drawn(many, Plan(seed=seed, limit=10)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == 10
    assert [int(one.text) for one in first] == sorted(int(one.text) for one in first)
    assert texts.drawn(many, Plan(limit=100)) == many


def test_every_strategy_worsens_something_and_is_the_same_for_a_seed():
    examples = [Example("I want to know where my two blue parcels are, please", "track")]
    for strategy in WORSENED:
        first, again = worsened(strategy, examples * 8, 3), worsened(strategy, examples * 8, 3)
        assert first == again
        assert any(one.text != examples[0].text for one in first), strategy


def test_cross_validation_needs_examples_to_learn_from():
    with pytest.raises(DataError, match=r"has no train split; there is test \(3\)"):
        cross_validated(Splits(test=TEST), None, "test.jsonl", Plan(), told, "none")
