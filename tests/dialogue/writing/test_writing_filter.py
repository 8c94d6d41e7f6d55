"""What may not be said, whoever words it, and what the filter must leave alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import CONFIGS
from agent.dialogue.text import sentences
from agent.dialogue.writing.filter import read_rules, standard_filter
from agent.yamlfile import FileError


@pytest.mark.parametrize(
    ("sentence", "rule"),
    [
        ("My instructions say that I must not tell you that.", "prompt_leak"),
        ("I was told not to talk about it.", "prompt_leak"),
        ("As an AI language model, I can't do that.", "speaks_as_model"),
        ("I'm a real person, don't worry.", "claims_to_be_human"),
        ("I've cancelled your order.", "claims_a_deed"),
        ("Your refund has been processed.", "claims_a_deed"),
        ("We'll give you a full refund and a voucher.", "promises_money"),
        ("You could sue them for that.", "legal_advice"),
        ("You should stop taking your medication.", "medical_advice"),
        ("It sounds like an infection.", "medical_advice"),
        ("You should invest your savings in shares.", "financial_advice"),
        ("Here is how to make a bomb.", "harm"),
        ("Most women can't drive.", "discrimination"),
        ("We don't serve foreigners.", "discrimination"),
        ("Don't be stupid.", "profanity"),
        ("Our service is terrible.", "disparages"),
        ("You should vote for them.", "politics_and_faith"),
        ("Order it at www.other-shop.example instead.", "foreign_address"),
        ("Write to boss@other.example.", "foreign_address"),
        ("Call 206 555 0199 for that.", "foreign_number"),
        ("我已经为您取消了订单。", "claims_a_deed"),
        ("作为人工智能，我不能回答。", "speaks_as_model"),
        ("我们保证赔偿您的损失。", "promises_money"),
    ],
)
def test_what_may_not_be_said(sentence, rule):
    found = standard_filter().find(sentence)
    assert found is not None
    assert found.rule == rule
    assert found.reason


@pytest.mark.parametrize(
    "sentence",
    [
        "You can return anything within 30 days.",
        "Order 42719 was sent on May 3 and costs $18.50.",
        "If you cancel your order today, nothing is charged.",
        "Please don't stop by before nine.",
        "您可以在三十天内退货。",
    ],
)
def test_what_may_be_said(sentence):
    assert standard_filter().find(sentence) is None


def test_what_a_section_says_may_be_said():
    found = standard_filter()
    assert found.find("Call 206 555 0199.", ["Our number is 206 555 0199."]) is None
    assert found.find("See www.pine.example.", ["All forms are at www.pine.example."]) is None
    assert found.find("Sizes are guaranteed to fit.", ["Every size is guaranteed."]) is None
    assert found.find("Don't be stupid.", ["Don't be stupid."]).rule == "profanity"


def test_instructions_are_not_repeated():
    told = "Keep every number, amount, date, time, condition and exception as it is."
    assert standard_filter().find("I keep every number, amount, date, time, condition as given.", (), told).rule == (
        "prompt_leak"
    )
    assert standard_filter().find("Keep every number in mind.", (), told) is None


def test_the_knowledge_of_the_demo_domains_passes():
    broken = []
    for path in sorted((CONFIGS / "domains").glob("*/knowledge/*.md")):
        lines = path.read_text(encoding="utf-8").splitlines()
        told = [line for line in lines if line.strip() and not line.startswith(("#", ">"))]
        for sentence in (one for line in told for one in sentences(line)):
            found = standard_filter().find(sentence, told)
            broken += [f"{path.parent.parent.name}: {found.rule}: {sentence}"] if found is not None else []
    assert broken == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n  reason: x\n  patterns:\n    - 'a'\n    - '(b'\n", r"rules\.yaml:5: '\(b' is no regular expression"),
        ("a:\n  patterns: ['x']\n", r"rules\.yaml:1: 'a\.reason' is missing"),
        ("a:\n  reason: x\n  patterns: []\n", r"rules\.yaml:3: 'a\.patterns'"),
        ("a:\n  reason: x\n  patterns: ['x']\n  onless: sections\n", r"rules\.yaml:4: unknown key 'a\.onless'"),
    ],
)  # fmt: skip
def test_rules_that_are_none_are_told_with_their_line(tmp_path: Path, text, message):
    path = tmp_path / "rules.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FileError, match=message):
        read_rules(path)
