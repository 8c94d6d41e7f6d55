from datetime import date
from pathlib import Path

import pytest

from models.completeness import Completeness, Rules
from models.contracts import UnderstandingContext
from models.errors import ModelMissing
from models.slots import SlotContext, slot_specs

SPECS = slot_specs(
    {
        "order_number": {"type": "digits", "min_length": 5, "max_length": 5},
        "pin": {"type": "digits", "min_length": 4, "max_length": 6},
        "email": {"type": "email"},
        "phone": {"type": "phone"},
        "address": {"type": "address"},
        "date": {"type": "date"},
        "product": {"type": "choice", "values": ["boots", "tent"]},
    }
)


@pytest.fixture(scope="module")
def completeness() -> Completeness:
    return Completeness(SPECS)


def read(model: Completeness, text: str, asked: str | None = None, yes_no: bool = False) -> float:
    expected = (asked,) if asked else ()
    context = UnderstandingContext(expected, yes_no)
    return model.probability(text, context, SlotContext(date(2026, 5, 6), expected, yes_no))


REPAIRS = ["No wait, sorry.", "no wait", "oh sorry", "wait", "no I mean", "sorry, actually", "No, sorry."]


@pytest.mark.parametrize("text", REPAIRS)
def test_a_repair_is_only_begun(completeness: Completeness, text: str) -> None:
    assert 0.3 < read(completeness, text, yes_no=True) < 0.6


def test_sorry_alone_asks_for_a_repetition(completeness: Completeness) -> None:
    assert read(completeness, "sorry?") > 0.9


BEGUN = [
    "Where is order four two",
    "where is order for two",
    "where is order 4 2",
    "I meant order number 42",
    "Where is order",
    "cancel order",
]


@pytest.mark.parametrize("text", BEGUN)
def test_a_number_that_was_begun_goes_on(completeness: Completeness, text: str) -> None:
    assert read(completeness, text) < 0.2


def test_other_small_numbers_end_a_sentence(completeness: Completeness) -> None:
    assert read(completeness, "I want to return two") > 2 * read(completeness, "where is order four two")


WHOLE = [
    ("where is my order", None),
    ("Where is my order?", None),
    ("I want to return the boots", None),
    ("I'd like to cancel my order please", None),
    ("can I speak to a person please", None),
    ("what is your return policy", None),
    ("how long does shipping take", None),
    ("do you have tents in stock", None),
    ("I don't know my order number", None),
    ("yes", "yes_no"),
    ("yeah that's right", "yes_no"),
    ("no", "yes_no"),
    ("no thanks", "yes_no"),
    ("thank you", None),
    ("that's all", None),
    ("hello", None),
    ("goodbye", None),
    ("what number is that", None),
    ("I've been waiting for three weeks", None),
    ("four two seven one nine", "order_number"),
    ("4-2-7-1-9.", "order_number"),
    ("it's forty two seven nineteen", "order_number"),
    ("four two seven one nine please", "order_number"),
    ("12345 6", "pin"),
    ("jane dot doe at example dot com", "email"),
    ("five oh three five five five oh one two three", "phone"),
    ("14 Birch Street Portland Oregon 97201", "address"),
    ("last tuesday", "date"),
    ("the boots", "product"),
]
CUT = [
    ("where is the", None),
    ("I want to", None),
    ("I'd like to return my", None),
    ("I ordered a tent and", None),
    ("I ordered boots but", None),
    ("can I speak to", None),
    ("my order number is", None),
    ("my order number", None),
    ("the delivery address is", None),
    ("I want to, uh", None),
    ("um", None),
    ("I was wondering if", None),
    ("it's because", None),
    ("so I ordered a backpack from", None),
    ("can you tell me when the...", None),
    ("I would like to change the delivery address to", None),
    ("four two seven", "order_number"),
    ("4-2-7-", "order_number"),
    ("Four, two...", "order_number"),
    ("it's 42", "order_number"),
    ("12", "pin"),
    ("jane dot doe at", "email"),
    ("j a n", "email"),
    ("jane dot doe at example dot", "email"),
    ("five oh three five five", "phone"),
    ("fourteen", "address"),
    ("it's", "order_number"),
]


@pytest.mark.parametrize(("text", "asked"), WHOLE)
def test_whole_sentences(completeness: Completeness, text: str, asked: str | None) -> None:
    yes_no = asked == "yes_no"
    assert read(completeness, text, None if yes_no else asked, yes_no) >= 0.6


@pytest.mark.parametrize(("text", "asked"), CUT)
def test_cut_sentences(completeness: Completeness, text: str, asked: str | None) -> None:
    assert read(completeness, text, asked) <= 0.25


def test_digits_count_up_to_what_was_asked_for(completeness: Completeness) -> None:
    words = ["four", "two", "seven", "one", "nine"]
    partial = [read(completeness, " ".join(words[:n]), "order_number") for n in range(1, 5)]
    assert max(partial) <= 0.1
    assert read(completeness, " ".join(words), "order_number") == pytest.approx(0.95)


def test_a_number_of_open_length_may_go_on(completeness: Completeness) -> None:
    assert 0.4 <= read(completeness, "1234", "pin") <= 0.7
    assert read(completeness, "123456", "pin") >= 0.9


@pytest.mark.parametrize("mark", ["...", "…", ",", "-", "–"])
def test_marks_of_a_voice_that_stays_up_lower_it(completeness: Completeness, mark: str) -> None:
    text = "I want to return the boots"
    assert read(completeness, text + mark) < read(completeness, text)
    assert read(completeness, text + mark) < read(completeness, text + ".")


def test_nothing_said_decides_nothing(completeness: Completeness) -> None:
    assert read(completeness, " ... ") == 0.5


def test_a_yes_ends_a_turn_more_surely_where_it_was_asked_for(completeness: Completeness) -> None:
    assert read(completeness, "okay", yes_no=True) > read(completeness, "okay")


def test_it_says_whether_what_was_asked_decided(completeness: Completeness) -> None:
    at = SlotContext(date(2026, 5, 6))
    asked = UnderstandingContext(("order_number",))
    assert completeness.read("four two", asked, SlotContext(date(2026, 5, 6), ("order_number",))).ruled
    assert not completeness.read("my order number is", UnderstandingContext(), at).ruled
    assert not completeness.read("he hoped there would be stew for dinner", UnderstandingContext(), at).ruled


def test_missing_weights_say_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"python -m models\.training\.turn"):
        Completeness(SPECS, tmp_path)


@pytest.mark.parametrize(
    ("text", "unfinished"),
    [
        ("When you hear the bell.", True),
        ("If I return it", True),
        ("Hi. Because when I opened the box", True),
        ("Once I know", True),
        ("When will my order arrive?", False),
        ("When do you open", False),
        ("If I return it do I get my money back", False),
        ("When I opened the box, it was broken", False),
        ("Can I return it if it is used", False),
        ("After the weekend", False),
        ("What if it rains", False),
    ],
)
def test_a_condition_alone_is_no_sentence(text: str, unfinished: bool) -> None:
    said = Rules(SPECS).wording(text)
    assert (said is not None and said < 0.3) is unfinished


@pytest.mark.parametrize("text", ["So.", "For", "It's for", "Life.", "Oh, born."])
def test_what_a_lone_digit_is_taken_for_answers_no_question_for_digits(completeness: Completeness, text: str) -> None:
    assert read(completeness, text, "order_number") < 0.2
    assert read(completeness, "What do you mean?", "order_number") > 0.3
