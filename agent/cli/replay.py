"""`agent replay`: recorded calls again on other models or settings, and what changed."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from agent.cli.settings import settings_or_leave
from agent.config import Settings
from agent.lab.replay import Replayed, changed_settings, pace_of, replay_calls
from agent.lab.replaying.changes import PARTS, Change, Comparison, word_diff
from agent.lab.replaying.source import READING, Source, find_sources
from agent.yamlfile import FileError
from models.errors import ModelError

_MARKED = {"same": "{}", "gone": "[red]{}[/]", "new": "[green]{}[/]"}
_MARKS = {"same": "{}", "gone": "[-{}-]", "new": "{{+{}+}}"}
"""As wdiff writes them, since colours are lost in a file."""


def replay(
    call: Annotated[
        str,
        typer.Argument(
            help="Id of a call in the records, a stereo recording (caller left), or a folder of recordings."
        ),
    ],
    config: Annotated[
        Path | None,
        typer.Option(help="Settings to replay with; names the records too.", exists=True, dir_okay=False),
    ] = None,
    recognizer: Annotated[str | None, typer.Option(help="Recognizer to replay with; as recognizer.model.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="A setting to change, as recognizer.context_s=10; repeatable.")
    ] = None,
    compute: Annotated[
        str, typer.Option(help="What computing costs: measured (as it takes here), instant, or a factor of measured.")
    ] = "measured",
    out: Annotated[Path | None, typer.Option("--json", help="Write everything found to this file as JSON.")] = None,
) -> None:
    """Run recorded calls again, faster than real time, and print what changed against their records.

    Nothing real happens: no webhook is sent, no carrier called, no database written; actions answer as recorded.

    The exit status is 0 when nothing but timing changed, 1 when something did, and 2 when a call could not be replayed.
    """
    console, errors = Console(), Console(stderr=True)
    settings = settings_or_leave(config)
    logging.getLogger().addHandler(logging.NullHandler())  # what matters of a call is in its record
    try:
        pace = pace_of(compute)
        asked = ([f"recognizer.model={recognizer}"] if recognizer else []) + list(changes or ())
        wanted = changed_settings(settings, asked)
        sources = asyncio.run(find_sources(call, settings))
        replayed, failed = _replay(sources, wanted, pace, errors)
        if out is not None:
            out.write_text(json.dumps(_document(replayed, failed, asked, compute), indent=2, default=str) + "\n")
    except (*READING, FileError, ModelError) as error:
        errors.print(f"[red]No replay:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    for one in replayed:
        _show(console, one, brief=len(sources) > 1)
    if len(sources) > 1:
        _summary(console, replayed)
    _footer(console, replayed, compute)
    for source, why in failed:
        errors.print(f"[red]Not replayed:[/red] {escape(f'{source.call_id}: {why}')}", highlight=False, soft_wrap=True)
    raise typer.Exit(2 if failed else 1 if any(one.changed for one in replayed) else 0)


def _replay(
    sources: Sequence[Source], settings: Settings, pace: float, console: Console
) -> tuple[list[Replayed], list[tuple[Source, str]]]:
    with _bar(console, len(sources)) as watch, tempfile.TemporaryDirectory(prefix="agent-replay-") as folder:
        return replay_calls(sources, settings, pace, Path(folder), watch)


@contextmanager
def _bar(console: Console, total: int) -> Iterator[Any]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("loading models", total=total)

        def watch(what: str, done: int) -> None:
            bar.update(task, completed=done, description=escape(what))

        yield watch


def _document(
    replayed: Sequence[Replayed], failed: Sequence[tuple[Source, str]], asked: Sequence[str], compute: str
) -> dict[str, Any]:
    return {
        "version": 1,
        "set": list(asked),
        "compute": compute,
        "calls": [one.as_json() for one in replayed],
        "failed": [
            {"call": source.call_id, "recording": str(source.recording), "error": why} for source, why in failed
        ],
    }


def _show(console: Console, one: Replayed, brief: bool) -> None:
    console.print(f"\n[bold]{escape(one.source.call_id)}[/]  {one.call_s:.1f} s", highlight=False)
    for part in sorted({*one.before, *one.models}):
        old, new = one.before.get(part), one.models.get(part)
        if one.before and old != new:
            console.print(f"{part}: {escape(str(old))} -> {escape(str(new))}", highlight=False)
    compared = one.comparison
    if compared is None:
        for turn in one.record["turns"]:
            console.print(f"{turn['started_ms'] / 1000:7.1f} s  {turn['speaker']}: {escape(turn['text'])}")
    else:
        _changes(console, compared)
        if not brief:
            _latency(console, compared)
    for note in one.notes:
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False, soft_wrap=True)


def _changes(console: Console, compared: Comparison) -> None:
    words = compared.words
    console.print(
        f"transcript: {words.errors} of {words.words} words differ (WER {words.percent:.1f} %); "
        f"{_count(len(compared.changes), 'change')} besides timing",
        highlight=False,
    )
    if not compared.changes:
        return
    table = Table("at", "what", "old -> new")
    for change in compared.changes:
        at = "" if change.at_ms is None else f"{change.at_ms / 1000:.1f} s"
        table.add_row(at, change.kind, _words(change))
    console.print(table)


def _count(number: int, name: str) -> str:
    return f"{number or 'no'} {name}{'' if number == 1 else 's'}"


def _words(change: Change) -> str:
    if isinstance(change.old, str) and isinstance(change.new, str) and change.kind in ("transcript", "reply"):
        runs = word_diff(change.old, change.new)
        return " ".join(_MARKED[how].format(escape(_MARKS[how].format(text))) for how, text in runs)
    shown = [escape(_plain(side)) for side in (change.old, change.new)]
    named = f"{change.what}: " if change.what else ""
    if change.old is None:
        return f"{named}[green]new:[/] {shown[1]}"
    if change.new is None:
        return f"{named}[red]gone:[/] {shown[0]}"
    return f"{named}{shown[0]} -> {shown[1]}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items()) or "none"
    return str(value)


def _latency(console: Console, compared: Comparison) -> None:
    answered = [
        pair
        for pair in compared.pairs
        if pair.new is not None and pair.old_reply is not None and pair.new_reply is not None
    ]
    if not answered:
        return
    headers = ("at", *(part.replace("_", "\n") for part in PARTS))
    table = Table(*headers, title="Latency in ms, old → new", title_justify="left", box=SIMPLE_HEAD, padding=0)
    for pair in answered:
        assert pair.new is not None
        assert pair.old_reply is not None
        assert pair.new_reply is not None
        old, new = pair.old_reply["latency"], pair.new_reply["latency"]
        cells = [_shift(old.get(part), new.get(part)) for part in PARTS]
        table.add_row(f"{pair.new['started_ms'] / 1000:.1f} s", *cells)
    table.add_section()
    table.add_row("median", *(_shift(*compared.latency[part]) for part in PARTS))
    console.print(table)


def _shift(old: float | None, new: float | None) -> str:
    if old is None and new is None:
        return ""
    return "→".join("-" if value is None else f"{value:.0f}" for value in (old, new))


def _summary(console: Console, replayed: Sequence[Replayed]) -> None:
    table = Table("call", "length", "changes", "WER", "latency", title="\nAll calls", title_justify="left")
    for one in replayed:
        compared = one.comparison
        table.add_row(
            escape(one.source.call_id),
            f"{one.call_s:.1f} s",
            "no record" if compared is None else str(len(compared.changes)),
            "" if compared is None else f"{compared.words.percent:.1f} %",
            "" if compared is None else _shift(*compared.latency["total"]),
        )
    console.print(table)


def _footer(console: Console, replayed: Sequence[Replayed], compute: str) -> None:
    calls_s, took_s = sum(one.call_s for one in replayed), sum(one.took_s for one in replayed)
    if took_s:
        console.print(
            f"[dim]{calls_s:.0f} s of calls in {took_s:.1f} s, {calls_s / took_s:.1f} times as fast; "
            f"computing cost: {escape(compute)}. Actions and handoffs were answered from the record.[/]",
            highlight=False,
        )
