"""`agent bench --gateway`: the cost of gateways' wire and of refusals, and the idle streams that a core holds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from agent.clock import RealClock
from agent.gateways.catalogue import gateways
from agent.lab import idle_bench, refusal_bench, slow_reader, wire_bench
from agent.lab.callers.catalogue import gateway_callers
from agent.lab.idle_bench import IdleFound, IdlePlan
from agent.lab.measuring import report as reports
from agent.lab.measuring.server import measured_server
from agent.lab.slow_reader import SlowFound, slow_readers

ALL = "all"
IDLE_GATEWAY = "twilio"
"""Whose streams are held idle where all gateways are measured."""


def chosen(name: str) -> list[str]:
    """The gateways that `--gateway` names.

    Raises:
        ValueError: there is none of that name.
    """
    if name == ALL:
        return list(gateways())
    if name not in gateways():
        raise ValueError(f"--gateway is {name[:40]!r}; give {ALL} or one of {', '.join(gateways())}")
    return [name]


def bench_gateways(
    name: str,
    idle: Sequence[IdlePlan],
    slow: int,
    folder: Path,
    config: Path | None,
    command: str,
    progress: reports.Progress,
) -> reports.Report:
    """Measure the wire of the gateways that `name` gives, refusals, idle streams, and `slow` callers who do not read.

    Raises:
        ValueError: there is no such gateway.
        MeasureFailed, ServerFailed, FileError: it cannot be measured.
    """
    names = chosen(name)
    costs = []
    for n, one in enumerate(names):
        progress(n, len(names), f"wire of {one}")
        costs.append(wire_bench.wire_cost(gateways()[one], gateway_callers()[one]))
    progress(0, 1, "refusals")
    parts = [
        wire_bench.report(costs, command),
        refusal_bench.report(refusal_bench.refusal_costs(RealClock()), command),
    ]
    if idle:
        parts.append(idle_bench.report([asyncio.run(_idle(plan, folder, config, progress)) for plan in idle], command))
    if slow:
        parts.append(slow_reader.report(asyncio.run(_slow(slow, folder, config, progress)), command))
    figures = {part.name: part.figures for part in parts}
    tables = tuple(table for part in parts for table in part.tables)
    return reports.Report("gateways", command, tables, figures, tuple(note for part in parts for note in part.notes))


async def _slow(callers: int, folder: Path, config: Path | None, progress: reports.Progress) -> SlowFound:
    progress(0, 1, "starting the server")
    clock = RealClock()
    async with measured_server(folder / "slow", clock, config, calls=callers) as server:
        return await slow_readers(server, clock, progress, callers)


async def _idle(plan: IdlePlan, folder: Path, config: Path | None, progress: reports.Progress) -> IdleFound:
    progress(0, 1, "starting the server")
    clock = RealClock()
    async with idle_bench.server_on_one_core(folder / plan.line, clock, config, plan) as server:
        return await idle_bench.idle_bench(server, gateway_callers()[plan.gateway], plan, clock, progress)
