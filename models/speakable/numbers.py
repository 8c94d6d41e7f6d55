"""Numbers as English words."""

from __future__ import annotations

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
_SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"))
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
LARGEST = 10**15
"""Numbers from here on are read digit by digit."""


def cardinal(number: int) -> str:
    """`342` -> "three hundred forty-two"; below zero "minus ..."; from 10^15 on digit by digit."""
    if number < 0:
        return f"minus {cardinal(-number)}"
    if number >= LARGEST:
        return digits(str(number))
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] + (f"-{_ONES[ones]}" if ones else "")
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        return f"{_ONES[hundreds]} hundred" + (f" {cardinal(rest)}" if rest else "")
    size, name = next(scale for scale in _SCALES if number >= scale[0])
    count, rest = divmod(number, size)
    return f"{cardinal(count)} {name}" + (f" {cardinal(rest)}" if rest else "")


def ordinal(number: int) -> str:
    """`23` -> "twenty-third"."""
    words = cardinal(number)
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    head, last = words[:cut], words[cut:]
    if last in _ORDINALS:
        return head + _ORDINALS[last]
    return head + (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")


def year(number: int) -> str:
    """`1998` -> "nineteen ninety-eight", `2005` -> "two thousand five", `2026` -> "twenty twenty-six"."""
    hundreds, rest = divmod(number, 100)
    if number % 1000 < 10 or not 1000 <= number <= 9999:
        return cardinal(number)
    if rest == 0:
        return f"{cardinal(hundreds)} hundred"
    return f"{cardinal(hundreds)} {f'oh {_ONES[rest]}' if rest < 10 else cardinal(rest)}"


def decimal(text: str) -> str:
    """`3.50` -> "three point five zero"; commas between thousands are allowed, the whole part may be missing."""
    whole, _, fraction = text.replace(",", "").partition(".")
    words = cardinal(int(whole or "0"))
    return f"{words} point {digits(fraction)}" if fraction else words


def digits(text: str) -> str:
    """`407` -> "four zero seven"; whatever is no digit is left out."""
    return " ".join(_ONES[int(digit)] for digit in text if digit in "0123456789")


def grouped(text: str) -> str:
    """Digits one by one; more than four in groups of two to four with a pause after each: `42719` -> 427, 19."""
    if len(text) <= 4:
        return digits(text)
    groups = []
    rest = text
    while len(rest) > 4:
        groups.append(rest[:3])
        rest = rest[3:]
    return ", ".join(digits(group) for group in [*groups, rest])
