"""`agent label`: say what callers meant, the most informative turns first."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import click
import typer
from rich.console import Console

from agent.cli.domains import ConfigOption, DatabaseOption, DomainOption, names_of, opener_for, settings_for, told
from agent.cli.records import open_database
from agent.dialogue.loader import load_domain
from agent.learning.asking import ask
from agent.learning.labels import TurnLabel, export_rows, import_labels, remove_label, save_labels
from agent.learning.opening import Opener
from agent.learning.queue import SUGGESTED, Candidate, rank, said_turns
from agent.records.database import Database
from models.contracts import OUT_OF_SCOPE
from models.encoder import normalise
from models.slots.tokens import FILLERS
from models.training.reading.jsonl import write_jsonl


def label(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Turns shown or exported at most.")] = 20,
    export: Annotated[
        Path | None, typer.Option("--export", help="Write them to this JSONL file for a team, and ask nothing.")
    ] = None,
    import_file: Annotated[
        Path | None, typer.Option("--import", help="Take the labels of a file that was exported and filled in.")
    ] = None,
    new_intents: Annotated[bool, typer.Option("--new-intents", help="Take intents that the domain lacks yet.")] = False,
    auto_suggest: Annotated[
        bool, typer.Option("--auto-suggest", help="Suggest what the version in use reads now, and names for groups.")
    ] = False,
    domain: DomainOption = None,
    database: DatabaseOption = None,
    config: ConfigOption = None,
) -> None:
    """Label caller turns of recorded calls: uncertain, corrected, handed over, or like nothing the agent knows.

    One key a turn; each answer is kept at once. `agent learn` trains on them. Texts are redacted, as in the records.
    """
    if export is not None and import_file is not None:
        typer.secho("agent label: give one of --export and --import", fg="red", err=True)
        raise typer.Exit(2)
    with told("label"), asyncio.Runner() as runner:
        settings = settings_for(config, domain, database)
        taught = load_domain(settings.domain_path())
        opening = open_database(settings.records.database_url)
        opened = runner.run(opening.__aenter__())
        try:
            if import_file is not None:
                now = datetime.now(UTC)
                taking = import_labels(opened, import_file, taught.name, list(taught.intents), now, new_intents)
                _summary(Counter(taken.intent or "" for taken in runner.run(taking)))
                return
            opener = opener_for(settings, taught)
            candidates = rank(runner.run(said_turns(opened, names_of(settings, taught))), opener.encoder, limit)
            if auto_suggest:
                candidates = suggested(candidates, opener)
            if export is not None:
                typer.echo(f"{write_jsonl(export, export_rows(candidates))} turns written to {export}")
                return
            _ask(runner, opened, candidates, sorted(taught.intents), taught.name)
        finally:
            runner.run(opening.__aexit__(None, None, None))


def suggested(candidates: Sequence[Candidate], opener: Opener) -> list[Candidate]:
    """The candidates with what the version in use reads now, and names for groups of turns that no intent fits."""
    choice, _ = opener.open_current()
    readings = choice.model.read([candidate.text for candidate in candidates])
    found = []
    for candidate, reading in zip(candidates, readings, strict=True):
        named = [name for name, _ in reading.ranking if name != OUT_OF_SCOPE][:SUGGESTED]
        why = candidate.why
        if candidate.alike > 1 and candidate.intent == OUT_OF_SCOPE:
            why = (*why, f"it might be called {new_name(candidate.text)}")
        found.append(replace(candidate, suggestions=tuple(named), why=why))
    return found


_PLAIN = FILLERS | frozenset(
    "i a an the is are am was do does did can could would will you your my me we it this that to of in on at for and "
    "or have has had want need like please just with what how when where who why there any some if be not".split()
)


def new_name(text: str) -> str:
    """A name for an intent that `text` is typical of: its first three words that mean something."""
    words = [word for word in normalise(text).split() if word not in _PLAIN and word.isidentifier()]
    return "_".join(words[:3]) or "new_intent"


def _ask(
    runner: asyncio.Runner, opened: Database, candidates: Sequence[Candidate], intents: Sequence[str], domain: str
) -> None:
    console = Console()
    if not candidates:
        console.print("No turn waits for a label: every one of them was clear, or is labelled.")
        return
    try:
        asked = ask(candidates, intents, Keyboard(), _Kept(runner, opened, domain), console)
    except KeyboardInterrupt:
        console.print("\nEnded; what was answered is kept.")
        return
    console.print(f"{asked.labelled} labels kept, {asked.skipped} turns skipped; `agent learn` trains on them.")
    if asked.new:
        console.print(f"New intents: {', '.join(asked.new)}. Add them to intents.yaml with a flow before learning.")


class _Kept:
    """Keeps labels in the records' database, each at once."""

    def __init__(self, runner: asyncio.Runner, opened: Database, domain: str) -> None:
        self._runner = runner
        self._opened = opened
        self._domain = domain

    def keep(self, candidate: Candidate, intent: str | None) -> None:
        label = TurnLabel(
            candidate.call_id,
            candidate.turn,
            self._domain,
            candidate.text,
            intent,
            datetime.now(UTC),
            candidate.intent,
            candidate.model,
        )
        self._runner.run(save_labels(self._opened, [label]))

    def forget(self, candidate: Candidate) -> None:
        self._runner.run(remove_label(self._opened, (candidate.call_id, candidate.turn)))


class Keyboard:
    """Keys as they are pressed on a terminal; characters of the input where it is none."""

    def key(self) -> str:
        """The next key; empty at the end of the input."""
        if not sys.stdin.isatty():
            return sys.stdin.read(1)
        try:
            return click.getchar()
        except EOFError:
            return ""

    def line(self, question: str) -> str:
        """A line; empty at the end of the input."""
        typer.echo(f"  {question}: ", nl=False)
        return sys.stdin.readline().strip()


def _summary(counts: Counter[str]) -> None:
    total = sum(counts.values())
    named = ", ".join(f"{intent} {count}" for intent, count in counts.most_common())
    typer.echo(f"{total} labels taken{': ' + named if named else ''}")
