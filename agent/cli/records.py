"""`agent records`: look at calls that were kept, and export them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from agent.config import load_settings
from agent.records.database import Database, DatabaseError
from agent.records.queries import CallNotFound, Row, export_call, list_calls, load_call
from agent.yamlfile import FileError

app = typer.Typer(help="Look at calls that were kept, and export them.", no_args_is_help=True)

T = TypeVar("T")
Config = Annotated[Path | None, typer.Option("--config", help="Settings file; names the database.")]
Url = Annotated[str | None, typer.Option("--database", help="Database URL; default: records.database_url.")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]


@app.command("list")
def list_command(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Calls shown at most.")] = 20,
    before: Annotated[datetime | None, typer.Option(help="Only calls opened before this time, UTC.")] = None,
    database: Url = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the latest calls."""
    calls = _run(lambda opened: list_calls(opened, limit, before), database, config)
    if as_json:
        typer.echo(json.dumps(calls, indent=2))
        return
    table = Table("call", "began (UTC)", "gateway", "from", "outcome", "reason", "length")
    for call in calls:
        length = "" if call["duration_ms"] is None else f"{call['duration_ms'] / 1000:.1f} s"
        began = call["opened_at"][:19].replace("T", " ")
        table.add_row(
            call["id"],
            began,
            call["gateway"],
            escape(call["caller"] or ""),
            call["outcome"] or "open",
            escape(call["reason"] or ""),
            length,
        )
    Console().print(table)


@app.command()
def show(call: str, database: Url = None, config: Config = None, as_json: Json = False) -> None:
    """Show one call: what was said, heard, understood and done."""
    loaded = _run(lambda opened: load_call(opened, call), database, config)
    if as_json:
        typer.echo(json.dumps(loaded, indent=2))
        return
    console = Console()
    head = loaded["call"]
    reason = escape(head["reason"] or "")
    console.print(f"[bold]{head['id']}[/]  {head['gateway']}  {head['outcome'] or 'open'}  {reason}")
    turns = Table("at", "who", "words", "intent", "emotion", "answered in")
    for turn in loaded["turns"]:
        total = turn["latency"].get("total")
        turns.add_row(
            f"{turn['started_ms'] / 1000:.1f} s",
            turn["speaker"],
            _words(turn),
            "" if turn["intent"] is None else f"{turn['intent']} {turn['confidence'] or 0:.2f}",
            ", ".join(f"{part} {turn['emotion'][part]}" for part in ("words", "voice") if part in turn["emotion"]),
            "" if total is None else f"{total:.0f} ms",
        )
    console.print(turns)
    for action in loaded["actions"]:
        console.print(
            f"action {action['name']}: {'ok' if action['ok'] else 'failed'}", escape(json.dumps(action["result"]))
        )
    for handoff in loaded["handoffs"]:
        path = " -> ".join(step["state"] for step in handoff["steps"])
        console.print(f"handoff {handoff['id']} ({handoff['rule']}): {path}", escape(handoff["detail"]))
    console.print(f"{len(loaded['events'])} events; recording: {head['recording'] or 'none'}")


@app.command()
def export(
    call: str,
    folder: Annotated[Path, typer.Option("--to", help="Folder that gets a folder for the call.")] = Path("export"),
    database: Url = None,
    config: Config = None,
    recordings: Annotated[
        Path | None, typer.Option("--recordings", help="Where recordings lie now; default: where they were written.")
    ] = None,
) -> None:
    """Export one call: call.json with everything said and done, redacted, and call.wav."""
    written = _run(lambda opened: export_call(opened, call, folder, recordings), database, config)
    for path in written.values():
        typer.echo(path)


def open_database(url: str) -> AbstractAsyncContextManager[Database]:
    """Open an existing records database.

    Raises:
        DatabaseError: a SQLite file is not there.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        return Database.open(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        raise DatabaseError(f"there is no database at {parsed.database}; make a call first, or give --database URL")
    return Database.open(url)


def _run(query: Callable[[Database], Awaitable[T]], url: str | None, config: Path | None) -> T:
    async def run() -> T:
        async with open_database(url or load_settings(config).records.database_url) as database:
            return await query(database)

    try:
        return asyncio.run(run())
    except (CallNotFound, DatabaseError, FileError, SQLAlchemyError, OSError) as error:
        message = str(error.args[0]) if error.args and isinstance(error, CallNotFound) else str(error)
        typer.echo(f"agent records: {message}", err=True)
        raise typer.Exit(1) from error


def _words(turn: Row) -> str:
    if turn["heard"] is None or turn["heard"] == turn["text"]:
        return escape(turn["text"])
    return f"{escape(turn['heard'])} [dim](meant: {escape(turn['text'])})[/]"
