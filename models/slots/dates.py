"""Days, as ISO dates, relative to the caller's today.

Option: `prefer` past | future | nearest (default nearest): which year, month or week is meant where none is named.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta

from models.contracts import Slot
from models.slots.calendar import day_of, day_of_some_year
from models.slots.numbers import below_hundred, cardinal, ordinal
from models.slots.spec import SlotContext, SlotSpec
from models.slots.tokens import Token, tokenize

_MONTHS = {
    name: number
    for number, names in enumerate(
        ("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
         "september sep sept", "october oct", "november nov", "december dec"),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_WEEKDAYS = {
    name: number
    for number, names in enumerate(
        ("monday mon", "tuesday tues tue", "wednesday wed", "thursday thurs thu", "friday fri", "saturday", "sunday")
    )
    for name in names.split()
}
_UNIT_DAYS = {"day": 1, "days": 1, "week": 7, "weeks": 7, "month": 30, "months": 30}
_NUMERIC = re.compile(
    r"(?<!\d)(?:(\d{4})-(\d{1,2})-(\d{1,2})|(\d{1,2})[/.](\d{1,2})(?:[/.](\d{4}|\d{2}))?)(?!\d|[/.]\d)"
)

_UNSUITED = re.compile(
    r"\W*(?:(?:doesn't|does not|won't|wouldn't|will not) (?:really )?(?:work|suit|do)\b"
    r"|is(?:n't| not) (?:really )?(?:good|possible|an option)\b|is (?:no good|bad|too (?:early|soon|late))\b)",
    re.IGNORECASE,
)
"""Said right after a day that is not the one wanted: "no, Thursday doesn't work"."""

Found = tuple[date, int, float]
"""A date, the token after it, and the confidence."""


def _year(tokens: Sequence[Token], at: int) -> tuple[int, int] | None:
    """A year 1900-2099 in figures or words ("twenty twenty six", "two thousand and six")."""
    if at >= len(tokens):
        return None
    word = tokens[at].text
    if word.isdecimal():
        return (int(word), at + 1) if len(word) == 4 and word[:2] in {"19", "20"} else None
    first = below_hundred(tokens, at)
    if first is not None and first[0] in {19, 20} and first[1] < len(tokens):
        second = below_hundred(tokens, first[1])
        if second is not None and 10 <= second[0] < 100:
            return first[0] * 100 + second[0], second[1]
    whole = cardinal(tokens, at)
    return whole if whole is not None and 2000 <= whole[0] < 2100 else None


def _day(tokens: Sequence[Token], at: int) -> tuple[int, int] | None:
    """A day of the month, ordinal or not."""
    if at >= len(tokens):
        return None
    found = ordinal(tokens, at)
    if found is None and tokens[at].text.isdecimal() and len(tokens[at].text) <= 2:
        found = int(tokens[at].text), at + 1
    if found is None:
        found = below_hundred(tokens, at)
    return found if found is not None and 1 <= found[0] <= 31 else None


def _short_year(tokens: Sequence[Token], at: int, today: date) -> tuple[int, int] | None:
    """A year of two figures, "sixty eight": the latest such year that has begun."""
    found = below_hundred(tokens, at) if at < len(tokens) else None
    if found is None or found[0] < 10:
        return None
    year = today.year // 100 * 100 + found[0]
    return year - 100 * (year > today.year), found[1]


def _with_year(
    tokens: Sequence[Token], month: int, day: int, after: int, today: date, prefer: str, expected: bool
) -> Found | None:
    of = after < len(tokens) and tokens[after].text == "of"
    year = _year(tokens, after + of)
    if year is None and expected and prefer == "past":
        year = _short_year(tokens, after, today)
    made = day_of(year[0], month, day) if year else day_of_some_year(month, day, today, prefer)
    return (made, year[1] if year else after, 1.0) if made else None


def _named(tokens: Sequence[Token], at: int, today: date, prefer: str, expected: bool) -> Found | None:
    """Month and day in either order, or a bare "the third" where a date was asked for."""
    word = tokens[at].text
    if word in _MONTHS:
        step = at + 1
        if step < len(tokens) and tokens[step].text == "the":
            step += 1
        day = _day(tokens, step)
        return _with_year(tokens, _MONTHS[word], day[0], day[1], today, prefer, expected) if day else None
    found = ordinal(tokens, at)
    if found is None and word.isdecimal() and len(word) <= 2:
        found = int(word), at + 1
    if found is None or not 1 <= found[0] <= 31:
        return None
    day_number, after = found
    step = after + 1 if after < len(tokens) and tokens[after].text == "of" else after
    if step < len(tokens) and tokens[step].text in _MONTHS:
        return _with_year(tokens, _MONTHS[tokens[step].text], day_number, step + 1, today, prefer, expected)
    if expected and not word.isdecimal():
        months = [today.replace(day=1), (today.replace(day=1) - timedelta(days=1)).replace(day=1)]
        if prefer == "future":
            months[1] = (today.replace(day=1) + timedelta(days=31)).replace(day=1)
        days = [day_of(first.year, first.month, day_number) for first in months]
        fits = [made for made in days if made and (made >= today if prefer == "future" else made <= today)]
        return (fits[0], after, 0.7) if fits else None
    return None


def _weekday(tokens: Sequence[Token], at: int, today: date, prefer: str) -> Found | None:
    words = [token.text for token in tokens[at : at + 3]]
    modifier = words[0] if words[0] in {"last", "next", "this", "past", "coming"} else ""
    offset = 1 if modifier else 0
    if len(words) <= offset or words[offset] not in _WEEKDAYS:
        return None
    target = _WEEKDAYS[words[offset]]
    back = (today.weekday() - target) % 7
    ahead = (target - today.weekday()) % 7
    if modifier in {"last", "past"}:
        days = -(back or 7)
    elif modifier in {"next", "coming", "this"} or (not modifier and prefer == "future"):
        days = ahead or (0 if modifier == "this" else 7)  # who means today says so
    else:
        days = -back
    return today + timedelta(days=days), at + offset + 1, 1.0 if modifier else 0.8


def _relative(tokens: Sequence[Token], at: int, today: date) -> Found | None:
    words = [token.text for token in tokens[at : at + 5]]
    if words[:4] == ["the", "day", "before", "yesterday"]:
        return today - timedelta(days=2), at + 4, 1.0
    if words[:3] == ["day", "before", "yesterday"]:
        return today - timedelta(days=2), at + 3, 1.0
    if words[:4] == ["the", "day", "after", "tomorrow"]:
        return today + timedelta(days=2), at + 4, 1.0
    if words[0] in {"yesterday", "today", "tomorrow"}:
        return today + timedelta(days={"yesterday": -1, "today": 0, "tomorrow": 1}[words[0]]), at + 1, 1.0
    if words[0] in {"last", "next"} and len(words) > 1 and words[1] in {"week", "month"}:
        days = _UNIT_DAYS[words[1]] * (-1 if words[0] == "last" else 1)
        return today + timedelta(days=days), at + 2, 0.4
    begin = at + 1 if words[0] == "in" else at
    count: tuple[int, int] | None = cardinal(tokens, begin)
    if count is None and begin < len(tokens) and tokens[begin].text in {"a", "an", "couple"}:
        couple = words[begin - at :][:3]
        count = (2, begin + 3) if couple == ["a", "couple", "of"] else (1, begin + 1)
    if count is None or count[1] >= len(tokens) or tokens[count[1]].text not in _UNIT_DAYS:
        return None
    unit = tokens[count[1]].text
    days = count[0] * _UNIT_DAYS[unit]
    after = count[1] + 1
    if days > 3660:
        return None
    sure = 1.0 if unit.startswith("day") else 0.6
    if after < len(tokens) and tokens[after].text == "ago":
        return today - timedelta(days=days), after + 1, sure
    return (today + timedelta(days=days), after, sure) if words[0] == "in" else None


def _numeric(text: str, today: date, prefer: str) -> list[tuple[date, tuple[int, int]]]:
    """ISO dates and month/day[/year] in figures."""
    found = []
    for match in _NUMERIC.finditer(text):
        if match[1]:
            made = day_of(int(match[1]), int(match[2]), int(match[3]))
        elif match[6]:
            year = int(match[6])
            made = day_of(year if year > 99 else 2000 + year, int(match[4]), int(match[5]))
        elif "/" in match.group():
            made = day_of_some_year(int(match[4]), int(match[5]), today, prefer)
        else:
            made = None
        if made:
            found.append((made, match.span()))
    return found


def parse(text: str, spec: SlotSpec, context: SlotContext) -> list[Slot]:
    """Dates in figures or words; vague ones ("last week") with low confidence."""
    prefer = spec.word("prefer", "nearest", ("past", "future", "nearest"))
    expected = spec.name in context.expected
    found = [
        Slot(spec.name, made.isoformat(), text[low:high], (low, high))
        for made, (low, high) in _numeric(text, context.today, prefer)
    ]
    taken = [slot.span for slot in found]
    tokens = tokenize(text)
    at = 0
    while at < len(tokens):
        start = tokens[at].start
        day: Found | None = None
        if not any(low <= start < high for low, high in taken):
            day = (
                _relative(tokens, at, context.today)
                or _weekday(tokens, at, context.today, prefer)
                or _named(tokens, at, context.today, prefer, expected)
            )
        if day is None:
            at += 1
            continue
        made, at, confidence = day
        end = tokens[at - 1].end
        found.append(Slot(spec.name, made.isoformat(), text[start:end], (start, end), confidence))
    wanted = (slot for slot in found if not _UNSUITED.match(text, slot.span[1]))
    return sorted(wanted, key=lambda slot: slot.span)
