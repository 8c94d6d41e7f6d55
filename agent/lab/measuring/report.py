"""The outcome of a measurement: a table for people, figures for programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from agent.lab.measuring.machine import hardware_line, machine, versions
from models.evaluation.tables import Table

__all__ = ["Progress", "Report", "Table", "figure", "spread"]

Progress = Callable[[float, float, str], None]
"""Told how much of how much is done, and what is done now."""


@dataclass(frozen=True)
class Report:
    """What was measured, on what machine, and when. `figures` is JSON-ready; `details` are for the terminal only."""

    name: str
    command: str
    tables: tuple[Table, ...]
    figures: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    machine: Mapping[str, Any] = field(default_factory=machine)
    versions: Mapping[str, str] = field(default_factory=versions)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def hardware(self) -> str:
        """The machine, in a line."""
        return hardware_line(self.machine)

    def document(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        return {
            "measure": self.name,
            "command": self.command,
            "at": self.at.isoformat(timespec="seconds"),
            "machine": dict(self.machine),
            "versions": dict(self.versions),
            "figures": dict(self.figures),
            "notes": list(self.notes),
        }

    def markdown(self) -> str:
        """All tables as they stand in docs/benchmarks.md, with machine, date and command."""
        parts = [f"`{self.command}`, {self.at:%Y-%m-%d}, {self.hardware}"]
        parts += [f"{table.title}\n\n{table.markdown()}" for table in self.tables]
        if self.notes:
            parts.append("\n".join(f"- {note}" for note in self.notes))
        return "\n\n".join(parts) + "\n"


def spread(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, least, most and count of `values`, percentiles interpolated linearly; only the count where empty."""
    if not values:
        return {"count": 0}
    p50, p95 = (float(value) for value in np.percentile(values, (50, 95)))
    rounded = {"p50": p50, "p95": p95, "least": min(values), "most": max(values)}
    return {"count": len(values)} | {name: round(value, 1) for name, value in rounded.items()}


def figure(found: Mapping[str, float], name: str, unit: str = "") -> str:
    """`found[name]` as a cell, a dash where nothing was measured."""
    return f"{found[name]:.0f}{unit}" if name in found else "-"
