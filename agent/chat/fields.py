"""What the text of a picture says: order numbers, totals, dates, error codes, and a domain's own slots. Pure.

A value is found beside its label ("Order No: 42719") on the same row, or below it; without a label only where its form
says what it is. How sure a field is follows from how sure the reader was of its letters, and from how it was found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from models.slots import SlotSpec


@dataclass(frozen=True, slots=True)
class Line:
    """A piece of text that was read. box: left, top, right and bottom in pixels of a straight picture."""

    text: str
    confidence: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Field:
    """A value that was read. name: order_number, total, date, error_code, or that of a slot. value: JSON-ready, in the
    form slots have: digits, ISO date, {"minor", "currency"}. text: as it stands in the picture. slot: the domain's slot
    that it fits, if any."""

    name: str
    value: Any
    text: str
    confidence: float
    slot: str | None = None


BELOW = 0.95
"""What is below its label, not beside it."""
UNLABELLED = 0.7
"""What has the form, but no label."""
REPAIRED = 0.8
"""Digits of which one was read as a letter, as O for 0."""
AMBIGUOUS = 0.5
"""A day and a month that may be either way round; one of several values without a label."""
RIVAL = 0.8
"""One of several different values with the same label."""

_GAP = "   "
"""Between pieces of one row."""


@dataclass(frozen=True, slots=True)
class _Row:
    pieces: tuple[Line, ...]

    @property
    def text(self) -> str:
        return _GAP.join(piece.text for piece in self.pieces)

    @property
    def confidence(self) -> float:
        return min(piece.confidence for piece in self.pieces)


def _rows(lines: Iterable[Line]) -> list[_Row]:
    """Lines whose middles are level with each other, top to bottom, each from left to right."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda one: one.box[1] + one.box[3]):
        top, bottom = line.box[1], line.box[3]
        if rows:
            last = rows[-1][-1]
            level = abs((top + bottom) - (last.box[1] + last.box[3])) / 2
            if level < 0.5 * min(bottom - top, last.box[3] - last.box[1]):
                rows[-1].append(line)
                continue
        rows.append([line])
    return [_Row(tuple(sorted(row, key=lambda one: one.box[0]))) for row in rows]


_SEPARATOR = r"[\s.:：#＃№=\-–]*"
_NUMBERED = r"(?:\s*(?:numbers?|num|nr|no|id|ref|reference|code)\b\.?|\s*#)?"
_ORDER = re.compile(rf"(?:\border{_NUMBERED}(?![a-z])|订单(?:编号|号码|号)?){_SEPARATOR}", re.IGNORECASE)
_ORDER_VALUE = re.compile(r"(?:[A-Z]{1,4}-?)?\d[\d-]{2,18}\d(?![\w/:]|\.\d)", re.IGNORECASE)
_TOTAL = re.compile(
    r"(?<![a-z])(?<!sub)(?<!sub[\s-])(?P<best>grand\s+total|total\s+(?:due|paid|amount|charged)|amount\s+(?:due|paid)"
    r"|balance\s+due|应付(?:金额|总额)?|实付(?:款|金额)?|总金额)|(?<![a-z])(?<!sub)(?<!sub[\s-])"
    r"total(?!\s*(?:items?|qty|quantity|savings?|tax|discount|weight|points|pieces))(?![a-z])|合计|总计",
    re.IGNORECASE,
)
_SIGNS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "CNY", "￥": "CNY", "元": "CNY"}
_CODES = "USD|EUR|GBP|CNY|RMB"
_MONEY = re.compile(
    rf"(?P<sign>[$€£¥￥]|\b(?:{_CODES}))?\s?(?P<whole>\d{{1,3}}(?:[,.' ]\d{{3}})+|\d{{1,7}})"
    rf"(?:[.,](?P<cents>\d{{2}}))?(?![\d%]|[.,]\d)\s?(?P<after>[$€£元]|(?:{_CODES})\b)?",
    re.IGNORECASE,
)
_DATE = re.compile(r"\b(?:date|dated|ordered(?:\s+on)?|placed(?:\s+on)?)\b|日期|下单时间|时间", re.IGNORECASE)
_NOT_THE_DATE = re.compile(
    r"\b(?:exp|expir\w*|valid|until|before|due|return\s+by|use\s+by|born|birth)\b|有效|过期|到期", re.IGNORECASE
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = rf"(?P<%s>(?:{'|'.join(_MONTHS)})[a-z]*)\.?"
_ISO = re.compile(r"(?<![\d.-])(?P<y>(?:19|20)\d\d)\s?[-/.年]\s?(?P<m>\d{1,2})\s?[-/.月]\s?(?P<d>\d{1,2})(?!\d)日?")
_NUMERIC = re.compile(r"(?<![\d./-])(?P<a>\d{1,2})(?P<s>[./-])(?P<b>\d{1,2})(?P=s)(?P<y>(?:19|20)\d\d|\d\d)(?![\d./-])")
_DAY_FIRST = re.compile(
    rf"\b(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\s?{_MONTH % 'm'},?\s?(?P<y>(?:19|20)\d\d)\b", re.IGNORECASE
)
_MONTH_FIRST = re.compile(
    rf"\b{_MONTH % 'm'}\s?(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?\s?(?P<y>(?:19|20)\d\d)\b", re.IGNORECASE
)
_ERROR = re.compile(
    rf"(?:\b(?:error|err|fault|stop)(?![a-z_])(?:\s*(?:code|no|number))?|错误(?:代码|码)?|故障(?:代码|码)?){_SEPARATOR}",
    re.IGNORECASE,
)
_ERROR_VALUE = re.compile(
    r"0x[0-9A-Fa-f]{2,16}\b|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b|[A-Z]{1,6}[-_]?\d{1,8}(?:-\d+)*\b|\d{1,6}(?![\d.,])"
)
_ERROR_FORM = re.compile(
    r"(?<![\w-])(?:0x[0-9A-Fa-f]{4,16}|ERR(?:OR)?[-_][A-Z0-9_-]{1,40}|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+){2,}|E-?\d{2,6})"
    r"(?![\w-])"
)
_LIKE_DIGITS = str.maketrans("OoQDIlZSsBG", "00001125586")
_DIGITS = re.compile(r"(?<![\w.,-])[\dOoQDIlZSsBG]+(?:[ -][\dOoQDIlZSsBG]+)*(?![\w-]|[.,]\d)")
_EMAIL = re.compile(r"[\w.+%'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")


def fields_of(
    lines: Sequence[Line], expected: Sequence[SlotSpec] = (), day_first: bool | None = None
) -> tuple[Field, ...]:
    """Values in the text of a picture, the surest of each name.

    expected: slots of the domain, those asked for first; a field that fits one carries its name. day_first: how a date
    such as 03/11/2026 is meant; None takes the month first, at half the confidence.
    """
    rows = _rows(lines)
    found: dict[str, Field] = {}
    for candidates in (
        _orders(rows),
        _totals(rows),
        _dates(rows, day_first),
        _errors(rows),
    ):
        best = _surest(candidates)
        if best is not None:
            found[best.name] = best
    taken: set[str] = set()
    for name, one in found.items():
        spec = _slot_for(one, [spec for spec in expected if spec.name not in taken])
        if spec is not None:
            found[name] = replace(one, value=_as_slot(one, spec), slot=spec.name)
            taken.add(spec.name)
    used = {_only_digits(one.text) for one in found.values()}
    for spec in expected:
        if spec.name in taken:
            continue
        best = _surest(_own(rows, spec, used))
        if best is not None and best.name not in found:
            found[best.name] = best
    return tuple(sorted(found.values(), key=lambda one: -one.confidence))


def words_of(fields: Iterable[Field], sure: float, asked: Sequence[str] = ()) -> tuple[str, tuple[str, ...]]:
    """What a caller would say who read the picture out, and the names of the fields in it; "" where nothing is sure.

    Only what fits a slot counts: what was asked for if it is there, else numbers that name something.
    """
    fit = [one for one in fields if one.slot is not None and one.confidence >= sure]
    chosen = [one for one in fit if one.slot in asked] or [one for one in fit if isinstance(one.value, str)
                                                           and one.value.isdigit()][:1]  # fmt: skip
    said = [f"{(one.slot or one.name).replace('_', ' ')} {_spoken(one)}" for one in chosen]
    return ", ".join(said), tuple(one.name for one in chosen)


def _spoken(one: Field) -> str:
    if isinstance(one.value, Mapping):
        return f"{one.value['minor'] / 100:.2f} {one.value['currency']}"
    return str(one.value)


def _surest(candidates: Iterable[Field]) -> Field | None:
    """The surest; of equals the first. Others as sure with another value make it less so."""
    ordered = sorted(candidates, key=lambda one: -one.confidence)
    if not ordered:
        return None
    best = ordered[0]
    rivals = [one for one in ordered[1:] if one.value != best.value and one.confidence >= best.confidence - 0.02]
    return replace(best, confidence=round(best.confidence * RIVAL, 3)) if rivals else best


def _labelled(
    rows: Sequence[_Row], label: re.Pattern[str], value: re.Pattern[str]
) -> Iterable[tuple[re.Match[str], re.Match[str], float]]:
    """Labels with the values that belong to them: right after them, later in the row, or below. With the confidence."""
    for index, row in enumerate(rows):
        for named in label.finditer(row.text):
            match = value.match(row.text, named.end())
            if match is not None:
                yield named, match, row.confidence
                continue
            label_piece, end = _piece_at(row, named.start())
            if row.text[named.end() : end].strip():
                continue
            below = _below(rows, index, label_piece)
            match = value.match(below.text) if below is not None else None
            if match is not None and below is not None:
                yield named, match, min(row.confidence, below.confidence) * BELOW


def _piece_at(row: _Row, at: int) -> tuple[Line, int]:
    """The piece in which a place of the row's text is, and where the piece ends there."""
    end = 0
    for piece in row.pieces:
        end += len(piece.text)
        if at < end:
            return piece, end
        end += len(_GAP)
    return row.pieces[-1], end


def _below(rows: Sequence[_Row], index: int, label: Line) -> Line | None:
    """The piece of the next row under a label, not further away than two of its heights."""
    if index + 1 >= len(rows):
        return None
    height = label.box[3] - label.box[1]
    for piece in rows[index + 1].pieces:
        over = min(piece.box[2], label.box[2]) - max(piece.box[0], label.box[0])
        if over > 0 and piece.box[1] - label.box[3] < 2 * height:
            return piece
    return None


def _orders(rows: Sequence[_Row]) -> Iterable[Field]:
    for _, match, sure in _labelled(rows, _ORDER, _ORDER_VALUE):
        if not any(date_.fullmatch(match.group()) for date_ in (_ISO, _NUMERIC)):
            yield Field("order_number", match.group().upper(), match.group(), round(sure, 3))


def _totals(rows: Sequence[_Row]) -> Iterable[Field]:
    currency = next((found for row in rows if (found := _currency(row.text)) is not None), None)
    best: list[Field] = []
    other: list[Field] = []
    for index, row in enumerate(rows):
        for named in _TOTAL.finditer(row.text):
            sums = [(match, row.confidence) for match in _MONEY.finditer(row.text, named.end())]
            label_piece, end = _piece_at(row, named.start())
            below = _below(rows, index, label_piece)
            if not sums and below is not None and not row.text[named.end() : end].strip(" .:："):
                sure = min(row.confidence, below.confidence) * BELOW
                sums = [(match, sure) for match in _MONEY.finditer(below.text)]
            marked = [(match, sure) for match, sure in sums if match["cents"] or match["sign"] or match["after"]]
            if marked:
                match, sure = marked[-1]
                sure *= 1.0 if named["best"] or _stands_alone(row.text, named) else RIVAL
                sure *= 1.0 if match["sign"] or match["after"] or currency else 0.9
                one = Field("total", _money(match, currency or "USD"), match.group().strip(), round(sure, 3))
                (best if named["best"] else other).append(one)
    return best or other


def _stands_alone(text: str, named: re.Match[str]) -> bool:
    """Whether nothing is before the label in its piece, as in "TOTAL"."""
    return not text[: named.start()].rpartition(_GAP)[2].strip()


def _currency(text: str) -> str | None:
    for match in _MONEY.finditer(text):
        mark = match["sign"] or match["after"]
        if mark:
            return _named_currency(mark)
    return None


def _named_currency(mark: str) -> str:
    return _SIGNS.get(mark, "CNY" if mark.upper() == "RMB" else mark.upper())


def _money(match: re.Match[str], currency: str) -> dict[str, Any]:
    mark = match["sign"] or match["after"]
    minor = int(re.sub(r"\D", "", match["whole"])) * 100 + int(match["cents"] or 0)
    return {"minor": minor, "currency": _named_currency(mark) if mark else currency}


def _dates(rows: Sequence[_Row], day_first: bool | None) -> Iterable[Field]:
    for index, row in enumerate(rows):
        above = rows[index - 1].text if index else ""
        for value, text, start, sure in _days(row.text, day_first):
            before = row.text[:start]
            if _NOT_THE_DATE.search(before.rpartition(_GAP)[2] or before):
                continue
            factor = 1.0 if _DATE.search(before) else BELOW if _DATE.search(above) else UNLABELLED
            yield Field("date", value, text, round(row.confidence * sure * factor, 3))


def _days(text: str, day_first: bool | None) -> Iterable[tuple[str, str, int, float]]:
    """Days in a text: ISO date, as it stands there, where it begins, how sure."""
    for pattern in (_ISO, _DAY_FIRST, _MONTH_FIRST):
        for match in pattern.finditer(text):
            month = match["m"] if match["m"].isdigit() else str(1 + _MONTHS.index(match["m"][:3].lower()))
            value = _day(match["y"], month, match["d"])
            if value is not None:
                yield value, match.group(), match.start(), 1.0
    for match in _NUMERIC.finditer(text):
        year = match["y"] if len(match["y"]) == 4 else "20" + match["y"]
        month_day, day_month = _day(year, match["a"], match["b"]), _day(year, match["b"], match["a"])
        if match["s"] == "." and day_month is not None:  # dots are German, and the day is first there
            yield day_month, match.group(), match.start(), 1.0
        elif month_day is None or day_month is None or month_day == day_month:
            only = month_day or day_month
            if only is not None:
                yield only, match.group(), match.start(), 1.0
        elif day_first is None:
            yield month_day, match.group(), match.start(), AMBIGUOUS
        else:
            yield (day_month if day_first else month_day), match.group(), match.start(), 1.0


def _day(year: str, month: str, day: str) -> str | None:
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return None


def _errors(rows: Sequence[_Row]) -> Iterable[Field]:
    for _, match, sure in _labelled(rows, _ERROR, _ERROR_VALUE):
        yield Field("error_code", match.group(), match.group(), round(sure, 3))
    for row in rows:
        for match in _ERROR_FORM.finditer(row.text):
            yield Field("error_code", match.group(), match.group(), round(row.confidence * UNLABELLED, 3))


def _slot_for(one: Field, specs: Sequence[SlotSpec]) -> SlotSpec | None:
    """The slot that a field fits, by type and name."""
    for spec in specs:
        words = set(spec.name.split("_"))
        match one.name:
            case "order_number" if spec.type == "digits" and "order" in words and _fits(one.text, spec):
                return spec
            case "total" if spec.type == "amount":
                return spec
            case "date" if spec.type == "date" and "birth" not in words:
                return spec
            case "error_code" if spec.type in ("text", "digits") and words & {"error", "fault"}:
                return spec
            case _:
                continue
    return None


def _as_slot(one: Field, spec: SlotSpec) -> Any:
    return _only_digits(one.text) if spec.type == "digits" else one.value


def _only_digits(text: str) -> str:
    return "".join(mark for mark in text if mark.isascii() and mark.isdigit())


def _fits(text: str, spec: SlotSpec) -> bool:
    return spec.option("min_length", 1) <= len(_only_digits(text)) <= spec.option("max_length", 20)


def _own(rows: Sequence[_Row], spec: SlotSpec, used: set[str]) -> Iterable[Field]:
    """Values of a slot of the domain: digits beside its name, or of just its length; an e-mail address."""
    if spec.type == "email":
        for row in rows:
            for match in _EMAIL.finditer(row.text):
                yield Field(spec.name, match.group().lower(), match.group(), row.confidence, spec.name)
    if spec.type != "digits":
        return
    words = r"\s*".join(re.escape(word) for word in spec.name.split("_") if word not in ("number", "no", "id"))
    label = re.compile(rf"\b{words}{_NUMBERED}{_SEPARATOR}", re.IGNORECASE)
    for _, match, sure in _labelled(rows, label, _DIGITS):
        digits, factor = _repaired(match.group())
        if digits and _fits(digits, spec):
            yield Field(spec.name, digits, match.group(), round(sure * factor, 3), spec.name)
    shortest, longest = spec.option("min_length", 1), spec.option("max_length", 20)
    if longest - shortest > 2 or shortest < 5:
        return  # its form says too little
    for row in rows:
        for match in _DIGITS.finditer(row.text):
            digits, factor = _repaired(match.group())
            if digits and digits not in used and _fits(digits, spec) and not list(_days(match.group(), None)):
                yield Field(spec.name, digits, match.group(), round(row.confidence * factor * UNLABELLED, 3), spec.name)


def _repaired(text: str) -> tuple[str, float]:
    """Digits of a text in which some may have been read as letters; "" where letters prevail."""
    marks = re.sub(r"[ -]", "", text)
    letters = sum(not mark.isdigit() for mark in marks)
    if letters == 0:
        return marks, 1.0
    return (marks.translate(_LIKE_DIGITS), REPAIRED) if letters * 3 <= len(marks) else ("", 0.0)
