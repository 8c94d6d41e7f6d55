from pathlib import Path

import pytest

from models.encoder import SentenceEncoder
from models.errors import ModelMissing
from models.text_emotion import LABELS, TextEmotionModel
from models.training.text_emotion import FOUR, read_lines


@pytest.fixture(scope="module")
def model() -> TextEmotionModel:
    return TextEmotionModel(SentenceEncoder())


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("this is the third time I call, this is ridiculous", "angry"),
        ("This is ridiculous, I have been waiting for weeks and nobody helps me!", "angry"),
        ("you people are useless", "angry"),
        ("where is my order", "neutral"),
        ("it's four two seven one nine", "neutral"),
        ("I want to speak to a person please", "neutral"),
        ("thank you so much, that's wonderful", "happy"),
        ("my father died last week", "sad"),
    ],
)
def test_what_callers_say(model: TextEmotionModel, text: str, label: str) -> None:
    emotion = model.read(text)
    assert emotion.label == label
    assert set(emotion.scores) == set(LABELS)
    assert sum(emotion.scores.values()) == pytest.approx(1.0)
    assert emotion.scores[label] == max(emotion.scores.values())


def test_held_out_lines_stay_as_good_as_the_card_says(model: TextEmotionModel) -> None:
    lines = read_lines("held")
    right = sum(model.read(text).label == label for text, label in lines)
    assert right / len(lines) >= 0.9
    # A caller who only asks is not called angry.
    assert not [text for text, label in lines if label == "neutral" and model.read(text).label == "angry"]


def test_held_out_lines_are_not_trained_on() -> None:
    assert not {text for text, _ in read_lines("held")} & {text for text, _ in read_lines("train")}


def test_nothing_said_is_neutral(model: TextEmotionModel) -> None:
    assert model.read("  ").label == "neutral"


def test_every_source_label_is_in_one_class() -> None:
    members = [name for names in FOUR.values() for name in names]
    assert len(members) == len(set(members))
    assert set(FOUR) == set(LABELS)


def test_missing_weights_say_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"python -m models\.training\.text_emotion"):
        TextEmotionModel(SentenceEncoder(), tmp_path / "none.npz")
