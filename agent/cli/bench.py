"""`agent bench`: how many calls a server holds, and what to change so that it holds more."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from agent.cli.bench_gateway import ALL, IDLE_GATEWAY, bench_gateways
from agent.cli.measured import bar, command, leaves, show_tables
from agent.clock import RealClock
from agent.lab import bench_report
from agent.lab.bench import SCENARIO, BenchFailed, BenchStep, Plan, spoken_lines
from agent.lab.bench import bench as run
from agent.lab.idle_bench import IdlePlan
from agent.lab.line import LineError
from agent.lab.local_server import ServerFailed
from agent.lab.measuring import report as reports
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.server import measured_server
from agent.lab.scenario import read_scenario
from agent.lab.simulation import Target
from agent.lab.speech import CACHE
from agent.lab.suite import target_of
from agent.yamlfile import FileError
from models.errors import ModelError

_FAILURES = (BenchFailed, FileError, ServerFailed, LineError, MeasureFailed, ModelError, OSError, ValueError)
_COULD_NOT = 2
_WIDE = 140
"""Columns of tables that go to a file or a pipe."""


def bench(
    url: Annotated[str | None, typer.Option(help="Server, ws://... ; without it one of its own is started.")] = None,
    token: Annotated[str | None, typer.Option(help="Bearer token for the server.", envvar="AGENT_CALL_TOKEN")] = None,
    target_ms: Annotated[
        float, typer.Option(help="p95 of voice to voice that callers put up with, in ms.", min=1)
    ] = 1200.0,
    first: Annotated[int, typer.Option("--from", help="Calls at a time at the beginning.", min=1, max=500)] = 1,
    last: Annotated[int, typer.Option("--to", help="Calls at a time at most.", min=1, max=500)] = 16,
    step_s: Annotated[float, typer.Option(help="Seconds measured with each number of calls.", min=5)] = 40.0,
    every_s: Annotated[float, typer.Option(help="Seconds from one line of a caller to his next.", min=1)] = 10.0,
    scenario: Annotated[
        Path, typer.Option(help="Whose lines callers say, in order.", exists=True, dir_okay=False)
    ] = SCENARIO,
    seed: Annotated[int, typer.Option(help="Seed of everything drawn by chance.")] = 0,
    config: Annotated[
        Path | None, typer.Option(help="Configuration of its own server.", exists=True, dir_okay=False)
    ] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep databases, recordings and the server's log here.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write every figure to this file.", dir_okay=False)
    ] = None,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown, as docs/benchmarks.md has it.")
    ] = False,
    gateway: Annotated[
        str | None, typer.Option(help="Measure the wire and the refusals of this gateway, or of all, instead of calls.")
    ] = None,
    idle: Annotated[
        int, typer.Option(help="With --gateway: also hold so many silent streams on one core; 200 is the aim.", min=0)
    ] = 0,
    seconds: Annotated[float, typer.Option(help="How long they are measured.", min=1)] = 20.0,
    noise: Annotated[
        float | None, typer.Option(help="Also with line noise of this level in dBFS, such as -65.", max=-40.0)
    ] = None,
    slow: Annotated[
        int, typer.Option(help="With --gateway: also have so many callers ask and stop reading.", min=0, max=500)
    ] = 0,
) -> None:
    """Add calls until answers come too late; say how many were held, where the time went, and what to change.

    Exit status 0: --from calls were held. 1: not even those. 2: it could not be carried through; the steps that were
    over are reported all the same.
    """
    errors = Console(stderr=True)
    if gateway is not None:
        _bench_gateways(gateway, idle, seconds, noise, slow, seed, config, keep, json_file, as_markdown, errors)
        return
    folder = keep.resolve() if keep is not None else Path(tempfile.mkdtemp(prefix="agent-bench-"))
    steps: list[BenchStep] = []
    plan = Plan(first, max(first, last), step_s, every_s, target_ms, seed)
    stopped: list[str] = []
    with bar(errors) as progress, _told(errors, stopped):
        if last < first:
            raise ValueError(f"--to is {last} and --from is {first}; give --to at least as many")
        if url is not None and config is not None:
            raise ValueError("--config is for a server of its own; leave out --url, or configure the server there")
        asyncio.run(_run(folder, url, token, config, scenario, plan, progress, steps, errors))
    found = bench_report.report(steps, plan, command(), stopped[0] if stopped else None)
    if json_file is not None and (steps or stopped):
        json_file.write_text(json.dumps(found.document(), indent=2) + "\n", encoding="utf-8")
    if steps:
        if as_markdown:
            typer.echo(found.markdown())
        else:
            _show(found)
    if keep is None:
        shutil.rmtree(folder, ignore_errors=True)
    if stopped:
        raise typer.Exit(_COULD_NOT)
    raise typer.Exit(0 if bench_report.held(steps, plan) else 1)


def _bench_gateways(
    name: str,
    idle: int,
    seconds: float,
    noise: float | None,
    slow: int,
    seed: int,
    config: Path | None,
    keep: Path | None,
    json_file: Path | None,
    as_markdown: bool,
    errors: Console,
) -> None:
    folder = keep.resolve() if keep is not None else Path(tempfile.mkdtemp(prefix="agent-bench-"))
    stopped: list[str] = []
    levels = [None, noise] if noise is not None else [None]
    of = IDLE_GATEWAY if name == ALL else name
    plans = [IdlePlan(of, idle, seconds, noise_dbfs=level, seed=seed) for level in levels] if idle else []
    found: reports.Report | None = None
    with bar(errors) as progress, _told(errors, stopped):
        found = bench_gateways(name, plans, slow, folder, config, command(), progress)
    if found is not None:
        if json_file is not None:
            json_file.write_text(json.dumps(found.document(), indent=2) + "\n", encoding="utf-8")
        if as_markdown:
            typer.echo(found.markdown())
        else:
            _show(found)
    if keep is None:
        shutil.rmtree(folder, ignore_errors=True)
    if stopped:
        raise typer.Exit(_COULD_NOT)


async def _run(
    folder: Path,
    url: str | None,
    token: str | None,
    config: Path | None,
    scenario: Path,
    plan: Plan,
    progress: reports.Progress,
    steps: list[BenchStep],
    console: Console,
) -> None:
    progress(0, 1, "reading the lines")
    lines = await asyncio.to_thread(spoken_lines, read_scenario(scenario), CACHE)

    def over(step: BenchStep) -> None:
        steps.append(step)
        verdict = "[green]held[/green]" if step.held(plan.target_ms) else "[red]not held[/red]"
        answered = ", ".join(f"{name} {reports.figure(step.answered, name, ' ms')}" for name in ("p50", "p95"))
        console.print(f"{verdict} {step.calls} calls: {answered}, {step.unanswered} of {step.turns} unanswered")

    async with _server(folder, url, token, config, plan, progress) as target:
        await run(target, lines, plan, RealClock(), progress, over)


@asynccontextmanager
async def _server(
    folder: Path, url: str | None, token: str | None, config: Path | None, plan: Plan, progress: reports.Progress
) -> AsyncIterator[Target]:
    if url is not None:
        yield target_of(url, "twilio", token)
        return
    progress(0, 1, "starting the server")
    async with measured_server(folder, RealClock(), config, calls=plan.last) as server:
        yield target_of(server.url, "twilio")


@contextmanager
def _told(errors: Console, stopped: list[str]) -> Iterator[None]:
    """Puts into `stopped` why it could not be carried through, and says so."""
    try:
        yield
    except KeyboardInterrupt:
        stopped.append("stopped by the user")
    except asyncio.CancelledError:  # of the run that is over: a server of our own ends it on SIGTERM
        stopped.append("ended by a signal")
    except (ExceptionGroup, *_FAILURES) as error:
        found_errors = list(leaves(error))
        if not all(isinstance(leaf, _FAILURES) for leaf in found_errors):
            raise
        stopped.append("; ".join(dict.fromkeys(str(leaf) for leaf in found_errors)))
    for why in stopped:
        errors.print(f"[red]It could not be carried through:[/red] {escape(why)}", highlight=False, soft_wrap=True)


def _show(found: reports.Report) -> None:
    console = Console()
    console = console if console.is_terminal else Console(width=max(_WIDE, console.width))
    show_tables(console, found.tables)
    for note in found.notes:
        console.print(escape(note), highlight=False, soft_wrap=True)
    console.print(f"[dim]{escape(found.hardware)}[/dim]", highlight=False, soft_wrap=True)
