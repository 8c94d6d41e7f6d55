import numpy as np
import pytest

from models.encoder import SentenceEncoder, normalise


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder(cache_size=4)


def test_vectors_are_unit_length_and_shaped(encoder: SentenceEncoder) -> None:
    vectors = encoder.encode(["where is my order", "I want my money back", "where is my order"])
    assert vectors.shape == (3, encoder.width)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert np.array_equal(vectors[0], vectors[2])
    assert encoder.encode([]).shape == (0, encoder.width)


def test_meaning_is_near(encoder: SentenceEncoder) -> None:
    order, package, weather = encoder.encode(["where is my order", "where's my package", "it will rain tomorrow"])
    assert float(order @ package) > float(order @ weather) + 0.3


def test_what_a_recognizer_writes_at_will_changes_nothing(encoder: SentenceEncoder) -> None:
    plain, written = encoder.encode(["i'd like a refund please", "I’d like a refund, please!"])
    assert np.array_equal(plain, written)


def test_cache_stays_within_its_bound_and_gives_the_same_vector() -> None:
    small, none = SentenceEncoder(cache_size=2), SentenceEncoder(cache_size=0)
    texts = ["a tent", "a stove", "a lantern", "a tent"]
    for text in texts:
        assert np.allclose(small.encode([text]), none.encode([text]), atol=1e-5)
    assert len(small._cache) == 2
    assert not none._cache


def test_negative_cache_is_refused() -> None:
    with pytest.raises(ValueError, match="cache_size is -1"):
        SentenceEncoder(cache_size=-1)


@pytest.mark.parametrize(
    ("text", "plain"),
    [("  Hi,  THERE! ", "hi there"), ("42-719.", "42 719"), ("Jane’s $18.50?", "jane's $18 50"), ("...", "")],
)
def test_normalise(text: str, plain: str) -> None:
    assert normalise(text) == plain
