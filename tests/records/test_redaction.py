import io
import json
import logging
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.records.redaction import RedactingFilter, redact, redact_json

ROWS = [
    # cards
    ("my card is 4111 1111 1111 1111 thanks", "my card is [card] thanks"),
    ("4111-1111-1111-1111", "[card]"),
    ("4111111111111111", "[card]"),
    ("378282246310005", "[card]"),
    ("3782 822463 10005", "[card]"),
    ("4111, 1111, 1111, 1111.", "[card]."),
    ("1234 5678 9012 3456", "[card]"),
    ("ref 1234567890123456 is not a card", "ref [digits] is not a card"),
    ("four one one one one one one one one one one one one one one one", "[card]"),
    ("it's four one one one, uh, one one one one, one one one one, one one one one", "it's [card]"),
    ("forty one eleven eleven eleven eleven eleven eleven eleven", "[card]"),
    ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "[card]"),
    ("card=4111111111111111;", "card=[card];"),
    # e-mail
    ("write to jane.doe@example.com please", "write to [email] please"),
    ("Jane.Doe+shop@mail.example.co.uk", "[email]"),
    ("jane dot doe at example dot com", "[email]"),
    ("it is jane underscore doe at example dot co dot uk okay", "it is [email] okay"),
    ("my mail is j a n e at example dot com", "my mail is [email]"),
    ("jane.doe at example.com", "[email]"),
    ("reach jane dash doe at my dash shop dot com", "reach [email]"),
    ("jane @ example.com", "[email]"),
    ("mail jane dot doe two two at example dot org", "mail [email]"),
    # phones
    ("call +1 212 555 0123 now", "call [phone] now"),
    ("(212) 555-0123", "[phone]"),
    ("212-555-0123", "[phone]"),
    ("212.555.0123", "[phone]"),
    ("555-0123", "[phone]"),
    ("+442079460958", "[phone]"),
    ("020 7946 0958", "[phone]"),
    ("07700 900123", "[phone]"),
    ("two one two five five five oh one two three", "[phone]"),
    ("two one two, double five five, oh one two three", "[phone]"),
    ("two one two triple five zero one two three", "[phone]"),
    ("plus four four two zero seven nine four six zero nine five eight", "[phone]"),
    # long digit runs
    ("account 12345678", "account [digits]"),
    ("account 12-34-56-78", "account [digits]"),
    ("one two three four five six seven", "[digits]"),
    ("one two three 4567 eight", "[digits]"),
    ("double one double two double three four", "[digits]"),
    ("号码一三八零零一三八", "号码[digits]"),
    ("call 13800138000吧", "call [phone]吧"),
    # what stays
    ("order 54321", None),
    ("order number 123456 please", None),
    ("order five four three two one", None),
    ("order five four three two one six", None),
    ("Oh, five four three two one six.", None),
    ("orders 54321, 12345 and 11111", None),
    ("orders 54321 and 12345", None),
    ("order 123456 2 items", None),
    ("that is $1,234,567.89 in all", None),
    ("that is 12345.67 dollars", None),
    ("on 2024-05-12 at noon", None),
    ("at 2024-05-12T10:11:12.123456Z it began", None),
    ("on 12/05/2024 or 31.12.2024", None),
    ("on 05/31/2024", None),
    ("in 2019, 2020, 2021", None),
    ("in nineteen ninety five", None),
    ("on may twelve twenty twenty five", None),
    ("at 10:30 and 22:15", None),
    ("host 192.168.100.200 port 8080", None),
    ("call 550e8400-e29b-41d4-a716-446655440000 ended", None),
    ("sid CA1234567890abcdef1234567890abcdef", None),
    ("took 123.456789 ms", None),
    ("one thousand two hundred and thirty four", None),
    ("I looked at example dot com yesterday", None),
    ("let us meet at the store. dot the i", None),
    ("one two three, testing", None),
    ("", None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), ROWS)
def test_table(text: str, expected: str | None) -> None:
    assert redact(text) == (text if expected is None else expected)


WORDS = [
    *("one", "two", "three", "oh", "double", "triple", "forty", "twelve", "plus", "uh", "is", "the"),
    *("at", "dot", "com", "example", "jane", "@", ".", ",", "-", "+", "(", ")", "/", "[card]"),
    *("4111", "1111", "5", "2024-05-12", "54321", "12345.67", "555", "0123"),
]
MESSY = st.lists(st.sampled_from([*WORDS, " ", "\n"]), max_size=40).flatmap(
    lambda words: st.sampled_from(["", " "]).map(lambda glue: glue.join(words))
)


@given(st.one_of(st.text(max_size=200), MESSY))
def test_idempotent(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


def luhn_digit(body: str) -> str:
    total = sum(
        int(c) if i % 2 else (2 * int(c) - 9 if int(c) > 4 else 2 * int(c)) for i, c in enumerate(reversed(body))
    )
    return str(-total % 10)


@given(
    st.text(string.digits, min_size=15, max_size=15),
    st.sampled_from(["", " ", "-"]),
    st.sampled_from(["my card is {} ok", "{}", "({})", "card:{}.", "no. {}, exp soon"]),
)
def test_no_card_survives(body: str, separator: str, frame: str) -> None:
    number = body + luhn_digit(body)
    written = separator.join(number[i : i + 4] for i in range(0, 16, 4))
    assert redact(frame.format(written)) == frame.format("[card]").replace("([card])", redact(f"({written})"))
    assert not any(character.isdigit() for character in redact(frame.format(written)))


UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@given(st.lists(st.sampled_from(UNITS), min_size=8, max_size=30))
def test_no_spoken_run_survives(words: list[str]) -> None:
    assert redact("well " + " ".join(words) + " thanks") in {
        f"well [{kind}] thanks" for kind in ("card", "digits", "phone")
    }


@given(st.integers(10_000, 999_999))
def test_order_numbers_stay(number: int) -> None:
    assert redact(f"order {number}, please") == f"order {number}, please"


@given(st.emails())
def test_no_plain_address_survives(address: str) -> None:
    local, _, domain = address.partition("@")
    if local.replace(".", "").replace("-", "").isalnum() and local.isascii():
        assert redact(f"mail {address} now") == "mail [email] now"
        assert domain not in redact(address)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.binary(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
)


@given(JSON)
def test_json_is_total_and_ready(value: object) -> None:
    redacted = redact_json(value)
    json.dumps(redacted, allow_nan=False)
    assert redact_json(redacted) == redacted


def test_json_reaches_every_text() -> None:
    value = {"a": ["4111 1111 1111 1111", {"jane@example.com": ("+12125550123", 4111111111111111)}], "order": 54321}
    assert redact_json(value) == {"a": ["[card]", {"[email]": ["[phone]", "[card]"]}], "order": 54321}


def test_json_cuts_what_is_too_deep() -> None:
    value: list[object] = []
    value.append(value)
    assert "[cut]" in json.dumps(redact_json(value))


def test_filter_cleans_message_arguments_extra_and_exception() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s %(caller)s"))
    handler.addFilter(RedactingFilter())
    logger = logging.Logger("redaction")
    logger.addHandler(handler)
    try:
        raise ValueError("bad card 4111111111111111")
    except ValueError:
        logger.exception("from %s", "jane@example.com", extra={"caller": "+12125550123"})
    text = stream.getvalue()
    assert "from [email] [phone]" in text
    assert "ValueError: bad card [card]" in text
    assert "4111" not in text


def test_filter_survives_arguments_that_do_not_fit() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "%d of %d", ("4111111111111111",), None)
    assert RedactingFilter().filter(record)
    assert "do not fit" in record.getMessage()


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("我的电话是一三八零零一三八零零零", "我的电话是[phone]"),
        ("手机幺三八，零零幺三，八零零零，谢谢", "手机[phone]，谢谢"),
        ("卡号六二二二零二一二三四五六七八九零", "卡号[card]"),
        ("编号二二三三四四五。", "编号[digits]。"),
        ("号码是13800138000吗", "号码是[phone]吗"),
        ("订单号是四二七一九", "订单号是四二七一九"),
        ("一共三百二十五块五毛，五月四号", "一共三百二十五块五毛，五月四号"),
    ],
)
def test_digits_read_out_in_chinese(text: str, redacted: str) -> None:
    assert redact(text) == redacted
    assert redact(redacted) == redacted
