"""Takes card numbers, e-mail addresses, phone numbers and long digit runs out of texts, written or spoken.

Placeholders: `[card]`, `[email]`, `[phone]`, `[digits]`. Order numbers of up to six digits, prices, dates, times,
years, IP addresses and UUIDs stay. Where a text is ambiguous, a run of seven digits or more goes.
"""

from __future__ import annotations

import logging
import math
import re
import traceback
from collections.abc import Mapping, Sequence, Set
from datetime import date, datetime
from typing import Any

import phonenumbers

SHORTEST_RUN = 7
"""Digits from which a run is private: a local phone number has seven, an order number of the shop at most six."""
LONGEST_CARD = 19
SHORTEST_CARD = 13
"""Primary account numbers have 13-19 digits (ISO/IEC 7812-1)."""
DEEPEST = 32
"""Nesting of JSON beyond this is cut; deeper data is a mistake or an attack."""

_UNITS = {
    word: digit
    for digit, words in enumerate(
        ("zero oh o nought", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    )
    for word in words.split()
}
_TEENS = {"ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16}
_TEENS |= {"seventeen": 17, "eighteen": 18, "nineteen": 19}
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_CHINESE = {character: digit for digit, characters in enumerate(
    ("零〇", "一幺", "二", "三", "四", "五", "六", "七", "八", "九")
) for character in characters}  # fmt: skip
_TIMES = {"double": 2, "triple": 3, "treble": 3}

_UNIT = "|".join(sorted(_UNITS, key=len, reverse=True))
_ATOM = (
    rf"(?:\d+(?![A-Za-z_])|(?:(?:{'|'.join(_TIMES)})\s+(?:{_UNIT}|\d)|{_UNIT}|{'|'.join(_TEENS)}|{'|'.join(_TENS)})\b"
    rf"|[{''.join(_CHINESE)}])"
)
_JOIN = r"(?:[\s,.\-–/()]{0,3}(?:\b(?:uh|um|uhm|er|erm|dash|hyphen)\b[\s,.\-–/()]{0,3})?)"
_RUN = re.compile(rf"(?<![A-Za-z0-9_.])(?:\+|plus\s)?\(?{_ATOM}(?:{_JOIN}{_ATOM})*", re.IGNORECASE)
_PIECE = re.compile(
    rf"(?P<digits>\d+)|(?P<times>{'|'.join(_TIMES)})\s+(?P<what>{_UNIT}|\d)|(?P<unit>{_UNIT})\b"
    rf"|(?P<teen>{'|'.join(_TEENS)})\b|(?P<tens>{'|'.join(_TENS)})\b|(?P<chinese>[{''.join(_CHINESE)}])",
    re.IGNORECASE,
)

_YEAR = r"(?:19|20)\d\d"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_MONTH = r"(?:0?[1-9]|1[0-2])"
_CLOCK = r"(?:[T\s]\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
_KEPT = re.compile(
    rf"(?<![\w.])(?:"
    rf"[0-9a-fA-F]{{8}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{4}}-[0-9a-fA-F]{{12}}"
    rf"|{_YEAR}[-/.]{_MONTH}[-/.]{_DAY}(?!\d|[-/.]\d){_CLOCK}"
    rf"|{_DAY}[-/.\s]{_MONTH}[-/.\s]{_YEAR}(?![-/.\s]?\d)"
    rf"|{_MONTH}[-/.\s]{_DAY}[-/.\s]{_YEAR}(?![-/.\s]?\d)"
    rf"|{_YEAR}(?:,?\s{_YEAR}){{1,2}}(?!,?[-\s]?\d)"
    rf"|(?:\d{{1,3}}\.){{3}}\d{{1,3}}(?![\d.]|[-\s]\d)"
    rf"|\d{{1,2}}:\d\d(?::\d\d)?(?:[.,]\d+)?(?![\d:])"
    rf"|\d{{1,3}}(?:,\d{{3}})+(?:\.\d{{1,2}})?(?![\d]|[-.\s,]\s?\d)"
    rf"|\d{{1,6}}\.\d+(?![\d]|[-.\s,/]\s?\d)"
    rf")(?!\w)"
)

_EMAIL = re.compile(r"[\w.+%'-]{1,64}\s?@\s?[\w-]{1,63}(?:\.[\w-]{1,63})+")
_SPOKEN_CONNECT = r"(?:dot|point|underscore|dash|hyphen|minus|plus)"
_SPOKEN_DOMAIN = re.compile(
    r"\s(?:at|@)\s+(?:(?:\b\w\s+){0,12}[\w-]{1,63}(?:\s+(?:dash|hyphen)\s+[\w-]{1,63}){0,3}"
    r"(?:\s+dot\s+[a-z]{2,24}){1,4}"
    r"|[\w-]{1,63}(?:\.[\w-]{1,63}){0,3}\.(?:com|net|org|edu|gov|io|info|biz|example|test|co\.uk|uk|de|fr|us|ca|au|eu))\b",
    re.IGNORECASE,
)
_SPOKEN_LOCAL = re.compile(rf"(?:(?:\b[\w.+-]{{1,64}}\s+{_SPOKEN_CONNECT}\s+){{0,8}})\b[\w.+-]{{1,64}}$", re.IGNORECASE)
_SPELLED = re.compile(
    rf"(?:(?:\b\w{{1,30}}\s+{_SPOKEN_CONNECT}\s+){{1,8}}\w{{1,30}}\s+)?"
    rf"(?:\b(?:\w|{_UNIT}|{'|'.join(_TEENS)}|{'|'.join(_TENS)}|\w{{1,30}}\s+{_SPOKEN_CONNECT}|{_SPOKEN_CONNECT})[\s,-]+){{0,40}}$",
    re.IGNORECASE,
)
_NOT_LOCAL = re.compile(
    r"look(?:s|ed|ing)?|bought|buy|order(?:ed)?|shop(?:ped|ping)?|found|saw|it|that|this|site|website|store|page|visit"
    r"|us|was|is|online|arrived",
    re.IGNORECASE,
)
_LOCAL_WINDOW = 160
"""Characters before `at example dot com` in which the name part is looked for."""


_HAN = "零〇一二三四五六七八九幺两"
_HAN_RUN = re.compile(rf"[{_HAN}](?:[\s，、,]{{0,2}}[{_HAN}]){{6,}}")
"""Seven and more digits read out in Chinese; units (十, 百) end a run, so amounts are none."""


def _redact_han(match: re.Match[str]) -> str:
    digits = [mark for mark in match.group() if mark in _HAN]
    if 13 <= len(digits) <= 19:
        return "[card]"
    return "[phone]" if len(digits) == 11 and digits[0] in "一幺" else "[digits]"


def redact(text: str) -> str:
    """Replace private numbers and addresses in `text` by placeholders.

    Idempotent: `redact(redact(x)) == redact(x)`. Card numbers need the Luhn check (ISO/IEC 7812-1 annex B), the shape
    of a card (4-4-4-4, 4-6-5) or to be spoken; other runs of 13-19 digits become `[digits]`. Phone numbers are told
    from other runs by `phonenumbers` and by their grouping.
    """
    text = _HAN_RUN.sub(_redact_han, text)
    for _ in range(8):
        redacted = _redact_once(text)
        if redacted == text:
            break
        text = redacted
    return text


def redact_json(value: Any) -> Any:
    """A JSON-ready copy of `value` with every text redacted, keys included; total: it never raises.

    Whole numbers of 10 digits or more are treated as text. Non-finite floats become None, dates ISO 8601, bytes their
    length, other objects their redacted `str`; nesting beyond `DEEPEST` is cut.
    """
    return _redact_value(value, 0)


class RedactingFilter(logging.Filter):
    """Redacts message, arguments, extra fields and exception text of every record.

    Attach it to handlers: a filter on a logger does not see what its children log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact `record` in place; every record passes."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError, IndexError) as error:
            message = f"{record.msg} (arguments do not fit the message: {type(error).__name__})"
        record.msg = redact(message)
        record.args = ()
        if record.exc_info:
            if not record.exc_text and record.exc_info[0] is not None:
                record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            record.exc_info = None
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        for name, extra in record.__dict__.items():
            if name not in _LOG_FIELDS:
                record.__dict__[name] = redact_json(extra)
        return True


_LOG_FIELDS = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime"}


def _redact_value(value: Any, depth: int) -> Any:
    if depth > DEEPEST:
        return "[cut]"
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return redact(str(value))
    if isinstance(value, int):
        return int(value) if abs(value) < 10**9 else redact(str(int(value)))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {redact(str(key)): _redact_value(item, depth + 1) for key, item in value.items()}
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, Sequence | Set):
        return [_redact_value(item, depth + 1) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    try:
        return redact(str(value))
    except Exception as error:  # a foreign __str__ may raise anything
        return f"<{type(value).__name__}: {type(error).__name__}>"


def _redact_once(text: str) -> str:
    if "@" in text:
        text = _EMAIL.sub("[email]", text)
    if " at " in text.lower() or "@" in text:
        text = _redact_spoken_email(text)
    kept = _KEPT.finditer(text) if any(character.isdigit() for character in text) else iter(())
    parts: list[str] = []
    start = 0
    for match in kept:
        parts.append(_RUN.sub(_replace_run, text[start : match.start()]))
        parts.append(match.group())
        start = match.end()
    parts.append(_RUN.sub(_replace_run, text[start:]))
    return "".join(parts)


def _redact_spoken_email(text: str) -> str:
    parts: list[str] = []
    start = 0
    for match in _SPOKEN_DOMAIN.finditer(text):
        before = text[max(start, match.start() - _LOCAL_WINDOW) : match.start()].rstrip()
        local = _SPOKEN_LOCAL.search(before)
        if local is None or _NOT_LOCAL.fullmatch(local.group()):
            continue
        begin = local.start()
        spelled = _SPELLED.search(before[:begin]) if _continues(local.group()) else None
        if spelled is not None:
            begin = spelled.start()
        begin += match.start() - len(text[max(start, match.start() - _LOCAL_WINDOW) : match.start()])
        parts += [text[start:begin], "[email]"]
        start = match.end()
    parts.append(text[start:])
    return "".join(parts)


def _continues(local: str) -> bool:
    """Whether a name part such as `e dot d` or `two` goes on to the left, letter by letter or digit by digit."""
    first = re.split(r"\s", local, maxsplit=1)[0].lower()
    return len(first) == 1 or first in _UNITS or first in _TEENS or first in _TENS


def _replace_run(match: re.Match[str]) -> str:
    run = match.group()
    pieces = list(_PIECE.finditer(run))
    replaced: list[str] = []
    start = 0
    for first, last in _split(run, pieces):
        begin = 0 if first == 0 else pieces[first].start()
        end = pieces[last].end()
        replaced.append(run[start:begin])
        stretch = run[begin:end]
        kind = _kind(stretch, pieces[first : last + 1])
        replaced.append(stretch if kind is None else kind)
        start = end
    replaced.append(run[start:])
    return "".join(replaced)


def _split(run: str, pieces: Sequence[re.Match[str]]) -> list[tuple[int, int]]:
    """Cut a run where its separator does not join its neighbours; [first, last] piece indices of each stretch."""
    stretches: list[tuple[int, int]] = []
    first = 0
    for index in range(1, len(pieces)):
        between = run[pieces[index - 1].end() : pieces[index].start()]
        if not _joins(between, pieces[index - 1], pieces[index]):
            stretches.append((first, index - 1))
            first = index
    stretches.append((first, len(pieces) - 1))
    return stretches


def _joins(between: str, left: re.Match[str], right: re.Match[str]) -> bool:
    sizes = [len(piece["digits"] or "1") for piece in (left, right)]
    if "," in between or re.search(r"\.\s", between):
        # A dictated number arrives as "4111, 1111" or "Four. One."; two order numbers arrive as "54321, 12345".
        return all(size in (1, 3, 4) for size in sizes)
    return True


def _kind(stretch: str, pieces: Sequence[re.Match[str]]) -> str | None:
    digits = _digits(stretch, pieces)
    groups = [len(piece["digits"]) for piece in pieces if piece["digits"]]
    spoken = any(not piece["digits"] for piece in pieces) or (len(groups) >= SHORTEST_RUN and max(groups) == 1)
    if pieces[0]["unit"] and pieces[0]["unit"].lower() in ("oh", "o") and len(digits) == SHORTEST_RUN:
        return None  # "oh, one two three four five six" is an order number after an interjection
    if len(digits) < SHORTEST_RUN:
        return None
    international = stretch.lstrip("(").lower().startswith(("+", "plus"))
    if SHORTEST_CARD <= len(digits) <= LONGEST_CARD and not international:
        card = spoken or groups in ([4, 4, 4, 4], [4, 6, 5], [4, 6, 4]) or _luhn(digits)
        return "[card]" if card else "[digits]"
    if len(digits) < SHORTEST_CARD and not international and not digits.startswith("0") and _order_and_count(groups):
        return None
    return "[phone]" if _is_phone(digits, groups, international, spoken) else "[digits]"


def _order_and_count(groups: Sequence[int]) -> bool:
    """`123456 2` is an order number beside a count, not one number."""
    return len(groups) == 2 and max(groups) in (5, 6) and min(groups) <= 2


def _is_phone(digits: str, groups: Sequence[int], international: bool, spoken: bool) -> bool:
    if international:
        return len(digits) <= 15  # E.164
    if spoken:
        return len(digits) == 10 or (len(digits) == 11 and digits[0] in "01")
    if groups in ([3, 4], [3, 3, 4], [1, 3, 3, 4]):
        return True
    if digits[0] == "0" and 9 <= len(digits) <= 12:
        return True
    if len(digits) == 11 and digits[0] == "1":
        return True  # North America with its country code, or a Chinese mobile
    if len(digits) != 10:
        return False
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(digits, "US"))
    except phonenumbers.NumberParseException:
        return False


def _digits(stretch: str, pieces: Sequence[re.Match[str]]) -> str:
    """The digits of a run as one string: `double five` is 55, `forty two` is 42, `twelve` is 12."""
    digits: list[str] = []
    tens_open = False
    for piece in pieces:
        if piece["digits"]:
            digits.append("".join(str(int(character)) for character in piece["digits"]))
        elif piece["times"]:
            what = piece["what"].lower()
            digits.append(str(_UNITS[what] if what in _UNITS else int(what)) * _TIMES[piece["times"].lower()])
        elif piece["unit"]:
            unit = _UNITS[piece["unit"].lower()]
            if tens_open and unit:
                digits[-1] = str(int(digits[-1]) + unit)
            else:
                digits.append(str(unit))
        elif piece["teen"]:
            digits.append(str(_TEENS[piece["teen"].lower()]))
        elif piece["tens"]:
            digits.append(str(_TENS[piece["tens"].lower()]))
        else:
            digits.append(str(_CHINESE[piece["chinese"]]))
        tens_open = piece["tens"] is not None
    return "".join(digits)


def _luhn(digits: str) -> bool:
    total = 0
    for place, character in enumerate(reversed(digits)):
        value = int(character) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
