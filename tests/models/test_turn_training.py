from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.training.turn import figures
from models.training.turn_cuts import Cut, load_cuts, save_cuts
from models.training.turn_texts import dictation, examples

CUT = Cut("read", "one", "where is it", False, "any", "where is", -1.5, -0.3, np.arange(5, dtype=np.int16))


def test_each_text_is_whole_once_and_cut_before_its_last_word() -> None:
    texts = ["the boots never arrived at all", "yes"]
    found = examples(texts, np.random.default_rng(0), cuts=20)
    assert sum(example.whole for example in found) == 2
    cuts = [example.text for example in found if not example.whole]
    assert cuts
    assert not any(text.endswith("all") for text in cuts)


def test_a_cut_that_is_whole_elsewhere_is_left_out() -> None:
    found = examples(["I want this", "I want"], np.random.default_rng(3), cuts=30)
    assert {example.text for example in found if not example.whole} == {"i"}


def test_marks_at_the_end_never_give_a_text_away() -> None:
    found = examples(["Really? No way!", "Well, it depends..."], np.random.default_rng(0), cuts=10)
    assert not any(example.text[-1] in ".?!," for example in found)


def test_the_same_seed_gives_the_same_examples() -> None:
    texts = ["the boots never arrived at all", "where is my order, please"]
    assert examples(texts, np.random.default_rng(5)) == examples(texts, np.random.default_rng(5))
    assert dictation(20, np.random.default_rng(5)) == dictation(20, np.random.default_rng(5))


def test_dictation_holds_digits_names_and_addresses() -> None:
    texts = dictation(200, np.random.default_rng(0))
    assert any(" at " in text and " dot " in text for text in texts)
    assert any(any(character.isdigit() for character in text) for text in texts)
    assert any("seven" in text.split() for text in texts)


def test_cuts_come_back_as_they_were_written(tmp_path: Path) -> None:
    whole = replace(CUT, whole=True, closing=None, asked="email", samples=np.arange(3, dtype=np.int16))
    save_cuts(tmp_path / "new" / "cuts.npz", [CUT, whole])
    first, second = load_cuts(tmp_path / "new" / "cuts.npz")
    assert replace(first, samples=CUT.samples) == CUT
    np.testing.assert_array_equal(first.samples, CUT.samples)
    np.testing.assert_array_equal(second.samples, whole.samples)
    assert (second.whole, second.closing, second.asked) == (True, None, "email")


def test_scores_that_part_ends_from_pauses_cost_nothing() -> None:
    whole = np.array([True] * 50 + [False] * 50)
    found = figures(np.where(whole, 0.9, 0.1), whole)
    assert found["AUROC"] == 1.0
    assert found["ends at 5 %"] == 1.0
    assert found["cut-offs at 300 ms"] == 0.0
    assert found["wait at 5 % cut-offs"] == pytest.approx(300.0)


def test_scores_that_say_nothing_cost_both_cut_offs_and_time() -> None:
    random = np.random.default_rng(0)
    whole = random.random(4000) < 0.5
    found = figures(random.random(4000), whole)
    assert found["AUROC"] == pytest.approx(0.5, abs=0.03)
    assert found["ends at 5 %"] == pytest.approx(0.05, abs=0.03)
    # half the pauses are over the threshold; those under 300 ms are never noticed
    assert found["cut-offs at 300 ms"] == pytest.approx(0.5 * 400 / 450, abs=0.03)
    assert found["wait at 5 % cut-offs"] > 680
