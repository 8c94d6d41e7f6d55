"""Checks before training: what is refused, what is warned of, and how leaks and validation are taken out."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contracts import OUT_OF_SCOPE
from models.training.checks import check, find_leaks, normalised, remove_leaks, split_validation
from models.training.examples import DataError, Example, Span, Splits


def rows(*pairs: tuple[str, str], file: str = "train.csv") -> tuple[Example, ...]:
    return tuple(Example(text, intent, origin=f"{file}:{n}") for n, (text, intent) in enumerate(pairs, start=2))


GOOD = rows(("where is it", "status"), ("has it shipped", "status"), ("cancel it", "cancel"), ("stop it", "cancel"))


def refused(splits: Splits, **allowed: bool) -> str:
    with pytest.raises(DataError) as error:
        check(splits, **allowed)
    return str(error.value)


def test_good_data_has_no_warning() -> None:
    test = rows(("where's it", "status"), file="test.csv")
    assert check(Splits(GOOD, test=test)) == []


def test_no_examples_are_refused_with_the_source() -> None:
    assert "no examples to train on in JSONL: a.jsonl" in refused(Splits(sources=("JSONL: a.jsonl",)))


def test_a_single_class_is_refused() -> None:
    assert "no intents but 'status'" in refused(Splits(GOOD[:2]))
    assert "no intents but 'out_of_scope' and 'status'" in refused(
        Splits(GOOD[:2] + rows(("a", OUT_OF_SCOPE), ("b", OUT_OF_SCOPE)))
    )
    assert "no emotion but 'sad'" in refused(Splits((Example("a", emotions=("sad",)), Example("b", emotions=("sad",)))))
    assert "label them" in refused(Splits((Example("a", origin="x.jsonl:1"),)))


def test_slots_alone_and_emotions_alone_can_be_trained() -> None:
    assert check(Splits((Example("two tents", spans=(Span(4, 9, "product"),)),))) == []
    assert check(Splits((Example("a", emotions=("sad",)), Example("b", emotions=("happy",))))) == []


def test_an_intent_with_one_example_needs_few_shot() -> None:
    splits = Splits((*GOOD, Example("pay now", "pay", origin="train.csv:9")))
    assert "train.csv:9: intent 'pay' has 1 example; give at least two, or train few-shot" in refused(splits)
    assert check(splits, few_shot=True) == ["train.csv:9: intent 'pay' has 1 example"]


def test_labels_that_train_lacks_are_refused() -> None:
    test = (
        Example("pay", "pay", (Span(0, 3, "verb"),), ("joy",), origin="test.csv:2"),
        Example("pay up", "pay", origin="test.csv:3"),
    )
    train = (*GOOD, Example("a b", "status", (Span(0, 1, "x"),), ("sad",)), Example("b c", "status", (), ("calm",)))
    said = refused(Splits(train, test=test))
    for label in ("intent 'pay' (2 in test)", "emotion 'joy' (1 in test)", "slot 'verb' (1 in test)"):
        assert f"test.csv:2: {label} is not in train; add it to train" in said
    assert len(check(Splits(train, test=test), allow_unseen=True)) == 3


def test_out_of_scope_may_be_in_test_alone() -> None:
    test = rows(("who is the pope", OUT_OF_SCOPE))
    assert check(Splits(GOOD, test=test)) == [
        "test has out-of-scope texts, train has none: only a threshold can turn them away"
    ]


def test_leaks_are_counted_shown_and_refused_unless_allowed() -> None:
    texts = ["Where is IT?", "has it shipped!", "cancel  it", "stop it", "stop it."]
    test = tuple(Example(text, "status", origin=f"test.csv:{n}") for n, text in enumerate(texts))
    splits = Splits(GOOD, validation=rows(("where is it...", "status"), file="dev.csv"), test=test)
    said = refused(splits)
    assert "6 texts are in more than one split" in said
    assert said.count(" at train.csv:") == 5
    assert "'where is it...' at train.csv:2 and dev.csv:2" in said
    assert "--allow-leak" in said
    (warning,) = check(splits, allow_leak=True)
    assert warning.startswith("6 texts are in more than one split")
    assert len(find_leaks(splits)) == 6


def test_removing_leaks_leaves_test_as_it_is() -> None:
    test = rows(("WHERE is it", "status"), ("new", "status"), file="test.csv")
    validation = rows(("new!", "status"), ("stop it", "cancel"), file="dev.csv")
    clean, removed = remove_leaks(Splits(GOOD, validation, test, ("s",)))
    assert clean.test == test
    assert [e.text for e in clean.train] == ["has it shipped", "cancel it"]
    assert [e.text for e in clean.validation] == ["stop it"]
    assert [e.text for e in removed] == ["where is it", "stop it", "new!"]
    assert find_leaks(clean) == []
    assert clean.sources == ("s",)


def test_one_text_with_two_intents_is_warned_of() -> None:
    (warning,) = check(Splits((*GOOD, Example("Cancel it!", "status", origin="train.csv:9"))))
    assert "is 'cancel' at train.csv:4 and 'status' at train.csv:9" in warning
    many = tuple(Example(f"t {n // 2}", ("a", "b")[n % 2], origin=f"f:{n}") for n in range(16))
    assert check(Splits(many))[5:] == ["3 more texts have two intents"]


def test_many_problems_are_capped() -> None:
    splits = Splits(tuple(Example(f"text {n}", f"intent {n}", origin=f"f:{n}") for n in range(500)))
    with pytest.raises(DataError) as error:
        check(splits)
    assert error.value.problems[20:] == ("... and 480 more",)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("I'd like it, please.", "id like it please", True),
        ("ＡＢＣ", "abc", True),
        ("Straße", "STRASSE", True),
        ("order 42719", "order 42718", False),
        ("की", "का", False),
        (":)", ":(", False),
    ],
)
def test_texts_are_compared_by_their_words(one: str, other: str, same: bool) -> None:
    assert (normalised(one) == normalised(other)) is same


# validation


def test_validation_is_a_share_of_each_intent() -> None:
    examples = [
        Example(f"{intent} {n}", intent) for intent, count in (("a", 100), ("b", 40), ("c", 3)) for n in range(count)
    ]
    train, validation = split_validation(examples, 0.1, seed=1)
    assert Counter(e.intent for e in validation) == {"a": 10, "b": 4}
    assert Counter([*train, *validation]) == Counter(examples)
    assert split_validation(examples, 0.1, seed=1) == (train, validation)
    assert split_validation(examples, 0.1, seed=2) != (train, validation)


def test_emotions_are_stratified_where_there_are_no_intents() -> None:
    examples = [Example(f"{label} {n}", emotions=(label,)) for label in ("sad", "calm") for n in range(20)]
    _, validation = split_validation(examples, 0.2, seed=0)
    assert Counter(e.emotions for e in validation) == {("sad",): 4, ("calm",): 4}


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(DataError, match="share of validation is"):
        split_validation(GOOD, share, 0)


EXAMPLES = st.lists(
    st.builds(Example, text=st.text("ab! ", min_size=1, max_size=4), intent=st.sampled_from(["x", "y", None])),
    max_size=40,
)


@given(EXAMPLES, st.floats(0.05, 0.95), st.integers(0, 5))
def test_the_same_text_stays_on_one_side_and_no_intent_is_lost(
    examples: Sequence[Example], share: float, seed: int
) -> None:
    train, validation = split_validation(examples, share, seed)
    assert Counter([*train, *validation]) == Counter(examples)
    assert not {normalised(e.text) for e in train} & {normalised(e.text) for e in validation}
    labels_first = {}
    for example in examples:
        labels_first.setdefault(normalised(example.text), example.intent)
    for label in set(labels_first.values()):
        assert any(labels_first[normalised(e.text)] == label for e in train)


@given(EXAMPLES, EXAMPLES, EXAMPLES)
def test_nothing_leaks_after_removal(
    train: Sequence[Example], validation: Sequence[Example], test: Sequence[Example]
) -> None:
    splits = Splits(tuple(train), tuple(validation), tuple(test))
    clean, removed = remove_leaks(splits)
    assert find_leaks(clean) == []
    assert clean.test == splits.test
    assert len(removed) + len(clean.train) + len(clean.validation) == len(train) + len(validation)
