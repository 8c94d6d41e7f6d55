"""Numbers that are read out digit by digit: order numbers, account numbers, ZIP codes.

Options: `min_length` (default 1) and `max_length` (default 20) in digits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.contracts import Slot
from models.slots.numbers import DIGITS, below_hundred, cardinal
from models.slots.spec import SlotContext, SlotSpec
from models.slots.tokens import FILLERS, Token, corrects, negated, tokenize

_SOUNDS_LIKE = {"to": "2", "too": "2", "for": "4", "fore": "4", "won": "1", "ate": "8", "tree": "3", "free": "3"}
"""What recognizers write for a digit; believed only among other digits."""

_INSIDE = FILLERS | {
    "and",
    "then",
    "dash",
    "hyphen",
    "space",
    "minus",
    "so",
    "okay",
    "ok",
    "i",
    "think",
    "let",
    "me",
    "see",
    "/",
}
_TIMES = {"double": 2, "triple": 3, "treble": 3}
_OTHER_NUMBER = frozenset(
    {"zip", "zipcode", "postcode", "postal", "apartment", "apt", "suite", "unit", "dollars", "bucks"}
)
_SOUND_CONFIDENCE = 0.7
_UNASKED_CONFIDENCE = 0.9
_PART_CONFIDENCE = 0.8


@dataclass(frozen=True, slots=True)
class Run:
    """Digits said one after the other, from token `first` to before token `last`.

    `groups` are (digits, start, end) between pauses (punctuation or fillers); `guessed` counts digits taken from
    like-sounding words; `lead` is the digit a like-sounding word just before the run could be, with its token's start.
    """

    digits: str
    start: int
    end: int
    groups: tuple[tuple[str, int, int], ...]
    guessed: int = 0
    lead: tuple[str, int] | None = None


def _chunk(tokens: Sequence[Token], at: int) -> tuple[str, int] | None:
    """The digits one spoken number stands for: (digits, next token); cardinals with a scale word count as written."""
    word = tokens[at].text
    if word.isdecimal():
        return word, at + 1
    if word in _TIMES and at + 1 < len(tokens):
        again = tokens[at + 1].text
        digit = again if len(again) == 1 and again.isdecimal() else str(DIGITS[again]) if again in DIGITS else None
        return (digit * _TIMES[word], at + 2) if digit else None
    small = below_hundred(tokens, at)
    if small is None:
        return None
    value, following = small
    if following < len(tokens) and tokens[following].text in {"hundred", "thousand"} and value:
        whole = cardinal(tokens, at)
        if whole is not None:
            return str(whole[0]), whole[1]
    return str(value), following


def digit_runs(text: str) -> list[Run]:
    """Every run of digits in `text`, spoken or written, fillers and separators inside it ignored."""
    tokens = tokenize(text)
    runs: list[Run] = []
    at = 0
    while at < len(tokens):
        chunk = _chunk(tokens, at)
        if chunk is None:
            at += 1
            continue
        begin, guessed = at, 0
        groups = [("", tokens[at].start, tokens[at].end)]
        while chunk is not None:
            digits, start, _ = groups[-1]
            size, at = len(chunk[0]), chunk[1]
            groups[-1] = digits + chunk[0], start, tokens[at - 1].end
            look, pause, guess = at, False, ""
            while look < len(tokens) and tokens[look].text in _INSIDE:
                look, pause = look + 1, True
            if size == 1 and look + 1 < len(tokens) and tokens[look].text in _SOUNDS_LIKE:
                after = _chunk(tokens, look + 1)
                if after is not None and len(after[0]) == 1:
                    guess, look = _SOUNDS_LIKE[tokens[look].text], look + 1
            chunk = _chunk(tokens, look) if look < len(tokens) else None
            if chunk is not None:
                gap = text[tokens[at - 1].end : tokens[look].start]
                if pause or any(sign in gap for sign in ",.;…?!"):
                    groups.append(("", tokens[look].start, tokens[look].end))
                digits, start, end = groups[-1]
                groups[-1], guessed = (digits + guess, start, end), guessed + len(guess)
        lead = None
        if begin and tokens[begin - 1].text in _SOUNDS_LIKE:
            lead = (_SOUNDS_LIKE[tokens[begin - 1].text], tokens[begin - 1].start)
        whole = "".join(digits for digits, _, _ in groups)
        runs.append(Run(whole, groups[0][1], groups[-1][2], tuple(groups), guessed, lead))
    return runs


def mask_digits(text: str, placeholder: str) -> str:
    """`text` with every run of three or more digits replaced, so that a classifier sees one kind of number."""
    out, last = [], 0
    for run in digit_runs(text):
        if len(run.digits) >= 3:
            out += [text[last : run.start], placeholder]
            last = run.end
    return "".join([*out, text[last:]])


def _fitting(run: Run, low: int, high: int, expected: bool) -> list[tuple[str, int, int, float]]:
    """The numbers of `run` that fit the length: (digits, start, end, confidence)."""
    confidence = (1.0 if expected else _UNASKED_CONFIDENCE) * (_SOUND_CONFIDENCE if run.guessed else 1.0)
    if low <= len(run.digits) <= high:
        return [(run.digits, run.start, run.end, confidence)]
    if expected and run.lead and low <= len(run.digits) + 1 <= high:
        return [(run.lead[0] + run.digits, run.lead[1], run.end, _SOUND_CONFIDENCE)]
    if len(run.digits) < low:
        return []
    # A caller who starts again: the part before the pause is the beginning of the part after it.
    for cut in range(1, len(run.groups)):
        before = "".join(digits for digits, _, _ in run.groups[:cut])
        after = "".join(digits for digits, _, _ in run.groups[cut:])
        if low <= len(after) <= high and after.startswith(before):
            return [(after, run.start, run.end, confidence * _PART_CONFIDENCE)]
    # Several numbers, or a number and a count, with pauses between.
    return [
        (digits, start, end, confidence * _PART_CONFIDENCE)
        for digits, start, end in run.groups
        if low <= len(digits) <= high
    ]


def _of_another_kind(text: str, run: Run) -> bool:
    before = text[: run.start].lower().split()[-3:]
    after = text[run.end :].lower().split()[:1]
    return any(word.strip(".,:") in _OTHER_NUMBER for word in [*before, *after])


def parse(text: str, spec: SlotSpec, context: SlotContext) -> list[Slot]:
    """Numbers of the declared length, with repairs: "four two seven one eight, no sorry, one nine" is 42719.

    The repaired value comes after the one taken back. A run of another length is not returned.
    """
    low, high = spec.option("min_length", 1), spec.option("max_length", 20)
    expected = spec.name in context.expected
    found: list[Slot] = []
    previous: Run | None = None
    for run in digit_runs(text):
        fitting = _fitting(run, low, high, expected)
        repairs = previous is not None and corrects(text[previous.end : run.start])
        if not fitting and previous is not None and repairs and not negated(text, run.start):
            kept = previous.digits[: len(previous.digits) - len(run.digits)]
            if kept and low <= len(kept + run.digits) <= high:
                repaired = kept + run.digits
                found.append(
                    Slot(spec.name, repaired, text[run.start : run.end], (run.start, run.end), 0.9 if expected else 0.8)
                )
                previous = Run(repaired, run.start, run.end, ((repaired, run.start, run.end),))
                continue
        if expected or not _of_another_kind(text, run):
            found += [Slot(spec.name, digits, text[a:b], (a, b), sure) for digits, a, b, sure in fitting]
        previous = run
    return found
