from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.slots import SLOT_TYPES, SlotContext, SlotError, SlotSpec, find_slots, slot_specs

TODAY = date(2026, 5, 6)  # a Wednesday
SPECS = slot_specs(
    {
        "order_number": {"type": "digits", "min_length": 5, "max_length": 5},
        "email": {"type": "email"},
        "phone": {"type": "phone"},
        "date": {"type": "date"},
        "amount": {"type": "amount"},
        "yes_no": {"type": "yes_no"},
        "address": {"type": "address"},
        "product": {"type": "choice", "values": {"boots": ["boot", "hiking boots"], "lantern": [], "sleeping bag": []}},
    }
)


def value(text: str, name: str, asked: bool = True, yes_no: bool = False) -> Any:
    context = SlotContext(TODAY, (name,) if asked else (), yes_no)
    found = [slot for slot in find_slots(text, SPECS, context) if slot.name == name and slot.confidence > 0]
    for slot in found:
        assert text[slot.span[0] : slot.span[1]] == slot.raw
    return found[-1].value if found else None


@pytest.mark.parametrize(
    ("text", "minor", "asked"),
    [
        ("$18.50", 1850, False),
        ("it was $1,200", 120000, False),
        ("twenty dollars", 2000, False),
        ("20 bucks", 2000, False),
        ("eighteen dollars and fifty cents", 1850, False),
        ("eighteen dollars fifty", 1850, False),
        ("18 dollars and 50 cents", 1850, False),
        ("a hundred and twenty dollars", 12000, False),
        ("one thousand two hundred dollars", 120000, False),
        ("fifty cents", 50, False),
        ("eighteen fifty", 1850, True),
        ("18.50", 1850, True),
        ("twenty", 2000, True),
    ],
)
def test_amounts(text: str, minor: int, asked: bool) -> None:
    assert value(text, "amount", asked) == {"minor": minor, "currency": "USD"}


@pytest.mark.parametrize("text", ["eighteen fifty", "18.50", "two tents", "order 42719"])
def test_no_amount_where_none_was_asked_for(text: str) -> None:
    assert value(text, "amount", asked=False) is None


def test_currency() -> None:
    assert value("twelve euros", "amount") == {"minor": 1200, "currency": "EUR"}
    assert value("£5", "amount") == {"minor": 500, "currency": "GBP"}


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("yesterday", "2026-05-05"),
        ("today", "2026-05-06"),
        ("the day before yesterday", "2026-05-04"),
        ("last Tuesday", "2026-05-05"),
        ("last wednesday", "2026-04-29"),
        ("next friday", "2026-05-08"),
        ("on Monday", "2026-05-04"),
        ("May third", "2026-05-03"),
        ("may the third", "2026-05-03"),
        ("the 3rd of May", "2026-05-03"),
        ("the third of may", "2026-05-03"),
        ("May 3, 2025", "2025-05-03"),
        ("may twenty first twenty twenty five", "2025-05-21"),
        ("December 24th", "2025-12-24"),
        ("5/3", "2026-05-03"),
        ("5/3/2024", "2024-05-03"),
        ("2026-05-03", "2026-05-03"),
        ("three days ago", "2026-05-03"),
        ("a couple of days ago", "2026-05-04"),
        ("two weeks ago", "2026-04-22"),
        ("the thirtieth", "2026-04-30"),
    ],
)
def test_dates(text: str, iso: str) -> None:
    assert value(text, "date") == iso


@pytest.mark.parametrize("text", ["may I ask something", "february thirtieth", "just a second", "13/45", "march on"])
def test_no_date(text: str) -> None:
    assert value(text, "date", asked=False) is None


def test_a_day_that_does_not_suit_is_not_meant() -> None:
    spec = SlotSpec("d", "date", {"prefer": "future"})
    found = find_slots("no thursday doesn't work but friday would be good", [spec], SlotContext(TODAY, ("d",)))
    assert [slot.value for slot in found] == ["2026-05-08"]
    assert find_slots("monday is too early", [spec], SlotContext(TODAY, ("d",))) == ()


def test_a_year_left_out_follows_the_preference() -> None:
    past, future = SlotSpec("d", "date", {"prefer": "past"}), SlotSpec("d", "date", {"prefer": "future"})
    context = SlotContext(TODAY)
    assert find_slots("june first", [past], context)[0].value == "2025-06-01"
    assert find_slots("june first", [future], context)[0].value == "2026-06-01"


@pytest.mark.parametrize(
    ("text", "prefer", "iso"),
    [
        ("the twentieth", "future", "2026-05-20"),
        ("on the third", "future", "2026-06-03"),
        ("wednesday", "future", "2026-05-13"),
        ("this wednesday", "future", "2026-05-06"),
        ("thursday", "future", "2026-05-07"),
        ("the twentieth", "past", "2026-04-20"),
        ("january thirtieth sixty eight", "past", "1968-01-30"),
        ("May 30 of 1948.", "past", "1948-05-30"),
        ("march third of nineteen eighty", "past", "1980-03-03"),
        ("may third of the others", "past", "2026-05-03"),
        ("june first twenty two", "past", "2022-06-01"),
        ("june first thirty", "past", "1930-06-01"),
        ("june first thirty", "future", "2026-06-01"),
    ],
)
def test_what_was_asked_for_says_which_day_is_meant(text: str, prefer: str, iso: str) -> None:
    spec = SlotSpec("d", "date", {"prefer": prefer})
    assert find_slots(text, [spec], SlotContext(TODAY, ("d",)))[0].value == iso


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("jane.doe@example.com", "jane.doe@example.com"),
        ("jane dot doe at example dot com", "jane.doe@example.com"),
        ("it's j a n e at example dot com", "jane@example.com"),
        ("Jane.Doe at example.com.", "jane.doe@example.com"),
        ("my email is jane doe at gmail dot com", "janedoe@gmail.com"),
        ("jane underscore doe forty two at my dash shop dot co dot uk", "jane_doe42@my-shop.co.uk"),
        ("m as in mary, a r k at example dot com", "mark@example.com"),
        ("um it's sam at gmail", "sam@gmail.com"),
    ],
)
def test_emails(text: str, address: str) -> None:
    assert value(text, "email") == address


@pytest.mark.parametrize("text", ["I'm waiting at the store", "look at that dot", "meet me at five"])
def test_no_email(text: str) -> None:
    assert value(text, "email", asked=False) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yes", True), ("yeah", True), ("yep", True), ("that's right", True), ("correct", True), ("uh-huh", True),
        ("mm-hmm", True), ("sure why not", True), ("no problem", True), ("yes please cancel it", True),
        ("please do", True), ("go ahead", True), ("no I mean yes", True), ("no", False), ("nope", False),
        ("not really", False), ("no thanks", False), ("no that's wrong", False), ("yeah, no", False),
        ("I don't think so", False), ("that's not right", False), ("no that's okay", False), ("no, 42718", False),
        ("never mind", False), ("please don't", False), ("uh-uh", False),
    ],
)  # fmt: skip
def test_yes_and_no(text: str, said: bool) -> None:
    assert value(text, "yes_no", asked=False, yes_no=True) is said


@pytest.mark.parametrize("text", ["where is my order", "I want to return it", "what do you mean"])
def test_neither_yes_nor_no(text: str) -> None:
    assert value(text, "yes_no", asked=False, yes_no=True) is None


def test_a_sentence_that_only_begins_with_yes_is_no_answer_unless_asked() -> None:
    assert value("yes but can I talk to a person", "yes_no", asked=False) is None
    assert value("yes but can I talk to a person", "yes_no", asked=False, yes_no=True) is True


@pytest.mark.parametrize(
    "text", ["503-555-0123", "(503) 555-0123", "+1 503 555 0123", "five oh three, five five five, oh one two three"]
)
def test_phones(text: str) -> None:
    assert value(text, "phone", asked=False) == "+15035550123"


@pytest.mark.parametrize("text", ["42719", "42719 and 42731", "five five five"])
def test_no_phone(text: str) -> None:
    assert value(text, "phone", asked=False) is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("fourteen birch street portland oregon nine seven two oh one", "14 Birch Street Portland Oregon 97201"),
        ("it's 220 Harbor Road, Apartment 6, Portland.", "220 Harbor Road, Apartment 6, Portland"),
        ("change it to twelve oak lane please", "12 Oak Lane"),
        ("two twenty harbor road", "220 Harbor Road"),
        ("one twenty three main st", "123 Main St"),
    ],
)
def test_addresses_anywhere(text: str, line: str) -> None:
    assert value(text, "address", asked=False) == line
    assert value(text, "address", asked=True) == line


def test_an_address_beside_an_order_number() -> None:
    text = "change the address of order 42731 to 14 birch street portland"
    slots = {slot.name: slot.value for slot in find_slots(text, SPECS, SlotContext(TODAY))}
    assert slots == {"order_number": "42731", "address": "14 Birch Street Portland"}


def test_what_is_said_of_a_place_is_no_part_of_its_address() -> None:
    for text in ("the light at fourteen birch street is out", "fourteen birch street hasn't been plowed"):
        assert value(text, "address", asked=False) == "14 Birch Street"
    assert value("the corner of Main and Fifth", "address", asked=True) == "the Corner of Main and Fifth"


@pytest.mark.parametrize("text", ["is trash picked up on holidays", "okay and do you come on Sundays"])
def test_a_question_is_no_address(text: str) -> None:
    assert value(text, "address", asked=True) is None


def test_a_free_address_is_taken_only_when_asked_for() -> None:
    text = "send it to Pine Tower suite four hundred"
    assert value(text, "address", asked=True) == "Pine Tower Suite 400"
    assert value(text, "address", asked=False) is None
    assert value("I don't know", "address", asked=True) is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("the hiking boots please", "boots"),
        ("my sleeping bags", "sleeping bag"),
        ("the lantorn", "lantern"),
        ("not the boots, the lantern", "lantern"),
        ("the boots not the lantern", "boots"),
        ("a kayak", None),
    ],
)
def test_choices(text: str, named: str | None) -> None:
    assert value(text, "product") == named


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "colour"}, "type is 'colour'; give one of email"),
        ({"type": "digits", "size": 5}, "digits has no option size; it has max_length, min_length"),
        ({"type": "digits", "min_length": 6, "max_length": 5}, "min_length 6 is above max_length"),
        ({"type": "digits", "min_length": "five"}, "option min_length is 'five'; give a whole number"),
    ],
)
def test_wrong_declarations_say_what_is_wrong(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SlotError, match=message):
        slot_specs({"x": fields})


def test_a_choice_without_values_says_so() -> None:
    with pytest.raises(SlotError, match="option values is None"):
        find_slots("boots", [SlotSpec("x", "choice")], SlotContext(TODAY))


@settings(deadline=None)
@given(st.text(max_size=60), st.sampled_from([spec.name for spec in SPECS]), st.booleans())
def test_no_text_breaks_the_parsers(text: str, name: str, yes_no: bool) -> None:
    for slot in find_slots(text, SPECS, SlotContext(TODAY, (name,), yes_no)):
        assert text[slot.span[0] : slot.span[1]] == slot.raw


SPOKEN = "four two at dot com j a n e double not no sorry dollars and fifty may third of last tuesday street oak 97201"


@settings(deadline=None)
@given(st.lists(st.sampled_from(SPOKEN.split()), max_size=12), st.sampled_from(list(SLOT_TYPES)))
def test_no_order_of_spoken_words_breaks_the_parsers(words: list[str], kind: str) -> None:
    names = tuple(spec.name for spec in SPECS if spec.type == kind)
    text = " ".join(words)
    for slot in find_slots(text, SPECS, SlotContext(TODAY, names)):
        assert text[slot.span[0] : slot.span[1]] == slot.raw
