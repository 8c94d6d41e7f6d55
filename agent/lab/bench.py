"""How many calls a server holds: calls are added step by step until answers come too late, and where the time went."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from agent.clock import Clock
from agent.config import CONFIGS
from agent.lab.load import ANSWER_S, BrokenCall, Happened, Load, LoadTurn, PacedReply
from agent.lab.measuring.report import Progress, spread
from agent.lab.scenario import Scenario
from agent.lab.simulation import Target
from agent.lab.speech import CallerSpeech
from agent.lab.spoken import Spoken

SCENARIO = CONFIGS / "scenarios" / "load" / "questions.yaml"
"""What callers say unless told otherwise: questions of about three seconds."""
GREETING_S = 8.0
"""What a new call needs, besides the time over which calls begin, until it is in its stride."""
LEAST_LINES = 20
"""Fewer tell nothing of the 95th in a hundred: the bench goes on after such a step, late answers or not."""
POLL_S = 0.25
SAMPLE_S = 0.02
"""How often the callers' own lag is sampled."""
DOUBLED_TO, THEN = 8, 4
"""Calls are doubled up to the one, then grow by the other."""


class BenchFailed(Exception):
    """The bench cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Plan:
    """first, last: calls at the first and at most at the last step. step_s: seconds measured in each step.

    every_s: from one line of a caller to his next. target_ms: p95 of voice to voice up to which a step holds.
    """

    first: int = 1
    last: int = 16
    step_s: float = 40.0
    every_s: float = 10.0
    target_ms: float = 1200.0
    seed: int = 0

    def levels(self) -> list[int]:
        """Calls at each step: doubled up to `DOUBLED_TO`, then `THEN` more, the last one always included."""
        found = [self.first]
        while found[-1] < self.last:
            found.append(min(self.last, found[-1] * 2 if found[-1] < DOUBLED_TO else found[-1] + THEN))
        return found


@dataclass(frozen=True)
class BenchStep:
    """What was seen with `calls` at a time. Spreads in ms, as `agent.lab.measuring.report.spread` gives them.

    answered, settled: voice to voice, at the callers' ears: to the first reply, and to the one that was allowed to
    finish. jitter_ms: p95 of the call whose audio came least evenly. holes: moments in which the audio of a reply ran
    dry. caller_lag: how late the callers themselves were. server: what it said of its load, see `server_load`.
    """

    calls: int
    seconds: float
    answered: Mapping[str, float]
    settled: Mapping[str, float]
    turns: int
    unanswered: int
    cut_offs: int
    ended: int
    refused: int
    jitter_ms: float | None
    holes: int
    caller_cpu: float
    caller_lag: Mapping[str, float]
    server: Mapping[str, Any] | None
    whys: tuple[str, ...] = field(default=())
    """How calls broke, each way once."""

    @property
    def telling(self) -> bool:
        """Whether there were enough lines for a p95, or something worse than a late answer."""
        return self.turns >= LEAST_LINES or bool(self.unanswered or self.refused)

    def held(self, target_ms: float) -> bool:
        """Whether every caller was served, and 95 of 100 answers came in time."""
        well = not (self.unanswered or self.refused) and self.turns > 0
        return well and self.answered.get("p95", float("inf")) <= target_ms


def spoken_lines(scenario: Scenario, cache: Path | None = None) -> list[tuple[str, Spoken]]:
    """What callers say, by id, in the scenario's order; blocks where it must be rendered.

    Raises:
        FileError: it cannot be said. BenchFailed: nothing is said.
    """
    speech = CallerSpeech((scenario.folder / "lines.json", CONFIGS / "scenarios" / "lines.json"), cache)
    lines = [(line.id, speech.line(scenario, line)) for line in scenario.spoken_lines()]
    if not lines:
        raise BenchFailed(f"scenario {scenario.name} has no step 'say'; callers would say nothing")
    return lines


async def bench(
    target: Target,
    lines: Sequence[tuple[str, Spoken]],
    plan: Plan,
    clock: Clock,
    progress: Progress,
    on_step: Callable[[BenchStep], None],
) -> None:
    """Add calls step by step, and tell what was seen in each; ends with the first step that tells and does not hold.

    Callers run in this process and, where the server is on this machine, take their share of it.

    Raises:
        BenchFailed: nobody can call, or the server went away; steps that were over have been told.
    """
    levels = plan.levels()
    each_s = plan.every_s + GREETING_S + plan.step_s
    happened: list[Happened] = []
    headers = {"Authorization": f"Bearer {target.token}"} if target.token else {}
    load = Load(target.url, lines, clock, happened.append, every_s=plan.every_s, seed=plan.seed, headers=headers)
    lags: list[float] = []
    async with (
        httpx.AsyncClient(base_url=target.api or "", headers=headers, timeout=5.0, trust_env=False) as http,
        _running(load, lags, clock) as group,
    ):
        for done, calls in enumerate(levels):
            load.want(calls, group)
            began_s = load.seconds()

            async def pass_time(until_s: float, what: str, done: int = done, began_s: float = began_s) -> None:
                while (now_s := load.seconds()) < until_s:
                    progress(done * each_s + min(each_s, now_s - began_s), len(levels) * each_s, what)
                    _check(load, happened)
                    await clock.sleep_until(clock.now_ms() + POLL_S * 1000.0)

            await pass_time(began_s + plan.every_s + GREETING_S, f"{calls} calls: beginning")
            from_s, cpu_s, before = load.seconds(), time.process_time(), await _ask(http, target, 1.0)
            lags.clear()
            await pass_time(from_s + plan.step_s, f"{calls} calls: measuring")
            to_s, after = load.seconds(), await _ask(http, target, plan.step_s)
            caller_cpu, caller_lag = (time.process_time() - cpu_s) / (to_s - from_s), spread(lags)
            await _last_answers(load, clock, to_s)
            seen = [event for event in happened if from_s <= event.at_s < to_s]
            server = server_load(before, after)
            step = digest(calls, to_s - from_s, seen, caller_cpu, caller_lag, server)
            on_step(step)
            if step.telling and not step.held(plan.target_ms):
                return


def digest(
    calls: int,
    seconds: float,
    seen: Sequence[Happened],
    caller_cpu: float = 0.0,
    caller_lag: Mapping[str, float] | None = None,
    server: Mapping[str, Any] | None = None,
) -> BenchStep:
    """A step, from what happened in its `seconds`."""
    turns = [event for event in seen if isinstance(event, LoadTurn)]
    broken = [event for event in seen if isinstance(event, BrokenCall)]
    deviations: dict[int, list[float]] = {}
    holes = 0
    for event in seen:
        if isinstance(event, PacedReply):
            deviations.setdefault(event.call, []).extend(event.pacing.deviations_ms)
            holes += event.pacing.holes
    return BenchStep(
        calls=calls,
        seconds=round(seconds, 1),
        answered=spread([turn.answered_ms for turn in turns if turn.answered_ms is not None]),
        settled=spread([turn.settled_ms for turn in turns if turn.settled_ms is not None]),
        turns=len(turns),
        unanswered=sum(turn.answered_ms is None and not turn.cut_off for turn in turns),
        cut_offs=sum(turn.cut_off for turn in turns),
        ended=sum(event.kind == "ended" for event in broken),
        refused=sum(event.kind != "ended" for event in broken),
        jitter_ms=max((spread(values)["p95"] for values in deviations.values()), default=None),
        holes=holes,
        caller_cpu=round(caller_cpu, 2),
        caller_lag=caller_lag or {"count": 0},
        server=server,
        whys=tuple(dict.fromkeys(event.reason for event in broken)),
    )


def server_load(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The server's load between two answers of its `/api/load`; None where it has no such address.

    cpu, busy.KIND: cores in use by the process, and workers by model jobs of that kind. parts_ms: what an answer's time
    was made of, on average. loop_lag_ms, waited_ms.KIND: spreads, as it told them.
    """
    if before is None or after is None:
        return None
    seconds = after["up_s"] - before["up_s"]
    if seconds <= 0:
        return None
    kinds, earlier = after["pool"]["kinds"], before["pool"]["kinds"]
    parts = {}
    for name, part in after["latency"].items():
        old = before["latency"].get(name, {"count": 0.0, "total_ms": 0.0})
        if (count := part["count"] - old["count"]) > 0:
            parts[name] = round((part["total_ms"] - old["total_ms"]) / count, 1)
    return {
        "cores": after["cores"],
        "workers": after["pool"]["workers"],
        "most_calls": after["calls"]["most"],
        "cpu": round((after["cpu_s"] - before["cpu_s"]) / seconds, 2),
        "rss_mb": after["rss_mb"],
        "loop_lag_ms": after["loop_lag_ms"],
        "waited_ms": {name: kind["waited_ms"] for name, kind in kinds.items() if kind["waited_ms"]["count"]},
        "busy": {
            name: round((kind["busy_s"] - earlier[name]["busy_s"]) / seconds, 3)
            for name, kind in kinds.items()
            if kind["done"] > earlier[name]["done"]
        },
        "dropped": after["pool"]["dropped"] - before["pool"]["dropped"],
        "parts_ms": parts,
    }


@contextlib.asynccontextmanager
async def _running(load: Load, lags: list[float], clock: Clock) -> AsyncIterator[asyncio.TaskGroup]:
    """The group that owns the calls and the sampling of this process's lag; ends them with the block."""

    async def sample() -> None:
        while True:
            asked = clock.now_ms() + SAMPLE_S * 1000.0
            await clock.sleep_until(asked)
            lags.append(max(0.0, clock.now_ms() - asked))

    async with asyncio.TaskGroup() as group:
        sampling = group.create_task(sample(), name="callers-lag")
        try:
            yield group
        finally:
            sampling.cancel()
            load.end()


def _check(load: Load, happened: Sequence[Happened]) -> None:
    broken = [event for event in happened if isinstance(event, BrokenCall)]
    gone = [event for event in broken if event.kind == "unreachable"]
    if gone and not load.up:
        raise BenchFailed(gone[-1].reason)
    if not load.up and len(broken) > 2 and not any(isinstance(event, LoadTurn) for event in happened):
        raise BenchFailed(f"no call could be held: {broken[-1].reason}")


async def _last_answers(load: Load, clock: Clock, before_s: float) -> None:
    """Wait until every line that ended by then was answered, or can be no more."""
    until_s = load.seconds() + ANSWER_S + 1.0
    while load.open_before(before_s) and load.seconds() < until_s:
        await clock.sleep_until(clock.now_ms() + POLL_S * 1000.0)


async def _ask(http: httpx.AsyncClient, target: Target, last_s: float) -> Mapping[str, Any] | None:
    """What the server says of its load; None where it says nothing."""
    if target.api is None:
        return None
    try:
        answer = await http.get("/api/load", params={"last_s": min(60.0, last_s)})
        found = answer.json() if answer.status_code == httpx.codes.OK else None
    except (httpx.HTTPError, ValueError):
        return None
    return found if isinstance(found, dict) and "pool" in found else None
