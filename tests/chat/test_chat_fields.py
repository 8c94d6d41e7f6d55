"""What is found in the text of a picture, and how sure it is."""

import numpy as np
import pytest
from chatfakes import RECEIPT, lines
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.chat.fields import Field, Line, fields_of, words_of
from agent.chat.ocr import levelled
from models.slots import SlotSpec

ORDER = SlotSpec("order_number", "digits", {"min_length": 5, "max_length": 5})
GIFT = SlotSpec("gift_card", "digits", {"min_length": 8, "max_length": 8})
AMOUNT = SlotSpec("amount", "amount", {"currency": "USD"})
DATE = SlotSpec("date", "date")
EMAIL = SlotSpec("email", "email")


def rows(*texts, sure=1.0):
    return lines(*((text, sure, 60, 60 + 80 * index) for index, text in enumerate(texts)))


def found(name, *texts, expected=(), **more):
    return next((one for one in fields_of(rows(*texts), expected, **more) if one.name == name), None)


def test_a_receipt_with_the_slots_of_the_shop():
    read = {one.name: one for one in fields_of(lines(*RECEIPT), [ORDER, AMOUNT, DATE, GIFT, EMAIL])}
    assert read == {
        "order_number": Field("order_number", "42719", "42719", 0.99, "order_number"),
        "total": Field("total", {"minor": 20318, "currency": "USD"}, "$203.18", 0.97, "amount"),
        "date": Field("date", "2026-11-03", "2026-11-03", 0.98, "date"),
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Order No: 42719", "42719"),
        ("ORDER #42719", "42719"),
        ("Order number 42719", "42719"),
        ("order id - AB-42719", "AB-42719"),
        ("Your order 42719 has shipped", "42719"),
        ("订单编号：42719", "42719"),
        ("Order date 2026-11-03", None),
        ("Order 2", None),
        ("Orders shipped", None),
        ("Border 42719", None),
        ("Order total 203.18", None),
    ],
)
def test_order_numbers(text, value):
    one = found("order_number", text)
    assert (one and one.value) == value


def test_a_value_may_stand_apart_in_its_row_or_below_its_label():
    apart = fields_of(lines(("Order No:", 1.0, 60, 60), ("42719", 0.9, 500, 62)))
    below = fields_of(lines(("Order No", 1.0, 60, 60), ("Total", 1.0, 500, 60), ("42719", 1.0, 62, 110)))
    far = fields_of(lines(("Order No", 1.0, 60, 60), ("42719", 1.0, 62, 400)))
    beside = fields_of(lines(("Order No", 1.0, 60, 60), ("42719", 1.0, 600, 110)))
    assert [(one.value, one.confidence) for one in apart] == [("42719", 0.9)]
    assert [(one.value, one.confidence) for one in below] == [("42719", 0.95)]
    assert far == beside == ()


@pytest.mark.parametrize(
    ("texts", "minor", "currency"),
    [
        (("Subtotal $189.00", "TOTAL $203.18"), 20318, "USD"),
        (("Total 1,203.18 EUR",), 120318, "EUR"),
        (("Total € 1.203,18",), 120318, "EUR"),
        (("Total due: £15",), 1500, "GBP"),
        (("Total 203.18", "Paid $203.18"), 20318, "USD"),
        (("合计：¥203.18",), 20318, "CNY"),
        (("应付金额 88.00元",), 8800, "CNY"),
        (("Total $100.00", "Grand total $110.00"), 11000, "USD"),
        (("Total items 12",), None, None),
        (("Total savings $12.00",), None, None),
        (("Sub-total $12.00",), None, None),
        (("Total 12",), None, None),
    ],
)
def test_totals(texts, minor, currency):
    one = found("total", *texts)
    assert (one and one.value) == (None if minor is None else {"minor": minor, "currency": currency})


@pytest.mark.parametrize(
    ("text", "value", "sure"),
    [
        ("Date: 2026-11-03", "2026-11-03", 1.0),
        ("Date 03.11.2026", "2026-11-03", 1.0),
        ("Date 13/11/2026", "2026-11-13", 1.0),
        ("Date 11/13/26", "2026-11-13", 1.0),
        ("Date 03/11/2026", "2026-03-11", 0.5),
        ("Ordered on Nov 3, 2026", "2026-11-03", 1.0),
        ("3rd November 2026", "2026-11-03", 0.7),
        ("下单时间：2026年11月3日", "2026-11-03", 1.0),
        ("Date 2026-02-30", None, None),
        ("Best before 2026-11-03", None, None),
        ("Return by Nov 3, 2026", None, None),
        ("192.168.10.12", None, None),
    ],
)
def test_dates(text, value, sure):
    one = found("date", text)
    assert (one and (one.value, one.confidence)) == (value and (value, sure))


def test_which_way_round_a_date_is_can_be_told():
    assert found("date", "Date 03/11/2026", day_first=True).value == "2026-11-03"
    assert found("date", "Date 03/11/2026", day_first=False).confidence == 1.0


@pytest.mark.parametrize(
    ("text", "value", "sure"),
    [
        ("Error code: E-1047", "E-1047", 1.0),
        ("Error 0x80070057", "0x80070057", 1.0),
        ("Stop code: MEMORY_MANAGEMENT", "MEMORY_MANAGEMENT", 1.0),
        ("错误代码：1047", "1047", 1.0),
        ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_REFUSED", 0.7),
        ("An error occurred", None, None),
        ("Error rate 3.5", None, None),
    ],
)
def test_error_codes(text, value, sure):
    one = found("error_code", text)
    assert (one and (one.value, one.confidence)) == (value and (value, sure))


def test_slots_of_the_domain_by_their_name_or_their_form():
    assert found("gift_card", "Gift card 1234 5678", expected=[GIFT]).value == "12345678"
    alone = found("gift_card", "12345678", expected=[GIFT])
    assert (alone.value, alone.confidence, alone.slot) == ("12345678", 0.7, "gift_card")
    repaired = found("gift_card", "Gift card 1234S67O", expected=[GIFT])
    assert (repaired.value, repaired.confidence) == ("12345670", 0.8)
    assert found("gift_card", "Gift card 1234", expected=[GIFT]) is None
    assert found("order_number", "Order 427190", expected=[ORDER]).slot is None
    assert found("email", "Mail Kim@Example.com", expected=[EMAIL]).value == "kim@example.com"


@pytest.mark.parametrize("degrees", [-8, -3, 0, 3, 8])
def test_lines_of_a_tilted_picture_are_levelled(degrees):
    flat = [one.box for one in lines(*RECEIPT)]
    corners = np.array([[(a, b), (c, b), (c, d), (a, d)] for a, b, c, d in flat])
    tilt = np.radians(degrees)
    turned = corners @ np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    assert np.allclose(levelled(turned), flat)


def test_a_picture_on_its_side_stays_as_it_is():
    upright = np.array([[(0.0, 0.0), (0.0, 90.0), (-10.0, 90.0), (-10.0, 0.0)]])
    assert levelled(upright) == [(-10.0, 0.0, 0.0, 90.0)]


def test_rivals_make_it_less_sure():
    two = found("order_number", "Order No: 42719", "Order No: 42731")
    same = found("order_number", "Order No: 42719", "Order No: 42719")
    assert (two.value, two.confidence) == ("42719", 0.8)
    assert same.confidence == 1.0


def test_words_for_the_dialogue():
    sure = fields_of(lines(*RECEIPT), [ORDER, AMOUNT, DATE])
    assert words_of(sure, 0.8) == ("order number 42719", ("order_number",))
    assert words_of(sure, 0.8, asked=("amount",)) == ("amount 203.18 USD", ("total",))
    assert words_of(sure, 0.995) == ("", ())
    assert words_of(fields_of(lines(*RECEIPT)), 0.0) == ("", ())


text = st.text(st.sampled_from("Order Total:#$.,-/ 0123456789OlSE_x错误代码订单合计年月日\n"), max_size=40)
number = st.floats(0, 2000, allow_nan=False)
any_line = st.builds(
    lambda words, sure, left, top, wide, high: Line(words, sure, (left, top, left + wide, top + high)),
    text, st.floats(0, 1), number, number, number, number,
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.lists(any_line, max_size=12))
def test_any_text_gives_fields_within_bounds(found_lines):
    for one in fields_of(found_lines, [ORDER, GIFT, AMOUNT, DATE, EMAIL]):
        assert 0 <= one.confidence <= 1
        assert one.text
