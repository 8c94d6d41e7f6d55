"""Slots of type `text`: their values are what the model takes for one, and no parser is asked."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import pytest
from learnfakes import WordEncoder

from models.contracts import UnderstandingContext
from models.slots import slot_specs
from models.text_emotion import LABELS, TextEmotionModel
from models.text_model import FoundSpan, ModelInfo, Reading
from models.understanding import TurnUnderstanding

SPECS = slot_specs({"wish": {"type": "text"}, "order": {"type": "digits", "min_length": 5, "max_length": 5}})


class Marking:
    """Reads the words between "the" and "please" as a wish, and five digits as an order, with a fixed probability."""

    info = ModelInfo(
        "small", "test", "full", "words", intents=("buy", "give_information"), slots=("order", "wish"), emotions=LABELS
    )

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def read(self, texts: Sequence[str]) -> list[Reading]:
        return [self._read(text) for text in texts]

    def _read(self, text: str) -> Reading:
        start, end = text.find("the ") + 4, text.find(" please")
        spans = [FoundSpan(start, end, "wish", self.probability)] if 4 <= start < end else []
        spans += [FoundSpan(0, 3, "order", 1.0)]
        ranking = (("buy", 0.9), ("give_information", 0.1))
        return Reading(ranking, "buy", 0.9, tuple(spans), dict.fromkeys(LABELS, 0.25), np.ones(1, np.float32))


@pytest.fixture(scope="module")
def emotion() -> TextEmotionModel:
    return TextEmotionModel(WordEncoder())


def found(probability: float, emotion: TextEmotionModel, text: str, asked: tuple[str, ...] = ()):
    reads = TurnUnderstanding(Marking(probability), SPECS, emotion, lambda: date(2026, 5, 6))
    return reads.understand(text, UnderstandingContext(expected_slots=asked))


def test_values_of_text_slots_are_those_of_the_model(emotion: TextEmotionModel) -> None:
    said = found(0.7, emotion, "I want the purple velvet tent please order 54321")
    assert [(slot.name, slot.value, slot.confidence) for slot in said.slots] == [
        ("wish", "purple velvet tent", pytest.approx(0.7)),
        ("order", "54321", said.slots[1].confidence),
    ]
    assert said.slots[0].span == (11, 29)


def test_what_the_model_doubts_is_no_value(emotion: TextEmotionModel) -> None:
    said = found(0.69, emotion, "I want the purple velvet tent please order 54321")
    assert [slot.name for slot in said.slots] == ["order"]


def test_a_bare_value_that_was_asked_for_is_an_answer(emotion: TextEmotionModel) -> None:
    said = found(0.95, emotion, "the velvet tent please", ("wish",))
    assert (said.intent, said.slots[0].value) == ("give_information", "velvet tent")
