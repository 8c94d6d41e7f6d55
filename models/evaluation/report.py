"""What came of an evaluation, and how it differs from an earlier one."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import ModelError
from models.evaluation.bootstrap import Difference, difference, mcnemar
from models.evaluation.figures import Better, Figure, Unit, amount
from models.evaluation.plots import Plot
from models.evaluation.tables import Table

VERSION = 1
"""Changes when an earlier report can no longer be compared with."""
_LIMIT = re.compile(r"([A-Za-z0-9_.-]+):(\d+(?:\.\d+)?)")


class ReportError(ModelError):
    """A report or a limit that cannot be used; the message names it and says what to do."""


@dataclass(frozen=True)
class Answers:
    """Which examples were right, bool[n] in the order of `sample`, whose mean is `figure`; for McNemar's test."""

    figure: str
    sample: str
    right: tuple[bool, ...]

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"figure": self.figure, "sample": self.sample, "right": "".join("01"[one] for one in self.right)}


@dataclass(frozen=True)
class Evaluation:
    """Everything that was found out about a model.

    measure: what kind of model. model: name, version and whatever else tells it from others. data: what it was measured
    on. split, seed, n: which part of it, drawn how, how many examples. folded: long tables that a page shows folded.
    details: for programs only, JSON-ready. main: names of the figures that are shown by themselves; () shows all, and
    the others are in tables.
    """

    measure: str
    model: Mapping[str, Any]
    data: tuple[str, ...]
    split: str
    seed: int
    n: int
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    folded: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    answers: Answers | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    main: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[Figure, ...]:
        """The figures that are shown by themselves."""
        return tuple(one for one in self.figures if not self.main or one.name in self.main)

    def figure(self, name: str) -> Figure:
        """The figure of that name.

        Raises:
            KeyError: there is none.
        """
        found = {one.name: one for one in self.figures}
        return found[name]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all figures."""
        return tuple(one.name for one in self.figures)

    def about(self) -> list[str]:
        """Model, data, split, seed and n, a line each."""
        model = ", ".join(f"{name} {value}" for name, value in self.model.items() if value not in ("", None))
        return [f"model: {model}", f"data: {'; '.join(self.data)}", f"split {self.split}, n {self.n}, seed {self.seed}"]

    def overview(self) -> Table:
        """The figures that are shown, with their intervals."""
        rows = tuple((one.words, one.shown(), one.shown_interval(), str(one.n)) for one in self.shown)
        return Table("Figures", ("", "value", "95 % interval", "n"), rows)

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "measure": self.measure,
            "version": VERSION,
            "model": dict(self.model),
            "data": list(self.data),
            "split": self.split,
            "seed": self.seed,
            "n": self.n,
            "figures": {one.name: one.document() for one in self.figures},
            "tables": [
                {"title": table.title, "columns": list(table.columns), "rows": [list(row) for row in table.rows]}
                for table in (*self.tables, *self.folded)
            ],
            "notes": list(self.notes),
            "answers": None if self.answers is None else self.answers.document(),
            "details": dict(self.details),
        }


@dataclass(frozen=True)
class Stored:
    """An earlier report, as its JSON tells it."""

    name: str
    measure: str
    at: str
    model: Mapping[str, Any]
    figures: Mapping[str, Figure]
    answers: Answers | None
    hardware: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """A figure before and after. mcnemar: p of the exact test on single answers, where both reports have them."""

    name: str
    words: str
    unit: Unit
    better: Better
    before: float
    after: float
    difference: Difference | None
    mcnemar: float | None = None

    @property
    def fell(self) -> float:
        """By how much it got worse, in its unit; below 0 where it got better."""
        change = self.after - self.before
        return -change if self.better == "higher" else change

    @property
    def verdict(self) -> str:
        """Better, worse, or within noise; `not measured` without intervals or values."""
        if self.difference is None or math.isnan(self.difference.low):
            return "not measured"
        if not self.difference.significant:
            return "within noise"
        return "worse" if self.fell > 0 else "better"


def read_report(path: Path, measure: str) -> Stored:
    """Read the JSON of an earlier report.

    Raises:
        ReportError: it is no report, of another kind of model, or of another version of the format.
    """
    remedy = f"give a file that `agent evaluate {measure} --json FILE` wrote"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        kind, version = document["measure"], document.get("version")
        if kind != measure:
            raise ReportError(f"{path} is a report of {kind!r}, not of {measure!r}; {remedy}")
        if version != VERSION:
            raise ReportError(f"{path} has format {version!r}, this version compares with {VERSION}; measure again")
        figures = {name: _figure(name, one) for name, one in document["figures"].items()}
        answers = document.get("answers")
        right = None if answers is None else _answers(answers)
        at, model = str(document["at"]), dict(document["model"])
        return Stored(path.name, kind, at, model, figures, right, dict(document.get("machine") or {}))
    except OSError as error:
        raise ReportError(f"{path} cannot be read ({error.strerror}); {remedy}") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ReportError(f"{path} is no report ({type(error).__name__}: {error}); {remedy}") from error


def _answers(stored: Mapping[str, Any]) -> Answers:
    return Answers(stored["figure"], stored["sample"], tuple(one == "1" for one in stored["right"]))


def _figure(name: str, stored: Mapping[str, Any]) -> Figure:
    def number(value: Any) -> float:
        return float("nan") if value is None else float(value)

    return Figure(
        name,
        str(stored["words"]),
        number(stored["value"]),
        int(stored["n"]),
        stored["unit"],
        stored["better"],
        np.array([number(one) for one in stored["draws"]], dtype=np.float64),
        str(stored["sample"]),
    )


def changes(
    before: Mapping[str, Figure],
    after: Iterable[Figure],
    old: Answers | None = None,
    new: Answers | None = None,
) -> tuple[Change, ...]:
    """What became of every figure that both have; paired where both were measured on the same examples."""
    found = []
    for one in after:
        earlier = before.get(one.name)
        if earlier is None or earlier.unit != one.unit or math.isnan(earlier.value) or math.isnan(one.value):
            continue
        paired = bool(one.sample) and one.sample == earlier.sample
        compared = None
        if len(one.draws) and len(earlier.draws):
            compared = difference(earlier.value, one.value, earlier.draws, one.draws, paired)
        tested = None
        if old is not None and new is not None and old.sample == new.sample and old.figure == new.figure == one.name:
            tested = mcnemar(np.array(old.right, dtype=np.bool_), np.array(new.right, dtype=np.bool_))
        found.append(Change(one.name, one.words, one.unit, one.better, earlier.value, one.value, compared, tested))
    return tuple(found)


def change_table(found: Sequence[Change], title: str, first: str = "before", second: str = "now") -> Table:
    """A row a figure, with the interval of its change and a verdict."""
    rows = []
    for one in found:
        between = "" if one.difference is None else f"{one.difference.low:+.1f} to {one.difference.high:+.1f}"
        how = "" if one.difference is None else "paired" if one.difference.paired else "unpaired"
        chance = "" if one.difference is None else f"{one.difference.chance:.3f}"
        if one.mcnemar is not None:
            how, chance = f"{how}, McNemar", f"{chance}, {one.mcnemar:.3f}"
        change = f"{one.after - one.before:+.1f}"
        cells = (amount(one.before, one.unit), amount(one.after, one.unit), change, between, how, chance, one.verdict)
        rows.append((one.words, *cells))
    columns = ("", first, second, "change", "95 % interval", "test", "p", "verdict")
    return Table(title, columns, tuple(rows))


@dataclass(frozen=True, slots=True)
class Limit:
    """A figure may get worse by so many points (or ms)."""

    name: str
    points: float


def parse_limits(text: str, names: Iterable[str]) -> list[Limit]:
    """`accuracy:0.5,slot_f1:1` as limits on the figures `names`.

    Raises:
        ReportError: a part has another form, or there is no such figure.
    """
    known = tuple(names)
    limits = []
    for part in text.split(","):
        found = _LIMIT.fullmatch(part.strip())
        if found is None:
            raise ReportError(f"--fail-on has {part.strip()!r}; give NAME:POINTS, such as accuracy:0.5")
        if found[1] not in known:
            raise ReportError(f"--fail-on names {found[1]!r}, which was not measured; there is {', '.join(known)}")
        limits.append(Limit(found[1], float(found[2])))
    return limits


def passed(limits: Iterable[Limit], found: Iterable[Change]) -> list[str]:
    """Every limit that a change went over, or that could not be judged, a line each."""
    by_name = {one.name: one for one in found}
    lines = []
    for limit in limits:
        change = by_name.get(limit.name)
        if change is None:
            lines.append(f"{limit.name}: the earlier report has no such figure to compare with")
        elif change.fell > limit.points + 1e-9:
            before, after = amount(change.before, change.unit), amount(change.after, change.unit)
            lines.append(
                f"{change.words}: {before} before, {after} now, worse by {change.fell:.1f}, "
                f"more than the {limit.points:g} allowed"
            )
    return lines
