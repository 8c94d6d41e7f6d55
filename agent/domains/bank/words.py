"""What the bank's actions say in words of their own, in English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

from agent.dialogue.formats import FORMATS

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_ACCOUNTS = {"en": {"checking": "checking account", "savings": "savings account"},
             "zh": {"checking": "支票账户", "savings": "储蓄账户"}}  # fmt: skip
_CARDS = {"en": {"debit": "debit card", "credit": "credit card"}, "zh": {"debit": "借记卡", "credit": "信用卡"}}
_LOANS = {"en": {"car": "car loan", "home": "home loan", "personal": "personal loan"},
          "zh": {"car": "汽车贷款", "home": "住房贷款", "personal": "个人贷款"}}  # fmt: skip
_BRANCHES = {"en": {"downtown": "the Downtown branch", "harbor": "the Harbor branch", "airport": "the Airport branch"},
             "zh": {"downtown": "市中心支行", "harbor": "港口支行", "airport": "机场支行"}}  # fmt: skip


def _in(table: dict[str, dict[str, str]], key: str, language: str) -> str:
    return table["zh" if language == "zh" else "en"].get(key, key)


def account_words(kind: str, language: str) -> str:
    """The account's name inside a sentence: "checking account"."""
    return _in(_ACCOUNTS, kind, language)


def card_words(kind: str, ending: str, language: str) -> str:
    """The card's name inside a sentence: "debit card ending in 4 4 1 2"."""
    name = _in(_CARDS, kind, language)
    return f"尾号{ending}的{name}" if language == "zh" else f"{name} ending in {' '.join(ending)}"


def loan_words(kind: str, language: str) -> str:
    """The loan's name inside a sentence: "car loan"."""
    return _in(_LOANS, kind, language)


def branch_words(branch: str, language: str) -> str:
    """The branch's name inside a sentence: "the Harbor branch"."""
    return _in(_BRANCHES, branch, language)


def month_words(month: date, language: str) -> str:
    """The month and its year: "April 2026"."""
    return f"{month.year}年{month.month}月" if language == "zh" else f"{MONTHS[month.month - 1]} {month.year}"


def money_words(minor: int, language: str) -> str:
    """A sum without its sign, as templates say it: "$1,204.50"."""
    return FORMATS["money"]({"minor": abs(minor), "currency": "USD"}, date.min, language)


def day_words(day: date, today: date, language: str) -> str:
    """The day as templates say it: "today", "yesterday", "on May 3"."""
    return FORMATS["day"](day, today, language)


def list_words(items: Sequence[str], language: str) -> str:
    """ "a, b and c"; empty for nothing."""
    return FORMATS["list"](items, date.min, language) if items else ""


def balance_words(kind: str, minor: int, language: str) -> str:
    """One account's balance as a sentence; says so where it is overdrawn."""
    name, money = account_words(kind, language), money_words(minor, language)
    if language == "zh":
        return f"您的{name}{'透支了' if minor < 0 else '余额是'}{money}。"
    return f"Your {name} {'is overdrawn by' if minor < 0 else 'has'} {money}."


def entry_words(what: str, minor: int, day: date, today: date, pending: bool, language: str) -> str:
    """One booking as a sentence: "Yesterday, $42.10 to Cedar Market." """
    when, money = day_words(day, today, language), money_words(minor, language)
    if language == "zh":
        return f"{when}，{what}{'收入' if minor > 0 else '支出'}{money}{'，尚未入账' if pending else ''}。"
    way, state = ("from" if minor > 0 else "to"), (", still pending" if pending else "")
    return f"{when[0].upper()}{when[1:]}, {money} {way} {what}{state}."


def charge_words(what: str, minor: int, language: str) -> str:
    """A card payment as one of a few to choose from: "Cedar Market, $42.10"."""
    return (
        f"{what}的{money_words(minor, language)}" if language == "zh" else f"{what} for {money_words(minor, language)}"
    )


def phone_words(phone: str, language: str) -> str:
    """The last four digits of a telephone number, in English one by one."""
    return phone[-4:] if language == "zh" else " ".join(phone[-4:])


def names(parts: str, words: str) -> bool:
    """Whether the words hold any of `parts`, which are names between blanks; two letters are too little in English."""
    said = set(re.findall(r"[a-z]+", words.lower().replace("'s", "")))
    return any(
        part in said if part.isascii() else part in words
        for part in parts.lower().split()
        if len(part) > 2 or not part.isascii()
    )


def pairs(name: str) -> str:
    """Every two characters side by side of a Chinese name, which callers shorten: 祥龙 and 超市 of 祥龙超市."""
    return " ".join(name[at : at + 2] for at in range(len(name) - 1))


_PLACES = (("first", "第一"), ("second", "第二"), ("third", "第三"))


def which_place(words: str) -> int | None:
    """0 for "the first one", 1 for "the second one", 2 for the third; None where the words say none, or several."""
    said = words.lower()
    found = [n for n, place in enumerate(_PLACES) if any(word in said for word in place)]
    return found[0] if len(found) == 1 else None
