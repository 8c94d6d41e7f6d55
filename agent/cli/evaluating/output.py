"""What the evaluations of models share: their options, how they end, and where their reports go."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from agent.cli.measured import bar, command, show_tables
from agent.lab.cues import CueError
from agent.lab.measuring.machine import MeasureFailed, machine
from agent.lab.measuring.report import Progress
from agent.lab.reporting.evaluated import Evaluated, compare
from agent.yamlfile import FileError
from models.errors import ModelError
from models.evaluation.report import Evaluation, Stored, parse_limits, passed, read_report

Config = Annotated[Path | None, typer.Option(help="Configuration file.", exists=True, dir_okay=False)]
Json = Annotated[Path | None, typer.Option("--json", help="Also write every figure to this file.", dir_okay=False)]
Html = Annotated[Path | None, typer.Option(help="Also write a page with pictures to this file.", dir_okay=False)]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown, as docs/benchmarks.md has it.")]
Against = Annotated[
    Path | None, typer.Option(help="An earlier --json file to compare with.", exists=True, dir_okay=False)
]
FailOn = Annotated[
    str | None,
    typer.Option(help="With --against: NAME:POINTS,... that figures may get worse by; exit status 1 beyond."),
]
Seed = Annotated[int, typer.Option(help="Seed of everything drawn by chance.")]
Limit = Annotated[int | None, typer.Option(help="At most so many examples, drawn by --seed.", min=1)]

_FAILURES = (ModelError, MeasureFailed, FileError, CueError, OSError)
_COULD_NOT = 2
_FOLDED = 10
"""Rows of a long table that the terminal shows."""
_WIDE = 140
"""Columns of tables that go to a file or a pipe."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where a report goes, and what it is compared with."""

    html: Path | None = None
    json_file: Path | None = None
    markdown: bool = False
    against: Path | None = None
    fail_on: str | None = None


def evaluated(measure: str, run: Callable[[Progress], Evaluation], output: Output) -> None:
    """Run an evaluation under a progress bar, show it, write it, and judge it.

    Exit status 1: a figure got worse by more than `fail_on` allows. 2: it could not be carried through.
    """
    errors = Console(stderr=True)
    try:
        before = _before(measure, output)
        with bar(errors) as progress:
            evaluation = run(progress)
        limits = [] if output.fail_on is None else parse_limits(output.fail_on, evaluation.names)
        compared = None if before is None else compare(before, evaluation, machine())
        found = Evaluated(evaluation, command(), compared)
        if output.json_file is not None:
            _write(output.json_file, json.dumps(found.document(), indent=1, ensure_ascii=False) + "\n")
        if output.html is not None:
            _write(output.html, found.page())
    except _FAILURES as error:
        errors.print(f"[red]It could not be measured:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(_COULD_NOT) from error
    if output.markdown:
        typer.echo(found.markdown())
    else:
        _show(found)
    over = passed(limits, compared.changes) if compared is not None else []
    for line in over:
        errors.print(f"[red]worse:[/red] {escape(line)}", highlight=False, soft_wrap=True)
    if over:
        raise typer.Exit(1)


def _before(measure: str, output: Output) -> Stored | None:
    if output.against is not None:
        return read_report(output.against, measure)
    if output.fail_on is not None:
        raise MeasureFailed("--fail-on compares with an earlier report; name it with --against FILE")
    return None


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _show(found: Evaluated) -> None:
    console = Console()
    console = console if console.is_terminal else Console(width=max(_WIDE, console.width))
    for line in found.evaluation.about():
        console.print(escape(line), highlight=False, soft_wrap=True)
    show_tables(console, found.tables)
    for table in found.evaluation.folded:
        console.print(f"\n{escape(table.title)} ({len(table.rows)})", highlight=False)
        for row in table.rows[:_FOLDED]:
            console.print(f"  {escape(' | '.join(row))}", highlight=False, soft_wrap=True)
        if len(table.rows) > _FOLDED:
            console.print(f"  [dim]{len(table.rows) - _FOLDED} more with --json or --html[/dim]", highlight=False)
    for note in found.notes:
        console.print(f"[dim]{escape(note)}[/dim]", highlight=False, soft_wrap=True)
    console.print(f"[dim]{escape(found.hardware)}[/dim]", highlight=False, soft_wrap=True)
