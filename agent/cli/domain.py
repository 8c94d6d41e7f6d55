"""`agent domain`: check, play, draw and begin the domains of a business."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.domains import ConfigOption, opener_for, settings_for, told
from agent.config import CONFIGS, Settings
from agent.dialogue.checking import OWN_INTENTS
from agent.dialogue.loader import load_domain
from agent.lab.authoring.check import Findings, check_domain
from agent.lab.authoring.diagram import diagrams
from agent.lab.authoring.notation import dot, mermaid
from agent.lab.authoring.scaffold import new_domain
from agent.lab.authoring.svg import svg
from agent.lab.conversations import FOLDER, conversation_files, read_conversations
from agent.lab.text_calls import ConversationResult, TextDesk, understanding_of
from agent.lab.unmet import TurnResult
from agent.yamlfile import FileError
from models.encoder import SentenceEncoder
from models.errors import ModelError
from models.understanding import HUMAN

app = typer.Typer(no_args_is_help=True, help="Check, play, draw and begin the domains of a business.")

ALL = "all"
_WIDE = 120

Named = Annotated[str, typer.Argument(metavar="NAME", help="A name under configs/domains, or a folder.")]


def domain_folders(name: str, settings: Settings, having: str) -> list[Path]:
    """The folder that `name` means; for `all`, those of every shipped domain that has what `having` names.

    Raises:
        FileError: there is no such folder.
    """
    if name == ALL:
        return sorted(path.parent for path in (CONFIGS / "domains").glob(f"*/{having}"))
    dialogue = settings.dialogue.model_copy(update={"domain": name})
    path = settings.model_copy(update={"dialogue": dialogue}).domain_path()
    if not path.is_dir():
        known = ", ".join(sorted(each.parent.name for each in (CONFIGS / "domains").glob("*/flows.yaml")))
        raise FileError([f"{name}: there is no such domain; name a folder, or one of {known}"])
    return [path]


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Its name: small letters, digits and _.")],
    path: Annotated[Path, typer.Option(help="The folder to make it in.", file_okay=False)] = Path(),
    business: Annotated[str | None, typer.Option(help="What the business is called.")] = None,
) -> None:
    """Begin a domain: a small complete one that can be called at once, to be changed into yours."""
    with told("domain new"):
        folder = new_domain(name, path, business)
    typer.echo(f"{folder}: a domain with 3 intents, 2 flows and an action in actions.py. Next:")
    for command in ("check", "test", "draw"):
        typer.echo(f"  agent domain {command} {folder}")


@app.command("check")
def check(
    name: Annotated[str, typer.Argument(metavar="NAME|all", help="A name under configs/domains, a folder, or all.")],
    strict: Annotated[bool, typer.Option("--strict", help="Warnings, too, make the exit status 1.")] = False,
    words: Annotated[
        bool, typer.Option("--examples/--no-examples", help="Compare the examples of intents by meaning.")
    ] = True,
) -> None:
    """Read everything in a domain's folder and tell what is wrong and what is odd, with file and line.

    Exit status 1 when something is wrong.
    """
    console = _console()
    good = True
    with told("domain check"):
        encoder = SentenceEncoder(cache_size=50_000) if words else None
        for folder in domain_folders(name, settings_for(None, None), "flows.yaml"):
            found = asyncio.run(check_domain(folder, encoder))
            for line in found.errors:
                console.print(f"[red]error[/red]    {escape(line)}", highlight=False, soft_wrap=True)
            for line in found.warnings:
                console.print(f"[yellow]warning[/yellow]  {escape(line)}", highlight=False, soft_wrap=True)
            console.print(f"{escape(folder.name)}: {_summary(found)}", highlight=False, soft_wrap=True)
            good = good and not found.errors and not (strict and found.warnings)
    raise typer.Exit(0 if good else 1)


def _summary(found: Findings) -> str:
    told_of = f"{len(found.errors)} errors, {len(found.warnings)} warnings"
    if found.domain is None:
        return f"{told_of}; it cannot be served"
    domain = found.domain
    own = len([name for name in domain.intents if name not in {*OWN_INTENTS, HUMAN}])
    return f"{told_of}; {own} intents, {len(domain.flows)} flows, {len(domain.facts)} sections of knowledge"


@app.command("draw")
def draw(
    name: Named,
    flow: Annotated[list[str] | None, typer.Option(help="Only this flow; may be given again.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="FILE.svg for a browser, FILE.mmd (Mermaid) or FILE.dot (Graphviz).", dir_okay=False),
    ] = None,
) -> None:
    """Draw a domain's flows; without --out, as Mermaid text."""
    with told("domain draw"):
        domain = load_domain(domain_folders(name, settings_for(None, None), FOLDER)[0])
        unknown = [each for each in flow or () if each not in domain.flows]
        if unknown:
            raise FileError([f"there is no flow '{unknown[0]}'; there are {', '.join(domain.flows)}"])
        drawn = diagrams(domain, flow or list(domain.flows))
        notations = {".svg": lambda: svg(drawn, domain.manner.business), ".dot": lambda: dot(drawn)}
        text = notations.get(out.suffix if out is not None else "", lambda: mermaid(drawn))()
        if out is None:
            typer.echo(text, nl=False)
        elif out.suffix not in (".svg", ".mmd", ".dot"):
            raise FileError([f"{out}: the file's name says how to draw; end it in .svg, .mmd or .dot"])
        else:
            out.write_text(text, encoding="utf-8")


@app.command("test")
def play(
    name: Annotated[str, typer.Argument(metavar="NAME|all", help="A name under configs/domains, a folder, or all.")],
    only: Annotated[str, typer.Option(help="Only conversations whose names match these globs, with commas.")] = "*",
    config: ConfigOption = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write every turn to this file.", dir_okay=False)
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every turn of every conversation.")] = False,
) -> None:
    """Play a domain's conversations by text against the real dialogue, each on a fresh database.

    Understanding, flows, actions, knowledge and the database are those of a server; the clock stands at the day of the
    conversation. Exit status 1 when an expectation was not met, 2 when there is nothing that can be played.
    """
    console = _console()
    results: dict[str, list[ConversationResult]] = {}
    wrong = False
    handler = logging.StreamHandler()
    handler.addFilter(_Once())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], format="%(levelname)s %(message)s", force=True)
    with told("domain test"):
        folders = domain_folders(name, settings_for(config, None), FOLDER)
    for folder in folders:
        began = time.perf_counter()
        try:
            found, problems = asyncio.run(_played(folder, settings_for(config, str(folder)), only))
        except (FileError, ModelError) as error:
            found, problems = [], str(error).splitlines()
        wrong = wrong or bool(problems)
        results[folder.name] = found
        for problem in problems:
            console.print(f"[red]error[/red]  {escape(problem)}", highlight=False, soft_wrap=True)
        if found:
            _show_results(console, folder.name, found, time.perf_counter() - began, verbose)
    if not any(results.values()) and not wrong:
        where = f"{folders[0] / FOLDER}" if len(folders) == 1 else str(CONFIGS / "domains")
        typer.secho(f"agent domain test: no conversation matches {only!r} in {where}; write one there", err=True)
        raise typer.Exit(2)
    if json_file is not None:
        document = {domain: [result.document() for result in found] for domain, found in results.items()}
        text = json.dumps(document, indent=1, ensure_ascii=False, default=str)
        json_file.write_text(text + "\n", encoding="utf-8")
    passed = all(result.passed for found in results.values() for result in found)
    if len(folders) > 1:
        every = [result for found in results.values() for result in found]
        console.print(f"\n{sum(result.passed for result in every)} of {len(every)} conversations passed")
    raise typer.Exit(0 if passed and not wrong else 1)


async def _played(folder: Path, settings: Settings, only: str) -> tuple[list[ConversationResult], list[str]]:
    """Play the conversations of the domain in `folder`; with the problems of their files. Raises as what it opens."""
    domain = load_domain(folder)
    conversations, problems = read_conversations(conversation_files(folder, only), domain)
    if not conversations:
        return [], problems
    opener = opener_for(settings, domain)
    with tempfile.TemporaryDirectory(prefix="agent-domain-test-") as place:
        understand = understanding_of(domain, opener, settings.understanding.cache)
        desk = TextDesk(domain, opener.encoder, understand, Path(place))
        return [await desk.play(conversation) for conversation in conversations], problems


class _Once(logging.Filter):
    """Lets an exception of one kind and text through once: every conversation of a broken action logs it."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        about = repr(record.exc_info[1]) if record.exc_info else record.getMessage()
        new = about not in self._seen
        self._seen.add(about)
        return new


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=max(_WIDE, console.width))


def _show_results(
    console: Console, domain: str, results: Sequence[ConversationResult], took_s: float, verbose: bool
) -> None:
    if verbose:
        for result in results:
            _show_turns(console, result)
    table = Table("conversation", "", "turns", "first expectation that was not met", title_justify="left")
    table.title = f"\n{domain}"
    for result in results:
        failure = result.failure
        verdict = "[green]passed[/green]" if failure is None else "[red]failed[/red]"
        why = "" if failure is None else f"{failure.turn}: {'; '.join(failure.unmet)}"
        table.add_row(result.conversation.name, verdict, str(len(result.turns)), escape(why))
    console.print(table)
    for result in results:
        if result.failure is not None:
            _show_failure(console, result, result.failure)
    passed = sum(result.passed for result in results)
    colour = "green" if passed == len(results) else "red"
    console.print(f"[{colour}]{passed} of {len(results)} conversations of {domain} passed[/{colour}] in {took_s:.1f} s")


def _show_failure(console: Console, result: ConversationResult, failure: TurnResult) -> None:
    def line(label: str, text: str) -> None:
        if text:
            console.print(f"  [dim]{label:>10}[/dim]  {escape(text)}", highlight=False, soft_wrap=True)

    console.print(f"\n[bold]{escape(result.conversation.name)}[/bold]  {escape(str(result.conversation.path))}")
    line("caller", str(failure.turn))
    line("agent", f"“{failure.answer}”")
    for problem in failure.unmet:
        line("not met", problem)
    line("intents", ", ".join(f"{name} {p:.2f}" for name, p in failure.ranking))
    line("slots", _brief(failure.slots))
    line("flow", failure.flow or "")
    line("actions", ", ".join((*failure.actions, *(f"{name} ({why})" for name, why in failure.failed.items()))))
    line("facts", _brief({key: value for key, value in failure.facts.items() if key not in ("ranking", "slots")}))


def _show_turns(console: Console, result: ConversationResult) -> None:
    console.print(
        f"\n[bold]{escape(result.conversation.name)}[/bold]  {escape(result.conversation.script.description)}"
    )
    for turn in result.turns:
        if turn.turn.kind != "agent":
            note = f"{turn.intent} {turn.confidence:.2f}" if turn.intent else ""
            console.print(f"  {escape(str(turn.turn))}  [dim]{escape(note)}[/dim]", highlight=False, soft_wrap=True)
        done = [*turn.actions, *(f"{name} failed" for name in turn.failed)]
        done += [f"hand off: {turn.hand_off}"] if turn.hand_off else []
        done += ["hang up"] if turn.hang_up else []
        notes = f"  [dim]{escape(', '.join(done))}[/dim]" if done else ""
        console.print(f"      [cyan]{escape(turn.answer)}[/cyan]{notes}", highlight=False, soft_wrap=True)
        for problem in turn.unmet:
            console.print(f"      [red]{escape(problem)}[/red]", highlight=False, soft_wrap=True)


def _brief(values: Any) -> str:
    return json.dumps(values, ensure_ascii=False, default=str) if values else ""
