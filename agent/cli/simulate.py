"""`agent simulate`: simulated callers against a server, and a report on how it went."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from agent.cli.measured import command, leaves
from agent.clock import RealClock
from agent.lab.line import LineError
from agent.lab.local_server import ServerFailed
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.server import measured_server
from agent.lab.outcome import CallOutcome
from agent.lab.reporting.compare import Comparison, compare
from agent.lab.reporting.document import Run, read_report, stored
from agent.lab.reporting.limits import over, parse_limits
from agent.lab.reporting.page import page
from agent.lab.reporting.terminal import faults, markdown, show
from agent.lab.scores import CallScore, score
from agent.lab.simulation import SimulationEvent, Target
from agent.lab.suite import (
    Batch,
    Protocol,
    SuiteFailed,
    batches,
    people_calls,
    place,
    read_scenarios,
    scenario_files,
    target_of,
)
from agent.lab.voices import Voices, read_voices
from agent.yamlfile import FileError
from models.errors import ModelError

_FAILURES = (FileError, SuiteFailed, ServerFailed, LineError, MeasureFailed, ModelError, OSError)
_WIDE = 120
"""Columns of what is not shown in a terminal but kept as a log."""
_COULD_NOT = 2
_OTHERWISE = 1


def simulate(
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SCENARIO]...", help="Files, folders, or suites such as `short`; the whole shipped suite without."
        ),
    ] = None,
    speech: Annotated[
        list[Path] | None, typer.Option(help="Folder of recorded speech; callers say it. May be given again.")
    ] = None,
    digits: Annotated[
        list[Path] | None, typer.Option(help="Folder of recorded digits; callers dictate numbers. May be given again.")
    ] = None,
    speech_calls: Annotated[
        int, typer.Option(help="Calls for each folder of speech or digits.", min=1, max=10_000)
    ] = 10,
    url: Annotated[str | None, typer.Option(help="Server, ws://... ; without it one of its own is started.")] = None,
    token: Annotated[str | None, typer.Option(help="Bearer token for the server.", envvar="AGENT_CALL_TOKEN")] = None,
    protocol: Annotated[str | None, typer.Option(help="twilio or plain, instead of what the scenarios say.")] = None,
    domain: Annotated[
        str | None, typer.Option(help="Domain of its own server: a name under configs/domains, or a folder.")
    ] = None,
    conversations: Annotated[
        bool,
        typer.Option("--conversations", help="Play the domain's conversations by voice, each on a server of its own."),
    ] = False,
    only: Annotated[str, typer.Option(help="Only conversations whose names match these globs, with commas.")] = "*",
    calls: Annotated[int, typer.Option(help="Calls at a time.", min=1, max=500)] = 1,
    ramp: Annotated[float, typer.Option(help="Seconds over which the first calls begin.", min=0)] = 0.0,
    repeat: Annotated[int, typer.Option(help="Every scenario this often.", min=1, max=1000)] = 1,
    seed: Annotated[int, typer.Option(help="Seed of everything drawn by chance.")] = 0,
    config: Annotated[
        Path | None, typer.Option(help="Configuration of its own server.", exists=True, dir_okay=False)
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep recordings, records and the server's log here.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write every figure to this file.", dir_okay=False)
    ] = None,
    html_file: Annotated[
        Path | None, typer.Option("--html", help="Also write a page with plots and timelines.", dir_okay=False)
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="JSON of an earlier run to compare with.", dir_okay=False)
    ] = None,
    fail_on: Annotated[
        str, typer.Option(help="Faults that make the exit status 1: NAME, NAME:COUNT, NAME:PERCENT%,... or none.")
    ] = "tasks",
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown, as docs/benchmarks.md has it.")
    ] = False,
) -> None:
    """Simulated callers ring a server, and a report says how it went; docs/lab.md explains scenarios and figures.

    Exit status 0: within the limits of --fail-on. 1: not. 2: the run could not be carried through; what was done is
    reported all the same.
    """
    errors = Console(stderr=True)
    folder = keep.resolve() if keep is not None else Path(tempfile.mkdtemp(prefix="agent-simulate-"))
    done: list[CallScore] = []
    planned: list[Batch] = []
    with _told(errors) as stopped:
        limits = parse_limits(fail_on)
        before = read_report(against) if against is not None else None
        only_people = not scenarios and (bool(speech or digits) or conversations)
        chosen = [] if only_people else read_scenarios(scenario_files(scenarios or ()))
        spoken = _protocol(protocol)
        if (conversations or domain is not None) and url is not None:
            raise ValueError("--domain and --conversations are for a server of its own; leave out --url")
        voices = read_voices(domain or "shop", only) if conversations else None
        for name, why in voices.unspoken.items() if voices is not None else ():
            errors.print(f"{escape(name)} is played by text only: {escape(why)}", highlight=False, soft_wrap=True)
        if url is not None and config is not None:
            raise ValueError("--config is for a server of its own; leave out --url, or configure the server there")
        server = _own(folder, config, calls, domain, voices) if url is None else _given(url, token)
        with _bar(errors) as watch:
            people = people_calls(speech or (), digits or (), speech_calls, seed, watch.preparing)
            if chosen or people:
                planned += batches(chosen, people, spoken, repeat, seed)
            if voices is not None:
                planned += voices.batches(len(planned), spoken or "twilio", repeat, seed)
            watch.plan(planned)
            judge = voices.judged if voices is not None else _as_it_is
            asyncio.run(_place(planned, server, calls, ramp, keep, done, watch, judge))
    if not planned:
        _tidy(folder, keep)
        raise typer.Exit(_COULD_NOT)
    done.sort(key=lambda call: call.outcome.number)
    if not stopped and done and all(call.outcome.error is not None for call in done):
        stopped.append(f"no call could be carried through: {done[0].outcome.error}")
    settings = {
        "seed": seed,
        "calls_at_a_time": calls,
        "ramp_s": ramp,
        "repeat": repeat,
        "protocol": protocol or "as the scenarios say",
        "server": "its own" if url is None else urlsplit(url).hostname,
        "config": None if config is None else config.name,
        "domain": domain or "shop",
        "speech": [path.resolve().name for path in (*(speech or ()), *(digits or ()))],
        "scenarios": sorted({job.scenario.name for batch in planned for job in batch.jobs}),
    }
    run = Run(command(), settings, done, watch.planned, stopped[0] if stopped else None)
    found = None if before is None or against is None else compare(before, stored(run.document()), against.name)
    if run.stopped is not None and done and json_file is None:
        json_file = folder / "report.json"
        errors.print(f"What was done is in {json_file}", highlight=False, soft_wrap=True)
    _report(run, found, json_file, html_file, as_markdown)
    if run.stopped is not None:
        raise typer.Exit(_COULD_NOT)
    _tidy(folder, keep)
    if wrong := over(limits, run.summary):
        for line in wrong:
            errors.print(f"[red]over the limit:[/red] {escape(line)}", highlight=False, soft_wrap=True)
        raise typer.Exit(_OTHERWISE)


class _Watch:
    """Shows how far the run is: a bar, and a line for each call that is over."""

    def __init__(self, console: Console, bar: Progress, task: TaskID) -> None:
        self._console = console
        self._bar = bar
        self._task = task
        self.planned = 0

    def preparing(self, count: int, total: int) -> None:
        """Recorded speech is read."""
        self._bar.update(self._task, completed=count, total=total, description="reading recorded speech")

    def plan(self, planned: list[Batch]) -> None:
        """So many calls there will be."""
        self.planned = sum(len(batch.jobs) for batch in planned)
        self._bar.update(self._task, completed=0, total=self.planned, description="starting the server")

    def event(self, event: SimulationEvent) -> None:
        """What a call does now."""
        doing = f"{event.scenario}: {event.detail}" if event.what == "step" else f"{event.scenario}: {event.what}"
        self._bar.update(self._task, description=escape(doing[:60]))

    def over(self, call: CallScore) -> None:
        """A call has ended."""
        self._bar.advance(self._task)
        outcome = call.outcome
        verdict = "[green]as expected[/green]" if outcome.succeeded else "[red]failed[/red]"
        about = f"{outcome.scenario} ({outcome.duration_ms / 1000:.0f} s)"
        lines = [*call.reasons, *faults(call)]
        told = f"; {'; '.join(lines)}" if lines else ""
        self._console.print(f"{verdict} {escape(about + told)}", highlight=False, soft_wrap=True)


async def _place(
    planned: list[Batch],
    server: Callable[[Batch], AbstractAsyncContextManager[Target]],
    calls: int,
    ramp: float,
    keep: Path | None,
    done: list[CallScore],
    watch: _Watch,
    judge: Callable[[CallOutcome], CallOutcome],
) -> None:
    """Place the calls; `done` has those that ended, whatever stops the rest."""
    outcomes = place(planned, server, RealClock(), at_a_time=calls, ramp_s=ramp, keep=keep, on_event=watch.event)
    async with aclosing(outcomes):
        async for outcome in outcomes:
            call = score(judge(outcome))
            done.append(call)
            watch.over(call)


def _as_it_is(outcome: CallOutcome) -> CallOutcome:
    return outcome


def _own(
    folder: Path, config: Path | None, calls: int, domain: str | None, voices: Voices | None
) -> Callable[[Batch], AbstractAsyncContextManager[Target]]:
    """A server and a database for each batch: what calls of one changed, those of the next do not see."""

    @asynccontextmanager
    async def server(batch: Batch) -> AsyncIterator[Target]:
        place = folder / f"server-{batch.round}-{batch.protocol}"
        more: dict[str, Any] = {} if domain is None else {"domain": domain}
        if voices is not None:
            more |= voices.began(batch)
        async with measured_server(place, RealClock(), config, calls=calls, **more) as started:
            yield target_of(started.url, batch.protocol)

    return server


def _given(url: str, token: str | None) -> Callable[[Batch], AbstractAsyncContextManager[Target]]:
    target_of(url, "twilio")

    @asynccontextmanager
    async def server(batch: Batch) -> AsyncIterator[Target]:
        yield target_of(url, batch.protocol, token)

    return server


def _protocol(named: str | None) -> Protocol | None:
    if named is None:
        return None
    if named == "twilio":
        return "twilio"
    if named == "plain":
        return "plain"
    raise ValueError(f"--protocol is {named!r}; give twilio or plain")


def _report(
    run: Run, comparison: Comparison | None, json_file: Path | None, html_file: Path | None, as_markdown: bool
) -> None:
    if json_file is not None:
        document: dict[str, Any] = run.document()
        if comparison is not None:
            document["against"] = comparison.document()
        json_file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if html_file is not None:
        html_file.write_text(page(run, comparison), encoding="utf-8")
    if as_markdown:
        typer.echo(markdown(run, comparison))
    else:
        console = Console()
        show(console if console.is_terminal else Console(width=max(_WIDE, console.width)), run, comparison)


@contextmanager
def _told(errors: Console) -> Iterator[list[str]]:
    """Gives a list that has, after the block, why it could not be carried through; empty where it was."""
    stopped: list[str] = []
    try:
        yield stopped
    except KeyboardInterrupt:
        stopped.append("stopped by the user")
    except asyncio.CancelledError:  # of the run that is over: a server of our own ends it on SIGTERM
        stopped.append("ended by a signal")
    except (ValueError, ExceptionGroup, *_FAILURES) as error:
        found_errors = list(leaves(error))
        if not all(isinstance(leaf, (ValueError, *_FAILURES)) for leaf in found_errors):
            raise
        stopped.append("; ".join(str(leaf) for leaf in found_errors))
    for why in stopped:
        errors.print(f"[red]It could not be carried through:[/red] {escape(why)}", highlight=False, soft_wrap=True)


def _tidy(folder: Path, keep: Path | None) -> None:
    """Remove the temporary folder."""
    if keep is None:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _bar(console: Console) -> Iterator[_Watch]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        yield _Watch(console, bar, bar.add_task("reading", total=None))
