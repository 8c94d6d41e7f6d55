"""A text as it is said, with the way back to the text as it was written."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from models.languages import CHINESE, written_in
from models.speakable import rules, zh


@dataclass(frozen=True, slots=True)
class Segment:
    """spoken[spoken_start:spoken_end] says text[start:end]; `same` where the two are equal, character by character."""

    spoken_start: int
    spoken_end: int
    start: int
    end: int
    same: bool


@dataclass(frozen=True, slots=True)
class SpokenText:
    """What to say. `segments` cover `text` and the original in order, without gaps."""

    text: str
    segments: tuple[Segment, ...]

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original that text[start:end] says; a span that cuts a number takes the whole number."""
        if not self.segments:
            return 0, 0
        first, last = self.segment_at(start), self.segment_at(max(start, end - 1))
        return (
            first.start + (start - first.spoken_start if first.same else 0),
            last.start + (end - last.spoken_start) if last.same else last.end,
        )

    def segment_at(self, position: int) -> Segment:
        """The segment that holds text[position].

        Raises:
            IndexError: there is no such character.
        """
        if not 0 <= position < max(1, len(self.text)) or not self.segments:
            raise IndexError(f"position {position} is outside a text of {len(self.text)} characters")
        at = bisect_right(self.segments, position, key=lambda segment: segment.spoken_start) - 1
        while at > 0 and self.segments[at].spoken_end <= position:
            at -= 1
        return self.segments[at]


def speakable(text: str, language: str | None = None) -> SpokenText:
    """Write out whatever a voice would misread: digits, symbols, abbreviations, e-mail addresses.

    At each start of a word the first rule that fits is used, of `models.speakable.zh` for Chinese, else of
    `models.speakable.rules`; the rest stays as it is. language: that of the text, by its script where none is given.
    """
    chinese = (language or written_in(text)) == CHINESE
    starts, used = (_starts_chinese, zh.RULES) if chinese else (_starts, rules.RULES)
    out: list[str] = []
    segments: list[Segment] = []
    length = position = kept = 0

    def add(piece: str, start: int, end: int, same: bool) -> None:
        nonlocal length
        if start < end:
            segments.append(Segment(length, length + len(piece), start, end, same))
            out.append(piece)
            length += len(piece)

    while position < len(text):
        here = starts(text, position) or (chinese and position == kept)
        replaced = _apply(text, position, used) if here else None
        if replaced is None:
            position += 1
            continue
        start, end, piece = replaced
        add(text[kept:start], kept, start, True)
        add(piece, start, end, False)
        kept = position = end
    add(text[kept:], kept, len(text), True)
    return SpokenText("".join(out), tuple(segments))


def _starts(text: str, position: int) -> bool:
    here = text[position]
    if here.isspace():
        return text[position + 1 : position + 2] in set("—–-")
    return not (position and here.isalnum() and text[position - 1].isalnum())


def _starts_chinese(text: str, position: int) -> bool:
    """Any place but inside a Latin word or a figure; Chinese puts no space before either."""
    here = text[position]
    return not here.isspace() and not (position and _latin(here) and _latin(text[position - 1]))


def _latin(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _apply(text: str, position: int, used: Sequence[rules.Rule]) -> tuple[int, int, str] | None:
    for pattern, say in used:
        found = pattern.match(text, position)
        if found is None or found.end() == position:
            continue
        spoken = say(found)
        if spoken is not None:
            start = found.end("keep") if found.groupdict().get("keep") else position
            return start, found.end(), spoken
    return None
