"""`agent gateways`: what each gateway can do, and how it proves itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.settings import settings_or_leave
from agent.config import Settings
from agent.entrances import ALIASES
from agent.gateways import table
from agent.gateways.catalogue import gateways

_WIDE = 200
"""Columns of a table that goes to a file or a pipe."""
_SHOWN = ("gateway", "audio", "transfer", "proof, besides a path token")


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
        shown.add_row(*(escape(row[at]) for at in chosen), escape(_address(settings, row[0])), _key(settings, row[0]))
    console = Console()
    console = console if console.is_terminal else Console(width=max(_WIDE, console.width))
    console.print(shown)
    console.print("A key is CALLAGENT_KEY_<NAME>, with _ for -. A one-use path token (POST /api/tokens) opens any too.")
    console.print("docs/gateways.md has the rest, and a page for each.")


def _address(settings: Settings, name: str) -> str:
    if name == "audiosocket":
        chosen = settings.audiosocket
        return f"TCP {chosen.host}:{chosen.port}" if chosen.port else "TCP; set audiosocket.port"
    more = [path for path, gateway in ALIASES.items() if gateway == name]
    return ", ".join([f"/gateways/{name}", *(["/gateways/jambonz-app"] if name == "jambonz" else []), *more])


def _key(settings: Settings, name: str) -> str:
    if not settings.gateway(name).enabled:
        return "off"
    # Calls of AudioSocket are announced with the token key.
    shared = gateways()[name].shares_key or name == "audiosocket"
    known = settings.secrets.key_of(name) is not None or (shared and settings.secrets.token_key is not None)
    return "set" if known else "not set"
