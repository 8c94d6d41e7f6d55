"""Days in Chinese text, as ISO dates, relative to the caller's today.

Option: `prefer` past | future | nearest (default nearest): which year or week is meant where the caller names none.
A week begins on Monday: 下周三 is the Wednesday of next week.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date, timedelta

from models.contracts import Slot
from models.slots.calendar import day_of, day_of_some_year
from models.slots.chinese.numbers import Number, plain, read
from models.slots.spec import SlotContext, SlotSpec

_RELATIVE = {
    "大前天": -3, "前天": -2, "昨天": -1, "昨日": -1, "今天": 0, "今日": 0, "今晚": 0, "今早": 0, "明天": 1, "明日": 1,
    "明早": 1, "明晚": 1, "后天": 2, "大后天": 3,
}  # fmt: skip
_WEEKDAYS = {"一": 0, "二": 1, "三": 2, "四": 3, "五": 4, "六": 5, "日": 6, "天": 6} | {
    str(n): n - 1 for n in range(1, 8)
}
_N = r"[\d〇零○一二两三四五六七八九十]"
_DATE = re.compile(
    rf"(?:(?P<year>\d{{4}}|\d{{2}}|[〇零○一二三四五六七八九]{{4}}|[〇零○一二三四五六七八九]{{2}}|今|明|去|前|后)年)?[的\s，,]*"
    rf"(?:(?P<month>{_N}{{1,3}}|这个?|本|上个?|下个?)月份?)?[的\s，,]*(?P<day>{_N}{{1,3}})(?P<unit>[日号])?(?![个件元块点时分岁楼])"
)
_WEEK = re.compile(r"(?P<which>上上|下下|上|下|这|本)?(?:一)?个?(?:周|星期|礼拜)(?P<day>[一二三四五六日天1-7])(?!个)")
_SPAN = re.compile(rf"(?P<count>{_N}{{1,3}}|半)(?P<unit>天|日|个?星期|周|个?礼拜|个?月|年)(?:之|以)?(?P<way>后|前|内)")
_VAGUE = re.compile(r"(?P<which>上上|下下|上|下|这|本)(?:一)?个?(?P<unit>周|星期|礼拜|月)(?![一二三四五六日天\d])")
_END_OF_MONTH = re.compile(r"(?P<which>这个?|本|上个?|下个?)?月(?P<part>底|初)")
_NUMERIC = re.compile(
    r"(?<!\d)(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})(?!\d)"
    r"|(?<![\d.])(?P<m2>\d{1,2})/(?P<d2>\d{1,2})(?![\d/])"
)
_SHIFT = {"上上": -2, "上": -1, "这": 0, "本": 0, "下": 1, "下下": 2}
_YEARS = {"前": -2, "去": -1, "今": 0, "明": 1, "后": 2}

Found = tuple[date, tuple[int, int], float]


def parse(text: str, spec: SlotSpec, context: SlotContext) -> list[Slot]:
    """Dates in figures or characters; vague ones (上周) with low confidence."""
    prefer = spec.word("prefer", "nearest", ("past", "future", "nearest"))
    expected = spec.name in context.expected
    ready = plain(text)
    found: list[Found] = []
    for rows in (
        _numeric(ready, context.today, prefer),
        _days(ready, context.today),
        _weekdays(ready, context.today, prefer),
        _spans(ready, context.today),
        _named(ready, context.today, prefer, expected),
        _vague(ready, context.today),
    ):
        for made, span, confidence in rows:
            if not any(span[0] < high and low < span[1] for _, (low, high), _ in found):
                found.append((made, span, confidence))
    ordered = sorted(found, key=lambda one: one[1])
    return [Slot(spec.name, made.isoformat(), text[low:high], (low, high), sure) for made, (low, high), sure in ordered]


def _month_shift(today: date, months: int) -> tuple[int, int]:
    whole = today.year * 12 + today.month - 1 + months
    return whole // 12, whole % 12 + 1


def _small(raw: str) -> int | None:
    number: Number | None = read(raw)
    return None if number is None or number.value.denominator != 1 else int(number.value)


def _numeric(text: str, today: date, prefer: str) -> list[Found]:
    found = []
    for match in _NUMERIC.finditer(text):
        made = (
            day_of(int(match["y"]), int(match["m"]), int(match["d"]))
            if match["y"]
            else day_of_some_year(int(match["m2"]), int(match["d2"]), today, prefer)
        )
        if made:
            found.append((made, match.span(), 1.0))
    return found


def _days(text: str, today: date) -> list[Found]:
    names = "|".join(sorted(_RELATIVE, key=len, reverse=True))
    return [(today + timedelta(days=_RELATIVE[m.group()]), m.span(), 1.0) for m in re.finditer(names, text)]


def _weekdays(text: str, today: date, prefer: str) -> list[Found]:
    found = []
    for match in _WEEK.finditer(text):
        target = _WEEKDAYS[match["day"]]
        if match["which"]:
            monday = today - timedelta(days=today.weekday()) + timedelta(weeks=_SHIFT[match["which"]])
            found.append((monday + timedelta(days=target), match.span(), 1.0))
            continue
        ahead, back = (target - today.weekday()) % 7, (today.weekday() - target) % 7
        made = today + timedelta(days=ahead) if prefer == "future" else today - timedelta(days=back)
        found.append((made, match.span(), 0.8))
    return found


def _spans(text: str, today: date) -> list[Found]:
    found: list[Found] = []
    for match in _SPAN.finditer(text):
        unit = match["unit"].removeprefix("个")
        count = _small(match["count"]) if match["count"] != "半" else None
        if match["way"] == "内" or (count is None and not (match["count"] == "半" and unit in "年月")):
            continue
        days = {"天": 1, "日": 1, "月": 30, "年": 365}.get(unit, 7)
        whole = days // 2 if count is None else days * count
        if whole <= 3660:
            sign = 1 if match["way"] == "后" else -1
            found.append((today + timedelta(days=sign * whole), match.span(), 1.0 if days == 1 else 0.6))
    return found


def _named(text: str, today: date, prefer: str, expected: bool) -> list[Found]:
    """Month and day, with a year or without; a bare 五号 where a date was asked for."""
    found: list[Found] = []
    for match in _DATE.finditer(text):
        day = _small(match["day"])
        if day is None or not 1 <= day <= 31 or not (match["month"] or (expected and match["unit"])):
            continue
        year = _year(match["year"], today)
        said = match["month"]
        confidence = 1.0
        if said is None:
            made = day_of(today.year, today.month, day) if prefer == "nearest" else _nearby(day, today, prefer)
            confidence = 0.7
        elif said[0] in _SHIFT:
            made = day_of(*_month_shift(today, _SHIFT[said[0]]), day)
        else:
            month = _small(said)
            if month is None or not 1 <= month <= 12:
                continue
            made = day_of(year, month, day) if year else day_of_some_year(month, day, today, prefer)
        if made:
            found.append((made, match.span(), confidence))
    return found


def _nearby(day: int, today: date, prefer: str) -> date | None:
    """The last or next such day of a month."""
    for months in (0, -1, -2) if prefer == "past" else (0, 1, 2):
        made = day_of(*_month_shift(today, months), day)
        if made and (made <= today if prefer == "past" else made >= today):
            return made
    return None


def _year(said: str | None, today: date) -> int | None:
    if said is None:
        return None
    if said in _YEARS:
        return today.year + _YEARS[said]
    number = read(said)
    if number is None or number.digits is None:
        return None
    value = int(number.digits)
    # of two figures: no caller was born, or has booked, more than ten years ahead
    return value if value >= 100 else value + (2000 if value <= (today.year + 10) % 100 else 1900)


def _vague(text: str, today: date) -> list[Found]:
    found: list[Found] = []
    for match in _END_OF_MONTH.finditer(text):
        year, month = _month_shift(today, _SHIFT[match["which"][0]] if match["which"] else 0)
        day = monthrange(year, month)[1] if match["part"] == "底" else 1
        found.append((date(year, month, day), match.span(), 0.5))
    for match in _VAGUE.finditer(text):
        days = (30 if match["unit"] == "月" else 7) * _SHIFT[match["which"]]
        if days:
            found.append((today + timedelta(days=days), match.span(), 0.4))
    return found
