"""How long the server takes to start: with empty caches, and again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.clock import Clock
from agent.lab.measuring.report import Progress, Report, Table, spread
from agent.lab.measuring.server import measured_server

_CACHES = "caches"


async def measure_start(
    folder: Path, clock: Clock, config: Path | None, runs: int, command: str, progress: Progress
) -> Report:
    """Start the server `runs` times with empty caches and, after each, once more with what that start left behind.

    A cold start trains the domain's heads, renders its fixed phrases and creates the databases. The operating system's
    file cache is left as it is. Time runs from the start of the process until `/ready` answers 200.

    Raises:
        FileError: the configuration is wrong. ServerFailed, MeasureFailed: the server did not start.
    """
    times: dict[str, list[float]] = {"cold": [], "warm": []}
    done = 0
    for run in range(runs):
        place = folder / f"run-{run}"
        for kind, found in times.items():
            progress(done, 2 * runs, f"{kind} start {run + 1} of {runs}")
            caches = place / _CACHES
            changes = {
                "understanding": {"cache": str(caches / "understanding")},
                "voice": {"cache": str(caches / "phrases")},
            }
            async with measured_server(place, clock, config, changes) as server:
                found.append(server.started_s)
            done += 1
        await asyncio.to_thread(shutil.rmtree, place)
    progress(done, 2 * runs, "done")
    return digest(times, command)


def digest(times: Mapping[str, Sequence[float]], command: str) -> Report:
    """The report on `times`: seconds of each start, by kind."""
    found = {kind: spread(seconds) for kind, seconds in times.items()}
    rows = tuple(
        (kind, str(each["count"]), *(f"{each[name]:.1f} s" for name in ("p50", "least", "most")))
        for kind, each in found.items()
    )
    table = Table("From the start of the process until /ready", ("start", "runs", "median", "least", "most"), rows)
    figures = {
        kind: {"seconds": [round(second, 3) for second in seconds], "spread_s": found[kind]}
        for kind, seconds in times.items()
    }
    return Report("start", command, (table,), figures)
