"""The sections of all files of a domain's knowledge folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from agent.dialogue.domain import Fact
from agent.dialogue.knowledge.reading.drafts import Draft, first_words
from agent.dialogue.knowledge.reading.markdown import read_markdown
from agent.dialogue.knowledge.reading.pages import read_html
from agent.dialogue.knowledge.reading.pdf import read_pdf
from agent.dialogue.knowledge.reading.plain import read_plain
from agent.dialogue.knowledge.reading.table import read_table
from agent.dialogue.knowledge.terms import pieces
from agent.dialogue.text import sentences

MOST_BYTES = 10_000_000
"""Size of a file; ten million characters are some 3,000 pages, more than one subject needs."""
MOST_SECTIONS = 20_000
"""Sections of a domain: four times what searching is measured for."""
MOST_WORDS = 90
"""Words (or Chinese characters, two a word) of a section: some 35 s of speech; longer ones are split."""
SUFFIXES = (".md", ".txt", ".html", ".htm", ".csv", ".pdf")

_CHINESE_END = re.compile(r"(?<=[。！？])")


def read_sections(folder: Path, problems: list[str]) -> list[Fact]:
    """The sections of every file in `folder`, in the order of the file names.

    What is wrong is appended to `problems`, as `file:line: what; remedy`.
    """
    found: list[Fact] = []
    for path in sorted(folder.glob("*")):
        if path.name.startswith(".") or not path.is_file():
            continue
        found += read_file(path, problems)
        if len(found) > MOST_SECTIONS:
            problems.append(f"{path}: makes more than {MOST_SECTIONS} sections; leave some files out")
            return found
    return found


def read_file(path: Path, problems: list[str]) -> list[Fact]:
    """The sections of one file.

    Anything wrong is appended to `problems`; a file that is too large or of another kind is not even opened.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        problems.append(f"{path}: files of this kind are not read; give one of {', '.join(SUFFIXES)}, or remove it")
        return []
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            least = f"{size / 1e6:.1f} MB, but at most {MOST_BYTES / 1e6:.0f} MB are read"
            problems.append(f"{path}: has {least}; split it, or leave out what callers do not ask")
            return []
        data = path.read_bytes()
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror or error}")
        return []
    before = len(problems)
    drafts = _drafts(data, suffix, path, problems)
    if not drafts and len(problems) == before:
        problems.append(f"{path}: holds no section; {_HOW[suffix]}")
    return list(_facts(drafts, path, suffix, problems))


_HOW = {
    ".md": "write '## A question' and the answer under it",
    ".txt": "write paragraphs with blank lines between them",
    ".html": "it has no text under headings outside menus and scripts",
    ".htm": "it has no text under headings outside menus and scripts",
    ".csv": "write a row of column names and rows under it",
    ".pdf": "a scan must go through text recognition first",
}


def _drafts(data: bytes, suffix: str, path: Path, problems: list[str]) -> list[Draft]:
    if suffix == ".pdf":
        return read_pdf(data, str(path), problems)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"byte {data[error.start]:#04x} is not UTF-8"
        problems.append(f"{path}:{line}: {what}; save the file as UTF-8")
        return []
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        problems.append(f"{path}:{line}: holds a NUL byte, so it is no text; save it as UTF-8 text")
        return []
    if suffix == ".md":
        return read_markdown(text)
    if suffix == ".txt":
        return read_plain(text)
    if suffix == ".csv":
        return read_table(text, str(path), problems)
    return read_html(text)


def _facts(drafts: list[Draft], path: Path, suffix: str, problems: list[str]) -> Iterator[Fact]:
    seen: dict[str, int] = {}
    for draft in drafts:
        where = f"{path}, {draft.place}" if suffix == ".pdf" else f"{path}:{draft.place}"
        heading = draft.heading
        if not heading and suffix == ".md":
            what = "this text stands under no heading" if draft.text else "a heading is empty"
            problems.append(f"{where}: {what}; write '## A question' above it")
            continue
        if not draft.text:
            if suffix in (".md", ".csv"):
                problems.append(f"{where}: section '{heading}' says nothing; write the answer under it")
            continue
        heading = heading or first_words(draft.text)
        slug = re.sub(r"\W+", "-", heading.lower()).strip("-") or "section"
        seen[slug] = seen.get(slug, 0) + 1
        if seen[slug] > 1 and suffix == ".md":
            problems.append(f"{where}: '{heading}' is there twice; give the sections different headings")
            continue
        if seen[slug] > 1:
            slug = f"{slug}-{seen[slug]}"
        for n, text in enumerate(split(draft.text)):
            source = f"{path.name}#{slug}" + (f"-part-{n + 1}" if n else "")
            yield Fact(source, heading, text, draft.questions if n == 0 else ())


def split(text: str) -> list[str]:
    """`text` in pieces short enough for the ear, cut where sentences end; one sentence is never cut."""
    parts = [part for sentence in sentences(text) for part in _CHINESE_END.split(sentence) if part.strip()]
    if _length(text) <= MOST_WORDS:
        return [text]
    found: list[str] = []
    for part in parts:
        joined = f"{found[-1]} {part}" if found else part
        if found and _length(joined) <= MOST_WORDS:
            found[-1] = joined
        else:
            found.append(part)
    return found


def _length(text: str) -> float:
    """Words, a Chinese character counting half."""
    return sum(1.0 if piece.isascii() or len(piece) > 1 else 0.5 for piece in pieces(text))
