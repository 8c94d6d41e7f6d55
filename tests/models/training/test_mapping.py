"""Maps of labels: what fits, what is left out and how many, and what a wrong map is told."""

from collections import Counter
from pathlib import Path

import pytest

from models.contracts import OUT_OF_SCOPE
from models.text_emotion import LABELS
from models.training.examples import DataError, Example, Span, Splits
from models.training.mapping import apply_map, read_map
from models.training.text_emotion import FOUR

SHOP = Path("configs/training/shop")


def written(folder: Path, text: str) -> Path:
    path = folder / "map.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def many(intent: str, count: int, word: str = "about") -> tuple[Example, ...]:
    return tuple(Example(f"{word} {intent} number {n}", intent) for n in range(count))


def refused(splits: Splits, path: Path, known: set[str] | None = None) -> list[str]:
    with pytest.raises(DataError) as error:
        apply_map(splits, path, known=known)
    return [line.removeprefix(f"{path}:") for line in error.value.problems]


def test_intents_get_our_names_and_the_rest_the_default(tmp_path: Path) -> None:
    path = written(tmp_path, "labels: {yes: affirm, odd: drop}\ndefault: out_of_scope\nweight: 0.5\n")
    splits = Splits(
        (Example("yes please", "yes", weight=4.0), Example("well", "odd"), Example("play jazz", "music")),
        test=(Example("yep", "yes"),),
        sources=("table: theirs",),
    )
    found = apply_map(splits, path, known={"affirm"})
    assert [(e.text, e.intent, e.weight) for e in found.train] == [
        ("yes please", "affirm", 2.0),
        ("play jazz", OUT_OF_SCOPE, 0.5),
    ]
    assert [e.intent for e in found.test] == ["affirm"]
    assert found.sources == ("table: theirs (labels by map.yaml)",)


def test_without_a_default_intents_not_named_are_dropped(tmp_path: Path) -> None:
    splits = Splits((Example("yes", "yes"), Example("play jazz", "music")))
    assert [e.text for e in apply_map(splits, written(tmp_path, "labels: {yes: affirm}")).train] == ["yes"]


def test_slots_are_renamed_dropped_or_unlabelled(tmp_path: Path) -> None:
    row = Example("a b c", "x", (Span(0, 1, "id"), Span(2, 3, "who"), Span(4, 5, "other")))
    named = apply_map(Splits((row,)), written(tmp_path, "labels: {x: ours}\nslots: {id: order_number, who: drop}"))
    assert named.train[0].spans == (Span(0, 1, "order_number"),)
    assert apply_map(Splits((row,)), written(tmp_path, "labels: {x: ours}")).train[0].spans is None


def test_emotions_of_two_of_our_classes_or_of_none_leave_a_text_out(tmp_path: Path) -> None:
    path = written(tmp_path, "emotions: {anger: angry, annoyance: angry, joy: happy}")
    splits = Splits(
        (
            Example("both of one", emotions=("anger", "annoyance")),
            Example("of two", emotions=("anger", "joy")),
            Example("one unknown", emotions=("anger", "fear")),
            Example("glad", emotions=("joy",)),
        )
    )
    assert [(e.text, e.emotions) for e in apply_map(splits, path).train] == [
        ("both of one", ("angry",)),
        ("glad", ("happy",)),
    ]


def test_limits_count_different_texts_of_their_intents_and_hold_in_proportion_elsewhere(tmp_path: Path) -> None:
    path = written(tmp_path, "default: out_of_scope\nlimit_per_intent: 10\nlimits: {b: 2}")
    repeated = tuple(Example("the same", "c") for _ in range(5))
    train = many("a", 45) + many("b", 50) + repeated
    splits = Splits(train, validation=many("a", 20, "held"))
    found = apply_map(splits, path)
    assert Counter("same" if "same" in e.text else e.text.split()[1] for e in found.train) == {
        "a": 10,
        "b": 2,
        "same": 1,
    }
    assert len(found.validation) == 2
    assert found == apply_map(splits, path)
    assert found.train != apply_map(splits, path, seed=1).train


def test_a_limit_per_emotion_is_that_of_ours(tmp_path: Path) -> None:
    path = written(tmp_path, "emotions: {joy: happy, love: happy, anger: angry}\nlimit_per_emotion: {happy: 3}")
    rows = [Example(f"{name} {n}", emotions=(name,)) for name in ("joy", "love", "anger") for n in range(5)]
    found = apply_map(Splits(tuple(rows)), path)
    assert Counter(e.emotions[0] for e in found.train) == {"happy": 3, "angry": 5}


def test_excluded_texts_and_typing_errors_are_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, "default: out_of_scope\nexclude: {any: 'ALEXA', b: '^secret'}\nrarest_word: 2")
    train = (
        Example("play jazz", "a"),
        Example("play jazz 1234", "a"),
        Example("paly jazz", "a"),
        Example("alexa play jazz", "a"),
        Example("secret jazz", "a"),
        Example("secret jazz", "b"),
    )
    found = apply_map(Splits(train), path)
    assert [e.text for e in found.train] == ["play jazz", "play jazz 1234", "secret jazz"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("labels: {x: nothing}", "1: there is no intent 'nothing'; write out_of_scope, drop, or one of ours"),
        ("default: drop\nlabels:\n  y: ours", "3: no text has the intent 'y'; correct its spelling or remove it"),
        ("labels: {x: ours}\nslots: {q: drop}", "2: no text has the slot 'q'; correct its spelling or remove it"),
        ("labels: {x: ours}\nlimits: {y: 3}", "1: limits: no text has the intent 'y'; correct its spelling"),
        ("labels: {x: ours}\nlabel: {}", "2: unknown field 'label'; known: labels, default"),
        ("default: ours", "1: default is 'ours'; write drop or out_of_scope"),
        ("labels: {x: ours, x: drop}", "1: key 'x' of labels is named twice; keep one"),
        ("labels: {x: ours}\nlimit_per_intent: 0", "2: limit_per_intent is '0'; give a whole number above 0"),
        ("labels: {x: ours}\nweight: -1", "2: weight is '-1'; give a number above 0"),
        ("labels: {x: [ours]}", "1: labels.x is no word; write one"),
        ("labels: {x: ours}\nexclude: {x: '('}", "2: exclude.x is no regular expression"),
        ("- x", "1: the map is no list of `key: value`; write it so"),
        ("labels: {x: drop}", "1: no text of  is left"),
        ("a: [", "1: not valid YAML"),
    ],
)
def test_a_wrong_map_is_refused_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    problems = refused(Splits((Example("some text", "x"),)), written(tmp_path, text), {"ours"})
    assert any(line.startswith(problem) for line in problems), problems


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, "label: {}\ndefault: x\nweight: none")
    with pytest.raises(DataError) as error:
        read_map(path)
    assert len(error.value.problems) == 3


def test_words_that_yaml_takes_for_truth_values_are_intents(tmp_path: Path) -> None:
    path = written(tmp_path, "labels: {yes: affirm, no: deny}")
    found = apply_map(Splits((Example("sure", "yes"), Example("nope", "no"))), path)
    assert [e.intent for e in found.train] == ["affirm", "deny"]


def test_the_shops_emotion_map_is_that_of_the_frozen_head() -> None:
    emotions = read_map(SHOP / "goemotions.yaml").emotions
    assert emotions is not None
    assert {name: target.name for name, target in emotions.items()} == {
        name: label for label, names in FOUR.items() for name in names
    }
    assert {target.name for target in emotions.values()} == set(LABELS)
