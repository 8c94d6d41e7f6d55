"""Numbers in Chinese text: characters, figures of either width, and both together (`1.5万`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

DIGITS = {
    **{str(n): n for n in range(10)},
    "零": 0, "〇": 0, "○": 0, "一": 1, "幺": 1, "壹": 1, "二": 2, "两": 2, "贰": 2, "三": 3, "叁": 3, "四": 4, "肆": 4,
    "五": 5, "伍": 5, "六": 6, "陆": 6, "七": 7, "柒": 7, "拐": 7, "八": 8, "捌": 8, "九": 9, "玖": 9, "勾": 9, "洞": 0,
}  # fmt: skip
"""Characters that are one digit; 拐, 勾 and 洞 are how digits are told apart over a radio or telephone."""
PLACES = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
MYRIADS = {"万": 10_000, "萬": 10_000, "亿": 100_000_000}

_PLAIN = str.maketrans("０１２３４５６７８９．，", "0123456789.,")
_SPOKEN = "零〇○一幺壹二两贰三叁四肆五伍六陆七柒八捌九玖"
_NUMBER = re.compile(
    rf"(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?(?:[千百]?[万亿]|[千百])?(?:\d{{1,4}}(?=\D|$))?"
    rf"|[{_SPOKEN}十拾百佰千仟万萬亿]+(?:点[{_SPOKEN}]+)?[万亿]?"
)


def plain(text: str) -> str:
    """`text` with figures of full width as plain ones, character by character, so that spans stay."""
    return text.translate(_PLAIN)


@dataclass(frozen=True, slots=True)
class Number:
    """A number at text[start:end]. digits: those said one by one; None where it was said as a quantity."""

    value: Fraction
    start: int
    end: int
    digits: str | None = None


def numbers(text: str) -> list[Number]:
    """Every number of `text`, in order."""
    found = []
    for match in _NUMBER.finditer(plain(text)):
        number = read(match.group(), match.start())
        if number is not None:
            found.append(number)
    return found


def number_at(text: str, at: int) -> Number | None:
    """The number that begins at text[at]."""
    match = _NUMBER.match(plain(text), at)
    return None if match is None else read(match.group(), match.start())


def read(raw: str, start: int = 0) -> Number | None:
    """The number that all of `raw` is: 三百五 is 350, 两万五 is 25,000, 1.5万 is 15,000, 四二七 the digits 427."""
    end = start + len(raw)
    if re.fullmatch(r"[\d,]+(?:\.\d+)?", raw):
        figures = raw.replace(",", "")
        return Number(Fraction(figures), start, end, figures if "." not in figures and "," not in raw else None)
    written = re.fullmatch(r"([\d,]+(?:\.\d+)?)([千百]?)([万亿]?)(\d*)", raw)
    if written:
        value = Fraction(written[1].replace(",", ""))
        scale = PLACES.get(written[2], 1) * MYRIADS.get(written[3], 1)
        rest = Fraction(written[4] or 0)
        if written[4] and len(written[4]) == 1:
            rest *= Fraction(scale, 10)
        return Number(value * scale + rest, start, end)
    whole, _, fraction = raw.partition("点")
    tail = ""
    if fraction and fraction[-1] in MYRIADS:
        fraction, tail = fraction[:-1], fraction[-1]
    if all(character in DIGITS for character in whole):
        said = "".join(str(DIGITS[character]) for character in whole)
        value = Fraction(int(said)) if said else Fraction(0)
        digits: str | None = said
    else:
        quantity = _quantity(whole)
        if quantity is None:
            return None
        value, digits = Fraction(quantity), None
    if fraction:
        decimals = "".join(str(DIGITS[character]) for character in fraction)
        value, digits = value + Fraction(int(decimals), 10 ** len(decimals)), None
    return Number(value * MYRIADS.get(tail, 1), start, end, digits)


def _quantity(text: str) -> int | None:
    """The value of characters with places among them; None where they make no number (万一, 十百)."""
    total = group = 0
    digit: int | None = None
    last_scale = 0
    for character in text:
        if character in DIGITS:
            if digit and DIGITS[character]:
                return None  # 四二十
            digit = DIGITS[character]
            if digit == 0:
                last_scale = 0
        elif character in PLACES:
            if digit is None and character not in "十拾":
                return None
            group += (1 if digit is None else digit) * PLACES[character]
            digit, last_scale = None, PLACES[character]
        else:
            if not group and digit is None and not total:
                return None
            total = (
                (total + group + (digit or 0)) * MYRIADS[character]
                if character == "亿"
                else total + (group + (digit or 0)) * MYRIADS[character]
            )
            group, digit, last_scale = 0, None, MYRIADS[character]
    if digit:
        # the last digit stands for the place below: 三百五, 两万五
        group += digit * (last_scale // 10 if last_scale > 10 else 1)
    return total + group
