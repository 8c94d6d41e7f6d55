"""`agent gateways`: what each gateway can do, and how it proves itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.settings import settings_or_leave
from agent.gateways import table
from agent.gateways.catalogue import gateways

_WIDE = 200
"""Columns of a table that goes to a file or a pipe."""
_SHOWN = ("gateway", "messages", "audio", "transfer", "proof, besides a path token")


def gateways_command(
    config: Annotated[Path | None, typer.Option(help="Configuration file.", exists=True, dir_okay=False)] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print all of it, as docs/gateways.md has it.")] = False,
) -> None:
    """List the gateways: address, audio, transfer, proof, and whether a key for it is set."""
    if markdown:
        typer.echo(table.markdown(), nl=False)
        return
    settings = settings_or_leave(config)
    shown = Table(*_SHOWN, "address", "key")
    chosen = [table.COLUMNS.index(column) for column in _SHOWN]
    for row in table.rows():
        name = row[0]
        key = settings.secrets.key_of(name) is not None
        if gateways()[name].shares_key and settings.secrets.token_key is not None:
            key = True
        state = "off" if not settings.gateway(name).enabled else "set" if key else "not set"
        shown.add_row(*(escape(row[at]) for at in chosen), f"/gateways/{name}", state)
    console = Console()
    console = console if console.is_terminal else Console(width=max(_WIDE, console.width))
    console.print(shown)
    console.print("A one-use path token (POST /api/tokens) opens any of them too; docs/gateways.md has the rest.")
