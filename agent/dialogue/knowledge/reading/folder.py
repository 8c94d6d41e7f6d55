"""The sections of all files of a domain's knowledge folder."""

from __future__ import annotations

import re
from pathlib import Path

from agent.dialogue.domain import Fact


def read_sections(folder: Path, problems: list[str]) -> list[Fact]:
    """Sections `## Heading` of each file; lines that begin with `>` are other ways to ask."""
    found: list[Fact] = []
    for path in sorted(folder.glob("*.md")):
        heading, at, body, questions = "", 0, list[str](), list[str]()
        for number, line in enumerate([*path.read_text(encoding="utf-8").splitlines(), "## "], start=1):
            if line.startswith("## "):
                text = " ".join(body)
                if heading and not text:
                    problems.append(f"{path}:{at}: section '{heading}' says nothing; write the answer under it")
                elif heading:
                    slug = re.sub(r"\W+", "-", heading.lower()).strip("-")
                    found.append(Fact(f"{path.name}#{slug}", heading, text, tuple(questions)))
                heading, at, body, questions = line[3:].strip(), number, [], []
            elif line.startswith(">"):
                questions.append(line[1:].strip())
            elif heading and line.strip():
                body.append(line.strip())
    return found
