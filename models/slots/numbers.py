"""Spoken English numbers: as single digits and tens side by side, or as one cardinal."""

from __future__ import annotations

from collections.abc import Sequence

from models.slots.tokens import Token

DIGITS = {
    "zero": 0, "oh": 0, "o": 0, "nought": 0, "naught": 0,
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "niner": 9,
}  # fmt: skip
TEENS = {
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fourty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80,
    "ninety": 90,
}  # fmt: skip
ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "eleventh": 11, "twelfth": 12, "thirteenth": 13, "fourteenth": 14, "fifteenth": 15, "sixteenth": 16,
    "seventeenth": 17, "eighteenth": 18, "nineteenth": 19, "twentieth": 20, "thirtieth": 30,
}  # fmt: skip


def below_hundred(tokens: Sequence[Token], at: int) -> tuple[int, int] | None:
    """The number 0-99 in words that starts at token `at`: (value, next token)."""
    word = tokens[at].text
    if word in DIGITS:
        return DIGITS[word], at + 1
    if word in TEENS:
        return TEENS[word], at + 1
    if word not in TENS:
        return None
    unit = DIGITS.get(tokens[at + 1].text, 0) if at + 1 < len(tokens) else 0
    return (TENS[word] + unit, at + 2) if unit else (TENS[word], at + 1)


def cardinal(tokens: Sequence[Token], at: int) -> tuple[int, int] | None:
    """The whole number at token `at`, in figures or words up to 999,999 ("a hundred and twenty"): (value, next)."""
    if at >= len(tokens):
        return None
    if tokens[at].text.isdecimal():
        return int(tokens[at].text), at + 1
    total, position, seen = 0, at, False
    if tokens[at].text == "a" and at + 1 < len(tokens) and tokens[at + 1].text in {"hundred", "thousand"}:
        group, position, seen = 1, at + 1, True
    else:
        first = below_hundred(tokens, at)
        if first is None:
            return None
        (group, position), seen = first, True
    while position < len(tokens):
        word = tokens[position].text
        if word == "hundred" and 0 < group < 100:
            group, position = group * 100, position + 1
        elif word == "thousand" and group and not total:
            total, group, position = group * 1000, 0, position + 1
        else:
            step = position + 1 if word == "and" and position + 1 < len(tokens) else position
            more = below_hundred(tokens, step)
            room = group % 100 == 0 and (group or total)
            if more is None or not room or more[0] == 0 or not _scaled(tokens, position):
                break
            group, position = group + more[0], more[1]
    return (total + group, position) if seen else None


def _scaled(tokens: Sequence[Token], position: int) -> bool:
    """Whether the word before `position` is a scale word, so that what follows adds to it."""
    return position > 0 and tokens[position - 1].text in {"hundred", "thousand"}


def ordinal(tokens: Sequence[Token], at: int) -> tuple[int, int] | None:
    """The ordinal 1-99 at token `at` ("third", "twenty first", "3rd"): (value, next token)."""
    if at >= len(tokens):
        return None
    word = tokens[at].text
    if word[:-2].isdecimal() and word[-2:] in {"st", "nd", "rd", "th"}:
        return int(word[:-2]), at + 1
    if word in ORDINALS:
        return ORDINALS[word], at + 1
    if word in TENS and at + 1 < len(tokens):
        unit = ORDINALS.get(tokens[at + 1].text, 0)
        if 1 <= unit <= 9:
            return TENS[word] + unit, at + 2
    return None
