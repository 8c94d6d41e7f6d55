"""`agent records export | erase | prune` and `agent records audit`: what is kept of callers, and who looked at it."""

from __future__ import annotations

import asyncio
import getpass
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from agent.clock import RealClock
from agent.config import Settings, load_settings
from agent.records.audit import AuditTrail, Broken, Head, caller_mark
from agent.records.database import Database, DatabaseError
from agent.records.erasing import Erased, Eraser
from agent.records.exporting import Exporter
from agent.records.queries import CallNotFound
from agent.records.related import calls_from, number_of, tables_of
from agent.records.retention import Retention, RetentionJob, RetentionRules
from agent.yamlfile import FileError

T = TypeVar("T")
Config = Annotated[Path | None, typer.Option("--config", help="Settings file; names the database and the recordings.")]
Url = Annotated[str | None, typer.Option("--database", help="Database URL; default: records.database_url.")]
Recordings = Annotated[
    Path | None, typer.Option("--recordings", help="Where recordings lie now; default: records.recordings.")
]
Who = Annotated[str | None, typer.Option("--who", help="Who does it, for the audit trail; default: your login.")]

audit_app = typer.Typer(help="The audit trail: who did what, and whether somebody changed it.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add these commands to `agent records`."""
    app.command()(export)
    app.command()(erase)
    app.command()(prune)
    app.add_typer(audit_app, name="audit")


def export(
    call_or_caller: Annotated[str, typer.Argument(metavar="CALL|CALLER", help="A call's id, or a caller's number.")],
    folder: Annotated[Path, typer.Option("--to", help="Folder that gets a folder for the call or caller.")] = Path(
        "export"
    ),
    database: Url = None,
    config: Config = None,
    recordings: Recordings = None,
    unmuted: Annotated[bool, typer.Option("--unmuted", help="Leave private words in the sound.")] = False,
    who: Who = None,
) -> None:
    """Export a call, or all calls of a caller: text without private words, and sound with silence in their place."""

    async def work(opened: Database, settings: Settings) -> list[str]:
        clock = RealClock()
        kept = recordings or settings.records.recordings
        exporter = Exporter(opened, kept, clock, AuditTrail(opened, clock), unmuted, only_here=recordings is not None)
        try:
            return list((await exporter.export_call(call_or_caller, folder, _who(who))).values())
        except CallNotFound:
            async with opened.engine.connect() as connection:
                if not await calls_from(connection, await tables_of(connection), call_or_caller):
                    raise
        target = folder / caller_mark(number_of(call_or_caller))
        done = await exporter.export_caller(call_or_caller, target, _who(who))
        for call_id in done.missing:
            typer.echo(f"agent records: the recording of call {call_id} is not there any more", err=True)
        return [str(done.folder / name) for name in done.files]

    for path in _run(work, database, config):
        typer.echo(path)


def erase(
    caller: Annotated[str | None, typer.Argument(help="The caller's number, as the records have it.")] = None,
    database: Url = None,
    config: Config = None,
    recordings: Recordings = None,
    backups: Annotated[
        list[Path] | None,
        typer.Option("--backups", help="A folder to search for copies, also several; default: privacy.backups."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Erase what was erased before and is back, as from a backup.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be erased.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of lines.")] = False,
    who: Who = None,
) -> None:
    """Erase a caller: recordings, words, labels and all else of their calls. Says which copies remain elsewhere.

    Leaves with status 1 where calls under way were left alone.
    """
    if (caller is None) != again:
        typer.echo("agent records: give a CALLER, or --again without one", err=True)
        raise typer.Exit(2)
    if not (yes or dry_run) and not typer.confirm(f"Erase {caller or 'again what was erased before'} for good?"):
        raise typer.Exit(1)

    async def work(opened: Database, settings: Settings) -> Erased:
        clock = RealClock()
        kept = recordings or settings.records.recordings
        searched = settings.privacy.backups if backups is None else backups
        eraser = Eraser(opened, kept, clock, AuditTrail(opened, clock), searched)
        if caller is None:
            return await eraser.erase_again(_who(who), dry_run)
        return await eraser.erase_caller(caller, _who(who), dry_run)

    erased = _run(work, database, config)
    if as_json:
        typer.echo(json.dumps(asdict(erased), indent=2))
    else:
        _tell(erased, dry_run)
    raise typer.Exit(1 if erased.open else 0)


def prune(
    audio: Annotated[float | None, typer.Option(min=0.0, help="Days that recordings are kept.")] = None,
    words: Annotated[float | None, typer.Option(min=0.0, help="Days that what was said is kept.")] = None,
    labels: Annotated[float | None, typer.Option(min=0.0, help="Days that labels are kept.")] = None,
    numbers: Annotated[float | None, typer.Option(min=0.0, help="Days that callers' numbers are kept.")] = None,
    calls: Annotated[float | None, typer.Option(min=0.0, help="Days that anything is kept.")] = None,
    database: Url = None,
    config: Config = None,
    recordings: Recordings = None,
    who: Who = None,
) -> None:
    """Remove what is older than these days after its call's end, once; what no option names is kept.

    Without any of them, by the settings under `privacy`.
    """

    async def work(opened: Database, settings: Settings) -> dict[str, int]:
        clock = RealClock()
        given = Retention(audio, words, labels, numbers, calls)
        rules = settings.privacy.rules() if given == Retention() else RetentionRules(given)
        kept = recordings or settings.records.recordings
        return dict(await RetentionJob(opened, kept, rules, clock, AuditTrail(opened, clock)).once(_who(who)))

    done = _run(work, database, config)
    typer.echo(", ".join(f"{kind}: {count} calls" for kind, count in sorted(done.items())) or "nothing is too old")


@audit_app.command()
def verify(
    expect: Annotated[
        str | None, typer.Option("--expect", metavar="ROW:DIGEST", help="An end that was printed before.")
    ] = None,
    database: Url = None,
    config: Config = None,
) -> None:
    """Check the whole trail. Prints its end, to be kept elsewhere; leaves with status 1 where it was tampered with."""

    async def work(opened: Database, settings: Settings) -> tuple[Broken | None, Head]:
        trail = AuditTrail(opened, RealClock())
        return await trail.verify(None if expect is None else Head.parse(expect)), await trail.head()

    broken, head = _run(work, database, config)
    if broken is not None:
        typer.echo(f"agent records: the audit trail is broken at row {broken.sequence}: {broken.why}", err=True)
        raise typer.Exit(1)
    typer.echo(f"whole: {head.sequence} rows; end {head}")


@audit_app.command("list")
def list_command(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Rows shown at most.")] = 50,
    who: Annotated[str | None, typer.Option(help="Only what this account did.")] = None,
    what: Annotated[str | None, typer.Option(help="Only this kind.")] = None,
    about: Annotated[str | None, typer.Option(help="Only about this call, or caller's number.")] = None,
    database: Url = None,
    config: Config = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Show the latest rows of the trail."""

    async def work(opened: Database, settings: Settings) -> list[dict[str, object]]:
        wanted = caller_mark(number_of(about)) if about is not None and about.startswith("+") else about
        entries = await AuditTrail(opened, RealClock()).entries(limit, None, who, what, wanted)
        return [entry.plain() for entry in entries]

    rows = _run(work, database, config)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("row", "at (UTC)", "who", "what", "about", "data")
    for row in rows:
        at = str(row["at"])[:19].replace("T", " ")
        texts = [str(row["sequence"]), at, *(str(row[name]) for name in ("who", "what", "about"))]
        table.add_row(*(escape(text) for text in texts), escape(json.dumps(row["data"]) if row["data"] else ""))
    Console().print(table)


def _tell(erased: Erased, dry_run: bool) -> None:
    would = "would be erased" if dry_run else "erased"
    rows = ", ".join(f"{name} {count}" for name, count in sorted(erased.rows.items())) or "none"
    typer.echo(f"calls {would}: {len(erased.calls)}; rows: {rows}")
    for path in erased.files:
        typer.echo(f"file {would}: {path}")
    for remark in erased.remarks:
        typer.echo(f"note: {remark}")
    for copy in erased.copies:
        typer.echo(f"copy remains: {copy.path} {copy.why}")
    for call_id in erased.open:
        typer.echo(f"agent records: call {call_id} goes on and was left alone; erase again when it is over", err=True)


def _who(given: str | None) -> str:
    if given:
        return given
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # a container without a name for its user
        return "cli"


def _run(work: Callable[[Database, Settings], Awaitable[T]], url: str | None, config: Path | None) -> T:
    from agent.cli.records import open_database  # that module registers this one's commands

    async def run() -> T:
        settings = load_settings(config)
        async with open_database(url or settings.records.database_url) as database:
            return await work(database, settings)

    try:
        return asyncio.run(run())
    except (CallNotFound, DatabaseError, FileError, SQLAlchemyError, OSError, ValueError) as error:
        message = str(error.args[0]) if error.args and isinstance(error, CallNotFound) else str(error)
        typer.echo(f"agent records: {message}", err=True)
        raise typer.Exit(1) from error
