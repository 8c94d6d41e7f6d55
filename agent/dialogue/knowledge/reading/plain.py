"""Sections of plain text: one a paragraph."""

from __future__ import annotations

from agent.dialogue.knowledge.reading.drafts import Draft, first_words, may_head, one_line


def read_plain(text: str) -> list[Draft]:
    """Drafts of the paragraphs of `text`. A short first line heads its paragraph, or alone the next one."""
    found: list[Draft] = []
    carried: tuple[str, int] | None = None
    for at, lines in _paragraphs(text):
        if len(lines) == 1 and may_head(lines[0]) and carried is None:
            carried = lines[0], at
            continue
        if carried is not None:
            heading, start = carried
        elif len(lines) > 1 and may_head(lines[0]):
            heading, start, lines = lines[0], at, lines[1:]
        else:
            heading, start = first_words(one_line(" ".join(lines))), at
        found.append(Draft(heading, one_line(" ".join(lines)), str(start)))
        carried = None
    if carried is not None:
        found.append(Draft(carried[0], carried[0] if len(carried[0].split()) > 3 else "", str(carried[1])))
    return found


def _paragraphs(text: str) -> list[tuple[int, list[str]]]:
    """(line of the first, lines) of what blank lines separate."""
    found: list[tuple[int, list[str]]] = []
    open_ = False
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            open_ = False
        elif open_:
            found[-1][1].append(line.strip())
        else:
            found.append((number, [line.strip()]))
            open_ = True
    return found
