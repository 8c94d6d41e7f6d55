"""Sentences from templates, and templates from sentences: everything about words that needs no model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from agent.dialogue.formats import FORMATS

_HOLE = re.compile(r"\{([a-z_][\w.]*)(?:\|(\w+))?\}")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')]*\s+(?=[\"'(]?[A-Z0-9])|(?<=[。！？])[”」』）]*\s*(?=\S)")
_ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Dr|St|Ave|Rd|No|vs|etc|a\.m|p\.m|[A-Z])\.$")
_WORD = re.compile(r"[a-z0-9]+")
_CJK = re.compile("[\u4e00-\u9fff]")
_SHORT_ZH = 12
"""Characters of a Chinese answer that names little beside the option."""


def holes(template: str) -> list[tuple[str, str | None]]:
    """The (path, format) of every `{path|format}` in `template`."""
    return [(match[1], match[2]) for match in _HOLE.finditer(template)]


def look_up(scope: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted `path`; None where anything on the way is missing."""
    value: Any = scope
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def render(template: str, scope: Mapping[str, Any]) -> str:
    """Fill the holes of `template` from `scope`; `scope["today"]` is a date, `scope["language"]` English unless given.

    Raises:
        ValueError: a value is missing or does not suit its format.
    """

    def fill(match: re.Match[str]) -> str:
        value = look_up(scope, match[1])
        if value is None:
            raise ValueError(f"'{{{match[1]}}}' in {template!r} has no value; ask for it or look it up first")
        return FORMATS[match[2]](value, scope["today"], scope.get("language", "en")) if match[2] else str(value)

    return _HOLE.sub(fill, template)


def resolve(argument: Any, scope: Mapping[str, Any]) -> Any:
    """An action's argument: `"{path}"` alone is the value itself (None if missing), other texts are rendered.

    Raises:
        ValueError: as `render`.
    """
    if not isinstance(argument, str):
        return argument
    match = _HOLE.fullmatch(argument)
    if match is not None and match[2] is None:
        return look_up(scope, match[1])
    return render(argument, scope) if _HOLE.search(argument) else argument


def sentences(text: str) -> list[str]:
    """Split `text` where a sentence ends; abbreviations, prices and initials do not end one."""
    found: list[str] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        piece = text[start : match.start()]
        if _ABBREVIATION.search(piece):
            continue
        found.append(piece.strip())
        start = match.end()
    found.append(text[start:].strip())
    return [piece for piece in found if piece]


def words(text: str) -> list[str]:
    """Lower-case words and numbers of `text`; apostrophes join."""
    return _WORD.findall(text.lower().replace("'", "").replace("’", ""))


def stem(word: str) -> str:
    """A crude English stem: plural and verb endings go ("shipping" and "ships" meet at "ship")."""
    for ending in ("ing", "ies", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            base = word[: -len(ending)]
            if ending == "ies":
                return base + "y"
            if ending in ("ing", "ed") and len(base) > 3 and base[-1] == base[-2] and base[-1] not in "ls":
                base = base[:-1]
            return base.rstrip("e") if len(base) > 3 else base
    return word.rstrip("e") if len(word) > 4 else word


STOP_WORDS = frozenset(
    "a an and are as at be but by can could did do does for from had has have hi hello how i id if im in is it its "
    "just me my of on or our please so than that the their them then there these they this to uh um us was we were "
    "what whats when where which who whos why will with would you your yours youre tell know about get got want need "
    "like any some".split()
)


def content(text: str) -> list[str]:
    """Stems of the words of `text` that carry meaning."""
    return [stem(word) for word in words(text) if word not in STOP_WORDS]


def choose_option(text: str, options: Sequence[str]) -> str | None:
    """The option that `text` names: most shared stems, and more than any other; "all" for everything of them.

    "all of it", "everything", "the whole order", "both" give "all". None where nothing or several fit equally.
    """
    if _CJK.search(text):
        return _choose_zh(text, options)
    said = set(words(text))
    if said & {"all", "everything", "both", "whole", "entire"}:
        return "all"
    stems = {stem(word) for word in said}
    scores = sorted(((len(stems & set(content(option))), option) for option in options), reverse=True)
    if not scores or scores[0][0] == 0 or (len(scores) > 1 and scores[0][0] == scores[1][0]):
        return None
    return scores[0][1]


def _choose_zh(text: str, options: Sequence[str]) -> str | None:
    """As `choose_option`, by pairs of characters, as Chinese has no blanks between words; a short answer that shares no
    pair ("那双靴子") by single ones.
    """
    if re.search("全部|所有|都要|都退|整个|一起", text):
        return "all"
    chosen = _nearest(_pairs(text), [(_pairs(option), option) for option in options])
    if chosen is None and len(text) <= _SHORT_ZH and not any(_pairs(text) & _pairs(option) for option in options):
        chosen = _nearest(set(_CJK.findall(text)), [(set(_CJK.findall(option)), option) for option in options])
    return chosen


def _nearest(said: set[str], options: Sequence[tuple[set[str], str]]) -> str | None:
    """The option that shares most with what was said; None where none does, or several as much."""
    scores = sorted(((len(said & pieces), option) for pieces, option in options), reverse=True)
    if not scores or scores[0][0] == 0 or (len(scores) > 1 and scores[0][0] == scores[1][0]):
        return None
    return scores[0][1]


def _pairs(text: str) -> set[str]:
    return {text[n : n + 2].lower() for n in range(len(text) - 1) if text[n : n + 2].strip() == text[n : n + 2]}
