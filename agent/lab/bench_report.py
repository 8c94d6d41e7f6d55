"""What a bench found: tables, figures, and what to change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from agent.lab.bench import BenchStep, Plan
from agent.lab.measuring.report import Report, Table, figure

LAG_MS = 15.0
"""p95 lag of an event loop from which it is worth a remark; a frame of audio is due every 20 ms."""
JITTER_MS = 10.0
"""p95 deviation of a call's audio from its schedule that phones even out without being heard."""
WAIT_MS = 100.0
"""p95 wait of a model job that a caller notices."""
SATURATED = 0.8
"""Share of its cores, or of its workers' time, from which a process is as busy as it can be without queues growing."""
MOSTLY = 0.5

GROUPS: Mapping[str, tuple[str, ...]] = {
    "recognition": ("final_recognition", "speculation", "partial"),
    "synthesis": ("first_sentence", "later_sentence"),
    "voice activity": ("voice_activity",),
    "understanding": ("understanding",),
    "emotion": ("emotion",),
}
"""Model jobs by what they are for. A prepared first sentence is counted as a guess, with recognition."""
_URGENT = ("final_recognition", "understanding", "first_sentence", "speculation")


def report(steps: Sequence[BenchStep], plan: Plan, command: str, stopped: str | None = None) -> Report:
    """The report on the steps that were over; `stopped` says why there are no more, where that was not meant."""
    figures: dict[str, Any] = {
        "plan": asdict(plan),
        "held": held(steps, plan),
        "suggested_max_calls": held(steps, plan) or None,
        "stopped": stopped,
        "advice": advice(steps, plan),
        "steps": [{**asdict(step), "held": step.held(plan.target_ms)} for step in steps],
    }
    notes = [*([f"stopped: {stopped}"] if stopped else []), *conclusion(steps, plan), *advice(steps, plan)]
    tables = (_answers(steps, plan), _machine(steps), _parts(steps), _busy(steps))
    return Report("bench", command, tables, figures, tuple(notes))


def held(steps: Sequence[BenchStep], plan: Plan) -> int:
    """The most calls that were held, 0 where none were."""
    return max((step.calls for step in steps if step.held(plan.target_ms)), default=0)


def conclusion(steps: Sequence[BenchStep], plan: Plan) -> list[str]:
    """How many calls were held, and what `server.max_calls` should be."""
    most, limit = held(steps, plan), f"p95 within {plan.target_ms:.0f} ms and none unanswered"
    if not steps:
        return []
    if not most and not steps[-1].telling:
        return [f"There were too few lines to tell ({limit}): raise --step-s or --from."]
    if not most:
        return [f"Not even {steps[0].calls} calls were held ({limit})."]
    open_end = steps[-1].held(plan.target_ms)
    last = steps[-1].calls
    more = f"; the limit was not found, try --to {2 * last}" if open_end and last >= plan.last else ""
    return [f"{most} calls were held ({limit}){more}.", f"Set server.max_calls: {most}."]


def advice(steps: Sequence[BenchStep], plan: Plan) -> list[str]:
    """What to change, judged by the last step: what is used up there, or makes callers wait most."""
    if not steps:
        return []
    last = steps[-1]
    found = [*_callers(last), *(_server(last) if last.server is not None else _silent())]
    if last.refused and last.whys:
        found.insert(0, f"Calls were refused: {last.whys[0]}")
    if last.jitter_ms is not None and last.jitter_ms > JITTER_MS:
        found.append(
            f"One call's audio came {last.jitter_ms:.0f} ms off its schedule (p95): leave cores to the event loop, "
            "with fewer pool.workers than cores, or fewer calls."
        )
    return found


def _callers(step: BenchStep) -> Iterator[str]:
    if step.caller_lag.get("p95", 0.0) > JITTER_MS or step.caller_cpu > SATURATED:
        lag = figure(step.caller_lag, "p95", " ms")
        yield (
            f"The callers themselves ran late (p95 {lag}) and took {step.caller_cpu:.1f} cores: "
            "run `agent bench --url` from another machine."
        )


def _silent() -> Iterator[str]:
    yield "The server says nothing of its load (GET /api/load): give --token, or look at its own metrics."


def _server(step: BenchStep) -> Iterator[str]:
    server = step.server or {}
    cores, workers = server["cores"], server["workers"]
    lag = server["loop_lag_ms"].get("p95", 0.0)
    if lag > LAG_MS:
        yield (
            f"The event loop runs late (p95 {lag:.0f} ms): serve with several processes behind a balancer, "
            "each with its share of the calls."
        )
    busy = by_group(server["busy"])
    total, used = sum(share for name, share in busy.items() if name != "voice activity"), server["cpu"]
    waits = {name: server["waited_ms"].get(name, {}).get("p95", 0.0) for name in _URGENT}
    slowest = max(waits, key=lambda name: waits[name])
    full = total >= SATURATED * workers
    if full or waits[slowest] > WAIT_MS:
        most = max(busy, key=lambda name: busy[name], default="recognition")
        yield (
            f"Model jobs wait ({slowest.replace('_', ' ')}: p95 {waits[slowest]:.0f} ms) for {workers} workers, "
            f"busy {100 * total / workers:.0f} % of the time, most with {most}: {_remedy(most)}."
        )
        if used < SATURATED * cores and workers < cores:
            yield f"{cores - used:.1f} of {cores} cores are idle: raise pool.workers and recognizer.workers to {cores}."
    if used + step.caller_cpu >= SATURATED * cores:
        yield f"The processor is used up ({used:.1f} of {cores} cores by the server): use more cores, or fewer calls."
    parts = server["parts_ms"]
    wait, whole = parts.get("endpoint_wait", 0.0), parts.get("total", 0.0)
    if whole and wait > MOSTLY * whole and not full:
        yield (
            f"{wait:.0f} of {whole:.0f} ms of an answer are the wait for the caller to go on, not work: "
            "see the section floor of the configuration."
        )


def by_group(busy: Mapping[str, float]) -> dict[str, float]:
    """Workers in use, by what the work is for."""
    found = {name: sum(busy.get(kind, 0.0) for kind in kinds) for name, kinds in GROUPS.items()}
    return {name: round(value, 3) for name, value in found.items() if value > 0}


def _remedy(group: str) -> str:
    return {
        "recognition": "set recognizer.context_s lower or recognizer.device to a GPU, or add cores",
        "synthesis": "shorten first sentences, keep what is said often in fixed phrases (voice.cache), or add cores",
        "emotion": "set emotion.enabled to false",
    }.get(group, "add cores")


def _answers(steps: Sequence[BenchStep], plan: Plan) -> Table:
    columns = ("calls", "lines", "p50", "p95", "settled p50", "settled p95", "unanswered", "cut off", "ended", "held")
    rows = tuple(
        (
            str(step.calls),
            str(step.turns),
            *(figure(found, part) for found in (step.answered, step.settled) for part in ("p50", "p95")),
            *(str(count) for count in (step.unanswered, step.cut_offs, step.ended)),
            "yes" if step.held(plan.target_ms) else "no" if step.telling else "too few lines to tell",
        )
        for step in steps
    )
    return Table("Voice to voice at the callers' ears, ms", columns, rows)


def _machine(steps: Sequence[BenchStep]) -> Table:
    columns = (
        "calls",
        "loop lag p95",
        "job wait p95",
        "jitter p95, worst call",
        "holes",
        "server cores",
        "caller cores",
        "server MB",
    )
    return Table("The machine; times in ms", columns, tuple(_machine_row(step) for step in steps))


def _machine_row(step: BenchStep) -> tuple[str, ...]:
    server = step.server
    waits = [server["waited_ms"].get(name, {}).get("p95", 0.0) for name in _URGENT] if server else []
    return (
        str(step.calls),
        figure(server["loop_lag_ms"], "p95") if server else "-",
        f"{max(waits):.0f}" if waits else "-",
        "-" if step.jitter_ms is None else f"{step.jitter_ms:.1f}",
        str(step.holes),
        f"{server['cpu']:.2f}" if server else "-",
        f"{step.caller_cpu:.2f}",
        f"{server['rss_mb']:.0f}" if server else "-",
    )


def _parts(steps: Sequence[BenchStep]) -> Table:
    found = [(step.calls, step.server["parts_ms"]) for step in steps if step.server is not None]
    return _table("Where an answer's time went, mean ms", found, "{:.0f}")


def _busy(steps: Sequence[BenchStep]) -> Table:
    found = [(step.calls, by_group(step.server["busy"])) for step in steps if step.server is not None]
    return _table("Workers busy, and with what", found, "{:.2f}")


def _table(title: str, rows: Sequence[tuple[int, Mapping[str, float]]], form: str) -> Table:
    names = list(dict.fromkeys(name for _, values in rows for name in values))
    cells = tuple(
        (str(calls), *(form.format(values[name]) if name in values else "-" for name in names))
        for calls, values in rows
    )
    return Table(title, ("calls", *(name.replace("_", " ") for name in names)), cells)
