"""Slot values marked inside a text, as Rasa's training files write them: `two [large tents](product)`."""

from __future__ import annotations

import re

from models.training.examples import DataError, Span

_MARK = re.compile(r"\[(?P<value>[^\[\]]*)\]\((?P<name>[^()]*)\)")
_NAME = re.compile(r"[^\W\d][\w.-]*")


def unmark(text: str) -> tuple[str, tuple[Span, ...]]:
    """`text` without its marks, and the spans that they stood for, into the plain text.

    `[value](name)` is a mark, and so is `[value](name:synonym)`, whose synonym is not kept. Brackets alone are text.

    Raises:
        DataError: a mark has no value, or a name that is none; its problem has no `file:line` yet.
    """
    pieces: list[str] = []
    spans: list[Span] = []
    problems: list[str] = []
    length = last = 0
    for found in _MARK.finditer(text):
        value, name = found["value"], found["name"].partition(":")[0].strip()
        if not value.strip():
            problems.append(f"mark {found.group()!r} holds no value; write the words of the value in the brackets")
        elif not _NAME.fullmatch(name):
            problems.append(f"mark {found.group()!r} names no slot; write [value](slot_name)")
        before = text[last : found.start()]
        start = length + len(before)
        length = start + len(value)
        pieces += [before, value]
        spans.append(Span(start, length, name))
        last = found.end()
    if problems:
        raise DataError(problems)
    return "".join([*pieces, text[last:]]), tuple(spans)
