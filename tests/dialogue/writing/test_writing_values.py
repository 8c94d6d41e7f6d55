"""Numbers, dates, times, amounts and addresses in sentences, and when one supports another."""

from __future__ import annotations

import pytest

from agent.dialogue.writing.terms import content_stems, denies, names
from agent.dialogue.writing.values import figures, values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("within thirty days", [("number", "30", "day")]),
        ("three to five business days", [("number", "3", "business day"), ("number", "5", "business day")]),
        ("one to three days", [("number", "1", "day"), ("number", "3", "day")]),
        ("this one, not that one", []),
        ("a two-year warranty", [("number", "2", "year")]),
        ("within a minute", [("number", "1", "minute")]),
        ("$18.50", [("money", "18.5", "USD")]),
        ("eighteen dollars and fifty cents", [("money", "18.5", "USD")]),
        ("1,250 euros", [("money", "1250", "EUR")]),
        ("ten percent", [("percent", "10", "")]),
        ("May 3rd, 2026", [("date", "2026-05-03", "")]),
        ("the 3rd of May", [("date", "05-03", "")]),
        ("from 7 to 11 am", [("time", "07:00?", ""), ("time", "11:00", "")]),
        ("half past six", [("time", "06:30?", "")]),
        ("at noon on Monday", [("time", "12:00", ""), ("weekday", "monday", "")]),
        ("ten in the evening", [("time", "22:00", "")]),
        ("quarter to ten", [("time", "09:45?", "")]),
        ("the fourth class", [("number", "4", "ordinal")]),
        ("order B-42719", [("code", "b42719", "")]),
        ("help@pine.example", [("address", "help@pine.example", "")]),
        ("see www.pine.example/returns.", [("address", "www.pine.example/returns", "")]),
        ("free of charge", [("word", "free", "")]),
        ("feel free to ask", []),
        ("三十天内", [("number", "30", "day")]),
        ("百分之十", [("percent", "10", "")]),
        ("一万二千元", [("money", "12000", "CNY")]),
        ("5月3日下午三点半", [("date", "05-03", ""), ("time", "15:30", "")]),
        ("周一到周五", [("weekday", "monday", ""), ("weekday", "friday", "")]),
    ],
)
def test_values(text, expected):
    assert [(value.kind, value.text, value.unit) for value in values(text)] == expected


@pytest.mark.parametrize(
    ("said", "known", "supported"),
    [
        ("30 days", "thirty days", True),
        ("30 days", "30 hours", False),
        ("5 days", "5 business days", False),
        ("$18.50", "18 dollars and 50 cents", True),
        ("$18", "18 euros", False),
        ("it is 18", "$18", True),
        ("May 3", "2026-05-03", True),
        ("May 3, 2025", "2026-05-03", False),
        ("half past two", "2:30 pm", True),
        ("2:30 pm", "2:30 am", False),
        ("at 7", "7 am", True),
        ("$96 a year", "$96 a month", False),
        ("$96", "$96 a month", True),
        ("free", "at no extra charge", True),
    ],
)
def test_support(said, known, supported):
    (value,), (other,) = values(said), values(known)
    assert value.supported_by(other) is supported


def test_numbers_in_words_become_figures_and_the_rest_stays():
    assert figures("It takes a hundred and twenty minutes, not one.") == "It takes 120 minutes, not one."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("You can't return it.", True),
        ("There is no extra charge.", False),
        ("No problem, it is fine.", False),
        ("We never ask.", True),
        ("礼品卡不能退。", True),
        ("不过可以换。", False),
        ("可以退货。", False),
    ],
)
def test_denials(text, expected):
    assert denies(text) is expected


def test_names_are_told_by_their_capitals():
    assert names("Cascade Parcel will bring it to Denver on Monday.") == ["cascade", "parcel", "denver"]
    assert names("Returns are free, I think.") == []


def test_content_leaves_out_values_and_small_words():
    assert content_stems("Please return the boots within 30 days.") == ("return", "boot")
