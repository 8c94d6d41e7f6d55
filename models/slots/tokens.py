"""Words of a recognized text with their places, and the corrections between them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

FILLERS = frozenset({"uh", "um", "er", "erm", "ah", "hmm", "hm", "mm", "eh", "like", "well"})
"""Words that carry nothing and may stand inside any value."""

_TOKEN = re.compile(r"\d+(?:st|nd|rd|th)\b|\d+|[^\W\d_]+(?:['’][^\W\d_]+)*|[@$€£#/:_+&]", re.IGNORECASE)
_CORRECTION = re.compile(
    r"\b(?:no|nope|sorry|i mean|i meant|i'm sorry|actually|wait|make (?:that|it)|correction|scratch that|rather"
    r"|i mis\w+|that's wrong|instead)\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"\b(?:not|isn't|wasn't|aren't|weren't)(?:\s+(?:the|a|an|order|number|for|my|it's|on))*\W*$", re.I
)


@dataclass(frozen=True, slots=True)
class Token:
    """A lower-case word, number or sign at text[start:end]."""

    text: str
    start: int
    end: int


def tokenize(text: str) -> list[Token]:
    """Words, runs of digits and the signs that mean something in values."""
    return [Token(m.group().lower().replace("’", "'"), m.start(), m.end()) for m in _TOKEN.finditer(text)]


def corrects(between: str) -> bool:
    """Whether the words between two values take the first one back ("no sorry", "I mean", "make that")."""
    return len(between.split()) <= 8 and _CORRECTION.search(between) is not None


def negated(text: str, start: int) -> bool:
    """Whether the value at `start` is denied by the words just before it ("it's not ...")."""
    return _NEGATION.search(text[max(0, start - 40) : start]) is not None


def rejected(text: str, spans: Sequence[tuple[int, int]]) -> list[bool]:
    """For values of one slot in order of appearance: which of them the caller took back."""
    flags = []
    for index, (start, end) in enumerate(spans):
        taken_back = index + 1 < len(spans) and corrects(text[end : spans[index + 1][0]])
        flags.append(taken_back or negated(text, start))
    return flags
