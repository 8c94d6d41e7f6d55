"""`agent models`: which models there are, whether they are whole, and under which licence."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from models.store import catalogue, check


def models() -> None:
    """List models with part, state, size and licence. Exit status 1 when one is missing or damaged.

    What needs to be known of a model stands under the table.
    """
    console = Console()
    table = Table("model", "part", "state", "size", "commercial use")
    states = [check(weights) for weights in catalogue()]
    for found in states:
        weights = found.weights
        table.add_row(
            weights.name,
            weights.part.replace("_", " "),
            f"[{'green' if found.state == 'ok' else 'red'}]{found.state}[/]",
            size(found.size),
            "yes" if weights.commercial else "[yellow]see below[/]",
        )
    console.print(table)
    for found in states:
        weights = found.weights
        console.print(f"\n[bold]{escape(weights.name)}[/]: {escape(weights.licence)}", highlight=False)
        console.print(f"  {escape(weights.source)}", highlight=False, soft_wrap=True)
        if weights.note:
            colour = "" if weights.commercial else "[yellow]"
            console.print(Padding(f"{colour}{escape(weights.note)}", (0, 0, 0, 2)), highlight=False)
        if found.detail:
            console.print(Padding(f"[red]{escape(found.detail)}", (0, 0, 0, 2)), highlight=False)
    if any(found.state != "ok" for found in states):
        raise typer.Exit(1)


def size(count: int) -> str:
    """A number of bytes for reading: MB, or kB below a tenth of one."""
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.0f} kB"
