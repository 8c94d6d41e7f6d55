"""Sections of Markdown: `## Heading`, `> other ways to ask`, and the answer."""

from __future__ import annotations

import re

from agent.dialogue.knowledge.reading.drafts import Draft, one_line

_HEADING = re.compile(r"#{2,6}\s*(.*?)\s*#*$")
_BULLET = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKS = re.compile(r"(\*\*|__|`)")


def read_markdown(text: str) -> list[Draft]:
    """Drafts of the sections in `text`; what stands before the first of them has an empty heading."""
    found: list[Draft] = []
    heading, at, body, questions = "", 1, list[str](), list[str]()

    def close() -> None:
        if heading or body:
            found.append(Draft(heading, one_line(" ".join(body)), str(at), tuple(questions)))

    for number, line in enumerate(text.splitlines(), start=1):
        match = _HEADING.match(line)
        if match is not None:
            close()
            heading, at, body, questions = match[1], number, [], []
        elif line.startswith(">"):
            questions.append(line[1:].strip())
        elif line.strip() and not line.startswith("# "):
            body.append(_plain(line))
    close()
    return found


def _plain(line: str) -> str:
    """`line` without bullets, links and emphasis, which cannot be spoken."""
    return _MARKS.sub("", _LINK.sub(r"\1", _BULLET.sub("", line))).strip()
