"""Whole sentences out of text that comes in pieces, without the marks that are for the eye."""

from __future__ import annotations

import re

LONGEST = 400
"""Characters of a sentence; one that goes on longer is no spoken sentence."""

_END = re.compile(r"[.!?]+[\"')\]”’*_]*(?=\s)|[。！？]+[」”’）]*|\n+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Z]|(?i:mr|mrs|ms|dr|st|ave|rd|no|vs|etc|e\.g|i\.e|a\.m|p\.m|approx|inc|ltd))\.$"
)
_ITEM = re.compile(r"^\s*(?:[-*•]\s+|#{1,6}\s+|\d{1,2}[.)]\s+)")
_MARKS = re.compile(r"\*\*|__|`+|(?<!\w)[*_]+|[*_]+(?!\w)|</?[a-z][^<>]{0,40}>", re.IGNORECASE)
_LINK = re.compile(r"\[([^\[\]]+)\]\([^()\s]*\)")
_SPACE = re.compile(r"\s+")


class SentenceSplitter:
    """Collects text and gives out each sentence once it is surely over."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, piece: str) -> list[str]:
        """The sentences that `piece` completes. A Latin full stop needs a space after it, since "3." may go on."""
        self._text += piece
        return self._take()

    def end(self, whole: bool = True) -> list[str]:
        """What is left; with `whole` False a sentence that nothing ends is dropped, since its answer was cut."""
        found = self._take()
        rest, self._text = plain(self._text), ""
        ended = bool(rest) and rest[-1] in ".!?。！？\"')”’"
        return [*found, rest] if rest and (whole or ended) else found

    def _take(self) -> list[str]:
        found: list[str] = []
        start = at = 0
        while (match := _END.search(self._text, at)) is not None:
            at = match.end()
            listed = re.fullmatch(r"\s*\d{1,2}\.", self._text[start:at])
            if match.group() == "." and (_ABBREVIATION.search(self._text[start:at]) or listed):
                continue
            found.append(self._text[start:at])
            start = at
        self._text = self._text[start:]
        if len(self._text) > LONGEST:
            found.append(self._text)
            self._text = ""
        return [sentence for one in found if (sentence := plain(one))]


def plain(text: str) -> str:
    """`text` without Markdown, tags and line breaks."""
    text = _MARKS.sub("", _LINK.sub(r"\1", _ITEM.sub("", text)))
    return _SPACE.sub(" ", text).strip()
