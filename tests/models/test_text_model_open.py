"""Opening versions whose members are heads: what is checked, what is read. Networks: tests of training."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from learnfakes import SAID, THINGS, WordEncoder

from models.contracts import OUT_OF_SCOPE
from models.errors import ModelDamaged, ModelError, ModelMissing
from models.heads import IntentHead, LinearHead, features, save_head, softmax
from models.text_model import MODEL_FILE, Member, ModelInfo
from models.text_model_open import AveragedModel, check_sums, open_text_model, write_sums
from models.training.heads import fit_head

EXAMPLES = {name: [text.format(thing) for text in texts for thing in THINGS] for name, texts in SAID.items()}
OUTSIDE = [f"sing me a song about number {number}" for number in range(12)]


@pytest.fixture(scope="module")
def fitted() -> IntentHead:
    rows = [(text, name) for name, texts in {**EXAMPLES, OUT_OF_SCOPE: OUTSIDE}.items() for text in texts]
    vectors = features([text for text, _ in rows], WordEncoder())
    return IntentHead(fit_head(vectors, np.array([name for _, name in rows]), 0), 0.3)


def info_of(fitted: IntentHead, *members: Member, **more) -> ModelInfo:
    base = ModelInfo(
        "small", "v1", "head", "words-1", members=members, intents=fitted.head.labels, threshold=fitted.threshold
    )
    return replace(base, **more)


def write_info(folder: Path, info: ModelInfo) -> None:
    (folder / MODEL_FILE).write_text(json.dumps(info.document()), encoding="utf-8")
    write_sums(folder)


@pytest.fixture
def folder(tmp_path: Path, fitted: IntentHead) -> Path:
    save_head(tmp_path / "head.npz", fitted.head)
    write_info(tmp_path, info_of(fitted, Member("head.npz")))
    return tmp_path


def test_a_version_of_a_head_reads_intents_and_what_is_outside(folder: Path) -> None:
    model = open_text_model(folder, WordEncoder())
    texts = ["cancel my kayak", "refund the rope I return", "sing me a song about number 4", ""]
    readings = model.read(texts)
    assert [reading.intent for reading in readings] == ["cancel_order", "return_order", OUT_OF_SCOPE, OUT_OF_SCOPE]
    assert readings[3].ranking == ()
    assert readings[3].confidence == 0.0
    first = readings[0]
    assert first.ranking[0] == ("cancel_order", first.confidence)
    assert sum(p for _, p in first.ranking) == pytest.approx(1.0)
    assert [p for _, p in first.ranking] == sorted((p for _, p in first.ranking), reverse=True)
    assert (first.spans, first.emotions) == ((), {})
    np.testing.assert_allclose(first.vector, WordEncoder().encode([texts[0]])[0], atol=1e-6)
    assert model.read([]) == []


def test_temperature_sharpens_and_the_threshold_turns_away(folder: Path, fitted: IntentHead) -> None:
    text = "cancel my kayak"
    plain = open_text_model(folder, WordEncoder()).read([text])[0]
    write_info(folder, info_of(fitted, Member("head.npz"), temperature=3.0))
    soft = open_text_model(folder, WordEncoder()).read([text])[0]
    assert soft.ranking[0][1] < plain.ranking[0][1]
    write_info(folder, info_of(fitted, Member("head.npz"), threshold=plain.ranking[0][1] + 1e-6))
    doubted = open_text_model(folder, WordEncoder()).read([text])[0]
    assert doubted.intent == OUT_OF_SCOPE
    assert doubted.confidence == pytest.approx(1 - plain.ranking[0][1])


def test_members_are_averaged_by_their_weight(fitted: IntentHead) -> None:
    other = LinearHead(fitted.head.labels, -fitted.head.weights, fitted.head.bias)
    heads = ((fitted.head, 3.0), (other, 1.0))
    model = AveragedModel(info_of(fitted), (), heads, WordEncoder())
    text = "cancel my kayak"
    vectors = features([text], WordEncoder())
    logs = [np.log(np.maximum(head.probabilities(vectors), 1e-9)) for head, _ in heads]
    np.testing.assert_allclose(model.log_probabilities([text]), 0.75 * logs[0] + 0.25 * logs[1])
    meant = softmax(0.75 * logs[0] + 0.25 * logs[1])[0]
    found = dict(model.read([text])[0].ranking)
    assert [found[label] for label in fitted.head.labels] == pytest.approx(meant.tolist())


class Counting(WordEncoder):
    """Counts the texts it is given."""

    seen = 0

    def encode(self, texts):
        self.seen += len(texts)
        return super().encode(texts)


def test_texts_read_before_are_remembered(folder: Path) -> None:
    encoder = Counting()
    model = open_text_model(folder, encoder)
    first = model.read(["track the rope", "track the rope", "cancel my mat"])
    seen = encoder.seen
    again = model.read(["cancel my mat", "track the rope"])
    assert encoder.seen == seen
    assert again[0] is first[2]
    assert again[1] is first[0] is first[1]
    model.read([f"track the rope number {n}" for n in range(600)])
    model.read(["track the rope"])
    assert encoder.seen == seen + 2 * 600 + 2, "the oldest were forgotten, and each text is encoded twice over"


def test_versions_that_are_not_what_was_written_are_refused(folder: Path, fitted: IntentHead) -> None:
    with pytest.raises(ModelError, match="pass the encoder to open it"):
        open_text_model(folder)
    head = (folder / "head.npz").read_bytes()
    (folder / "head.npz").write_bytes(head[:-1] + bytes([head[-1] ^ 1]))
    with pytest.raises(ModelDamaged, match=r"head\.npz has SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}; restore"):
        open_text_model(folder, WordEncoder())
    (folder / "head.npz").unlink()
    with pytest.raises(ModelDamaged, match=r"head\.npz: No such file or directory; restore the version's folder"):
        check_sums(folder)
    with pytest.raises(ModelDamaged, match=r"head\.npz is missing; train the version again"):
        open_text_model(folder, WordEncoder(), verify=False)
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(ModelDamaged, match="has no SHA256SUMS"):
        open_text_model(folder, WordEncoder())
    write_info(folder, info_of(fitted))
    with pytest.raises(ModelDamaged, match="names no members"):
        open_text_model(folder, WordEncoder())
    (folder / MODEL_FILE).unlink()
    with pytest.raises(ModelMissing, match=r"holds no model\.json"):
        open_text_model(folder, WordEncoder())


def test_a_head_of_other_intents_is_refused(fitted: IntentHead) -> None:
    info = info_of(fitted, intents=(*fitted.head.labels[1:], "other"))
    with pytest.raises(ModelDamaged, match="lists other intents than its head"):
        AveragedModel(info, (), ((fitted.head, 1.0),), WordEncoder())
