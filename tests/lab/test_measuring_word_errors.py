"""Word errors: counted as jiwer counts them, over words written alike on both sides."""

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.lab.measuring.word_errors import WordErrors, character_errors, count_errors, plain_words, word_errors

WORDS = st.lists(st.sampled_from(["my", "order", "number", "is", "four", "two"]), max_size=12)


@given(WORDS.filter(bool), WORDS)
def test_the_count_is_jiwers(said, heard):
    theirs = jiwer.process_words(" ".join(said), " ".join(heard))
    ours = count_errors(said, heard)
    assert ours.errors == theirs.substitutions + theirs.deletions + theirs.insertions
    assert ours.words == len(said)
    assert ours.percent == pytest.approx(100 * theirs.wer)
    assert ours.insertions - ours.deletions == len(heard) - len(said)


@pytest.mark.parametrize(
    "text",
    ["My order is 42719.", "my order is 4-2-7-1-9", "My order is four, two, seven, one, nine!", "my order is 42,719"],
)
def test_figures_and_words_of_a_number_are_the_same(text):
    assert plain_words(text) == "my order is four two seven one nine".split()


def test_small_figures_are_cardinals_and_contractions_stay_whole():
    assert plain_words("It’s $75, isn't it? 30 days") == "it's seventy five isn't it thirty days".split()


def test_a_leading_zero_is_said():
    assert plain_words("05") == ["zero", "five"]


def test_errors_are_told_apart():
    assert word_errors("do you ship to Canada", "do you ship the Canada now") == WordErrors(1, 0, 1, 5)
    assert word_errors("where is my order", "where order") == WordErrors(0, 2, 0, 4)


def test_errors_add_up_over_utterances():
    assert sum([WordErrors(1, 0, 2, 5), WordErrors(0, 3, 0, 5)], WordErrors()).percent == pytest.approx(60.0)


def test_nothing_said_and_nothing_heard_is_no_error():
    assert word_errors("", "").percent == 0.0
    assert word_errors("", "ghost").insertions == 1


@given(st.text("abc ", max_size=20), st.text("abc ", max_size=20))
def test_character_errors_are_jiwers_without_spaces(said, heard):
    first, second = said.replace(" ", ""), heard.replace(" ", "")
    found = character_errors(said, heard)
    assert found.words == len(first)
    if first:
        expected = jiwer.process_characters(first, second or " ")
        if second:
            assert found.errors == expected.substitutions + expected.deletions + expected.insertions
        else:
            assert found.errors == len(first)


def test_languages_without_spaces_are_counted_by_character():
    assert character_errors("我的包裹在哪里？", "我的包果在哪里") == WordErrors(substitutions=1, words=7)
