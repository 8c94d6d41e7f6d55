"""Whether a question that a model asks for want of something may be put to a caller. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agent.dialogue.writing.contracts import ActionTool, Reason
from agent.dialogue.writing.terms import content_stems, matched, names
from agent.dialogue.writing.values import values

LONGEST = 200
"""Characters; more is not kept in mind."""
NEW = 1
"""Content words that may be the model's own, beside those that any question may use."""

_WORD = re.compile(r"[^\W_]+")
_MARK = re.compile(r"[?？]")
_ASKING = (
    "mean sure help rather which tell give say name number date day time kind like want would please need looking "
    "check long many much".split()
)


def is_question(text: str) -> bool:
    """Whether `text` ends as a question."""
    return text.rstrip()[-1:] in ("?", "？")


def may_ask(question: str, known: Sequence[str]) -> Reason | None:
    """Why `question` may not be asked; None where it asks, in at most `LONGEST` characters, only about what is `known`:
    the goal, the actions, what was said and what actions gave.
    """
    if len(question) > LONGEST:
        return "too_long"
    if len(_MARK.findall(question)) != 1 or not is_question(question):
        return "question"
    there = [value for text in known for value in values(text)]
    if not all(any(value.supported_by(one) for one in there) for value in values(question)):
        return "value"
    words = {word.lower() for text in known for word in _WORD.findall(text)}
    if not all(word.lower() in words for name in names(question) for word in _WORD.findall(name)):
        return "name"
    allowed = {one for text in (*known, *_ASKING) for one in content_stems(text)}
    new = [one for one in content_stems(question) if not matched(one, allowed)]
    return "unsupported" if len(new) > NEW else None


def about(tools: Sequence[ActionTool]) -> list[str]:
    """What the actions are about, as texts: their names, descriptions and arguments."""
    found: list[str] = []
    for tool in tools:
        arguments = tool.parameters.get("properties", {})
        found += [tool.name.replace("_", " "), tool.description, *(name.replace("_", " ") for name in arguments)]
        found += [
            str(one["description"]) for one in arguments.values() if isinstance(one, dict) and "description" in one
        ]
    return found
