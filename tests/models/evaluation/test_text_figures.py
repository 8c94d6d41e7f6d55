"""Figures on intents, rejection, slots and emotions, on texts few enough to count by hand."""

import pytest

from models.contracts import OUT_OF_SCOPE
from models.evaluation import latency
from models.evaluation.labels import choose_split, known_to
from models.evaluation.understanding import measure, mistakes, read_all
from models.training.examples import DataError, Example, Span, Splits

TABLE = {
    "money back": ("refund", 0.9),
    "pay me back": ("track", 0.8),
    "where is it": ("track", 0.95),
    "any news": ("track", 0.45),
    "tell a joke": ("refund", 0.3),
    "who are you": ("track", 0.7),
}
MEANT = {
    "money back": "refund",
    "pay me back": "refund",
    "where is it": "track",
    "any news": "track",
    "tell a joke": OUT_OF_SCOPE,
    "who are you": OUT_OF_SCOPE,
}
EXAMPLES = [Example(text, intent) for text, intent in MEANT.items()]


def told(done, total, what):
    """Progress that nobody looks at."""


def found_on(model, examples, validation=None):
    readings = read_all(model, [one.text for one in examples], told, "reading")
    found = measure(model.info, examples, readings, 0, validation)
    return found, {one.name: one for one in found.figures}


def test_intents_and_rejection(scripted):
    found, figures = found_on(scripted(TABLE), EXAMPLES)
    values = {name: round(one.value, 1) for name, one in figures.items()}
    assert values == {
        "accuracy": 50.0,
        "macro_f1": 52.2,
        "in_scope_accuracy": 50.0,
        "in_scope_unrejected": 75.0,
        "oos_recall": 50.0,
        "oos_precision": 50.0,
        "oos_auroc": 87.5,
        "oos_recall_at_90": pytest.approx(float("nan"), nan_ok=True),
        "oos_recall_at_94": pytest.approx(float("nan"), nan_ok=True),
        "oos_recall_at_96": pytest.approx(float("nan"), nan_ok=True),
        "ece": 41.2,
    }
    assert {name: one.n for name, one in figures.items() if name.startswith("oos_r")}["oos_recall"] == 2
    assert figures["in_scope_accuracy"].n == 4
    assert figures["oos_precision"].n == 2
    assert found.answers.right == (True, False, True, False, True, False)
    assert found.answers.sample == figures["accuracy"].sample


def test_without_anything_out_of_scope_only_the_cost_of_rejecting_is_told(scripted):
    _, figures = found_on(scripted(TABLE), EXAMPLES[:4])
    assert set(figures) == {"accuracy", "macro_f1", "in_scope_unrejected", "ece"}
    assert (figures["accuracy"].value, figures["in_scope_unrejected"].value) == (50.0, 75.0)


def test_mistakes_are_told_the_surest_first(scripted):
    readings = read_all(scripted(TABLE), list(MEANT), told, "reading")
    wrong = mistakes(EXAMPLES, readings)
    assert [(one.text, one.meant, one.understood) for one in wrong] == [
        ("pay me back", "refund", "track"),
        ("who are you", OUT_OF_SCOPE, "track"),
        ("any news", "track", OUT_OF_SCOPE),
    ]
    assert wrong[0].confidence == 0.8


def test_the_order_of_texts_survives_batches(scripted):
    texts = [f"{'x' * (n % 7)}{n}" for n in range(200)]
    model = scripted({text: ("track", 0.5 + n / 1000) for n, text in enumerate(texts)})
    assert [one.ranking[0][1] for one in read_all(model, texts, told, "")] == [0.5 + n / 1000 for n in range(200)]
    assert len(model.reads) > 1


def test_slots_are_right_where_characters_and_name_are(scripted):
    table = {
        "to oslo on monday": ("track", 0.9, [(3, 7, "city"), (11, 17, "day")]),
        "to paris": ("track", 0.9, [(3, 7, "city")]),
    }
    examples = [
        Example("to oslo on monday", "track", (Span(3, 7, "city"), Span(11, 17, "day"))),
        Example("to paris", "track", (Span(3, 8, "city"),)),
        Example("hello there", None, ()),
    ]
    found, figures = found_on(scripted(table, slots=("city", "day")), examples)
    assert figures["slot_f1"].value == pytest.approx(100 * 4 / 6)
    assert figures["whole"].value == pytest.approx(100 * 2 / 3)
    assert figures["slot_f1"].n == 3
    names = next(table for table in found.folded if table.title.startswith("Slots"))
    assert names.rows == (("city", "50.0", "50.0", "50.0", "2"), ("day", "100.0", "100.0", "100.0", "1"))


def test_one_emotion_a_text(scripted):
    texts = {
        "great": {"happy": 0.7, "sad": 0.3},
        "oh no": {"happy": 0.6, "sad": 0.4},
        "sigh": {"happy": 0.1, "sad": 0.9},
    }
    model = scripted({text: ("track", 0.9, (), scores) for text, scores in texts.items()}, emotions=("happy", "sad"))
    examples = [
        Example("great", emotions=("happy",)),
        Example("oh no", emotions=("sad",)),
        Example("sigh", emotions=("sad",)),
    ]
    _, figures = found_on(model, examples)
    assert figures["emotion_accuracy"].value == pytest.approx(200 / 3)
    assert figures["emotion_macro_f1"].value == pytest.approx(200 / 3)
    assert figures["emotion_ece"].value == pytest.approx(100 * (0.3 + 0.6 + 0.1) / 3)


def test_several_emotions_take_the_threshold_of_the_validation_texts(scripted):
    scores = {"a": {"joy": 0.45, "fear": 0.1}, "b": {"joy": 0.2, "fear": 0.5}, "c": {"joy": 0.35, "fear": 0.42}}
    model = scripted({t: ("track", 0.9, (), s) for t, s in scores.items()}, emotions=("joy", "fear"), several=True)
    examples = [Example("a", emotions=("joy",)), Example("b", emotions=("fear",)), Example("c", emotions=("fear",))]
    found, figures = found_on(model, examples)
    assert figures["emotion_macro_f1"].value == pytest.approx(100 * (2 / 3 + 1) / 2)
    assert "0.30" in found.notes[0]
    validation = (examples, read_all(model, ["a", "b", "c"], told, ""))
    found, figures = found_on(model, examples, validation)
    assert figures["emotion_macro_f1"].value == 100.0
    assert "3 validation texts" in found.notes[0]


def test_a_split_that_is_not_there_names_those_that_are():
    splits = Splits(train=(EXAMPLES[0],))
    assert choose_split(splits, "train", "calls.jsonl") == splits.train
    with pytest.raises(DataError, match=r"calls\.jsonl has no test split; there is train \(1\)"):
        choose_split(splits, "test", "calls.jsonl")
    with pytest.raises(DataError, match="holds no examples"):
        choose_split(Splits(), "test", "calls.jsonl")
    with pytest.raises(DataError, match="give one of train, validation, test"):
        choose_split(splits, "dev", "calls.jsonl")


def test_labels_the_model_does_not_know_are_refused_or_left_out(scripted):
    info = scripted({}, slots=("city",)).info
    examples = [
        Example("a", "refund", (Span(0, 1, "city"), Span(0, 1, "colour"))),
        Example("b", "returns"),
        Example("c", "returns"),
        Example("d", OUT_OF_SCOPE),
    ]
    with pytest.raises(DataError) as refused:
        known_to(info, examples, ignore=False)
    assert "returns (2); 2 labels in all" in str(refused.value)
    assert "colour (1)" in str(refused.value)
    assert "--ignore-unknown-labels" in str(refused.value)
    kept, notes = known_to(info, examples, ignore=True)
    assert [one.text for one in kept] == ["a", "d"]
    assert kept[0].spans == (Span(0, 1, "city"),)
    assert len(notes) == 2


def test_what_a_model_does_not_read_at_all_is_left_out_with_a_note(scripted):
    kept, notes = known_to(scripted({}).info, [Example("a", "refund", (Span(0, 1, "x"),), ("happy",))], ignore=False)
    assert kept == [Example("a", "refund", None, ())]
    assert notes == [f"the model reads no {kind}s: those of the data were left out" for kind in ("slot", "emotion")]
    with pytest.raises(DataError, match="nothing can be measured"):
        known_to(scripted({}).info, [Example("a", emotions=("happy",))], ignore=False)


def test_latency_is_of_different_texts_one_at_a_time(scripted):
    model = scripted(TABLE)
    times = latency.one_at_a_time(model, ["a", "b", "a", "c"], most=10)
    assert len(times) == 3
    assert all(len(texts) == 1 for texts in model.reads)
    assert sorted(texts[0] for texts in model.reads[-3:]) == ["a", "b", "c"]
