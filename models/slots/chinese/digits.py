"""Numbers read out digit by digit in Chinese: order numbers, account numbers, codes.

Options: `min_length` (default 1) and `max_length` (default 20) in digits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from models.contracts import Slot
from models.slots.chinese.numbers import DIGITS, MYRIADS, PLACES, plain, read
from models.slots.chinese.words import FILLER
from models.slots.spec import SlotContext, SlotSpec

_ONE = "".join(re.escape(character) for character in DIGITS)
_PLACED = "".join([*PLACES, *MYRIADS])
_DIGIT = f"[{_ONE}]"
_REPEATED = rf"[两二三四]个(?=[{_ONE}])"
"""两个八 is 88, 三个零 is 000."""
_PIECE = rf"(?:{_REPEATED}{_DIGIT}|(?:(?!{_REPEATED})[{_ONE}{_PLACED}])+)"
_GAP = rf"(?:[\s,，、.。…\-—–/]|杠|横杠|{FILLER})*"
_RUN = re.compile(rf"{_PIECE}(?:{_GAP}{_PIECE})*")
_PART = re.compile(_PIECE)
_TIMES = {"两": 2, "二": 2, "三": 3, "四": 4}
_PAUSE = re.compile(rf"[,，、.。…]|{FILLER}")

_IDIOM = re.compile(
    r"一(?:下|个|点|起|定|样|直|些|般|共|次|会|边|方面|旦|切|致|律|时|件|位|部|种|双|张|把|条|台|份|家|半|只|周|天|年|月|号)"
    r"|十分|千万|万一|百分|五金|三方|双十一|四周|九折|[一二三四五六七八九十两]+(?:点|号|月|天|年|周|块|元|分|折|件|个|次|位|岁|楼|层|栋|室)"
)
"""Where a character that could be a digit is part of a word, or counts something."""
_DAY_OR_WEEKDAY = re.compile(r"(?:周|星期|礼拜|第|统|唯|同|单|万|这|那|另|哪|每)$")
_UNASKED = 0.9
_PART_CONFIDENCE = 0.8
_REPEATED_CONFIDENCE = 0.5


@dataclass(frozen=True, slots=True)
class Run:
    """Digits said one after the other at text[start:end]; groups are (digits, start, end) between pauses."""

    digits: str
    start: int
    end: int
    groups: tuple[tuple[str, int, int], ...]


def digit_runs(text: str) -> list[Run]:
    """Every run of digits in `text`, spoken or written, fillers and separators inside it ignored.

    A single character that belongs to a word (一下, 周三) or counts something (三天) is no run.
    """
    ready = plain(text)
    runs = []
    for match in _RUN.finditer(ready):
        groups: list[tuple[str, int, int]] = []
        last = match.start()
        for piece in _PART.finditer(ready, match.start(), match.end()):
            digits = _digits(piece.group())
            if digits is None:
                continue
            pause = groups and _PAUSE.search(ready[last : piece.start()])
            if groups and not pause:
                before, start, _ = groups[-1]
                groups[-1] = before + digits, start, piece.end()
            else:
                groups.append((digits, piece.start(), piece.end()))
            last = piece.end()
        groups = [group for group in groups if not _in_a_word(ready, *group)]
        if groups:
            runs.append(Run("".join(d for d, _, _ in groups), groups[0][1], groups[-1][2], tuple(groups)))
    return runs


def _digits(piece: str) -> str | None:
    """The digits that a piece stands for; quantities as they are written: 四万二 is 42000."""
    if len(piece) == 3 and piece[1] == "个":
        return str(DIGITS[piece[2]]) * _TIMES[piece[0]]
    if all(character in DIGITS for character in piece):
        return "".join(str(DIGITS[character]) for character in piece)
    number = read(piece)
    return None if number is None or number.value.denominator != 1 else str(int(number.value))


def _in_a_word(text: str, digits: str, start: int, end: int) -> bool:
    if text[start].isascii() or end - start > 2:
        return False
    return (
        _IDIOM.match(text, start) is not None
        or _IDIOM.match(text, end - 1) is not None
        or _DAY_OR_WEEKDAY.search(text[:start]) is not None
    )


def mask_digits(text: str, placeholder: str) -> str:
    """`text` with every run of three or more digits replaced, so that a classifier sees one kind of number."""
    out, last = [], 0
    for run in digit_runs(text):
        if len(run.digits) >= 3:
            out += [text[last : run.start], f" {placeholder} "]
            last = run.end
    return "".join([*out, text[last:]])


def parse(text: str, spec: SlotSpec, context: SlotContext) -> list[Slot]:
    """Numbers of a length that the slot allows."""
    low, high = spec.option("min_length", 1), spec.option("max_length", 20)
    expected = spec.name in context.expected
    found = []
    for run in digit_runs(text):
        for digits, start, end, confidence in _fitting(run, low, high, expected):
            if len(digits) == 1 and not expected:
                continue
            found.append(Slot(spec.name, digits, text[start:end], (start, end), confidence))
    return found


def _fitting(run: Run, low: int, high: int, expected: bool) -> list[tuple[str, int, int, float]]:
    """The numbers of `run` that fit the length: (digits, start, end, confidence)."""
    confidence = 1.0 if expected else _UNASKED
    if low <= len(run.digits) <= high:
        return [(run.digits, run.start, run.end, confidence)]
    if len(run.digits) < low:
        return []
    # A caller who starts again: the part before the pause is the beginning of the part after it.
    for cut in range(1, len(run.groups)):
        before = "".join(digits for digits, _, _ in run.groups[:cut])
        after = "".join(digits for digits, _, _ in run.groups[cut:])
        if low <= len(after) <= high and after.startswith(before):
            return [(after, run.start, run.end, confidence * _PART_CONFIDENCE)]
    several = [
        (digits, start, end, confidence * _PART_CONFIDENCE)
        for digits, start, end in run.groups
        if low <= len(digits) <= high
    ]
    if several or not expected or len(run.digits) != high + 1:
        return several
    # One digit said twice in a row.
    once = {run.digits[:at] + run.digits[at + 1 :] for at in range(high) if run.digits[at] == run.digits[at + 1]}
    return [(once.pop(), run.start, run.end, _REPEATED_CONFIDENCE)] if len(once) == 1 else []
