"""Pseudo-labels from a small real model: what is believed, what is left out, and how much it counts."""

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from models.contracts import OUT_OF_SCOPE
from models.heads import IntentHead, features
from models.text_model import FoundSpan, ModelInfo, Reading, decide
from models.training.examples import DataError, Example, Span
from models.training.heads import train_intent_head
from models.training.pseudo import pseudo_label, read_texts

EXAMPLES = {
    "cancel": ["cancel it", "cancel my order", "please cancel", "I want to cancel", "cancel that order", "cancel now"],
    "status": ["where is it", "where is my order", "where now", "so where is it", "where can it be", "tell me where"],
}
OUTSIDE = ["sing a song", "who won the game", "the weather today", "a good joke", "your favorite movie", "why"]


class Letters:
    """A deterministic encoder: how often each pair of letters is in a text."""

    width = 26 * 26

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        out = np.full((len(texts), self.width), 1e-3, dtype=np.float32)
        for row, text in enumerate(texts):
            letters = [ord(c) - 97 for c in text.lower() if "a" <= c <= "z"]
            for one, other in itertools.pairwise(letters):
                out[row, one * 26 + other] += 1
        return out / np.linalg.norm(out, axis=1, keepdims=True)


class SmallModel:
    """A `TextModel` over letter pairs; calls the word `order` a slot, with the probability given."""

    def __init__(self, head: IntentHead, slot_probability: float | None = None) -> None:
        self.info = ModelInfo(
            "small", "1", "head", "letters", intents=tuple(EXAMPLES), slots=("what",) if slot_probability else ()
        )
        self.batches: list[int] = []
        self._head = head
        self._slot_probability = slot_probability

    def read(self, texts: Sequence[str]) -> list[Reading]:
        self.batches.append(len(texts))
        vectors = features(texts, Letters())
        out = []
        for text, ranking, vector in zip(texts, self._head.rank(vectors), vectors, strict=True):
            intent, confidence = decide(tuple(ranking), self._head.threshold)
            at = text.find("order")
            spans = (
                (FoundSpan(at, at + 5, "what", self._slot_probability),) if self._slot_probability and at >= 0 else ()
            )
            out.append(Reading(tuple(ranking), intent, confidence, spans, {}, vector))
        return out


@pytest.fixture(scope="module")
def head() -> IntentHead:
    return train_intent_head(EXAMPLES, OUTSIDE, Letters())


TEXTS = [
    "cancel my thing",
    "where is that",
    "cancel cancel",
    "sing me the song of the weather",
    "where where",
    "cancel order",
]


def test_only_sure_texts_in_scope_are_labelled(head: IntentHead) -> None:
    model = SmallModel(head)
    readings = dict(zip(TEXTS, model.read(TEXTS), strict=True))
    assert readings["sing me the song of the weather"].intent == OUT_OF_SCOPE
    assert readings["sing me the song of the weather"].confidence > 0.6
    labelled = pseudo_label(model, TEXTS, floor=0.6, origins=[f"calls.txt:{n}" for n in range(6)])
    assert {e.text: e.intent for e in labelled} == {
        text: reading.intent
        for text, reading in readings.items()
        if reading.intent != OUT_OF_SCOPE and reading.confidence >= 0.6
    }
    assert {e.intent for e in labelled} == {"cancel", "status"}
    confidences = [readings[e.text].confidence for e in labelled]
    assert confidences == sorted(confidences, reverse=True)
    for example in labelled:
        assert example.weight < 1
        assert example.origin == f"calls.txt:{TEXTS.index(example.text)}"
        assert example.spans is None
    assert pseudo_label(model, TEXTS, floor=1.0) == []


def test_the_surest_of_each_intent_are_taken(head: IntentHead) -> None:
    whole = pseudo_label(SmallModel(head), TEXTS, floor=0.5)
    capped = pseudo_label(SmallModel(head), TEXTS, floor=0.5, per_intent=1)
    assert Counter(e.intent for e in capped) == {"cancel": 1, "status": 1}
    for intent in ("cancel", "status"):
        assert next(e for e in whole if e.intent == intent) in capped


def test_known_and_repeated_texts_are_left_out(head: IntentHead) -> None:
    texts = ["Cancel my thing!", "cancel my thing", "where is that", " "]
    labelled = pseudo_label(SmallModel(head), texts, floor=0.5, known=[Example("WHERE is that?")])
    assert [e.text for e in labelled] == ["Cancel my thing!"]


def test_slots_are_labelled_only_where_they_are_sure(head: IntentHead) -> None:
    texts = ["cancel my order", "cancel my thing"]
    sure = {e.text: e.spans for e in pseudo_label(SmallModel(head, 0.95), texts, floor=0.5)}
    assert sure == {"cancel my order": (Span(10, 15, "what"),), "cancel my thing": ()}
    doubtful = {e.text: e.spans for e in pseudo_label(SmallModel(head, 0.4), texts, floor=0.5)}
    assert doubtful == {"cancel my order": None, "cancel my thing": ()}


def test_texts_are_read_in_batches(head: IntentHead) -> None:
    model, read = SmallModel(head), []
    texts = [f"cancel {n}" for n in range(130)]
    labelled = pseudo_label(model, texts, floor=0.5, advance=read.append)
    assert model.batches == read == [64, 64, 2]
    assert {e.origin for e in labelled} <= {f"text {n}" for n in range(1, 131)}


def test_wrong_settings_are_refused_together(head: IntentHead) -> None:
    with pytest.raises(DataError) as error:
        pseudo_label(SmallModel(head), TEXTS, floor=0, per_intent=0, weight=1, origins=["one"])
    assert [line.split(" ")[0] for line in error.value.problems] == ["floor", "per_intent", "weight", "1"]


def test_a_model_without_intents_cannot_label(head: IntentHead) -> None:
    model = SmallModel(head)
    model.info = ModelInfo("moods", "3", "full", "x", emotions=("sad",))
    with pytest.raises(DataError, match="model moods 3 knows no intents"):
        pseudo_label(model, TEXTS)


def test_unlabelled_texts_come_from_lines_or_objects(tmp_path: Path) -> None:
    lines = tmp_path / "calls.txt"
    lines.write_text("where is it\n\n  cancel it \n", encoding="utf-8")
    assert [(e.text, e.intent, e.origin) for e in read_texts(lines)] == [
        ("where is it", None, f"{lines}:1"),
        ("cancel it", None, f"{lines}:3"),
    ]
    rows = tmp_path / "calls.jsonl"
    rows.write_text(
        '{"text": "where is it", "intent": "x", "call": 7}\n{"words": 1}\n{\n{"text": ""}\n', encoding="utf-8"
    )
    with pytest.raises(DataError) as error:
        read_texts(rows)
    assert [line.split(": ")[0] for line in error.value.problems] == [f"{rows}:{n}" for n in (2, 3, 4)]
    rows.write_text('{"text": "where is it", "intent": "x", "call": 7}\n', encoding="utf-8")
    assert [(e.text, e.intent) for e in read_texts(rows)] == [("where is it", None)]


def test_unlabelled_texts_in_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'\.csv' is not known"):
        read_texts(tmp_path / "calls.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_texts(tmp_path / "calls.txt")
    (tmp_path / "calls.txt").write_bytes(b"ok\ncaf\xe9\n")
    with pytest.raises(DataError, match=r"calls\.txt:2: byte 0xe9 is not UTF-8"):
        read_texts(tmp_path / "calls.txt")
