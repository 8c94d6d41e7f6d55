"""Frozen heads as a text model, and their cross-validation, over an encoder of letters."""

import numpy as np
import pytest

from models.contracts import OUT_OF_SCOPE
from models.evaluation.frozen import EmotionHead, cross_read, fit_frozen
from models.heads import LinearHead
from models.training.examples import DataError, Example


class Letters:
    """Vectors of how often each letter occurs."""

    width = 26

    def encode(self, texts):
        rows = np.array([[text.count(chr(97 + n)) for n in range(26)] for text in texts], dtype=np.float32)
        rows = rows.reshape(len(texts), 26)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


WORDS = {"refund": "money back refund", "track": "where parcel now", OUT_OF_SCOPE: "sing joke weather"}
EXAMPLES = [
    Example(f"{word} {extra}", intent)
    for intent, words in WORDS.items()
    for word in words.split()
    for extra in ("", "please", "today", "quick")
]


def test_frozen_heads_read_what_they_were_trained_on():
    model = fit_frozen(EXAMPLES, Letters(), base="letters")
    assert set(model.info.intents) == {"refund", "track", OUT_OF_SCOPE}
    assert (model.info.method, model.info.base) == ("head", "letters")
    refund, empty = model.read(["money back", "  "])
    assert refund.intent == "refund"
    assert refund.confidence == dict(refund.ranking)["refund"]
    assert (empty.intent, empty.confidence) == (OUT_OF_SCOPE, 0.0)


def test_every_example_is_read_by_a_head_that_has_not_seen_it(monkeypatch):
    seen = []

    def spy(examples, *rest):
        model = fit_frozen(examples, *rest)
        seen.append(({one.text for one in examples}, model))
        return model

    monkeypatch.setattr("models.evaluation.frozen.fit_frozen", spy)
    copies = [Example(one.text.upper(), one.intent) for one in EXAMPLES[:3]]
    info, labelled, readings = cross_read([*EXAMPLES, *copies, Example("no label")], Letters(), 0, "letters")
    assert len(labelled) == len(readings) == len(EXAMPLES) + 3
    assert info.base == "letters"
    assert len(seen) == 6
    for texts, _ in seen[:5]:
        for copy in copies:
            assert (copy.text in texts) == (copy.text.lower() in texts)
    for example, reading in zip(labelled, readings, strict=True):
        makers = [model for texts, model in seen[:5] if example.text not in texts]
        assert any(
            dict(model.read([example.text])[0].ranking) == pytest.approx(dict(reading.ranking), abs=1e-4)
            for model in makers
        )


def test_too_few_examples_are_refused():
    with pytest.raises(DataError, match="'refund' has 2 examples"):
        fit_frozen([*EXAMPLES[:2], *EXAMPLES[12:]], Letters())
    with pytest.raises(DataError, match="nothing to cross-validate"):
        cross_read([Example("a")], Letters())


def test_the_emotion_head_reads_emotions_alone():
    weights = np.zeros((2, 26 + 1024), dtype=np.float32)
    weights[1, ord("z") - 97] = 50.0

    class Words:
        head = LinearHead(("neutral", "happy"), weights, np.array([1.0, 0.0], np.float32))

    model = EmotionHead(Words(), Letters(), "letters", "weights")
    plain, glad = model.read(["abc", "zzz"])
    assert model.info.emotions == ("neutral", "happy")
    assert plain.emotions["neutral"] > 0.7
    assert glad.emotions["happy"] > 0.99
    assert glad.ranking == ()
    assert glad.vector.shape == (26,)
