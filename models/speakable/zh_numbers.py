"""Numbers as Chinese words."""

from __future__ import annotations

DIGITS = "零一二三四五六七八九"
_PLACES = ("", "十", "百", "千")
_GROUPS = ("", "万", "亿", "万亿")
LARGEST = 10**16
"""Numbers from here on are read digit by digit."""


def cardinal(number: int, counted: bool = False) -> str:
    """`342` -> 三百四十二; `10050` -> 一万零五十; from 10^16 on digit by digit.

    A leading two is 两 before 百, 千, 万 and 亿, and where things are counted (两个).
    """
    if number < 0:
        return "负" + cardinal(-number, counted)
    if number >= LARGEST:
        return digits(str(number))
    if number == 2 and counted:
        return "两"
    if number < 10:
        return DIGITS[number]
    groups = []
    while number:
        number, rest = divmod(number, 10_000)
        groups.append(rest)
    out = ""
    for place in range(len(groups) - 1, -1, -1):
        group = groups[place]
        if group == 0:
            continue
        if out and group < 1000:
            out += "零"
        said = _below_ten_thousand(group, leads=not out)
        out += ("两" if said == "二" and place else said) + _GROUPS[place]
    return out.removeprefix("一") if out.startswith("一十") else out


def _below_ten_thousand(number: int, leads: bool) -> str:
    out = ""
    for place, digit in zip(range(3, -1, -1), f"{number:04d}", strict=True):
        if digit == "0":
            if out and not out.endswith("零"):
                out += "零"
        else:
            out += ("两" if digit == "2" and place >= 2 and leads and not out else DIGITS[int(digit)]) + _PLACES[place]
    return out.rstrip("零")


def decimal(text: str, counted: bool = False) -> str:
    """`3.50` -> 三点五零; commas between thousands are allowed, the whole part may be missing."""
    whole, _, fraction = text.replace(",", "").replace("，", "").partition(".")
    words = cardinal(int(whole or "0"), counted and not fraction)
    return f"{words}点{digits(fraction)}" if fraction else words


def digits(text: str) -> str:
    """`407` -> 四零七; whatever is no digit is left out."""
    return "".join(DIGITS[int(digit)] for digit in text if digit in "0123456789")


def grouped(text: str) -> str:
    """Digits one by one; more than five with pauses between groups: a mobile's 3, 4, 4; else threes, then the rest."""
    if len(text) <= 5:
        return digits(text)
    if len(text) == 11:
        groups = [text[:3], text[3:7], text[7:]]
    else:
        groups, rest = [], text
        while len(rest) > 5:
            groups.append(rest[:3])
            rest = rest[3:]
        groups.append(rest)
    return "，".join(digits(group) for group in groups)
