from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.slots import SlotContext, SlotSpec, find_slots
from models.slots.digits import digit_runs, mask_digits

ORDER = SlotSpec("order_number", "digits", {"min_length": 5, "max_length": 5})
TODAY = date(2026, 5, 6)
ASKED = SlotContext(TODAY, ("order_number",))
UNASKED = SlotContext(TODAY)


def values(text: str, context: SlotContext) -> list[str]:
    return [slot.value for slot in find_slots(text, [ORDER], context) if slot.confidence > 0]


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("four two seven one nine", "42719"),
        ("it's four two seven one nine", "42719"),
        ("forty two seven nineteen", "42719"),
        ("forty-two seven nineteen", "42719"),
        ("four twenty seven nineteen", "42719"),
        ("four two seven, double five", "42755"),
        ("triple four one nine", "44419"),
        ("four two seven oh nine", "42709"),
        ("four two seven zero nine", "42709"),
        ("four two seven, uh, one nine", "42719"),
        ("uh four... two... seven... one... nine", "42719"),
        ("42-719", "42719"),
        ("42719", "42719"),
        ("#42719", "42719"),
        ("4 2 7 1 9.", "42719"),
        ("4-2-7-1-9", "42719"),
        ("4, 2, 7, 1, 9.", "42719"),
        ("4. 2. 7. 1. 9.", "42719"),
        ("427-19", "42719"),
        ("427 19", "42719"),
        ("42,719", "42719"),
        ("4/2/7/1/9", "42719"),
        ("forty two thousand seven hundred nineteen", "42719"),
        ("forty two thousand seven hundred and nineteen", "42719"),
        ("four to seven one nine", "42719"),
        ("for two seven one nine", "42719"),
        ("four two, four two seven one nine", "42719"),
        ("four two seven one nine, one nine", "42719"),
        ("4 2 7 1 9, 4 2 7 1 9", "42719"),
        ("no, 42718", "42718"),
        ("order 42719, I think", "42719"),
    ],
)
def test_an_order_number_that_was_asked_for(text: str, digits: str) -> None:
    assert values(text, ASKED) == [digits]


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("for to seven one eight", "42718"),
        ("it's for two seven one ate", "42718"),
        ("four two seven won eight", "42718"),
        ("four two seven one ate", "42718"),
        ("4 2 7 1 too.", "42712"),
        ("My order number is for 2719", "42719"),
        ("um, for 2, 7, 1, 9, please", "42719"),
        ("4 to 720", "42720"),
        ("42 to 19", "42219"),
        ("where is order for two seven one eight", "42718"),
    ],
)
def test_words_that_sound_like_the_missing_digits(text: str, digits: str) -> None:
    (slot,) = find_slots(text, [ORDER], ASKED)
    assert slot.value == digits
    assert slot.confidence < 1.0
    assert text[slot.span[0] : slot.span[1]] == slot.raw


@pytest.mark.parametrize(
    "text",
    [
        "two for two people",
        "I want to return 2",
        "I paid for 2719",
        "I need to 2719",
        "I have been waiting for 2145 days",
        "for 2719 people",
        "4271 for my sister",
        "I ordered 4271 to 9",
        "call me at 2 to 4156",
        "for 271",
        "for to won ate 2",
    ],
)
def test_words_that_are_what_they_seem(text: str) -> None:
    assert values(text, ASKED) == []


@pytest.mark.parametrize("text", ["42719 for two people", "4 2 7 1 9 for 2 people", "42719 to 2 7 1 8"])
def test_a_whole_number_takes_no_more_digits(text: str) -> None:
    assert values(text, ASKED) == ["42719"]


def test_unasked_a_missing_digit_is_heard_only_after_an_order_or_a_number() -> None:
    assert values("where is order for two seven one eight", UNASKED) == ["42718"]
    assert values("my order number is 4 2 7 1 9", UNASKED) == ["42719"]
    for text in ("for 2718", "4 to 720", "I placed an order for 2718", "I have it for 2718", "order 4 2 7 1 for"):
        assert values(text, UNASKED) == []


@pytest.mark.parametrize("text", ["4 2 7 1 9 9", "4 2 7 7 1 9", "four four two seven one nine", "427, 7 1 9"])
def test_a_digit_said_twice_counts_once_where_the_number_was_asked_for(text: str) -> None:
    (slot,) = find_slots(text, [ORDER], ASKED)
    assert (slot.value, slot.confidence) == ("42719", 0.5)
    assert values(text, UNASKED) == []


@pytest.mark.parametrize("text", ["4 4 2 7 1 1", "4 2 7 1 9 8", "I have 4 2 7 1 9 9 of them"])
def test_which_digit_is_too_many_is_not_guessed(text: str) -> None:
    assert values(text, ASKED) == []


def test_an_exclamation_is_no_zero() -> None:
    assert values("Oh, 4271", ASKED) == []
    assert values("Oh, 42719", ASKED) == ["42719"]
    assert values("oh, 4, 2, 7, 1", ASKED) == ["04271"]
    assert values("oh four two seven one", ASKED) == ["04271"]
    single = SlotSpec("parts", "digits", {"min_length": 1, "max_length": 1})
    for text, kept in (
        ("oh can I pay in four parts", ["4"]),
        ("oh no then I'd rather not", []),
        ("zero please", ["0"]),
    ):
        assert [slot.value for slot in find_slots(text, [single], SlotContext(TODAY))] == kept


@pytest.mark.parametrize(
    ("text", "kept", "rejected"),
    [
        ("four two seven one eight, no sorry, one nine", "42719", "42718"),
        ("42718, I mean 42719", "42719", "42718"),
        ("42718 no wait 42719", "42719", "42718"),
        ("it's not 42718 it's 42719", "42719", "42718"),
        ("42719, not 42718", "42719", "42718"),
        ("four two seven one eight, make that four two seven one nine", "42719", "42718"),
    ],
)
def test_a_caller_who_corrects_himself(text: str, kept: str, rejected: str) -> None:
    slots = find_slots(text, [ORDER], ASKED)
    assert slots[-1].value == kept
    assert slots[-1].confidence > 0
    assert [slot.value for slot in slots if slot.confidence == 0] == [rejected]


def test_a_number_that_is_only_denied_is_no_value() -> None:
    assert find_slots("it's not 42718", [ORDER], ASKED) == ()


@pytest.mark.parametrize(
    "text",
    [
        "four two seven",
        "I paid $42719",
        "it was forty two thousand seven hundred nineteen dollars",
        "call me at five oh three five five five oh one two three",
        "503-555-0123",
        "my zip code is 97201",
        "I live at 14 Birch Street, Portland 97201",
        "since 2019",
        "on May 3rd 2026",
        "user42719@example.com",
        "I bought two tents and one lantern for four people",
    ],
)
def test_other_numbers_are_no_order_numbers(text: str) -> None:
    assert values(text, UNASKED) == []


def test_two_orders_are_two_values() -> None:
    assert values("orders 42719 and 42731", UNASKED) == ["42719", "42731"]


def test_span_points_into_the_text() -> None:
    text = "so, order forty two seven nineteen please"
    (slot,) = find_slots(text, [ORDER], UNASKED)
    assert text[slot.span[0] : slot.span[1]] == slot.raw == "forty two seven nineteen"


def test_masking() -> None:
    assert mask_digits("where is four two seven one nine please", "number") == "where is number please"
    assert mask_digits("two tents", "number") == "two tents"


WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=5, max_size=5), st.sampled_from([" ", ", ", " uh ", "... "]))
def test_any_five_spoken_digits(digits: list[int], pause: str) -> None:
    assert values(pause.join(WORDS[d] for d in digits), ASKED) == ["".join(map(str, digits))]


@settings(deadline=None)
@given(st.text(max_size=80))
def test_runs_never_fail_and_lie_in_the_text(text: str) -> None:
    for run in digit_runs(text):
        assert 0 <= run.start < run.end <= len(text)
        assert run.digits.isdecimal()
