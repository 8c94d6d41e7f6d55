"""The report on a run as one HTML page that needs nothing else: no script, font or image from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

from agent.lab.measuring.machine import hardware_line
from agent.lab.measuring.report import Table
from agent.lab.reporting.compare import JUDGED, Comparison
from agent.lab.reporting.document import Run
from agent.lab.reporting.plots import histogram, shares_by_time
from agent.lab.reporting.terminal import failures, faults, incomplete, tables
from agent.lab.reporting.timeline import timeline
from agent.lab.scores import CallScore, TurnScore
from agent.lab.summary import Summary, times_of

_STYLE = Path(__file__).with_name("page.css")
_TILES = ("tasks", "cut_offs", "restarts", "false_interruptions", "missed_interruptions", "unanswered", "word_errors")
_TILE_WORDS = {
    "tasks": "calls as expected",
    "cut_offs": "cut-offs",
    "restarts": "restarts",
    "false_interruptions": "false interruptions",
    "missed_interruptions": "missed interruptions",
    "unanswered": "unanswered",
    "word_errors": "words wrong",
}
_KEY = (
    ("caller turn", "turn"),
    ("caller interruption", "interruption"),
    ("caller noise", "back-channel or noise"),
    ("agent", "agent"),
    ("state listening", "listening"),
    ("state thinking", "thinking"),
    ("state speaking", "speaking"),
    ("state yielding", "yielding"),
    ("state human", "handing over"),
)
_TURN_COLUMNS = ("said", "understood", "kind", "at", "first", "settled", "silent after")


def page(run: Run, comparison: Comparison | None = None) -> str:
    """The whole page. Every word of callers, agents, scenarios and servers is escaped."""
    times: dict[str, list[float]] = times_of(turn for call in run.calls for turn in call.turns)
    series = {"first latency": times.get("first_ms", []), "settled latency": times.get("settled_ms", [])}
    body = "\n".join(
        (
            *_head(run),
            *_tiles(run.summary),
            *_plots(series),
            *(section(table) for table in tables(run, comparison)),
            *_comparison(comparison),
            *_failures(run),
            *_calls(run.calls),
        )
    )
    return skeleton(f"Simulated calls, {run.at:%Y-%m-%d %H:%M}", body)


def skeleton(title: str, body: str) -> str:
    """A page around `body`, which is HTML; `title` is text."""
    style = _STYLE.read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>\n{style}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _head(run: Run) -> Iterator[str]:
    yield "<h1>Simulated calls</h1>"
    yield f"<p><code>{escape(run.command)}</code></p>"
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    yield f'<p class="faint">{run.at:%Y-%m-%d %H:%M} UTC, {escape(hardware_line(run.machine))}; {escape(versions)}</p>'
    if run.stopped is not None:
        yield f'<p class="warning">{escape(incomplete(run))}</p>'


def _tiles(summary: Summary) -> Iterator[str]:
    tiles = []
    for name, words in (("first_ms", "first latency"), ("settled_ms", "settled latency"), ("stop_ms", "barge-in")):
        found = summary.spreads.get(name)
        value = "-" if found is None else f"{found.p50:.0f} / {found.p95:.0f} ms"
        count = "" if found is None else f" of {found.count}"
        tiles.append((value, f"{words}, p50 / p95{count}"))
    for name in _TILES:
        share = summary.shares[name]
        value = "-" if share.percent is None else f"{share.percent:.1f} %"
        tiles.append((value, f"{_TILE_WORDS[name]}, {share.count} of {share.of}"))
    inside = "".join(f'<div class="tile"><b>{value}</b><span>{words}</span></div>' for value, words in tiles)
    yield f'<div class="tiles">{inside}</div>'


def _plots(series: dict[str, list[float]]) -> Iterator[str]:
    drawn = [plot for plot in (histogram(series), shares_by_time(series)) if plot]
    if drawn:
        yield "<h2>Latency</h2>"
        yield f'<div class="plots">{"".join(f"<div>{plot}</div>" for plot in drawn)}</div>'


def section(table: Table) -> str:
    """A table under its title."""
    return f"<h2>{escape(table.title)}</h2>\n{rows_of(table.columns, table.rows)}"


def rows_of(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with its head, without a title; every cell is text."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = "".join(f"<tr>{''.join(_cell(cell) for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def _cell(text: str) -> str:
    kind = f' class="{text}"' if text in ("better", "worse") else ""
    return f"<td{kind}>{escape(text)}</td>"


def _comparison(comparison: Comparison | None) -> Iterator[str]:
    if comparison is not None:
        yield from (f'<p class="warning">{escape(line)}</p>' for line in comparison.differences)
        yield f'<p class="faint">{escape(JUDGED)}</p>'


def _failures(run: Run) -> Iterator[str]:
    lines = [f"<li>{escape(line)}</li>" for line in failures(run)]
    if lines:
        yield f"<h2>Failures</h2><ul>{''.join(lines)}</ul>"


def _calls(calls: Sequence[CallScore]) -> Iterator[str]:
    yield "<h2>Calls</h2>"
    inks = "".join(
        f'<span><svg class="timeline" width="12" height="12"><rect class="{kind}" width="12" height="12"/></svg>'
        f"{words}</span>"
        for kind, words in _KEY
    )
    yield f'<p class="key">{inks}</p>'
    for call in calls:
        yield "".join(_call(call))


def _call(call: CallScore) -> Iterator[str]:
    outcome, wrong = call.outcome, list(faults(call))
    verdict = '<span class="good">as expected</span>' if outcome.succeeded else '<span class="bad">failed</span>'
    count = f', <span class="bad">{len(wrong)} fault{"s" * (len(wrong) > 1)}</span>' if wrong else ""
    name = escape(f"{outcome.scenario}, call {outcome.number}")
    about = ", ".join((f"{outcome.duration_ms / 1000:.0f} s", *outcome.tags))
    yield f"<details{'' if outcome.succeeded else ' open'}><summary><b>{name}</b>: {verdict}{count} "
    yield f'<span class="faint">{escape(about)}</span></summary>'
    yield f'<div class="scroll">{timeline(call)}</div>'
    lines = [*call.reasons, *(f"breach of the protocol: {wrong}" for wrong in outcome.wrongs), *wrong]
    if lines:
        yield f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
    yield _turns(call.turns)
    ended = f"ended: {outcome.ended}; seed {outcome.seed}"
    yield f'<p class="faint">{escape(ended)}</p></details>'


def _turns(turns: Sequence[TurnScore]) -> str:
    head = "".join(f"<th>{column}</th>" for column in _TURN_COLUMNS)
    lines = []
    for turn in turns:
        words = "".join(f'<td class="words">{escape(text)}</td>' for text in (turn.text or turn.step, turn.heard))
        times = (turn.first_ms, turn.settled_ms, turn.stop_ms)
        cells = "".join(f"<td>{'' if value is None else f'{value:.0f} ms'}</td>" for value in times)
        kind = turn.kind.replace("_", "-")
        lines.append(f"<tr>{words}<td>{kind}</td><td>{turn.start_ms / 1000:.1f} s</td>{cells}</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
