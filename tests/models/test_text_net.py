"""The label path of the slot head against brute force, spans of it, and networks that cannot be opened."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from models.errors import ModelDamaged, ModelMissing
from models.text_net import TextNet, Words, best_path, bio_labels, spans_from, words_of


def allowed(path: tuple[int, ...]) -> bool:
    """No I but after the B or I of its own slot."""
    return all(label == 0 or label % 2 or (at and path[at - 1] in (label, label - 1)) for at, label in enumerate(path))


def scores(slots: int, words: int) -> st.SearchStrategy[np.ndarray]:
    # Multiples of 1/8 add up exactly, so that paths of equal score are equal here and there.
    eighths = st.integers(-80, 0).map(lambda n: n / 8)
    return arrays(np.float32, (words, 1 + 2 * slots), elements=eighths)


@settings(deadline=None)
@given(st.integers(1, 2).flatmap(lambda slots: st.integers(1, 4).flatmap(lambda words: scores(slots, words))))
def test_the_best_path_is_that_of_brute_force(rows: np.ndarray) -> None:
    paths = [path for path in product(range(rows.shape[1]), repeat=len(rows)) if allowed(path)]
    values = {path: float(sum(row[label] for row, label in zip(rows, path, strict=True))) for path in paths}
    found = tuple(best_path(rows))
    assert allowed(found)
    assert values[found] == max(values.values())


def test_no_words_have_no_path() -> None:
    assert best_path(np.zeros((0, 5), np.float32)) == []


@settings(deadline=None)
@given(st.data(), st.integers(1, 3), st.integers(0, 6))
def test_spans_of_a_path_are_its_runs(data: st.DataObject, slots: int, words: int) -> None:
    rows = data.draw(scores(slots, words))
    path = best_path(rows)
    starts = [3 * n for n in range(words)]
    spans = spans_from(path, rows, Words(tuple((at, at + 2) for at in starts), tuple(range(words))))
    begins = [at for at, label in enumerate(path) if label % 2]
    assert [start for start, *_ in spans] == [starts[at] for at in begins]
    for (_, end, slot, sure), at in zip(spans, begins, strict=True):
        last = at
        while last + 1 < words and path[last + 1] == path[at] + 1:
            last += 1
        assert (end, slot) == (starts[last] + 2, (path[at] - 1) // 2)
        assert sure == pytest.approx(np.mean([np.exp(rows[n, path[n]]) for n in range(at, last + 1)]))


def test_bio_labels_begin_with_outside_and_keep_the_order_of_slots() -> None:
    assert bio_labels(("date", "city")) == ("O", "B-date", "I-date", "B-city", "I-city")


def word_pieces() -> Tokenizer:
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "tent", "##s", "big", "'", "the"]
    tokenizer = Tokenizer(models.WordPiece({name: n for n, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def test_a_word_is_all_of_its_pieces_and_special_tokens_are_none() -> None:
    words = words_of(word_pieces().encode("the tents  big"))
    assert words == Words(((0, 3), (4, 9), (11, 14)), (1, 2, 4))
    assert words_of(word_pieces().encode("")) == Words((), ())


def test_a_network_that_is_missing_or_damaged_says_so(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(ModelMissing, match=r"model\.onnx is missing; train the version again"):
        TextNet(path, 16)
    path.write_bytes(b"no network")
    with pytest.raises(ModelMissing, match=r"tokenizer\.json is missing"):
        TextNet(path, 16)
    word_pieces().save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelDamaged, match=r"model\.onnx cannot be read .*; train the version again"):
        TextNet(path, 16)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelDamaged, match="cannot be read"):
        TextNet(path, 16)
