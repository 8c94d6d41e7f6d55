"""Where to cut a text that is spoken piece by piece."""

from __future__ import annotations

import re
from dataclasses import dataclass

from models.languages import CHINESE, written_in
from models.speakable.spoken import SpokenText, speakable


@dataclass(frozen=True, slots=True)
class Lengths:
    """Spoken characters of a piece, beyond which it is cut at a clause.

    first: of the first piece, which the caller waits for; later: of later pieces, made while the ones before play. A
    clause shorter than `shortest` is not cut off: it would sound abrupt.
    """

    first: int
    later: int
    shortest: int


ENGLISH = Lengths(first=48, later=200, shortest=24)
IN_CHINESE = Lengths(first=12, later=40, shortest=4)
"""A Chinese character takes as long to say as four letters, and its voice three times as long to make."""

_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)|\n+")
_CLAUSE = re.compile(r"[,;:](?=\s)")
_END_CHINESE = re.compile(r"[。！？；]+[\"'”’）)\]】」]*|[.!?…;]+[\"'”’)\]]*(?=\s|$)|…+|\n+")
_CLAUSE_CHINESE = re.compile(r"[，、：]|[,:](?=\s)")
_INITIAL = re.compile(r"(?:^|[\s.(])[A-Z]$")


def sentences(text: str, language: str | None = None) -> list[tuple[int, int]]:
    """Spans [start, end) of `text`, in order, each to be spoken at one go; none is blank, spaces belong to no span.

    A full stop inside a number, an address or after an abbreviation or an initial does not end a sentence. Long
    sentences are cut after a comma, semicolon or colon. language: that of the text, by its script where none is given.
    """
    chinese = (language or written_in(text)) == CHINESE
    spoken = speakable(text, language)
    lengths = IN_CHINESE if chinese else ENGLISH
    clause = _CLAUSE_CHINESE if chinese else _CLAUSE
    spans: list[tuple[int, int]] = []
    start = 0
    for end in _ends(spoken.text, _END_CHINESE if chinese else _END):
        for first, last in _clauses(spoken, start, end, lengths, clause, first=not spans):
            span = _strip(text, *spoken.original_span(first, last))
            if any(character.isalnum() for character in text[slice(*span)]):
                spans.append(span)
        start = end
    return spans


def _ends(spoken: str, pattern: re.Pattern[str]) -> list[int]:
    ends = []
    for found in pattern.finditer(spoken):
        following = spoken[found.end() :].lstrip()
        continues = following[:1].islower() and found.group()[0] in ".!?…"
        if not continues and not (found.group() == "." and _INITIAL.search(spoken[: found.start()])):
            ends.append(found.end())
    return [*ends, len(spoken)] if not ends or ends[-1] < len(spoken) else ends


def _clauses(
    spoken: SpokenText, start: int, end: int, lengths: Lengths, clause: re.Pattern[str], first: bool
) -> list[tuple[int, int]]:
    pieces = []
    longest = lengths.first if first else lengths.later
    while end - start > longest:
        marks = [
            found.end()
            for found in clause.finditer(spoken.text, start + lengths.shortest, end - lengths.shortest)
            if spoken.segment_at(found.start()).same
        ]
        if not marks:
            break
        cut = max((mark for mark in marks if mark - start <= longest), default=marks[0])
        pieces.append((start, cut))
        start, longest = cut, lengths.later
    return [*pieces, (start, end)]


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
