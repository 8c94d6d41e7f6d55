"""Sections of CSV: questions and answers, or one section a row of any other table."""

from __future__ import annotations

import csv
import io

from agent.dialogue.knowledge.reading.drafts import Draft, one_line

_QUESTION, _ANSWER, _OTHERS = ("question", "问题"), ("answer", "答案", "回答"), ("questions", "其他问法")


def read_table(text: str, name: str, problems: list[str]) -> list[Draft]:
    """Drafts of the rows of `text`, whose first row names the columns; `name` is the file, for messages."""
    try:
        dialect = csv.Sniffer().sniff(text[:4096], delimiters=",;\t")
    except csv.Error:
        dialect = csv.excel
    reader = csv.reader(io.StringIO(text), dialect, strict=True)
    found: list[Draft] = []
    try:
        header = [one_line(cell) for cell in next(reader, [])]
        if len([cell for cell in header if cell]) < 2:
            problems.append(f"{name}:1: the first row names {len(header)} column(s); name at least two")
            return []
        plain = [cell.lower() for cell in header]
        question, answer = _column(plain, _QUESTION), _column(plain, _ANSWER)
        for row in reader:
            cells = [one_line(cell) for cell in row]
            if not any(cells):
                continue
            at = str(reader.line_num)
            if len(cells) != len(header):
                problems.append(
                    f"{name}:{at}: the row has {len(cells)} cells, but {len(header)} columns are named; "
                    "put quotes around cells with commas"
                )
            elif question is None or answer is None:
                found.append(Draft(cells[0], _told(header, cells), at))
            else:
                others = _column(plain, _OTHERS)
                also = tuple(o.strip() for o in cells[others].split("|") if o.strip()) if others is not None else ()
                found.append(Draft(cells[question], cells[answer], at, also))
    except csv.Error as error:
        problems.append(f"{name}:{reader.line_num}: is no table: {error}; save it as CSV again")
        return []
    return found


def _column(header: list[str], names: tuple[str, ...]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _told(header: list[str], cells: list[str]) -> str:
    """A row as a sentence: "Mug: price 12 dollars, color green."."""
    rest = [f"{name} {cell}".strip() for name, cell in zip(header[1:], cells[1:], strict=True) if cell]
    return f"{cells[0]}: {', '.join(rest)}." if cells[0] and rest else ""
