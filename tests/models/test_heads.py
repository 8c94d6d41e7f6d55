import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.contracts import OUT_OF_SCOPE
from models.encoder import SentenceEncoder
from models.errors import ModelDamaged
from models.heads import IntentHead, LinearHead, classifiable, features, load_head, save_head
from models.training.heads import (
    cached_intent_head,
    cross_validate,
    evaluate,
    generic_out_of_scope,
    head_key,
    train_intent_head,
)

EXAMPLES = {
    "refund": [
        "I want my money back", "can I get a refund", "please refund me", "refund my purchase", "give me a refund",
        "I'd like my money returned", "how do I get a refund", "I need a refund",
    ],
    "opening": [
        "when do you open", "what are your hours", "are you open today", "what time do you close", "opening hours",
        "are you open on sunday", "until when are you open", "is the shop open now",
    ],
    "human": [
        "let me talk to a person", "I want a human", "agent please", "transfer me to someone", "a real person please",
        "can I speak to somebody", "get me an agent", "connect me to a person",
    ],
}  # fmt: skip
OUTSIDE = generic_out_of_scope()[::4]


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder()


@pytest.fixture(scope="module")
def head(encoder: SentenceEncoder) -> IntentHead:
    return train_intent_head(EXAMPLES, OUTSIDE, encoder)


def decide(head: IntentHead, encoder: SentenceEncoder, text: str) -> tuple[str, float]:
    return head.decide(head.rank(features([text], encoder))[0])


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("I would like to have my money back", "refund"),
        ("at what time do you close on saturday", "opening"),
        ("could I please talk to an agent", "human"),
        ("my cat climbed up a tree", OUT_OF_SCOPE),
        ("how many planets are there", OUT_OF_SCOPE),
    ],
)
def test_unseen_sentences(head: IntentHead, encoder: SentenceEncoder, text: str, intent: str) -> None:
    assert decide(head, encoder, text)[0] == intent


def test_ranking_is_a_distribution_best_first(head: IntentHead, encoder: SentenceEncoder) -> None:
    (ranking,) = head.rank(features(["refund please"], encoder))
    assert {name for name, _ in ranking} == {*EXAMPLES, OUT_OF_SCOPE}
    assert sum(p for _, p in ranking) == pytest.approx(1.0)
    assert [p for _, p in ranking] == sorted((p for _, p in ranking), reverse=True)


def test_decision_follows_threshold_and_outside_class() -> None:
    head = IntentHead(LinearHead(("a", OUT_OF_SCOPE), np.zeros((2, 1), np.float32), np.zeros(2, np.float32)), 0.5)
    assert head.decide([("a", 0.7), (OUT_OF_SCOPE, 0.3)]) == ("a", 0.7)
    assert head.decide([("a", 0.45), ("b", 0.4), (OUT_OF_SCOPE, 0.15)]) == (OUT_OF_SCOPE, pytest.approx(0.55))
    assert head.decide([(OUT_OF_SCOPE, 0.4), ("a", 0.35)])[0] == OUT_OF_SCOPE


def test_training_is_deterministic(head: IntentHead, encoder: SentenceEncoder) -> None:
    again = train_intent_head(EXAMPLES, OUTSIDE, encoder)
    assert np.array_equal(head.head.weights, again.head.weights)
    assert (head.threshold, head.head.temperature) == (again.threshold, again.head.temperature)


def test_too_few_examples_are_named(encoder: SentenceEncoder) -> None:
    with pytest.raises(ValueError, match="intent 'refund' has 2 examples; give at least 5"):
        train_intent_head({**EXAMPLES, "refund": ["a refund", "money back"]}, OUTSIDE, encoder)
    with pytest.raises(ValueError, match="1 intents; a head needs at least two"):
        train_intent_head({"refund": EXAMPLES["refund"]}, OUTSIDE, encoder)


def test_numbers_are_alike_to_the_head() -> None:
    assert classifiable("where is order 42719?") == classifiable("where is order four two seven three one")


def test_key_changes_with_the_content() -> None:
    key = head_key(EXAMPLES, OUTSIDE, "e")
    assert key == head_key(dict(reversed(EXAMPLES.items())), OUTSIDE, "e")
    assert key != head_key({**EXAMPLES, "human": ["hello"]}, OUTSIDE, "e")
    assert key != head_key(EXAMPLES, OUTSIDE[1:], "e")
    assert key != head_key(EXAMPLES, OUTSIDE, "f")
    assert key != head_key(EXAMPLES, OUTSIDE, "e", seed=1)


def test_cache_gives_the_same_head_and_heals(tmp_path: Path, encoder: SentenceEncoder) -> None:
    first = cached_intent_head(tmp_path, EXAMPLES, OUTSIDE, encoder, encoder.identity)
    (file,) = tmp_path.iterdir()
    second = cached_intent_head(tmp_path, EXAMPLES, OUTSIDE, encoder, encoder.identity)
    assert np.array_equal(first.head.weights, second.head.weights)
    assert first.threshold == second.threshold
    file.write_bytes(file.read_bytes()[:100])
    third = cached_intent_head(tmp_path, EXAMPLES, OUTSIDE, encoder, encoder.identity)
    assert np.array_equal(first.head.weights, third.head.weights)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_warm_start_imports_no_scikit_learn(tmp_path: Path, encoder: SentenceEncoder) -> None:
    cached_intent_head(tmp_path, EXAMPLES, OUTSIDE, encoder, encoder.identity)
    code = (
        "import sys; from pathlib import Path; from models.encoder import SentenceEncoder\n"
        "from models.training.heads import cached_intent_head\n"
        f"e = SentenceEncoder(); folder = Path({str(tmp_path)!r})\n"
        f"h = cached_intent_head(folder, {EXAMPLES!r}, {OUTSIDE!r}, e, e.identity)\n"
        "assert h.labels and 'sklearn' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], timeout=60)


def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"not a head")
    with pytest.raises(ModelDamaged, match="is not a head"):
        load_head(tmp_path / "x.npz")
    wrong = LinearHead(("a", "b", "c"), np.zeros((2, 3), np.float32), np.zeros(2, np.float32))
    save_head(tmp_path / "y.npz", wrong)
    with pytest.raises(ModelDamaged, match="weights for 3 labels"):
        load_head(tmp_path / "y.npz")


def test_figures_count_what_was_decided(encoder: SentenceEncoder, head: IntentHead) -> None:
    texts, labels = (
        ["refund please", "a person please", "when do you open", "the sun is hot"],
        ["refund", "human", "refund"],
    )
    figures = evaluate(head, encoder, texts, [*labels, OUT_OF_SCOPE])
    assert figures["in_scope"] == pytest.approx(2 / 3)
    assert figures["out_of_scope_recall"] == 1.0


def test_cross_validation_separates_these_intents(encoder: SentenceEncoder) -> None:
    figures, mistakes = cross_validate(EXAMPLES, OUTSIDE, encoder)
    assert figures["in_scope"] >= 0.7
    assert figures["out_of_scope_recall"] >= 0.8
    assert all(meant != understood for _, meant, understood, _ in mistakes)
