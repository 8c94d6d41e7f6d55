"""What the commands that measure share: how they were called, what went wrong, progress, tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as ShownTable

from agent.lab.measuring.report import Progress as OnProgress
from agent.lab.measuring.report import Table

_UNTOLD = ("--json", "--html", "--keep", "--token")
"""Options of which others need not know: where the output goes, and what is secret."""


def command() -> str:
    """The command as others would type it: without secrets and where its output goes, and folders by their names."""
    words: list[str] = []
    given = iter(sys.argv[1:])
    for word in given:
        if word in _UNTOLD:
            next(given, None)
        elif word != "--markdown" and not word.startswith(tuple(f"{option}=" for option in _UNTOLD)):
            words.append(Path(word).name if word.startswith("/") else word)
    return " ".join(["agent", *words])


def leaves(error: Exception) -> Iterator[Exception]:
    """The single errors of a group, however deep."""
    if isinstance(error, ExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


@contextmanager
def bar(console: Console) -> Iterator[OnProgress]:
    """A progress bar for a measurement."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as shown:
        task = shown.add_task("starting", total=None)

        def progress(done: float, total: float, what: str) -> None:
            shown.update(task, completed=done, total=total, description=what)

        yield progress


def show_tables(console: Console, tables: Sequence[Table]) -> None:
    """Print the tables of a report."""
    for table in tables:
        shown = ShownTable(title=f"\n{table.title}", title_justify="left")
        for n, column in enumerate(table.columns):
            shown.add_column(column, justify="right" if n else "left")
        for row in table.rows:
            shown.add_row(*(escape(cell) for cell in row))
        console.print(shown)
