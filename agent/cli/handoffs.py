"""`agent handoffs`: what hooks could not be told, and telling it again."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.clock import RealClock
from agent.handoff.hooks.deliveries import retry
from agent.handoff.hooks.letters import DeadLetter, LetterError
from agent.handoff.hooks.loading import LoadedHooks, load_hooks
from agent.outbound import OutboundError
from agent.yamlfile import FileError

app = typer.Typer(help="Handoffs to people.", no_args_is_help=True)
letters_app = typer.Typer(help="What hooks could not be told.", no_args_is_help=True)
app.add_typer(letters_app, name="dead-letters")

HooksFile = Annotated[Path, typer.Option("--hooks", help="The hooks file.")]


@letters_app.command("list")
def list_command(
    hooks: HooksFile,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Letters shown at most, oldest first.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table, with the events.")] = False,
) -> None:
    """List dead letters, oldest first."""
    loaded = _load(hooks)
    ids = loaded.letters.ids()
    letters = [letter for one in ids[:limit] if (letter := _read(loaded, one)) is not None]
    if as_json:
        typer.echo(json.dumps([_plain(one) for one in letters], indent=2, default=str))
        return
    table = Table("letter", "hook", "step", "call", "code", "retries", "why")
    for one in letters:
        event = one.event
        why = escape(one.why)
        table.add_row(one.id, one.hook, event.step, escape(event.request.call_id), one.code, str(one.retries), why)
    Console().print(table if ids else "no dead letters")


@letters_app.command("retry")
def retry_command(
    hooks: HooksFile,
    letters: Annotated[list[str] | None, typer.Argument(help="Their ids; none: all.")] = None,
    hook: Annotated[str | None, typer.Option("--hook", help="Only those of this hook.")] = None,
) -> None:
    """Tell again, oldest first; leaves with status 1 where one failed. The others are told all the same."""
    loaded = _load(hooks)
    if hook is not None and hook not in loaded.hooks:
        names = ", ".join(loaded.hooks) or "none"
        typer.echo(f"agent handoffs: --hook is {hook!r}; the file names {names}", err=True)
        raise typer.Exit(1)
    if not asyncio.run(_retry_all(loaded, letters or loaded.letters.ids(), hook)):
        raise typer.Exit(1)


async def _retry_all(loaded: LoadedHooks, ids: list[str], hook: str | None) -> bool:
    fine = True
    for letter_id in ids:
        letter = _read(loaded, letter_id)
        if letter is None:
            fine = False
            continue
        if hook is not None and letter.hook != hook:
            continue
        try:
            await retry(letter, loaded.hooks, loaded.letters)
        except (OutboundError, LetterError, OSError) as error:
            fine = False
            typer.echo(f"agent handoffs: {letter_id}: {error}", err=True)
        else:
            typer.echo(f"{letter_id}: told {letter.hook} of {letter.event.event_id}")
    return fine


def _read(loaded: LoadedHooks, letter_id: str) -> DeadLetter | None:
    try:
        return loaded.letters.read(letter_id)
    except LetterError as error:
        typer.echo(f"agent handoffs: {error}", err=True)
        return None


def _plain(letter: DeadLetter) -> dict[str, object]:
    return {
        "id": letter.id,
        "hook": letter.hook,
        "code": letter.code,
        "why": letter.why,
        "buried_at": letter.buried_at.isoformat(),
        "retries": letter.retries,
        "event": letter.event.plain(),
    }


def _load(path: Path) -> LoadedHooks:
    try:
        return load_hooks(path, RealClock(), os.environ)
    except FileError as error:
        typer.echo(f"agent handoffs: {error}", err=True)
        raise typer.Exit(1) from error
