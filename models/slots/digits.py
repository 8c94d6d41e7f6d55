"""Numbers that are read out digit by digit: order numbers, account numbers, ZIP codes.

Options: `min_length` (default 1) and `max_length` (default 20) in digits.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models.contracts import Slot
from models.slots.numbers import DIGITS, below_hundred, cardinal
from models.slots.spec import SlotContext, SlotSpec
from models.slots.tokens import FILLERS, Token, corrects, negated, tokenize

_SOUNDS_LIKE = {"to": "2", "too": "2", "for": "4", "fore": "4", "won": "1", "ate": "8", "tree": "3", "free": "3"}
"""What recognizers write for a digit; believed only among other digits, or where a number is short of some."""
_MOST_GUESSED = 2
"""Like-sounding words in a row that are taken for digits."""
_LEADS_IN = FILLERS | frozenset(
    "it its it's is was that's number order the my yes yeah yep sure okay ok so no sorry oh please".split()
)
"""What comes before a number that was asked for; after other words "for" and "to" are what they seem."""
_GOES_ON = FILLERS | frozenset(
    "please thanks thank i and is it that's yes yeah okay ok can could from which but then sorry no".split()
)
"""What comes after a number; after "for 2719" other words are what is counted."""
_NAMES_A_NUMBER = re.compile(r"(?:(?<!an )(?<!a )\border|\bnumber|#)\W*$", re.IGNORECASE)

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
_REPEATED_CONFIDENCE = 0.5


@dataclass(frozen=True, slots=True)
class Run:
    """Digits said one after the other, from token `first` to before token `last`.

    `groups` are (digits, start, end) between pauses (punctuation or fillers); `guessed` counts digits taken from
    like-sounding words. `leads` and `tails` are the digits that like-sounding words just before and after the run could
    be, the nearest first, each with the start of its word before the run and the end of it after the run.
    """

    digits: str
    start: int
    end: int
    groups: tuple[tuple[str, int, int], ...]
    guessed: int = 0
    leads: tuple[tuple[str, int], ...] = ()
    tails: tuple[tuple[str, int], ...] = ()


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


def digit_runs(text: str, guess_inside: bool = True) -> list[Run]:
    """Every run of digits in `text`, spoken or written, fillers and separators inside it ignored.

    guess_inside: a like-sounding word between two single digits is one, too.
    """
    tokens = tokenize(text)
    runs: list[Run] = []
    at = 0
    while at < len(tokens):
        chunk = _chunk(tokens, at)
        if chunk is None or _exclaimed(text, tokens, at):
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
            if guess_inside and size == 1 and look + 1 < len(tokens) and tokens[look].text in _SOUNDS_LIKE:
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
        whole = "".join(digits for digits, _, _ in groups)
        leads = [(_SOUNDS_LIKE[token.text], token.start) for token in _alike(reversed(tokens[:begin]))]
        tails = [(_SOUNDS_LIKE[token.text], token.end) for token in _alike(tokens[at:])]
        runs.append(Run(whole, groups[0][1], groups[-1][2], tuple(groups), guessed, tuple(leads), tuple(tails)))
    return runs


def _alike(tokens: Iterable[Token]) -> list[Token]:
    """The like-sounding words that `tokens` begin with."""
    return list(itertools.islice(itertools.takewhile(lambda token: token.text in _SOUNDS_LIKE, tokens), _MOST_GUESSED))


def _exclaimed(text: str, tokens: Sequence[Token], at: int) -> bool:
    """Whether token `at` is the "oh" of "Oh, 42719": set off, and not among digits set off one by one."""
    if tokens[at].text not in {"oh", "o"} or at + 1 == len(tokens):
        return False
    after = _chunk(tokens, at + 1)
    return any(sign in text[tokens[at].end : tokens[at + 1].start] for sign in ",.!") and (
        after is None or len(after[0]) > 1
    )


def mask_digits(text: str, placeholder: str) -> str:
    """`text` with every run of three or more digits replaced, so that a classifier sees one kind of number."""
    out, last = [], 0
    for run in digit_runs(text):
        if len(run.digits) >= 3:
            out += [text[last : run.start], placeholder]
            last = run.end
    return "".join([*out, text[last:]])


def _fitting(text: str, run: Run, low: int, high: int, expected: bool) -> list[tuple[str, int, int, float]]:
    """The numbers of `run` that fit the length: (digits, start, end, confidence)."""
    confidence = (1.0 if expected else _UNASKED_CONFIDENCE) * (_SOUND_CONFIDENCE if run.guessed else 1.0)
    if low <= len(run.digits) <= high:
        return [(run.digits, run.start, run.end, confidence)]
    if len(run.digits) < low:
        return _completed(text, run, low, expected)
    # A caller who starts again: the part before the pause is the beginning of the part after it.
    for cut in range(1, len(run.groups)):
        before = "".join(digits for digits, _, _ in run.groups[:cut])
        after = "".join(digits for digits, _, _ in run.groups[cut:])
        if low <= len(after) <= high and after.startswith(before):
            return [(after, run.start, run.end, confidence * _PART_CONFIDENCE)]
    # Several numbers, or a number and a count, with pauses between.
    several = [
        (digits, start, end, confidence * _PART_CONFIDENCE)
        for digits, start, end in run.groups
        if low <= len(digits) <= high
    ]
    sure = expected and not several and not run.guessed and _stands_alone(text, run.start, run.end, expected)
    once = _said_once(run, high) if sure else None
    return [(once, run.start, run.end, _REPEATED_CONFIDENCE)] if once else several


def _unguessed(text: str, run: Run, low: int, high: int, expected: bool) -> list[Run]:
    """`run`, or what it is without its guesses where they make it too long ("4 2 7 1 9 for 2 people")."""
    if not run.guessed or len(run.digits) < low or _fitting(text, run, low, high, expected):
        return [run]
    return [part for part in digit_runs(text, guess_inside=False) if run.start <= part.start and part.end <= run.end]


def _said_once(run: Run, high: int) -> str | None:
    """The longest number a slot holds, of a run that says some of it twice in a row; None where that is ambiguous.

    After a pause the caller takes up the last digits again ("427, 719"), or one digit is doubled ("4 2 7 7 1 9").
    """
    extra = len(run.digits) - high
    found = set()
    for cut in range(1, len(run.groups)):
        before = "".join(digits for digits, _, _ in run.groups[:cut])
        after = "".join(digits for digits, _, _ in run.groups[cut:])
        if before[-extra:] == after[:extra] and extra <= min(len(before), len(after), 3):
            found.add(before + after[extra:])
    if not found and extra == 1:
        found = {run.digits[:at] + run.digits[at + 1 :] for at in range(high) if run.digits[at] == run.digits[at + 1]}
    return found.pop() if len(found) == 1 else None


def _completed(text: str, run: Run, low: int, expected: bool) -> list[tuple[str, int, int, float]]:
    """`run`, too short, with like-sounding words around it as its missing digits; empty where they do not fit."""
    missing = low - len(run.digits)
    confidence = _SOUND_CONFIDENCE * (1.0 if expected else _UNASKED_CONFIDENCE)
    for after in range(min(missing, len(run.tails)) + 1):
        before = missing - after
        if before > len(run.leads) or missing + run.guessed >= len(run.digits):
            continue
        start = run.leads[before - 1][1] if before else run.start
        end = run.tails[after - 1][1] if after else run.end
        if not expected and text[run.end : end].strip(" ,").lower() in {"to", "for"}:
            continue
        if _stands_alone(text, start, end, expected):
            digits = "".join(
                [*(digit for digit, _ in run.leads[:before][::-1]), run.digits, *(d for d, _ in run.tails[:after])]
            )
            return [(digits, start, end, confidence)]
    return []


def _stands_alone(text: str, start: int, end: int, expected: bool) -> bool:
    """Whether text[start:end], partly guessed, is a number by what is said around it."""
    before, after = text[:start].rstrip(), text[end:].lstrip()
    if not expected and not _NAMES_A_NUMBER.search(before):
        return False
    last, following = tokenize(before), tokenize(after)
    begins = not last or before[-1] in ",.;:…?!#" or last[-1].text in _LEADS_IN
    ends = not following or after[0] in ",.;:…?!" or following[0].text in _GOES_ON
    return begins and ends


def _joined(text: str, runs: Sequence[Run], low: int, high: int, expected: bool) -> list[Run]:
    """`runs`, two of them one number where only the like-sounding word between them keeps it short ("4 to 720")."""
    out: list[Run] = []
    for run in runs:
        if out:
            before = out[-1]
            between = tokenize(text[before.end : run.start])
            guess = "".join(_SOUNDS_LIKE.get(token.text, "") for token in between)
            whole = before.digits + guess + run.digits
            if (
                0 < len(guess) == len(between) <= _MOST_GUESSED
                and max(len(before.digits), len(run.digits)) < low <= len(whole) <= high
                and _stands_alone(text, before.start, run.end, expected)
            ):
                groups = ((whole, before.start, run.end),)
                guessed = before.guessed + len(guess) + run.guessed
                out[-1] = Run(whole, before.start, run.end, groups, guessed, before.leads, run.tails)
                continue
        out.append(run)
    return out


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
    runs = [part for run in digit_runs(text) for part in _unguessed(text, run, low, high, expected)]
    for run in _joined(text, runs, low, high, expected):
        fitting = _fitting(text, run, low, high, expected)
        if not expected and text[run.start : run.end].lower() in {"o", "oh"}:
            continue
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
