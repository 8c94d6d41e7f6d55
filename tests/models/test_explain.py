"""Explanations of a real model: nearest examples, words that count, and the reason of a decision."""

import json
import resource
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.contracts import OUT_OF_SCOPE, Slot, TextEmotion, Understood
from models.encoder import Vectors, normalise
from models.errors import ModelDamaged, ModelMissing
from models.explain import MOST_WORDS, Decided, ExamplesIndex, brief, explain, reason
from models.text_model import EXAMPLES_FILE, FoundSpan, ModelInfo, Reading
from models.text_model_open import AveragedModel
from models.training.heads import train_intent_head

THINGS = ("tent", "lantern", "stove", "kayak", "parcel", "boots")
EXAMPLES = {
    "order_status": [f"where is my {thing}" for thing in THINGS],
    "return_order": [f"send back the {thing}" for thing in THINGS],
}
OUTSIDE = [f"sing a song of number {thing}" for thing in THINGS]
ROWS = [(text, name) for name, texts in (*EXAMPLES.items(), (OUT_OF_SCOPE, OUTSIDE)) for text in texts]


class WordEncoder:
    """Words, or Chinese characters, hashed into a unit vector; counts the texts it is given."""

    width = 128

    def __init__(self) -> None:
        self.batches: list[int] = []

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.batches.append(len(texts))
        out = np.zeros((len(texts), self.width), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in normalise(text).split():
                out[row, zlib.crc32(word.encode()) % self.width] += 1.0
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


@pytest.fixture(scope="module")
def head():
    return train_intent_head(EXAMPLES, OUTSIDE, WordEncoder())


def model_of(head, threshold: float | None = None, encoder: WordEncoder | None = None) -> AveragedModel:
    least = head.threshold if threshold is None else threshold
    info = ModelInfo("shop", "v0001-00000000", "head", "words", intents=head.labels, threshold=least)
    return AveragedModel(info, (), ((head.head, 1.0),), encoder or WordEncoder())


@pytest.fixture
def model(head) -> AveragedModel:
    return model_of(head)


@pytest.fixture
def index(model) -> ExamplesIndex:
    return ExamplesIndex.of(model, ROWS)


def test_nearest_are_the_examples_with_most_words_in_common(model, index):
    found = explain(model, "where is my compass", index, k=3)
    assert [near.label for near in found.nearest] == ["order_status"] * 3
    assert all(0.7 < near.similarity < 0.9 for near in found.nearest)
    assert found.nearest[0].text in EXAMPLES["order_status"]
    assert explain(model, "where is my tent", index, k=1).nearest[0].text == "where is my tent"
    assert explain(model, "where is my tent", index, k=0).nearest == ()
    assert len(explain(model, "where is my tent", index, k=100).nearest) == len(ROWS)


def test_a_text_that_is_there_twice_counts_once(model):
    index = ExamplesIndex.of(model, [ROWS[0], ROWS[0], ROWS[1]])
    found = explain(model, ROWS[0][0], index, k=2).nearest
    assert [near.text for near in found] == [ROWS[0][0], ROWS[1][0]]


def test_the_words_of_an_intent_speak_for_it_and_those_of_another_against(model, index):
    found = explain(model, "where is my song", index)
    assert found.intent == found.explained == "order_status"
    shares = {word.word: word.share for word in found.words}
    assert list(shares) == ["where", "is", "my", "song"]
    assert min(shares["where"], shares["is"], shares["my"]) > 0 > shares["song"]
    assert sum(map(abs, shares.values())) == pytest.approx(1.0)
    [whole, without] = model.read(["where is my song", "where my song"])
    chance = dict(whole.ranking)["order_status"] - dict(without.ranking)["order_status"]
    assert found.words[1].change == pytest.approx(chance)


def test_words_keep_their_places(model, index):
    text = "  Where is, my tent? "
    assert [text[word.start : word.end] for word in explain(model, text, index).words] == [
        "Where",
        "is,",
        "my",
        "tent?",
    ]


def test_scripts_without_spaces_go_by_the_character(model):
    found = explain(model, "我要退货 order 42", None)
    assert [word.word for word in found.words] == ["我", "要", "退", "货", "order", "42"]


def test_texts_are_read_in_batches(head):
    encoder = WordEncoder()
    explain(model_of(head, encoder=encoder), " ".join(f"word{n}" for n in range(70)), None)
    assert encoder.batches == [1, 1, 32, 32, 32, 32, 6, 6]  # a head's vector and its features are encoded apart


def test_a_very_long_text_is_explained_up_to_a_limit(model):
    assert len(explain(model, "word " * 5000, None).words) == MOST_WORDS


@pytest.mark.parametrize("text", ["", "   "])
def test_no_words(model, index, text):
    found = explain(model, text, index)
    assert (found.intent, found.words, found.nearest, found.reason) == (OUT_OF_SCOPE, (), (), "there are no words")


def test_one_word_bears_everything(model, index):
    [word] = explain(model, "where", index).words
    assert word.share == 1.0


def test_reasons(head):
    text = "where is my tent"
    chance = dict(model_of(head).read([text])[0].ranking)["order_status"]
    believed = explain(model_of(head, 0.1), text, None)
    assert believed.reason.startswith(
        f"order_status is likeliest at {chance:.2f}, threshold 0.10; next is return_order"
    )
    strict = explain(model_of(head, 1.01), text, None)
    assert strict.intent == OUT_OF_SCOPE
    assert strict.explained == "order_status"
    assert strict.reason == f"order_status is likeliest at {chance:.2f}, below threshold 1.01: none is believed"
    assert strict.words[0].change > 0
    outside = explain(model_of(head, 0.0), "sing a song of number tent", None)
    assert outside.reason.startswith("out of scope at")
    assert "likelier than" in outside.reason
    nothing = ModelInfo("emotion", "v1", "full", "base")
    assert reason(Reading((), OUT_OF_SCOPE, 0.0, (), {}, np.zeros(2, np.float32)), nothing) == "there are no words"


@pytest.mark.parametrize(
    ("text", "decided", "said"),
    [
        (
            "42719",
            Decided("give_information", 0.95, {"order_number": "42719"}),
            "rules: little more than a value (order_number)",
        ),
        ("yes", Decided("affirm", 0.95, {"yes_no": True}), "rules: bare answer to a question"),
        (
            "sing a song of number five. where is my tent?",
            Decided("order_status", 0.9),
            "rules: the sentence “where is my tent?” asks most clearly",
        ),
        ("sing a song", Decided("complaint", 0.9), "decided as complaint, which this model does not say"),
    ],
)
def test_rules_that_overruled_the_model_are_told(model, text, decided, said):
    found = explain(model, text, None, decided=decided)
    assert found.reason.startswith(said)
    assert (found.intent, found.confidence, found.slots) == (decided.intent, decided.confidence, decided.slots)


def test_decided_is_what_understanding_gave():
    understood = Understood(
        "cancel_order",
        0.8,
        (),
        (Slot("order_number", "42719", "42719", (0, 5)),),
        emotion=TextEmotion("sad", {"sad": 0.7}),
    )
    assert Decided.of(understood) == Decided("cancel_order", 0.8, {"order_number": "42719"}, {"sad": 0.7})


def test_documents_are_json(model, index):
    found = explain(
        model, "where is my tent", index, decided=Decided("order_status", 0.9, {"product": "tent"}, {"sad": 1.0})
    )
    document = json.loads(json.dumps(found.document()))
    assert document["model"] == {"version": "v0001-00000000", "method": "head"}
    assert document["nearest"][0] == ["where is my tent", "order_status", 1.0]
    assert document["words"][0].keys() == {"word", "start", "end", "change", "share"}
    assert document["slots"] == {"product": "tent"}
    assert document["emotion"] == {"sad": 1.0}


class Spans:
    """A model that sees a slot, and nothing else."""

    info = ModelInfo("shop", "v2", "full", "base", slots=("product",))

    def read(self, texts):
        span = (FoundSpan(12, 16, "product", 0.97),)
        return [Reading((("a", 0.5),), "a", 0.5, span, {"sad": 0.2}, np.ones(2, np.float32)) for _ in texts]


def test_spans_and_emotions_of_the_model_are_shown():
    document = explain(Spans(), "where is my tent", None).document()
    assert document["spans"] == [{"name": "product", "start": 12, "end": 16, "raw": "tent", "probability": 0.97}]
    assert document["emotion"] == {"sad": 0.2}


def test_the_brief_needs_no_pass_of_the_model(head, index):
    encoder = WordEncoder()
    [reading] = model_of(head, encoder=encoder).read(["where is my compass"])
    encoder.batches.clear()
    found = brief(reading, index)
    assert encoder.batches == []
    assert [label for _, label, _ in found["nearest"]] == ["order_status"] * 3
    assert json.loads(json.dumps(found)) == found


def test_an_index_is_kept_whole(tmp_path, model, index):
    texts = [*index.texts, "naïve 退货 \x00 end\x00", ""]
    kept = ExamplesIndex(texts, [*index.labels, "x", "y"], np.vstack([index.vectors, np.eye(2, 128, dtype=np.float32)]))
    path = kept.save(tmp_path)
    assert path == tmp_path / EXAMPLES_FILE
    read = ExamplesIndex.load(tmp_path)
    assert (read.texts, read.labels) == (tuple(texts), (*index.labels, "x", "y"))
    np.testing.assert_allclose(read.vectors, kept.vectors, atol=1e-3)
    assert explain(model, "where is my tent", read, k=1).nearest[0].text == "where is my tent"
    assert [entry.name for entry in tmp_path.iterdir()] == [EXAMPLES_FILE]


def test_a_full_disk_leaves_the_old_index(tmp_path, index):
    index.save(tmp_path)
    more = ExamplesIndex(index.texts, index.labels, np.random.default_rng(0).normal(size=(len(index), 4096)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            more.save(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ExamplesIndex.load(tmp_path).vectors.shape == (len(index), 128)
    assert [entry.name for entry in tmp_path.iterdir()] == [EXAMPLES_FILE]


def test_an_index_that_is_missing_damaged_or_of_another_version_is_told(tmp_path, model, index):
    with pytest.raises(ModelMissing, match=r"holds no examples\.npz; train the version again"):
        ExamplesIndex.load(tmp_path)
    path = index.save(tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelDamaged, match="not an index of examples"):
        ExamplesIndex.load(tmp_path)
    np.savez(tmp_path / EXAMPLES_FILE.removesuffix(".npz"), texts=np.zeros(3))
    with pytest.raises(ModelDamaged, match="not an index of examples"):
        ExamplesIndex.load(tmp_path)
    other = ExamplesIndex(["a"], ["b"], np.ones((1, 3), np.float32))
    with pytest.raises(ModelDamaged, match="width 3, the model 128"):
        explain(model, "where", other)
    with pytest.raises(ValueError, match="do not go together"):
        ExamplesIndex(["a"], [], np.ones((1, 3), np.float32))


@given(content=st.binary(max_size=400))
def test_any_file_is_an_index_or_refused(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp()
    (folder / EXAMPLES_FILE).write_bytes(content)
    with pytest.raises(ModelDamaged):
        ExamplesIndex.load(folder)


def test_an_empty_index_has_nothing_near(tmp_path, model):
    ExamplesIndex.of(model, []).save(tmp_path)
    assert explain(model, "where", ExamplesIndex.load(tmp_path)).nearest == ()
