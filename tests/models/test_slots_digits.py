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
