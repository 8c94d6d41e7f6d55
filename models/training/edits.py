"""Edits of a text that keep its slot values in place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

from models.training.examples import Span

_WORD = re.compile(
    r"(?:(?<![^\s\"“(\[])[A-Za-z0-9À-ɏ]+(?:['’][A-Za-zÀ-ɏ]+)*)(?=[.,!?;:…)\]\"”]*(?:\s|$))",
)


@dataclass(frozen=True, slots=True)
class Edit:
    """Write `text` for characters [start, end); an insertion where they are equal.

    within: it may stand inside a slot value, since it changes how the value is written and not which it is.
    """

    start: int
    end: int
    text: str
    within: bool = False


Finder = Callable[[str, Random, Sequence[Span]], list[Edit]]
"""Chooses edits of a text by chance; the spans are its slot values."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a script with spaces, at text[start:end]; free where it is in no slot value."""

    text: str
    start: int
    end: int
    free: bool

    @property
    def lower(self) -> str:
        """Lower case, with a straight apostrophe."""
        return self.text.lower().replace("’", "'")


def words(text: str, spans: Sequence[Span] = ()) -> list[Word]:
    """The words of `text` in Latin letters and digits, with their apostrophes; not those inside addresses and codes."""
    return [
        Word(found.group(), found.start(), found.end(), free(found.start(), found.end(), spans))
        for found in _WORD.finditer(text)
    ]


def free(start: int, end: int, spans: Iterable[Span]) -> bool:
    """Whether no slot value has a character of [start, end)."""
    return not any(start < span.end and span.start < end for span in spans)


def like(written: str, replacement: str) -> str:
    """`replacement` with a capital first where `written` has one and more letters than that are small."""
    if written[:1].isupper() and not (len(written) > 1 and written.isupper()):
        return replacement[:1].upper() + replacement[1:]
    return replacement


def edited(text: str, edits: Iterable[Edit], spans: Sequence[Span] = ()) -> tuple[str, tuple[Span, ...]]:
    """`text` after `edits`, and `spans` moved with their values.

    Of edits that overlap the first is made. An edit that touches a slot value is made only if it is `within` and all
    of it is inside that value. Where nothing but blanks would be left, nothing is done.
    """
    made: list[Edit] = []
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        if (not made or edit.start >= made[-1].end) and _allowed(edit, spans):
            made.append(edit)
    pieces: list[str] = []
    at = 0
    for edit in made:
        pieces += [text[at : edit.start], edit.text]
        at = edit.end
    pieces.append(text[at:])
    out = "".join(pieces)
    moved = tuple(Span(_moved_start(span, made), _moved_end(span, made), span.name) for span in spans)
    if not out.strip():
        return text, tuple(spans)
    return out, moved


def _allowed(edit: Edit, spans: Sequence[Span]) -> bool:
    for span in spans:
        if edit.end <= span.start or span.end <= edit.start:
            continue
        if not (edit.within and span.start <= edit.start and edit.end <= span.end):
            return False
    return True


def _moved_start(span: Span, made: Sequence[Edit]) -> int:
    before = (edit for edit in made if edit.end <= span.start)
    return span.start + sum(len(edit.text) - (edit.end - edit.start) for edit in before)


def _moved_end(span: Span, made: Sequence[Edit]) -> int:
    before = (edit for edit in made if edit.end <= span.end and (edit.start < span.end or edit.end <= span.start))
    return span.end + sum(len(edit.text) - (edit.end - edit.start) for edit in before)
