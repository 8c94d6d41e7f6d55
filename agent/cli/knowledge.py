"""`agent knowledge`: what a domain knows: add files, list sections, ask, remove."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.domains import ConfigOption, DomainOption, settings_for, told
from agent.dialogue.knowledge.base import Found
from agent.dialogue.knowledge.folder import read_knowledge
from agent.dialogue.knowledge.opening import CACHE, open_knowledge, settings_of
from agent.dialogue.knowledge.reading.folder import MOST_SECTIONS, read_file, read_sections
from agent.dialogue.manner import KnowledgeSettings
from agent.yamlfile import FileError
from models.encoder import SentenceEncoder

app = typer.Typer(no_args_is_help=True)


@app.command()
def add(
    files: Annotated[list[Path], typer.Argument(help="Markdown, text, HTML, CSV or PDF.", exists=True, dir_okay=False)],
    name: Annotated[str | None, typer.Option("--as", help="Name in the domain, of one file; its ending stays.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a file of the same name.")] = False,
    domain: DomainOption = None,
    config: ConfigOption = None,
) -> None:
    """Check files and copy them into the domain's knowledge; a running server takes them up by itself.

    Either all of them are added or none is.
    """
    with told("knowledge add"):
        folder = settings_for(config, domain).domain_path() / "knowledge"
        targets = _targets(files, name, folder, replace)
        problems: list[str] = []
        counts = {target: len(read_file(path, problems)) for path, target in zip(files, targets, strict=True)}
        if problems:
            raise FileError(problems)
        kept = [fact for fact in read_sections(folder, problems) if not _of(fact.source, targets)]
        if len(kept) + sum(counts.values()) > MOST_SECTIONS:
            raise FileError([f"{folder}: would hold more than {MOST_SECTIONS} sections; leave some files out"])
        _copy(files, targets)
    for target, count in counts.items():
        typer.echo(f"{target.name}: {count} section{'' if count == 1 else 's'}")


def _of(source: str, targets: list[Path]) -> bool:
    return source.partition("#")[0] in {target.name for target in targets}


def _targets(files: list[Path], name: str | None, folder: Path, replace: bool) -> list[Path]:
    if name is not None and len(files) > 1:
        raise FileError(["--as names one file; add the files one by one"])
    if name is not None and (Path(name).name != name or name.startswith(".")):
        raise FileError([f"--as {name!r} is no plain file name; give a name without folders"])
    targets = [folder / (path.name if name is None else Path(name).stem + path.suffix) for path in files]
    if len(set(targets)) < len(targets):
        raise FileError(["two of the files have one name; add them one by one with --as"])
    there = [f"{target}: is there already; give --replace to take its place" for target in targets if target.exists()]
    if there and not replace:
        raise FileError(there)
    return targets


def _copy(files: list[Path], targets: list[Path]) -> None:
    """Copy all beside their places under hidden names first, so that no reader ever sees half a file."""
    waiting: list[tuple[Path, Path]] = []
    try:
        for path, target in zip(files, targets, strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(dir=target.parent, prefix=".adding-")
            os.close(handle)
            waiting.append((Path(part), target))
            shutil.copyfile(path, part)
            Path(part).chmod(0o644)
        for source, target in waiting:
            os.replace(source, target)
    finally:
        for source, _ in waiting:
            source.unlink(missing_ok=True)


@app.command("list")
def list_sections(
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    domain: DomainOption = None,
    config: ConfigOption = None,
) -> None:
    """List the sections of the domain, and the things of its graph."""
    with told("knowledge list"):
        folder = settings_for(config, domain).domain_path()
        known = read_knowledge(folder)
    if as_json:
        typer.echo(json.dumps([asdict(fact) for fact in known.facts], indent=1, ensure_ascii=False))
        return
    table = Table("source", "words", "asked as")
    for fact in known.facts:
        table.add_row(escape(fact.source), str(len(fact.text.split())), str(1 + len(fact.questions)))
    console = Console()
    console = console if console.is_terminal else Console(width=140)
    console.print(table)
    console.print(f"{len(known.facts)} sections", highlight=False)
    if known.graph is not None:
        graph = known.graph
        parts = f"{len(graph.types)} types, {len(graph.properties)} properties, {len(graph.entities)} things"
        console.print(f"graph.yaml: {parts}", highlight=False)


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="What a caller says.")],
    about: Annotated[str | None, typer.Option(help="The source spoken of before, as an answer shows it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    domain: DomainOption = None,
    config: ConfigOption = None,
) -> None:
    """Show what would be answered, out of which section, and why; or why nothing would be."""
    with told("knowledge ask"):
        folder = settings_for(config, domain).domain_path()
        settings = settings_of(folder)
        found = open_knowledge(folder, SentenceEncoder(), settings, CACHE).find(question, about)
    if as_json:
        typer.echo(json.dumps(None if found is None else asdict(found), indent=1, ensure_ascii=False))
    else:
        _show(found, settings)


def _show(found: Found | None, settings: KnowledgeSettings) -> None:
    console = Console()
    if found is None:
        console.print("refused: there is nothing to search, or no words", highlight=False)
        return
    if found.answers:
        console.print(f"[bold]{escape(found.answer)}[/bold]", highlight=False, soft_wrap=True)
    else:
        console.print(
            f"[yellow]refused[/yellow]: P(it answers) {found.score:.2f} is below {settings.minimum:.2f}; nearest:",
            highlight=False,
        )
        console.print(f"  {escape(found.answer)}", highlight=False, soft_wrap=True)
    sure = "given at once" if found.strong else f"below {settings.strong:.2f}, so what was meant is asked first"
    console.print(f"source: {escape(found.source)}", highlight=False, soft_wrap=True)
    if found.signals is None:
        console.print("by the graph", highlight=False)
        return
    if found.answers:
        console.print(f"P(it answers): {found.score:.2f} ({sure})", highlight=False)
    signals = asdict(found.signals)
    console.print("  ".join(f"{name} {value:.2f}" for name, value in signals.items()), highlight=False, style="dim")


@app.command()
def remove(
    names: Annotated[list[str], typer.Argument(help="File names, as `agent knowledge list` shows them before the #.")],
    domain: DomainOption = None,
    config: ConfigOption = None,
) -> None:
    """Remove files from the domain's knowledge; a running server forgets them by itself."""
    with told("knowledge remove"):
        folder = settings_for(config, domain).domain_path() / "knowledge"
        there = {path.name: path for path in folder.glob("*") if path.is_file() and not path.name.startswith(".")}
        missing = [name for name in names if name not in there]
        if missing:
            known = ", ".join(sorted(there)) or "none"
            raise FileError([f"{folder / missing[0]}: there is no such file; there are {known}"])
        for name in names:
            there[name].unlink()
            typer.echo(f"{name}: removed")
