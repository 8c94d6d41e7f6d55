"""`agent demo`: one whole call, shown as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.turns import TurnPrinter
from agent.lab.demo import SHOP, DemoFailed, DemoResult, run_demo, script_of
from agent.lab.line import LineError
from agent.lab.local_server import ServerFailed
from agent.lab.steps import Step
from agent.yamlfile import FileError

_FOUND = 60  # characters shown of what was found, where it was as expected


def demo(
    folder: Annotated[Path, typer.Option(help="Where run folders are made; each run gets a new one.")] = Path(
        "var/demo"
    ),
    domain: Annotated[str, typer.Option(help="A name under configs/domains, or a folder with a demo.yaml.")] = SHOP,
    script: Annotated[
        Path | None, typer.Option(help="The caller's script; the domain's own without.", exists=True, dir_okay=False)
    ] = None,
) -> None:
    """Place a scripted call to a server of its own, over the Twilio protocol, and check what came of it.

    Shows the conversation as it happens and leaves the recording, the transcript and the database behind. The exit
    status is 1 when an expectation of the script was missed, 2 when the call could not be made.
    """
    console = Console()
    try:
        result = asyncio.run(run_demo(folder, script or script_of(domain), _View(console), domain))
    except (FileError, ServerFailed, LineError, DemoFailed, TimeoutError) as error:
        console.print(f"[red]The demo could not be run:[/red] {escape(str(error))}", highlight=False)
        raise typer.Exit(2) from error
    _report(console, result)
    raise typer.Exit(0 if result.held else 1)


class _View:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._turns = TurnPrinter(console)
        console.print("Starting the server (the first start also renders its fixed phrases) ...")

    def server_ready(self, url: str, folder: Path) -> None:
        self._console.print(f"Server at {url}; everything is kept in {folder}\n", highlight=False)

    def typed(self) -> None:
        self._console.print("The caller types: no voice is installed for him (pip install 'callagent[lab]').")

    def step(self, step: Step) -> None:
        if step.interrupt_after is not None:
            self._console.print("[dim]   (the caller waits for the agent to speak, to interrupt it)[/dim]")

    def call(self, call: Mapping[str, Any], over: bool) -> None:
        self._turns.show(call["turns"], over)

    def handoff(self, handoff: Mapping[str, Any]) -> None:
        text = f"   handoff hook: {handoff['rule']}: {handoff['summary']}"
        self._console.print(f"[magenta]{escape(text)}[/magenta]", highlight=False)


def _report(console: Console, result: DemoResult) -> None:
    answers = Table("the caller said", "answered after", "agent silent after", title_justify="left")
    answers.title = "\nAs measured at the caller's ear"
    for cue, said in result.answers.items():
        answers.add_row(
            cue,
            "not answered" if said.answered_ms is None else f"{said.answered_ms:.0f} ms",
            "" if said.stopped_ms is None else f"{said.stopped_ms:.0f} ms",
        )
    if result.answers:
        console.print(answers)
    table = Table("", "expectation", "found", title="\nWhat the script expects", title_justify="left")
    for item in result.checks:
        found = item.found if not item.held or len(item.found) <= _FOUND else item.found[: _FOUND - 1] + "…"
        table.add_row("[green]ok[/green]" if item.held else "[red]MISSED[/red]", escape(item.name), escape(found))
    console.print(table)
    call = result.call["call"]
    for name, place in (
        ("recording", call.get("recording")),
        ("transcript", call.get("transcript")),
        ("database row", f"{result.folder / 'records.db'}, table calls, id {call['id']}"),
        ("as the caller heard it", result.folder / "as-the-caller-heard-it.wav"),
        ("server log", result.folder / "server.log"),
    ):
        if isinstance(place, str) or (place is not None and place.is_file()):
            console.print(f"{name:>22}  {place}", highlight=False, soft_wrap=True)
    missed = sum(not item.held for item in result.checks)
    console.print(f"\n[red]{missed} expectations were missed.[/red]" if missed else "\n[green]All as expected.[/green]")
