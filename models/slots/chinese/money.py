"""Sums in Chinese text, as minor units with an ISO currency.

Option: `currency` (default USD): the domain's own, which 元, 块 and a bare number mean; 人民币 and ¥ are always CNY.
"""

from __future__ import annotations

import re
from fractions import Fraction

from models.contracts import Slot
from models.slots.chinese.numbers import DIGITS, number_at, numbers, plain
from models.slots.spec import SlotContext, SlotSpec

_SIGNS = {"US$": "USD", "HK$": "HKD", "$": "USD", "¥": "CNY", "￥": "CNY", "€": "EUR", "£": "GBP"}
_UNITS = {
    "美元": "USD", "美金": "USD", "刀": "USD", "欧元": "EUR", "英镑": "GBP", "港币": "HKD", "港元": "HKD",
    "元人民币": "CNY", "块人民币": "CNY", "人民币": "CNY", "块钱": "", "元钱": "", "圆": "", "元": "", "块": "",
}  # fmt: skip
_UNIT = re.compile(r"\s*(" + "|".join(sorted(_UNITS, key=len, reverse=True)) + ")")
_SIGN = re.compile("|".join(re.escape(sign) for sign in sorted(_SIGNS, key=len, reverse=True)))
_ONE = "".join(re.escape(one) for one in DIGITS)
_TENTHS = re.compile(rf"([{_ONE}])(?:[毛角](?:钱)?([{_ONE}])?分?|(?![{_ONE}十百千万毛角分.年月日号天个]))")
_HUNDREDTHS = re.compile(rf"零?([{_ONE}])分")
_SMALL = re.compile(rf"([{_ONE}])[毛角](?:钱)?(?:([{_ONE}])分?)?")
_HALF = re.compile(r"半")
_LARGEST = 10**12


def parse(text: str, spec: SlotSpec, context: SlotContext) -> list[Slot]:
    """Sums with a sign or a unit; where an amount is asked for, bare numbers too."""
    expected = spec.name in context.expected
    default = spec.word("currency", "USD")
    ready = plain(text)
    found: list[Slot] = []
    for sign in _SIGN.finditer(ready):
        number = number_at(ready, sign.end() + (ready[sign.end() : sign.end() + 1] == " "))
        if number is not None:
            found.append(_slot(spec, text, number.value, _SIGNS[sign.group()], sign.start(), number.end, 1.0))
    for number in numbers(ready):
        if any(low <= number.start < high for low, high in (slot.span for slot in found)):
            continue
        unit = _UNIT.match(ready, number.end)
        if unit is not None:
            value, end = _with_small(ready, number.value, unit.end(), unit[1])
            tail = re.compile(r"\s*人民币").match(ready, end)
            currency = "CNY" if tail else _UNITS[unit[1]] or default
            found.append(_slot(spec, text, value, currency, number.start, tail.end() if tail else end, 1.0))
        elif expected and not re.compile(r"[年月日号天点时分个件位岁%毛角]").match(ready, number.end):
            found.append(_slot(spec, text, number.value, default, number.start, number.end, 0.6))
    for small in _SMALL.finditer(ready):
        if not any(low <= small.start() < high for low, high in (slot.span for slot in found)):
            value = Fraction(DIGITS[small[1]], 10) + Fraction(DIGITS[small[2]] if small[2] else 0, 100)
            found.append(_slot(spec, text, value, default, small.start(), small.end(), 1.0))
    return sorted((slot for slot in found if slot.value["minor"] < _LARGEST), key=lambda slot: slot.span)


def _with_small(text: str, value: Fraction, end: int, unit: str) -> tuple[Fraction, int]:
    """三块五 and 三元五角二分: what follows the unit."""
    if unit not in ("元", "块", "圆"):
        return value, end
    if _HALF.match(text, end):
        return value + Fraction(1, 2), end + 1
    tenths = _TENTHS.match(text, end)
    if tenths:
        value += Fraction(DIGITS[tenths[1]], 10)
        if tenths[2]:
            value += Fraction(DIGITS[tenths[2]], 100)
        return value, tenths.end()
    hundredths = _HUNDREDTHS.match(text, end)
    if hundredths:
        return value + Fraction(DIGITS[hundredths[1]], 100), hundredths.end()
    return value, end


def _slot(spec: SlotSpec, text: str, value: Fraction, currency: str, start: int, end: int, confidence: float) -> Slot:
    minor = int(value * 100 + Fraction(1, 2))
    return Slot(spec.name, {"minor": minor, "currency": currency}, text[start:end], (start, end), confidence)
