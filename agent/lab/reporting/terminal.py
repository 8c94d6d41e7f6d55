"""The report on a run as tables, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import shorten

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from agent.lab.measuring.machine import hardware_line
from agent.lab.measuring.report import Table
from agent.lab.reporting.compare import JUDGED, Change, Comparison
from agent.lab.reporting.document import Run
from agent.lab.scores import CallScore
from agent.lab.summary import SHARES, SPREADS, Share, Summary

_PERCENTILES = ("p50", "p90", "p95", "p99", "most")
_TAG_SHARES = {
    "cut_offs": "cut-offs",
    "restarts": "restarts",
    "false_interruptions": "false int.",
    "missed_interruptions": "missed int.",
    "unanswered": "unanswered",
}
_WORDS = 60
"""Longest quotation in a line about a fault, in characters."""
_COLOUR = {"better": "green", "worse": "red"}


def tables(run: Run, comparison: Comparison | None = None) -> Iterator[Table]:
    """Times, shares, tags, and changes where there is an earlier run; nothing where no call was placed."""
    if not run.calls:
        return
    summary = run.summary
    yield Table(
        f"{summary.calls} calls, {summary.turns} turns; ms at the caller's ear, the server's parts by its own clock",
        ("", "count", *_PERCENTILES),
        tuple(
            (figure.words, str(found.count), *(f"{getattr(found, part):.0f}" for part in _PERCENTILES))
            for figure in SPREADS
            if (found := summary.spreads.get(figure.name)) is not None
        ),
    )
    yield Table(
        "What went right and wrong",
        ("", "share", "count", "of"),
        tuple(
            (figure.words, "-" if share.percent is None else f"{share.percent:.1f} %", str(share.count), str(share.of))
            for figure in SHARES
            if (share := summary.shares[figure.name]).of or share.count
        ),
    )
    if tags := run.tags:
        yield _tags(tags)
    if comparison is not None:
        yield Table(
            f"Against {comparison.name} of {comparison.before}",
            ("", "before", "now", "change", "verdict"),
            tuple(_change(change) for change in comparison.changes if change.verdict != "not measured"),
        )


def failures(run: Run) -> Iterator[str]:
    """Why calls failed, a line each; and breaches of the protocol."""
    for call in run.calls:
        name = f"{call.outcome.scenario} (call {call.outcome.number}, seed {call.outcome.seed})"
        for reason in call.reasons:
            yield f"{name}: {reason}"
        for wrong in call.outcome.wrongs:
            yield f"{name}: breach of the protocol: {wrong}"


def faults(call: CallScore) -> Iterator[str]:
    """What went wrong in the turns of a call, a line each."""
    for turn in call.turns:
        words = f"“{shorten(turn.text or turn.step, _WORDS, placeholder='…')}” at {turn.start_ms / 1000:.1f} s"
        found = {
            "the agent began before it was over": turn.cut_off,
            "its answer was begun again": turn.restarted == "heard",
            "its answer was taken back unheard": turn.restarted == "unheard",
            "the agent talked on over it": turn.missed,
            "it broke the agent off for good": turn.broke_off,
            "it made the agent stop and go on": turn.hiccup,
            "it was not answered": turn.answered == "no",
            f"{turn.dead_air_ms / 1000:.1f} s of silence after it": turn.dead_air_ms > 0,
        }
        yield from (f"{words}: {fault}" for fault, present in found.items() if present)
    if call.unprovoked:
        yield f"replies broken off with nobody speaking: {call.unprovoked}"


def show(console: Console, run: Run, comparison: Comparison | None = None) -> None:
    """Print everything."""
    for table in tables(run, comparison):
        shown = RichTable(title=f"\n{table.title}", title_justify="left")
        for n, column in enumerate(table.columns):
            shown.add_column(column, justify="right" if n else "left")
        for row in table.rows:
            *cells, last = (escape(cell) for cell in row)
            colour = _COLOUR.get(last) if comparison is not None else None
            shown.add_row(*cells, f"[{colour}]{last}[/]" if colour else last)
        console.print(shown)
    if comparison is not None:
        for line in (*comparison.differences, JUDGED):
            console.print(f"[dim]{escape(line)}[/dim]", highlight=False, soft_wrap=True)
    for line in failures(run):
        console.print(f"[red]failed:[/red] {escape(line)}", highlight=False, soft_wrap=True)
    if run.stopped is not None:
        console.print(f"[yellow]{escape(incomplete(run))}[/yellow]", highlight=False, soft_wrap=True)
    console.print(f"[dim]{escape(hardware_line(run.machine))}[/dim]", highlight=False, soft_wrap=True)


def markdown(run: Run, comparison: Comparison | None = None) -> str:
    """Everything as it stands in docs/benchmarks.md: command, date, machine, tables, failures."""
    parts = [f"`{run.command}`, {run.at:%Y-%m-%d}, {hardware_line(run.machine)}"]
    parts += [f"{table.title}\n\n{table.markdown()}" for table in tables(run, comparison)]
    notes = [*(comparison.differences if comparison else ()), *([JUDGED] if comparison else ()), *failures(run)]
    if run.stopped is not None:
        notes.append(incomplete(run))
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def incomplete(run: Run) -> str:
    """What is missing of a run that was broken off."""
    return f"not complete: {len(run.calls)} of {run.planned} calls; {run.stopped}"


def _tags(tags: dict[str, Summary]) -> Table:
    columns = ("tag", "calls", "expected", "first p50/p95", "settled p50/p95", *_TAG_SHARES.values())
    return Table("By tag", columns, tuple(_tag(tag, summary) for tag, summary in tags.items()))


def _tag(tag: str, summary: Summary) -> tuple[str, ...]:
    tasks = summary.shares["tasks"]
    shares = (summary.shares[name] for name in _TAG_SHARES)
    return (
        tag,
        str(summary.calls),
        _of(tasks),
        _pair(summary, "first_ms"),
        _pair(summary, "settled_ms"),
        *(_of(share) for share in shares),
    )


def _of(share: Share) -> str:
    return f"{share.count}/{share.of}" if share.of else "-"


def _pair(summary: Summary, name: str) -> str:
    found = summary.spreads.get(name)
    return "-" if found is None else f"{found.p50:.0f}/{found.p95:.0f}"


def _change(change: Change) -> tuple[str, ...]:
    digits = 0 if change.unit == "ms" else 1
    before, after, less = (
        "-" if value is None else f"{value:{sign}.{digits}f} {change.unit}"
        for value, sign in ((change.before, ""), (change.after, ""), (change.change, "+"))
    )
    if change.unit == "%":
        less = less.replace("%", "points")
    if change.low is not None and change.high is not None:
        less += f" ({change.low:+.{digits}f} to {change.high:+.{digits}f})"
    return (change.words, before, after, less, change.verdict)
