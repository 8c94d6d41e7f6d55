"""`agent learn`: train on new labels, and use the result if it forgets nothing."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.domains import NEEDED, ConfigOption, DatabaseOption, DomainOption, opener_for, settings_for, told
from agent.cli.records import open_database
from agent.learning.gate import ALLOWED_DROP
from agent.learning.labels import TurnLabel, labels_of
from agent.learning.learn import Learned, Wanted, alone
from agent.learning.learn import learn as run_learning
from agent.learning.opening import Opener
from agent.learning.trainer import HeadTrainer, NetworkTrainer, Trainer
from models.training.examples import Example
from models.training.readers import read_examples
from models.training.understanding.recipe import METHODS, Recipe


def learn(
    train: Annotated[
        str | None, typer.Option("--train", help="Method: head needs no torch; default: that of the version in use.")
    ] = None,
    replay: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the old data that is trained on again.")
    ] = 1.0,
    allow_drop: Annotated[
        float, typer.Option(min=0.0, max=100.0, help="Points of accuracy by which an old test set may fall.")
    ] = ALLOWED_DROP,
    test: Annotated[
        list[Path] | None, typer.Option("--test", help="Further old test sets: files of labelled texts.", exists=True)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the training.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Train and compare; store and use nothing.")] = False,
    canary: Annotated[
        bool, typer.Option("--canary", help="Let the new version read in the shadow instead of using it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Use it without asking where the gate lets it pass.")] = False,
    domain: DomainOption = None,
    database: DatabaseOption = None,
    config: ConfigOption = None,
) -> None:
    """Train a new version on the labels that are new since the one in use, together with the old data.

    It is compared with the version in use on what was held out of both, stored with its report, and used only if no old
    test set falls and the new labels are understood no worse. Exit status 1 where it is refused.
    """
    console = Console()
    with told("learn"):
        settings = settings_for(config, domain, database)
        opener = opener_for(settings)
        folder = opener.registry.folder(opener.name)
        wanted = Wanted(train, replay, allow_drop, seed, _tests(test or []))
        labels = asyncio.run(_labels(settings.records.database_url, opener.name))
        with alone(folder):
            current, chosen = opener.open_current()
            if current.problem is not None:
                typer.secho(current.problem, fg="yellow", err=True)
            console.print(f"{opener.name}: {chosen} is used now; {len(labels)} labels are kept", highlight=False)
            with console.status("training") as status:

                def progress(stage: str, done: float, figures: str) -> None:
                    status.update(escape(f"{stage} {done:.0%} {figures}"))

                methods = trainers(opener, progress)
                learned = run_learning(opener, current, labels, methods, wanted, datetime.now(UTC), dry_run)
            show(learned, console)
            if learned.version is None:
                return
            if learned.refused:
                console.print(
                    f"{learned.version} is stored and not used. `agent models use` would use it all the same."
                )
                raise typer.Exit(1)
            _promote(opener, learned.version, canary, yes)


def trainers(opener: Opener, progress: Callable[[str, float, str], None] | None = None) -> Mapping[str, Trainer]:
    """The methods that this installation can train by: all of them where the extra `train` is installed."""
    found: dict[str, Trainer] = {"head": HeadTrainer(opener)}
    if all(importlib.util.find_spec(package) for package in NEEDED):
        work = opener.registry.folder(opener.name) / ".work"
        for method in METHODS:
            recipe = Recipe(method=method)
            found.setdefault(method, NetworkTrainer(opener, recipe, work, lambda: datetime.now(UTC), progress))
    return found


def show(learned: Learned, console: Console) -> None:
    """Print what was trained, how both versions did, and what the gate says."""
    used = f"{learned.labels} new labels, {learned.trained} texts in all, method {learned.method}"
    console.print(used, highlight=False)
    table = Table("test set", "n", "before", "after", "change, 95 % interval")
    for row in learned.comparisons:
        table.add_row(
            escape(row.name),
            str(row.n),
            f"{row.before:.1f} %",
            f"{row.after:.1f} %",
            f"{row.difference:+.1f} ({row.low:+.1f} to {row.high:+.1f})",
        )
    if learned.comparisons:
        console.print(table)
    for note in learned.notes:
        console.print(f"note: {escape(note)}", highlight=False, soft_wrap=True)
    for reason in learned.refused:
        console.print(f"[red]refused:[/] {escape(reason)}", highlight=False, soft_wrap=True)
    if not learned.refused:
        console.print("[green]the gate lets it pass[/]")


def _promote(opener: Opener, version: str, canary: bool, yes: bool) -> None:
    what = "let it read in the shadow" if canary else "use it for new turns"
    if not yes and not _agrees(f"{version}: {what}?"):
        typer.echo(f"not used; later: agent models {'shadow' if canary else 'use'} {version}")
        return
    if canary:
        opener.registry.shadow(opener.name, version, "agent learn --canary")
        typer.echo(f"{version} reads in the shadow; `agent models shadow --report` says what it finds")
    else:
        state = opener.registry.use(opener.name, version, "agent learn")
        typer.echo(f"{version} is used now; `agent models rollback` goes back to {state.previous}")


def _agrees(question: str) -> bool:
    try:
        return typer.confirm(question, default=False)
    except typer.Abort:
        typer.echo()
        return False


def _tests(files: Sequence[Path]) -> dict[str, tuple[Example, ...]]:
    """The test splits of `files`; all of a file that has none."""
    found = {}
    for path in files:
        splits = read_examples(path)
        chosen = splits.test or splits.train
        found[path.name] = tuple(example for example in chosen if example.intent is not None)
    return found


async def _labels(url: str, domain: str) -> list[TurnLabel]:
    async with open_database(url) as opened:
        return await labels_of(opened, domain)
