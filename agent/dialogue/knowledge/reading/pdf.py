"""Sections of PDF: the text of its pages, under lines that look like headings."""

from __future__ import annotations

import io
import logging

from agent.dialogue.knowledge.reading.drafts import Draft, may_head, one_line

MOST_PAGES = 500
"""Pages that are read; a manual has fewer, and a file with more is better split by subject."""


def read_pdf(data: bytes, name: str, problems: list[str]) -> list[Draft]:
    """Drafts of the sections of a PDF; `name` is the file, for messages.

    The reader, pypdf, is loaded only here. What it raises on damaged files is not limited to its own errors.
    """
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    page = 0
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted:
            problems.append(f"{name}: is encrypted; save it without a password")
            return []
        if len(reader.pages) > MOST_PAGES:
            problems.append(f"{name}: has {len(reader.pages)} pages; at most {MOST_PAGES} are read: split the file")
            return []
        pages: list[list[str]] = []
        for page in range(1, len(reader.pages) + 1):
            text = reader.pages[page - 1].extract_text() or ""
            pages.append([one_line(line) for line in text.splitlines() if line.strip()])
    except Exception as error:
        where = f", page {page}" if page else ""
        problems.append(f"{name}{where}: is no PDF that can be read ({type(error).__name__}); save it again as PDF")
        return []
    if not any(pages):
        problems.append(f"{name}: holds no text; a scan must go through text recognition first")
    return [draft for number, lines in enumerate(pages, start=1) for draft in _sections(lines, number)]


def _sections(lines: list[str], page: int) -> list[Draft]:
    found: list[Draft] = []
    heading, body = "", list[str]()
    for n, line in enumerate(lines):
        ended = not body or body[-1][-1:] in ".!?。！？"
        heads = may_head(line) and line[:1] != line[:1].lower() and ended and n + 1 < len(lines)
        if heads and not (heading and not body):
            if body:
                found.append(Draft(heading, one_line(" ".join(body)), f"page {page}"))
            heading, body = line, []
        else:
            body.append(line)
    if heading or body:
        found.append(Draft(heading, one_line(" ".join(body)), f"page {page}"))
    return found
