"""`agent evaluate`: the models, and memory and start of this configuration on this machine."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from agent.cli.domains import DomainOption, opener_for, settings_for
from agent.cli.evaluating import emotion, hearing, knowledge, turn, understanding
from agent.cli.evaluating.output import Config, Json, Markdown
from agent.cli.measured import bar, command, leaves, show_tables
from agent.clock import RealClock
from agent.config import CONFIGS
from agent.dialogue.loader import load_domain
from agent.lab.conversations import conversation_files, read_conversations
from agent.lab.line import LineError
from agent.lab.local_server import ServerFailed
from agent.lab.measuring import report as reports
from agent.lab.measuring.dialogue import measure_dialogue
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.memory import measure_memory
from agent.lab.measuring.report import Report
from agent.lab.measuring.start import measure_start
from agent.lab.text_calls import understanding_of
from agent.yamlfile import FileError
from models.errors import ModelError

app = typer.Typer(no_args_is_help=True)
app.command()(understanding.understanding)
app.command()(emotion.emotion)
app.command()(turn.turn)
app.command()(knowledge.knowledge)
app.command()(hearing.recognizer)
app.command()(hearing.voice)

Keep = Annotated[Path | None, typer.Option(help="Keep databases, recordings and the server's log here.")]
Scenario = Annotated[Path, typer.Option(help="The caller's script.", exists=True, dir_okay=False)]

_SCENARIO = CONFIGS / "scenarios" / "latency.yaml"
_FAILURES = (FileError, ServerFailed, LineError, MeasureFailed, ModelError, OSError)


@app.command()
def memory(
    calls: Annotated[int, typer.Option(help="Live calls.", min=1, max=200)] = 8,
    waves: Annotated[int, typer.Option(help="The calls are placed and ended this often.", min=1, max=100)] = 2,
    scenario: Scenario = _SCENARIO,
    config: Config = None,
    keep: Keep = None,
    json_file: Json = None,
    markdown: Markdown = False,
) -> None:
    """Resident memory of the server at rest, with live calls, and after them. Linux only (reads /proc)."""

    async def run(folder: Path, progress: reports.Progress) -> Report:
        return await measure_memory(folder, RealClock(), config, scenario, calls, waves, command(), progress)

    _measured(run, keep, json_file, markdown)


@app.command()
def start(
    runs: Annotated[int, typer.Option(help="Cold and warm starts, each this often.", min=1, max=100)] = 3,
    config: Config = None,
    keep: Keep = None,
    json_file: Json = None,
    markdown: Markdown = False,
) -> None:
    """Seconds until the server is ready: with empty caches, and with filled ones."""

    async def run(folder: Path, progress: reports.Progress) -> Report:
        return await measure_start(folder, RealClock(), config, runs, command(), progress)

    _measured(run, keep, json_file, markdown)


@app.command()
def dialogue(
    domain: DomainOption = None,
    config: Config = None,
    keep: Keep = None,
    json_file: Json = None,
    markdown: Markdown = False,
) -> None:
    """Milliseconds that the dialogue engine takes for a turn, over the domain's conversations played by text."""
    settings = settings_for(config, domain)

    async def run(folder: Path, progress: reports.Progress) -> Report:
        known = load_domain(settings.domain_path())
        conversations, problems = read_conversations(conversation_files(settings.domain_path()), known)
        if problems:
            raise MeasureFailed("; ".join(problems))
        opener = opener_for(settings, known)
        understand = understanding_of(known, opener, settings.understanding.cache)
        return await measure_dialogue(known, conversations, opener.encoder, understand, folder, command(), progress)

    _measured(run, keep, json_file, markdown)


def _measured(
    run: Callable[[Path, reports.Progress], Coroutine[Any, Any, Report]],
    keep: Path | None,
    json_file: Path | None,
    markdown: bool,
) -> None:
    """Run a measurement under a progress bar and show its report; status 2 where it cannot be carried through.

    Without `keep` it works in a temporary folder, which is left behind only where it fails and has something to show.
    """
    errors = Console(stderr=True)
    folder = keep.resolve() if keep is not None else Path(tempfile.mkdtemp(prefix="agent-evaluate-"))
    try:
        with bar(errors) as progress:
            found = asyncio.run(run(folder, progress))
        if json_file is not None:
            json_file.write_text(json.dumps(found.document(), indent=2) + "\n", encoding="utf-8")
    except (ExceptionGroup, *_FAILURES) as error:
        found_errors = list(leaves(error))
        if not all(isinstance(leaf, _FAILURES) for leaf in found_errors):
            raise
        for leaf in found_errors:
            errors.print(f"[red]It could not be measured:[/red] {escape(str(leaf))}", highlight=False, soft_wrap=True)
        if keep is None and not any(folder.iterdir()):
            folder.rmdir()
        else:
            errors.print(f"What there is was kept in {folder}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    if keep is None:
        shutil.rmtree(folder)
    if markdown:
        typer.echo(found.markdown())
    else:
        _show(Console(), found)


def _show(console: Console, found: Report) -> None:
    show_tables(console, found.tables)
    for note in (*found.details, *found.notes):
        console.print(f"[dim]{escape(note)}[/dim]", highlight=False, soft_wrap=True)
    console.print(f"[dim]{escape(found.hardware)}[/dim]", highlight=False, soft_wrap=True)
