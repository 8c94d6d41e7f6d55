"""`agent models`: which models there are and whether they are whole; which version of understanding is used."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from agent.cli.domains import ConfigOption, DatabaseOption, DomainOption, settings_for, told
from agent.cli.records import open_database
from agent.config import Settings
from agent.dialogue.loader import load_domain
from agent.learning.shadow import EVENT, ShadowReport, reports
from agent.records.queries import events_of
from models.errors import ModelError
from models.registry import BUILT_IN, Registry, State
from models.store import catalogue, check
from models.text_model import ModelInfo

app = typer.Typer(
    invoke_without_command=True,
    help="List models; choose which version of understanding is used, and see what it does.",
)

_COLOURS = {"ok": "green", "not installed": "dim"}


@app.callback()
def models(context: typer.Context) -> None:
    """List models, or choose a version of understanding with one of the commands."""
    if context.invoked_subcommand is None:
        list_models()


@app.command("list")
def list_models() -> None:
    """List models with part, state, size and licence. Exit status 1 when one is missing or damaged.

    What needs to be known of a model stands under the table.
    """
    console = Console()
    table = Table("model", "part", "state", "size", "commercial use")
    states = [check(weights) for weights in catalogue()]
    for found in states:
        weights = found.weights
        table.add_row(
            weights.name,
            weights.part.replace("_", " "),
            f"[{_COLOURS.get(found.state, 'red')}]{found.state}[/]",
            size(found.size),
            "yes" if weights.commercial else "[yellow]see below[/]",
        )
    console.print(table)
    for found in states:
        weights = found.weights
        console.print(f"\n[bold]{escape(weights.name)}[/]: {escape(weights.licence)}", highlight=False)
        console.print(f"  {escape(weights.source)}", highlight=False, soft_wrap=True)
        if weights.note:
            colour = "" if weights.commercial else "[yellow]"
            console.print(Padding(f"{colour}{escape(weights.note)}", (0, 0, 0, 2)), highlight=False)
        if found.detail:
            colour = "" if found.usable else "[red]"
            console.print(Padding(f"{colour}{escape(found.detail)}", (0, 0, 0, 2)), highlight=False)
    if not all(found.usable for found in states):
        raise typer.Exit(1)


def size(count: int) -> str:
    """A number of bytes for reading: MB, or kB below a tenth of one."""
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.0f} kB"


@app.command()
def versions(domain: DomainOption = None, config: ConfigOption = None) -> None:
    """List the versions of a domain's understanding: how each was made and measured, and which is used."""
    with told("models versions"):
        registry, name = _registry(settings_for(config, domain))
        state = registry.state(name)
        table = Table("version", "used", "method", "created (UTC)", "measured")
        for version in (*BUILT_IN, *registry.versions(name)):
            table.add_row(version, _used(state, version), *_described(registry, name, version))
        console = Console()
        console.print(table)
        for change in state.history[-10:]:
            what = f"{change.what}: {change.version or 'none'}"
            console.print(f"{change.at}  {what}  {escape(change.why)}", highlight=False, soft_wrap=True)


@app.command()
def use(version: str, domain: DomainOption = None, config: ConfigOption = None) -> None:
    """Use VERSION for new turns: running servers swap within seconds, and no call is dropped.

    `embedded` is what ships, `head` is fitted on the domain's examples at start.
    """
    with told("models use"):
        registry, name = _registry(settings_for(config, domain))
        state = registry.use(name, version, "agent models use")
        typer.echo(f"{name}: {state.current} is used now, {state.previous or 'nothing'} was before")


@app.command()
def rollback(domain: DomainOption = None, config: ConfigOption = None) -> None:
    """Go back to the version used before."""
    with told("models rollback"):
        registry, name = _registry(settings_for(config, domain))
        state = registry.rollback(name)
        typer.echo(f"{name}: {state.current} is used again, {state.previous} was before")


@app.command()
def install(
    folder: Annotated[Path, typer.Argument(help="Folder of a trained version.", exists=True, file_okay=False)],
    domain: DomainOption = None,
    config: ConfigOption = None,
) -> None:
    """Take a copy of a version trained elsewhere; `agent models use` brings it into service."""
    with told("models install"):
        registry, name = _registry(settings_for(config, domain))
        typer.echo(registry.install(name, folder))


@app.command()
def remove(version: str, domain: DomainOption = None, config: ConfigOption = None) -> None:
    """Delete VERSION, and with it the redacted texts it was trained on."""
    with told("models remove"):
        registry, name = _registry(settings_for(config, domain))
        registry.remove(name, version)
        typer.echo(f"{name}: {version} is gone")


@app.command()
def shadow(
    version: Annotated[str | None, typer.Argument(help="The candidate; see `agent models versions`.")] = None,
    off: Annotated[bool, typer.Option("--off", help="End it.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Print how often it agreed, and where it did not.")] = False,
    domain: DomainOption = None,
    database: DatabaseOption = None,
    config: ConfigOption = None,
) -> None:
    """Let VERSION read turns silently beside the one in use, or report what it found."""
    if sum((version is not None, off, report)) != 1:
        typer.secho("agent models shadow: give one of VERSION, --off and --report", fg="red", err=True)
        raise typer.Exit(2)
    with told("models shadow"):
        settings = settings_for(config, domain, database)
        registry, name = _registry(settings)
        if report:
            _print_reports(asyncio.run(_shadow_reports(settings, {name, settings.dialogue.domain})))
            return
        state = registry.shadow(name, version, "agent models shadow")
        typer.echo(f"{name}: {state.shadow or 'no version'} reads turns beside {state.current}")


def _registry(settings: Settings) -> tuple[Registry, str]:
    return Registry(settings.understanding.versions), load_domain(settings.domain_path()).name


def _used(state: State, version: str) -> str:
    marks = {"current": state.current, "before": state.previous, "shadow": state.shadow}
    return ", ".join(mark for mark, marked in marks.items() if marked == version)


def _described(registry: Registry, name: str, version: str) -> tuple[str, str, str]:
    if version in BUILT_IN:
        return "what ships" if version == "embedded" else "head", "", ""
    try:
        info: ModelInfo = registry.info(name, version)
    except ModelError as error:
        return "[red]damaged[/]", "", escape(str(error))
    measured = "; ".join(f"{figure} {value:g}" for figure, value in info.measured.items())
    return info.method, info.created[:19].replace("T", " "), escape(measured)


async def _shadow_reports(settings: Settings, domains: set[str]) -> list[ShadowReport]:
    async with open_database(settings.records.database_url) as opened:
        return reports(await events_of(opened, EVENT, sorted(domains)))


def _print_reports(found: list[ShadowReport]) -> None:
    console = Console()
    if not found:
        console.print("No turn was read in the shadow yet; choose a candidate with `agent models shadow VERSION`.")
    for report in found:
        rate = f"{100.0 * report.agreed / report.turns:.1f} %"
        console.print(
            f"[bold]{report.candidate}[/] agreed with {report.live} on {report.agreed} of {report.turns} turns, {rate}",
            highlight=False,
        )
        if report.disagreements:
            table = Table("in use", "candidate", "turns", "for example")
            for live, candidate, count, texts in report.disagreements[:20]:
                table.add_row(live, candidate, str(count), escape("; ".join(texts)))
            console.print(table)
