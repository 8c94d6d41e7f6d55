"""`agent models`: which models there are, whether they are whole, and under which licence."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

from models.store import catalogue, check


def models() -> None:
    """List models with part, state, size and licence. Exit status 1 when one is missing or damaged."""
    table = Table("model", "part", "state", "MB", "licence", "commercial use", "note")
    states = [check(weights) for weights in catalogue()]
    for found in states:
        weights = found.weights
        table.add_row(
            weights.name,
            weights.part,
            f"[{'green' if found.state == 'ok' else 'red'}]{found.state}[/]",
            f"{found.size / 1e6:.1f}",
            weights.licence,
            "yes" if weights.commercial else "[yellow]check[/]",
            found.detail or weights.note,
        )
    Console().print(table)
    if any(found.state != "ok" for found in states):
        raise typer.Exit(1)
