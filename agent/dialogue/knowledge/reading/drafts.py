"""What the readers of single formats give: drafts of sections, and what they share."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_HEADING = 80
"""Characters of a line that may still be a heading."""

_END = re.compile(r"[.!。！;；:,，、]$")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Draft:
    """A section as a file has it. place: its line or page ("12", "page 3"). An empty text is refused later."""

    heading: str
    text: str
    place: str
    questions: tuple[str, ...] = ()


def one_line(text: str) -> str:
    """`text` with all white space as single spaces."""
    return _SPACE.sub(" ", text).strip()


def may_head(line: str) -> bool:
    """Whether a line looks like a heading: short, and not the end of a sentence, save a question."""
    return 0 < len(line) <= MOST_HEADING and _END.search(line) is None


def first_words(text: str) -> str:
    """The beginning of `text`, up to its first sentence's end, as a heading."""
    sentence = re.split(r"(?<=[.!?。！？])\s*", text, maxsplit=1)[0]
    if len(sentence) <= MOST_HEADING:
        return sentence
    return sentence[:MOST_HEADING].rsplit(" ", 1)[0]
