"""What came of an evaluation, on what machine and when: as JSON, as Markdown, and as one HTML page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any

from agent.lab.measuring.machine import hardware_line, machine, versions
from agent.lab.reporting.page import rows_of, section, skeleton
from models.evaluation.figures import Figure
from models.evaluation.report import Change, Evaluation, Stored, change_table, changes
from models.evaluation.tables import Table

_TILES = 8
"""Figures shown large at the top of a page."""
JUDGED = (
    "better or worse where the middle 95 % of 1000 bootstrap draws of the difference lie on one side of zero: paired "
    "where both were measured on the same examples, unpaired elsewhere; McNemar's exact test where single answers are "
    "known"
)


@dataclass(frozen=True)
class Compared:
    """The figures beside those of an earlier report.

    different: what else was not the same. shown: names of the figures that are shown by themselves.
    """

    before: Stored
    changes: tuple[Change, ...]
    different: tuple[str, ...]
    shown: tuple[str, ...]

    @property
    def table(self) -> Table:
        """A row for each figure that is shown by itself, and for any other that is better or worse."""
        told = [one for one in self.changes if one.name in self.shown or one.verdict in ("better", "worse")]
        return change_table(told, f"Against {self.before.name} of {self.before.at}")


@dataclass(frozen=True)
class Evaluated:
    """An evaluation with the command that made it, its machine and its date."""

    evaluation: Evaluation
    command: str
    compared: Compared | None = None
    machine: Mapping[str, Any] = field(default_factory=machine)
    versions: Mapping[str, str] = field(default_factory=versions)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def hardware(self) -> str:
        """The machine, in a line."""
        return hardware_line(self.machine)

    @property
    def tables(self) -> tuple[Table, ...]:
        """What is shown in full everywhere: figures, changes, and the tables of the evaluation."""
        compared = () if self.compared is None else (self.compared.table,)
        return (self.evaluation.overview(), *compared, *self.evaluation.tables)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be known of the figures."""
        compared = () if self.compared is None else (JUDGED, *self.compared.different)
        return (*self.evaluation.notes, *compared)

    def document(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        found = self.evaluation.document()
        stamp = {
            "command": self.command,
            "at": self.at.isoformat(timespec="seconds"),
            "machine": dict(self.machine),
            "versions": dict(self.versions),
        }
        if self.compared is not None:
            table = self.compared.table
            stamp["against"] = {
                "report": self.compared.before.name,
                "at": self.compared.before.at,
                "different": list(self.compared.different),
                "columns": list(table.columns),
                "rows": [list(row) for row in table.rows],
            }
        return {"measure": found.pop("measure"), "version": found.pop("version"), **stamp, **found}

    def markdown(self) -> str:
        """The tables as they stand in docs/benchmarks.md, with machine, date and command."""
        parts = [f"`{self.command}`, {self.at:%Y-%m-%d}, {self.hardware}", "; ".join(self.evaluation.about())]
        parts += [f"{table.title}\n\n{table.markdown()}" for table in self.tables]
        if self.notes:
            parts.append("\n".join(f"- {note}" for note in self.notes))
        return "\n\n".join(parts) + "\n"

    def page(self) -> str:
        """One HTML page that needs nothing else; every text in it is escaped."""
        title = f"Evaluation: {self.evaluation.measure}"
        return skeleton(f"{title}, {self.at:%Y-%m-%d %H:%M}", "\n".join(self._body(title)))

    def _body(self, title: str) -> Iterator[str]:
        yield f"<h1>{escape(title)}</h1>"
        yield f"<p><code>{escape(self.command)}</code></p>"
        yield from (f"<p>{escape(line)}</p>" for line in self.evaluation.about())
        packages = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        stamp = f"{self.at:%Y-%m-%d %H:%M} UTC, {self.hardware}; {packages}"
        yield f'<p class="faint">{escape(stamp)}</p>'
        told = [one for one in self.evaluation.shown if not math.isnan(one.value)]
        tiles = "".join(_tile(one) for one in told[:_TILES])
        yield f'<div class="tiles">{tiles}</div>'
        if self.compared is not None:
            yield from (f'<p class="warning">{escape(line)}</p>' for line in self.compared.different)
        yield from (section(table) for table in self.tables)
        yield from (f'<p class="faint">{escape(note)}</p>' for note in self.notes)
        if self.evaluation.plots:
            yield "<h2>Pictures</h2>"
            drawn = "".join(f"<div><p>{escape(plot.title)}</p>{plot.svg}</div>" for plot in self.evaluation.plots)
            yield f'<div class="drawings">{drawn}</div>'
        yield from (_folded(table) for table in self.evaluation.folded)


def compare(before: Stored, after: Evaluation, now: Mapping[str, Any]) -> Compared:
    """Compare with an earlier report; `now` is the machine of the later one."""
    found = changes(before.figures, after.figures, before.answers, after.answers)
    different = []
    for what, old, new in (("model", before.model, after.model), ("machine", before.hardware, now)):
        different += [
            f"{what} {name}: {old.get(name) or 'none'} before, {new.get(name) or 'none'} now"
            for name in sorted({*old, *new})
            if str(old.get(name, "")) != str(new.get(name, ""))
        ]
    missing = [name for name in before.figures if name not in after.names]
    if missing:
        different.append(f"measured only before: {', '.join(missing)}")
    return Compared(before, found, tuple(different), tuple(one.name for one in after.shown))


def _tile(one: Figure) -> str:
    between = one.shown_interval()
    words = f"{one.words}{', ' + between if between else ''}"
    return f'<div class="tile"><b>{escape(one.shown())}</b><span>{escape(words)}</span></div>'


def _folded(table: Table) -> str:
    head = f"<summary>{escape(table.title)} ({len(table.rows)})</summary>"
    return f'<details class="long">{head}{rows_of(table.columns, table.rows)}</details>'
