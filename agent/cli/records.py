"""`agent records`: look at calls that were kept, and search them; `agent.cli.privacy` exports and erases them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from agent.cli import privacy
from agent.config import load_settings
from agent.quality.searching import Range, SearchError, Wanted, search_calls, unscored_calls
from agent.records.database import Database, DatabaseError
from agent.records.queries import CallNotFound, Row, list_calls, load_call
from agent.yamlfile import FileError

app = typer.Typer(help="Look at calls that were kept, export and erase them.", no_args_is_help=True)
privacy.register(app)

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
def search(
    text: Annotated[
        str, typer.Argument(help='Words that all stand in one turn; "two words" in quotes stand together.')
    ] = "",
    emotion: Annotated[str | None, typer.Option(help="neutral, happy, sad or angry, of a turn of the caller.")] = None,
    score: Annotated[str | None, typer.Option(help="As '<60', '>=80', '40-60'.", metavar="RANGE")] = None,
    satisfaction: Annotated[str | None, typer.Option(help="1 to 5, as '<3'.", metavar="RANGE")] = None,
    failed: Annotated[str | None, typer.Option(help="A criterion that was not met, as disclosure.")] = None,
    intent: Annotated[str | None, typer.Option(help="What the call was about.")] = None,
    outcome: Annotated[str | None, typer.Option(help="completed, handed_off, caller_left or failed.")] = None,
    domain: Annotated[str | None, typer.Option(help="Only calls of this domain.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only calls opened since this time, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only calls opened before this time, UTC.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Calls shown at most.")] = 20,
    database: Url = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Find calls by what was said, how the caller felt, and how they scored."""
    try:
        wanted = Wanted(
            text,
            emotion,
            score=None if score is None else Range.read(score),
            satisfaction=None if satisfaction is None else Range.read(satisfaction),
            failed=failed,
            topic=intent,
            outcome=outcome,
            domain=domain,
            since=None if since is None else since.replace(tzinfo=UTC),
            until=None if until is None else until.replace(tzinfo=UTC),
            limit=limit,
        )

        async def find(opened: Database) -> tuple[list[Row], int]:
            return await search_calls(opened, wanted), await unscored_calls(opened)

        calls, unscored = _run(find, database, config)
    except SearchError as error:
        typer.echo(f"agent records: {error}", err=True)
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(json.dumps(calls, indent=2, ensure_ascii=False))
    else:
        _print_found(calls)
    if unscored and (wanted.score or wanted.satisfaction or failed or intent):
        typer.secho(
            f"{unscored} calls are not scored and were not looked at: agent quality score", fg="yellow", err=True
        )


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


def _print_found(calls: list[Row]) -> None:
    console = Console(highlight=False)
    for call in calls:
        facts = [call["opened_at"][:16].replace("T", " "), call["intent"], call["outcome"], call["emotion"]]
        if call["score"] is not None:
            facts.append(f"score {call['score']:.0f}")
        if call["satisfaction"] is not None:
            facts.append(f"satisfaction {call['satisfaction']:.1f}{'' if call['surveyed'] else ' (predicted)'}")
        console.print(
            f"[bold]{escape(call['call_id'])}[/]  {escape('  '.join(fact for fact in facts if fact))}", soft_wrap=True
        )
        for turn in call["matches"]:
            console.print(f"    turn {turn['turn']} {turn['speaker']}: {escape(turn['text'])}", soft_wrap=True)
    console.print(f"{len(calls)} calls")


def _words(turn: Row) -> str:
    if turn["heard"] is None or turn["heard"] == turn["text"]:
        return escape(turn["text"])
    return f"{escape(turn['heard'])} [dim](meant: {escape(turn['text'])})[/]"
