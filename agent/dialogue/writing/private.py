"""Private data as placeholders on the way to an outside model, and put back on the way from it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from agent.records.redaction import redact

_PLACEHOLDER = re.compile(r"\[(card|email|phone|digits)\]")
_NUMBERED = re.compile(r"\[\s*([a-z]+(?:[ _-][a-z]+)*) (\d+)\s*\]", re.IGNORECASE)
_INTRODUCED = re.compile(
    r"\b(?:[Mm]y (?:full |first |last )?name(?: is|'s)|[Tt]his is|[Ii]'m called|[Cc]all me|[Nn]ame is)\s+"
    r"(?P<name>[A-Z][\w'-]+(?:\s[A-Z][\w'-]+){0,3})|我(?:的名字)?(?:叫|姓|是叫)(?P<zh>[\u4e00-\u9fff]{2,3})"
)
SHORTEST = 2
"""Characters of a value from which it is hidden; a single letter would take half the text with it."""


class Private:
    """The private values of one request. The same value has the same placeholder in all its texts.

    `known`: what is known of this caller by kind (name, address ...); further numbers and addresses are found by
    `agent.records.redaction.redact`, names also where callers introduce themselves. With `hide` False nothing is done.
    """

    def __init__(self, known: Mapping[str, str] | None = None, hide: bool = True) -> None:
        self._hide = hide
        self._kinds: dict[str, int] = {}
        self._by_value: dict[str, str] = {}
        self._by_placeholder: dict[str, str] = {}
        for kind, value in (known or {}).items():
            name = re.sub(r"[^a-z]+", "_", kind.lower()).strip("_") or "value"
            pieces = [value, *value.split()] if "name" in name else [value]
            for piece in pieces if hide else ():
                if len(piece.strip()) >= SHORTEST:
                    self._placeholder(name, piece.strip())
        self._known = sorted(self._by_value, key=len, reverse=True)

    def out(self, text: str) -> str:
        """`text` as an outside model may see it."""
        if not self._hide:
            return text
        for value in self._known:
            text = _find(value).sub(self._by_value[value], text)
        text = _INTRODUCED.sub(self._introduced, text)
        return self._redacted(text)

    def back(self, text: str) -> str | None:
        """`text` with the values again; None where it has a placeholder that stands for nothing."""
        if not self._hide:
            return text
        lost = False

        def value(match: re.Match[str]) -> str:
            nonlocal lost
            found = self._by_placeholder.get(f"[{match[1].lower()} {match[2]}]")
            lost = lost or found is None
            return found or ""

        restored = _NUMBERED.sub(value, text)
        return None if lost or _PLACEHOLDER.search(restored) else restored

    def _introduced(self, match: re.Match[str]) -> str:
        name = match["name"] or match["zh"]
        return match.group().removesuffix(name) + self._placeholder("name", name)

    def _redacted(self, text: str) -> str:
        """`redact`, with each of its placeholders numbered and its value kept."""
        hidden = redact(text)
        literals = _PLACEHOLDER.split(hidden)
        if len(literals) == 1:
            return hidden
        kinds, between = literals[1::2], literals[0::2]
        out, at = [between[0]], len(between[0])
        for n, (kind, literal) in enumerate(zip(kinds, between[1:], strict=True), 1):
            last = n == len(kinds)
            end = len(text) - len(literal) if last else text.find(literal, at + 1)
            if end <= at or not text.startswith(literal, end):
                return hidden  # it cannot be told what was hidden, so it cannot come back
            out += [self._placeholder(kind, text[at:end]), literal]
            at = end + len(literal)
        return "".join(out)

    def _placeholder(self, kind: str, value: str) -> str:
        if value not in self._by_value:
            self._kinds[kind] = number = self._kinds.get(kind, 0) + 1
            self._by_value[value] = f"[{kind} {number}]"
            self._by_placeholder[f"[{kind} {number}]"] = value
        return self._by_value[value]


def _find(value: str) -> re.Pattern[str]:
    """`value` as words of their own; one that is a single word, such as the name Will, only in its own case."""
    words = value.split()
    edges = (r"(?<!\w)", r"(?!\w)") if value.isascii() else ("", "")
    flags = re.IGNORECASE if len(words) > 1 or not value.isalpha() else 0
    return re.compile(edges[0] + r"\s+".join(re.escape(word) for word in words) + edges[1], flags)
