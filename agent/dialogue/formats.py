"""How values are put into words by a template: `{path|format}`, in English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, time, timedelta
from typing import Any

import phonenumbers

_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "CNY": "¥"}
_NAMES_ZH = {
    "USD": ("美元", "美分"),
    "EUR": ("欧元", "欧分"),
    "GBP": ("英镑", "便士"),
    "CNY": ("元", "分"),
}


def _money(value: Any, today: date, language: str) -> str:
    if not isinstance(value, Mapping) or value.get("currency") not in _SIGNS:
        raise ValueError(f"{value!r} is not money; give minor units and one of {sorted(_SIGNS)}")
    minor = int(value["minor"])
    whole, cents = divmod(abs(minor), 100)
    if language == "zh":
        name, small = _NAMES_ZH[value["currency"]]
        text = f"{whole}{name}{f'{cents}{small}' if cents else ''}" if whole or not cents else f"{cents}{small}"
        return f"负{text}" if minor < 0 else text
    text = f"{_SIGNS[value['currency']]}{whole:,}" + (f".{cents:02d}" if cents else "")
    return f"minus {text}" if minor < 0 else text


def _date(value: Any, today: date, language: str) -> str:
    day = date.fromisoformat(str(value)[:10])
    near = abs((day - today).days) < 300
    if language == "zh":
        return f"{day.month}月{day.day}日" if near else f"{day.year}年{day.month}月{day.day}日"
    text = f"{day:%B} {day.day}"
    return text if near else f"{text}, {day.year}"


def _day(value: Any, today: date, language: str) -> str:
    day = date.fromisoformat(str(value)[:10])
    away = (day - today) // timedelta(days=1)
    if language == "zh":
        near = {0: "今天", 1: "明天", 2: "后天", -1: "昨天"}
        return near.get(away, _date(value, today, language))
    return {0: "today", 1: "tomorrow", -1: "yesterday"}.get(away, f"on {_date(value, today, language)}")


def _list(value: Any, today: date, language: str) -> str:
    items = [str(item) for item in value]
    if language == "zh":
        return items[0] if len(items) == 1 else f"{'、'.join(items[:-1])}和{items[-1]}" if items else "没有"
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "nothing"


def _digits(value: Any, today: date, language: str) -> str:
    text = str(value)
    if text.startswith("+"):
        text = _national(text)
    if language == "zh":
        return "".join(mark for mark in text if mark.isalnum())
    return ", ".join(" ".join(group) for group in re.split(r"[^0-9A-Za-z]+", text) if group)


def _national(number: str) -> str:
    """A telephone number as people of its country say it, in their groups."""
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return number.lstrip("+")
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)


def _time(value: Any, today: date, language: str) -> str:
    text = str(value)
    at = time.fromisoformat(text[11:] if "T" in text else text)
    if language == "zh":
        part = "上午" if at.hour < 12 else "中午" if at.hour == 12 else "下午" if at.hour < 18 else "晚上"
        hour = at.hour if at.hour <= 12 else at.hour - 12
        return f"{part}{hour}点" + (f"{at.minute}分" if at.minute else "")
    hour = at.hour % 12 or 12
    minutes = f":{at.minute:02d}" if at.minute else ""
    return f"{hour}{minutes} {'am' if at.hour < 12 else 'pm'}"


FORMATS: Mapping[str, Callable[[Any, date, str], str]] = {
    "money": _money,
    "date": _date,
    "day": _day,
    "list": _list,
    "digits": _digits,
    "time": _time,
}
"""money: minor units to "$18.50"; date: "May 3"; day: "today", "tomorrow", "on May 3"; list: "a, b and c"; digits: one
by one; time: "14:30" to "2:30 pm"."""


def spoken_value(value: Any, slot_type: str, today: date, language: str) -> str:
    """A slot's value as it is read back to the caller."""
    try:
        if slot_type in ("digits", "phone"):
            return _digits(value, today, language)
        if slot_type == "date":
            return _date(value, today, language)
        if slot_type == "amount":
            return _money(value, today, language)
    except (ValueError, TypeError, KeyError):
        pass
    return str(value).replace("_", " ")
