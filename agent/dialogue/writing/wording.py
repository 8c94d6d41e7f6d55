"""Whether other words say the same as a template, and whether a question names only what it may."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from agent.dialogue.writing.contracts import Reason
from agent.dialogue.writing.terms import content_stems, denies, matched, names
from agent.dialogue.writing.values import Value, values

LONGER = 1.5
SPARE = 40
"""A rewording may have 1.5 times the characters of the template, and 40 more for a short one."""
KEPT = 0.5
"""Least share of the template's content words that a rewording keeps."""
NEW = 0.4
"""Largest share of content words of a rewording that the template does not have."""
ALIKE = 0.6
"""Least cosine between a template and its rewording."""
LONGEST_QUESTION = 200

_WORD = re.compile(r"[^\W_]+")
_MARK = re.compile(r"[?？]")
_ASKING = (
    "mean sure help rather which tell calling about question did would like want looking check confirm please".split()
)


def reworded(template: str, wording: str, avoid: Sequence[str] = ()) -> Reason | None:
    """Why `wording` may not stand for `template`; None where it may."""
    if not wording.strip():
        return "empty"
    if len(wording) > LONGER * len(template) + SPARE:
        return "too_long"
    if _keys(template) != _keys(wording):
        return "value"
    if not _names_kept(template, wording):
        return "name"
    asked = [len(_MARK.findall(text)) for text in (template, wording)]
    ends = [text.rstrip()[-1:] in "?？" for text in (template, wording)]
    if asked[0] != asked[1] or ends[0] != ends[1]:
        return "question"
    if denies(template) != denies(wording):
        return "negation"
    said = _flat(wording)
    if any(_flat(one) in said for one in avoid if one.strip()):
        return "repeated"
    old, new = set(content_stems(template)), set(content_stems(wording))
    kept = sum(matched(one, new) for one in old) / len(old) if old else 1.0
    added = sum(not matched(one, old) for one in new) / len(new) if new else 0.0
    return "unsupported" if kept < KEPT or added > NEW else None


def asks_only(question: str, options: Sequence[str]) -> Reason | None:
    """Why `question` may not be asked; None where it is one question that names every option and nothing else."""
    if len(question) > LONGEST_QUESTION:
        return "too_long"
    if len(_MARK.findall(question)) != 1 or question.rstrip()[-1:] not in "?？":
        return "question"
    allowed = {one for option in options for one in content_stems(option)}
    said = set(content_stems(question))
    for option in options:
        if not all(matched(one, said) for one in content_stems(option)):
            return "options"
    asking = {one for word in _ASKING for one in content_stems(word)}
    if not all(matched(one, allowed | asking) for one in said):
        return "options"
    known = [value for option in options for value in values(option)]
    if not all(any(value.supported_by(other) for other in known) for value in values(question)):
        return "value"
    words = {word.lower() for option in options for word in _WORD.findall(option)}
    return None if all(word in words for name in names(question) for word in _WORD.findall(name)) else "name"


def _keys(text: str) -> Counter[tuple[str, str, str, str]]:
    return Counter(_key(value) for value in values(text) if value.kind != "word" or value.text in _FIRM)


_FIRM = frozenset({"half", "double", "triple", "dozen", "free", "tomorrow", "today", "yesterday"})


def _key(value: Value) -> tuple[str, str, str, str]:
    return value.kind, value.text, value.unit, value.rate


def _names_kept(template: str, wording: str) -> bool:
    old = {word.lower() for word in _WORD.findall(template)}
    new = {word.lower() for word in _WORD.findall(wording)}
    kept = all(word in new for name in names(template) for word in _WORD.findall(name))
    return kept and all(word in old for name in names(wording) for word in _WORD.findall(name))


def _flat(text: str) -> str:
    return " ".join(_WORD.findall(text.lower()))
