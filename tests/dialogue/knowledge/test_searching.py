"""What searching, judging and speaking are made of, each by itself."""

from __future__ import annotations

import logging
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from conversation import WordEncoder

from agent.dialogue.domain import Fact
from agent.dialogue.knowledge.answerable import NAMES, Answerable, answerable, inputs, read_answerable
from agent.dialogue.knowledge.base import KnowledgeBase, leans
from agent.dialogue.knowledge.likeness import WordLikeness, weight
from agent.dialogue.knowledge.search import SearchIndex, Signals
from agent.dialogue.knowledge.spoken import spoken_answer
from agent.dialogue.knowledge.terms import terms
from agent.dialogue.knowledge.vectors import VectorCache
from agent.dialogue.knowledge.words import WordIndex
from agent.dialogue.manner import KnowledgeSettings

FACTS = (
    Fact("a.md#hours", "When are you open?", "We are open from nine to five.", ("opening hours",)),
    Fact("a.md#parking", "Is there parking?", "There are 12 places behind the house.", ("where can I park",)),
    Fact("a.md#dogs", "Are dogs allowed?", "Dogs may come on a leash."),
)


def test_terms_are_stems_and_pairs_of_characters() -> None:
    assert terms("What's the price of the 2 Tents?") == ["pric", "2", "tent"]
    assert terms("我想问月费是多少") == ["问月", "月费", "费是", "是多", "多少"]
    assert terms("VIP客户的卡") == ["vip", "客户", "户的", "的卡"]


def test_bm25_prefers_rare_words_and_short_sections() -> None:
    index = WordIndex([["tent", "price"], ["tent", "price", "price", "color", "size", "weight"], ["tent", "dog"]])
    scores = index.scores(["tent", "dog"])
    assert int(np.argmax(scores)) == 2
    prices = index.scores(["price"])
    assert prices[0] > 0
    assert prices[2] == 0
    assert index.has("dog", 2)
    assert not index.has("dog", 0)
    assert not index.known("cat")
    assert index.weights(["cat"])["cat"] > index.weights(["dog"])["dog"] > index.weights(["tent"])["tent"]


def test_words_that_callers_use_for_anything_tell_little() -> None:
    assert weight("help") < 0.4 < 0.9 < weight("kayak") <= 1.0


def test_words_are_met_by_the_nearest_word() -> None:
    likeness = WordLikeness([{"dog": "dogs", "leash": "leash"}, {"park": "parking"}], WordEncoder())
    near = likeness.nearest({"dog": "dog", "cat": "cat"}, [0, 1])
    assert near.shape == (2, 2)
    assert near[0].tolist() == [1.0, 0.0]
    assert near[1].tolist() == [0.0, 0.0]


def test_the_index_ranks_and_tells_why() -> None:
    index = SearchIndex(FACTS, WordEncoder())
    best = index.candidates("are dogs allowed inside")[0]
    assert FACTS[best.section].source == "a.md#dogs"
    signals = best.signals
    assert signals.agreed == 1.0
    assert signals.margin > 0
    assert 0 < signals.coverage < 1
    assert signals.strange == pytest.approx(1 - signals.coverage)
    without = index.candidates("are dogs allowed inside", without=best.section)
    assert best.section not in {candidate.section for candidate in without}
    assert index.candidates("  ") == []
    assert SearchIndex((), WordEncoder()).candidates("dogs") == []


def test_every_signal_counts_and_the_model_is_for_these(tmp_path: Path) -> None:
    signals = Signals(*(0.5 for _ in NAMES))
    model = answerable()
    assert len(model.weights) == len(inputs(signals))
    better = replace(signals, cosine=0.9, asked=0.9, alike=0.9, margin=0.6, bm25=0.8)
    worse = replace(signals, cosine=0.2, asked=0.1, alike=0.1, margin=-0.3, bm25=0.0)
    assert model.probability(worse) < 0.2 < model.probability(better)
    assert Answerable([0.0] * len(model.weights), 0.0).probability(signals) == 0.5
    with pytest.raises(ValueError, match="fit the model again"):
        read_answerable({"weights": {fields(Signals)[0].name: 1.0}, "bias": 0.0})


def test_a_short_section_is_said_whole() -> None:
    text = "We are open from nine to five. On Sunday we are closed."
    assert spoken_answer(text, "when do you close", WordEncoder(), lambda words: float(len(words))) == text


LONG = (
    "Returns are free within thirty days. We send a prepaid label by e-mail. It can be printed at any parcel shop. "
    "The refund takes five days. Gift cards cannot be returned."
)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("how long does the refund take", "The refund takes five days."),
        ("can gift cards be returned", "Gift cards cannot be returned."),
        ("where can the label be printed", "We send a prepaid label by e-mail. It can be printed at any parcel shop."),
    ],
)
def test_of_a_long_section_the_sentences_that_answer_are_said(question: str, answer: str) -> None:
    assert spoken_answer(LONG, question, WordEncoder(), lambda words: float(len(words))) == answer


def test_chinese_is_said_without_spaces() -> None:
    text = "月费每月30元。学生免费。您可以在网上开户。办理时请带上身份证。"
    answer = spoken_answer(text, "学生免费吗", WordEncoder(), lambda words: float(len(words)))
    assert answer == "学生免费。"


class CountingEncoder(WordEncoder):
    """Counts what it encodes."""

    identity = "WordEncoder"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, texts):  # type: ignore[no-untyped-def]
        """As its parent."""
        self.asked += list(texts)
        return super().encode(texts)


def test_vectors_are_kept_and_only_new_texts_encoded(tmp_path: Path) -> None:
    path, encoder = tmp_path / "cache" / "shop.npz", CountingEncoder()
    first = VectorCache(path).encode(["one", "two", "one"], encoder)
    assert np.array_equal(first[0], first[2])
    encoder.asked.clear()
    again = VectorCache(path).encode(["two", "three"], encoder)
    assert encoder.asked == ["three"]
    assert np.array_equal(again[0], first[1])
    encoder.asked.clear()
    VectorCache(path).encode(["one"], encoder)
    assert encoder.asked == ["one"], "what is no longer asked for is forgotten"
    assert [file.name for file in path.parent.iterdir()] == ["shop.npz"]


@pytest.mark.parametrize("damage", [b"", b"rubbish", b"PK\x03\x04 cut off"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "shop.npz"
    path.write_bytes(damage)
    with caplog.at_level(logging.WARNING):
        found = VectorCache(path).encode(["one"], WordEncoder())
    assert found.any()
    assert "made again" in caplog.text
    encoder = CountingEncoder()
    VectorCache(path).encode(["one"], encoder)
    assert not encoder.asked


def test_a_cache_that_cannot_be_written_is_no_harm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    found = VectorCache(tmp_path / "file" / "shop.npz").encode(["one"], WordEncoder())
    assert found.any()
    assert "cannot be" in caplog.text


def test_another_encoder_shares_no_vectors(tmp_path: Path) -> None:
    VectorCache(tmp_path / "a.npz").encode(["one"], WordEncoder())
    other = CountingEncoder()
    other.identity = "other"
    VectorCache(tmp_path / "a.npz").encode(["one"], other)
    assert other.asked == ["one"]


def test_a_base_is_built_out_of_its_cache(tmp_path: Path) -> None:
    settings = KnowledgeSettings()
    KnowledgeBase(FACTS, WordEncoder(), settings, cache=tmp_path / "shop")
    encoder = CountingEncoder()
    base = KnowledgeBase(FACTS, encoder, settings, cache=tmp_path / "shop")
    assert not encoder.asked
    found = base.find("is there parking")
    assert found is not None
    assert found.source == "a.md#parking"
    assert found.answer == "There are 12 places behind the house."


@pytest.mark.parametrize(
    ("question", "leaning"),
    [("and what does it cost", True), ("how about the other one", True), ("那它多少钱", True),
     ("what does the Cedar tent cost in the store", False), ("do you have kayaks", False)],
)  # fmt: skip
def test_questions_that_lean_on_what_was_said(question: str, leaning: bool) -> None:
    assert leans(question) is leaning
