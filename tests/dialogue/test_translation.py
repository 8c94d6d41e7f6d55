"""Translations: what is missing, stale or names other values is told with its file; and formats in both languages."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from agent.dialogue.formats import FORMATS, spoken_value
from agent.dialogue.loader import DomainError, load_domain
from agent.dialogue.text import render

LIBRARY = Path(__file__).parent / "engine" / "library"
TODAY = date(2026, 5, 4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(LIBRARY, tmp_path / "library"))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "texts.yaml",
            '"For which day?": 哪一天？\n',
            "",
            r"zh/texts\.yaml: there is no translation of 'For which day\?'",
        ),
        ("texts.yaml", "哪一天？", '""', "there is no translation of 'For which day"),
        (
            "texts.yaml",
            '"For which day?"',
            '"For what day?"',
            r"texts\.yaml:\d+: nothing says 'For what day\?' any more",
        ),
        (
            "texts.yaml",
            "欢迎，{first_name}。",
            "欢迎，{name}。",
            "names a value that 'Welcome, {first_name}.' does not",
        ),
        ("intents.yaml", "  pay: ", "  pays: ", r"zh/intents\.yaml: intent 'pay' has no examples in this language"),
        ("intents.yaml", "  pay: ", "  pays: ", r"zh/intents\.yaml:\d+: the domain has no intent 'pays'"),
        ("intents.yaml", ", 付费, 交五块钱, 付清欠款", "", "intent 'pay' has 2 examples; give at least 5"),
    ],
)
def test_what_does_not_fit_is_named(folder: Path, name: str, old: str, new: str, message: str) -> None:
    edit(folder / "zh" / name, old, new)
    with pytest.raises(DomainError, match=message):
        load_domain(folder)


CHANGED = [
    ("flows.yaml", "For how many people?", "How many are you?"),
    ("flows.yaml", "That day can't be booked. Which other day?", "Not that day."),
    ("flows.yaml", "{value}, is that the day?", "{value}?"),
    ("flows.yaml", "Which four digits does it have?", "Which digits?"),
    ("flows.yaml", "Shall I reserve the {room.name} for {people} on {day|date}?", "Shall I?"),
    ("flows.yaml", "your room", "the room"),
    ("flows.yaml", "Then I take nothing.", "Nothing then."),
    ("domain.yaml", "How can I help?", "What is it?"),
    ("domain.yaml", "Shall I send you our list of new books?", "Our list?"),
    ("domain.yaml", "By the way, the {result.room} is yours.", "The {result.room} is yours."),
    ("domain.yaml", "I'm the automated assistant of {business}.", "This is {business}."),
]


def test_every_kind_of_text_needs_its_translation(folder: Path) -> None:
    for where, old, new in CHANGED:
        edit(folder / where, old, new)
    with pytest.raises(DomainError) as caught:
        load_domain(folder)
    for _, old, new in CHANGED:
        assert [one for one in caught.value.problems if f"there is no translation of {new!r}" in one], new
        assert [one for one in caught.value.problems if f"nothing says {old!r} any more" in one], old


def test_a_language_without_a_folder_is_named(folder: Path) -> None:
    edit(folder / "domain.yaml", "languages: [zh]", "languages: [zh, fr]")
    with pytest.raises(DomainError, match=r"domain\.yaml:\d+: there is no folder .*fr"):
        load_domain(folder)


def test_a_translation_has_words_and_no_settings(folder: Path) -> None:
    (folder / "zh" / "domain.yaml").write_text("database: x:y\n", encoding="utf-8")
    with pytest.raises(DomainError, match=r"zh/domain\.yaml:1: a translation has no 'database'"):
        load_domain(folder)


def test_a_translation_has_the_steps_and_rules_of_the_domain_in_its_own_words() -> None:
    domain = load_domain(LIBRARY)
    zh = domain.localized["zh"]
    assert {name: [type(step) for step in flow.steps] for name, flow in domain.flows.items()} == {
        name: [type(step) for step in flow.steps] for name, flow in zh.flows.items()
    }
    assert zh.manner.phrases["more_digits"].text != domain.manner.phrases["more_digits"].text
    assert {rule.name: rule.priority for rule in zh.manner.escalation} == {
        rule.name: rule.priority for rule in domain.manner.escalation
    }
    assert zh.manner.language == "zh"
    assert [fact.heading for fact in zh.facts] == ["图书馆几点开门？"]


MONEY = {"minor": 123456, "currency": "USD"}


@pytest.mark.parametrize(
    ("form", "value", "english", "chinese"),
    [
        ("money", MONEY, "$1,234.56", "1234美元56美分"),
        ("money", {"minor": 500, "currency": "EUR"}, "€5", "5欧元"),
        ("money", {"minor": -50, "currency": "USD"}, "minus $0.50", "负50美分"),
        ("money", {"minor": 0, "currency": "CNY"}, "¥0", "0元"),
        ("date", "2026-05-07", "May 7", "5月7日"),
        ("date", "2027-05-07", "May 7, 2027", "2027年5月7日"),
        ("day", "2026-05-04", "today", "今天"),
        ("day", "2026-05-05", "tomorrow", "明天"),
        ("day", "2026-05-06", "on May 6", "后天"),
        ("day", "2026-05-03", "yesterday", "昨天"),
        ("list", ["a", "b", "c"], "a, b and c", "a、b和c"),
        ("list", ["a"], "a", "a"),
        ("list", [], "nothing", "没有"),
        ("digits", "42719", "4 2 7 1 9", "42719"),
        ("digits", "AB-12", "A B, 1 2", "AB12"),
        ("digits", "+12065550142", "2 0 6, 5 5 5, 0 1 4 2", "2065550142"),
        ("time", "14:30", "2:30 pm", "下午2点30分"),
        ("time", "09:00", "9 am", "上午9点"),
        ("time", "12:00", "12 pm", "中午12点"),
        ("time", "00:15", "12:15 am", "上午0点15分"),
        ("time", "2026-05-07T19:00", "7 pm", "晚上7点"),
    ],
)
def test_formats(form: str, value: Any, english: str, chinese: str) -> None:
    scope = {"x": value, "today": TODAY}
    assert render(f"{{x|{form}}}", scope) == english
    assert render(f"{{x|{form}}}", scope | {"language": "zh"}) == chinese


@pytest.mark.parametrize("form", sorted(set(FORMATS) - {"list", "digits"}))
def test_a_value_that_does_not_suit_its_format_is_an_error(form: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        FORMATS[form]("soon", TODAY, "en")


@pytest.mark.parametrize(
    ("kind", "value", "spoken"),
    [
        ("date", "2026-05-07", "May 7"),
        ("date", "soon", "soon"),
        ("choice", "big_tent", "big tent"),
        ("amount", MONEY, "$1,234.56"),
    ],
)
def test_a_value_is_read_back_as_it_is_spoken(kind: str, value: Any, spoken: str) -> None:
    assert spoken_value(value, kind, TODAY, "en") == spoken
