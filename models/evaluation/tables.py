"""A table of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """A table: `columns`, and as many cells in each row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """The table in Markdown, without its title."""
        lines = [_row(self.columns), _row(["---"] + ["---:"] * (len(self.columns) - 1))]
        return "\n".join([*lines, *(_row(cells) for cells in self.rows)])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
