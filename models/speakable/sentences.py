"""Where to cut a text that is spoken piece by piece."""

from __future__ import annotations

import re

from models.speakable.spoken import SpokenText, speakable

FIRST = 48
"""Spoken characters of the first piece, beyond which it is cut at a clause: what the caller waits for."""
LATER = 200
"""Spoken characters of later pieces; they are made while the ones before play."""
SHORTEST = 24
"""A clause shorter than this is not cut off: it would sound abrupt."""

_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)|\n+")
_CLAUSE = re.compile(r"[,;:](?=\s)")
_INITIAL = re.compile(r"(?:^|[\s.(])[A-Z]$")


def sentences(text: str) -> list[tuple[int, int]]:
    """Spans [start, end) of `text`, in order, each to be spoken at one go; none is blank, spaces belong to no span.

    A full stop inside a number, an address or after an abbreviation or an initial does not end a sentence. Long
    sentences are cut after a comma, semicolon or colon.
    """
    spoken = speakable(text)
    spans: list[tuple[int, int]] = []
    start = 0
    for end in _ends(spoken.text):
        for first, last in _clauses(spoken, start, end, FIRST if not spans else LATER):
            span = _strip(text, *spoken.original_span(first, last))
            if any(character.isalnum() for character in text[slice(*span)]):
                spans.append(span)
        start = end
    return spans


def _ends(spoken: str) -> list[int]:
    ends = []
    for found in _END.finditer(spoken):
        following = spoken[found.end() :].lstrip()
        continues = following[:1].islower() and not found.group().startswith("\n")
        if not continues and not (found.group() == "." and _INITIAL.search(spoken[: found.start()])):
            ends.append(found.end())
    return [*ends, len(spoken)] if not ends or ends[-1] < len(spoken) else ends


def _clauses(spoken: SpokenText, start: int, end: int, longest: int) -> list[tuple[int, int]]:
    pieces = []
    while end - start > longest:
        marks = [
            found.end()
            for found in _CLAUSE.finditer(spoken.text, start + SHORTEST, end - SHORTEST)
            if spoken.segment_at(found.start()).same
        ]
        if not marks:
            break
        cut = max((mark for mark in marks if mark - start <= longest), default=marks[0])
        pieces.append((start, cut))
        start, longest = cut, LATER
    return [*pieces, (start, end)]


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
