"""Sums of money, as {"minor": int, "currency": str}; minor units are hundredths.

Option: `currency` (default USD), taken where the caller names none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from models.contracts import Slot
from models.slots.numbers import below_hundred, cardinal
from models.slots.spec import SlotContext, SlotSpec
from models.slots.tokens import Token, tokenize

_SIGNS = {"$": "USD", "€": "EUR", "£": "GBP"}
_UNITS = {
    "dollar": "USD", "dollars": "USD", "bucks": "USD", "buck": "USD", "usd": "USD",
    "euro": "EUR", "euros": "EUR", "eur": "EUR", "pound": "GBP", "pounds": "GBP", "quid": "GBP", "gbp": "GBP",
}  # fmt: skip
_CENTS = frozenset({"cent", "cents", "pence"})
_WRITTEN = re.compile(
    r"(?P<sign>[$€£])?\s?(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?:\.(?P<cents>\d{2}))?(?!\d)(?P<sign2>\s?[$€£])?"
)
_UNIT_AFTER = re.compile(r"\s*(dollars?|bucks?|usd|euros?|eur|pounds?|quid|gbp)\b", re.IGNORECASE)
_CENTS_AFTER = re.compile(r"\s*(?:and\s+)?(\d{1,2})\s*cents?\b", re.IGNORECASE)


def _slot(spec: SlotSpec, text: str, minor: int, currency: str, span: tuple[int, int], confidence: float) -> Slot:
    return Slot(spec.name, {"minor": minor, "currency": currency}, text[span[0] : span[1]], span, confidence)


def _written(text: str, spec: SlotSpec, expected: bool) -> list[Slot]:
    found = []
    default = spec.word("currency", "USD")
    for match in _WRITTEN.finditer(text):
        sign = (match["sign"] or match["sign2"] or "").strip()
        start, end = match.span()
        unit = _UNIT_AFTER.match(text, end)
        if unit:
            end = unit.end()
        # A bare number is money only where money was asked for and the number looks like a price.
        if not (sign or unit or (expected and (match["cents"] or len(match["whole"]) <= 4))):
            continue
        minor = int(match["whole"].replace(",", "")) * 100 + int(match["cents"] or 0)
        cents = _CENTS_AFTER.match(text, end) if not match["cents"] else None
        if cents:
            minor, end = minor + int(cents[1]), cents.end()
        currency = _SIGNS.get(sign) or (_UNITS[unit[1].lower()] if unit else default)
        while text[start].isspace():
            start += 1
        found.append(_slot(spec, text, minor, currency, (start, end), 1.0 if sign or unit else 0.7))
    return found


def _spoken_at(tokens: Sequence[Token], at: int, expected: bool, default: str) -> tuple[int, str, int, float] | None:
    """(minor, currency, next token, confidence) of the sum in words at token `at`."""
    number = cardinal(tokens, at)
    if number is None:
        return None
    value, after = number
    word = tokens[after].text if after < len(tokens) else ""
    if word in _CENTS:
        return value, default, after + 1, 1.0
    if word in _UNITS:
        minor, currency, after = value * 100, _UNITS[word], after + 1
        step = after + 1 if after < len(tokens) and tokens[after].text == "and" else after
        cents = cardinal(tokens, step) if step < len(tokens) else None
        if cents and cents[0] < 100:
            named = cents[1] < len(tokens) and tokens[cents[1]].text in _CENTS
            if named or step == after:
                minor, after = minor + cents[0], cents[1] + (1 if named else 0)
        return minor, currency, after, 1.0
    if not expected or tokens[at].text.isdecimal():
        return None
    cents = below_hundred(tokens, after) if after < len(tokens) else None
    if cents and 10 <= cents[0] < 100:
        return value * 100 + cents[0], default, cents[1], 0.8
    return value * 100, default, after, 0.6


def parse(text: str, spec: SlotSpec, context: SlotContext) -> list[Slot]:
    """Sums with a sign or a unit; where an amount is asked for, bare ones too ("eighteen fifty")."""
    expected = spec.name in context.expected
    default = spec.word("currency", "USD")
    found = _written(text, spec, expected)
    taken = [slot.span for slot in found]
    tokens = tokenize(text)
    at = 0
    while at < len(tokens):
        start = tokens[at].start
        spoken = None
        if not any(low <= start < high for low, high in taken):
            spoken = _spoken_at(tokens, at, expected, default)
        if spoken is None:
            at += 1
            continue
        minor, currency, at, confidence = spoken
        found.append(_slot(spec, text, minor, currency, (start, tokens[at - 1].end), confidence))
    return sorted(found, key=lambda slot: slot.span)
