"""How well the end of a turn is told from a pause inside it, on turns that were heard whole and cut."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.evaluation.calibration import reliability
from models.evaluation.figures import Figure, Kind, Sample
from models.evaluation.metrics import Floats
from models.evaluation.plots import interval_plot, reliability_plot
from models.evaluation.report import Evaluation
from models.evaluation.tables import Table
from models.evaluation.understanding import Progress
from models.training.turn import POOLED, Heard, figures, hear, judge
from models.training.turn_cuts import Cut

MEASURE = "turn"
INPUTS = ("words", "voice", "words, closing", "all")
"""What P(turn over) is read from; `all` is what a call uses."""
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
POOL = "pooled"
_KINDS = {
    "AUROC": Kind("auroc", "AUROC"),
    "ends at 5 %": Kind("ends_at_5", "ends found where 5 % of the pauses are taken for ends"),
    "ends at 8 %": Kind("ends_at_8", "ends found where 8 % of the pauses are taken for ends"),
    "cut-offs at 300 ms": Kind(
        "cut_offs", "pauses cut in on where the median end is answered at 300 ms", better="lower"
    ),
    "wait at 5 % cut-offs": Kind("wait", "mean wait where 5 % of the pauses are cut in on", "ms", "lower"),
}
"""What `models.training.turn.figures` tells."""


def measure_turns(
    sets: Mapping[str, Sequence[Cut]], talk: Sequence[Cut], folder: Path, seed: int, progress: Progress
) -> Evaluation:
    """Judge every cut of `sets`; those in `models.training.turn.POOLED` are also measured together.

    talk: recorded talk up to its own pauses, none of which is an end; () leaves it out. folder: the model's weights.

    Raises:
        ValueError: a set lacks ends or pauses.
    """
    judged: dict[str, tuple[list[Heard], dict[str, Floats]]] = {}
    for number, (name, cuts) in enumerate(sets.items()):
        progress(number, len(sets) + 1, f"hearing {name}")
        if not any(cut.whole for cut in cuts) or all(cut.whole for cut in cuts):
            raise ValueError(f"the cuts of {name} hold no ends or no pauses; make them again")
        heard = hear(cuts)
        judged[name] = heard, judge(heard, folder)
    pooled = [name for name in judged if name in POOLED]
    if pooled:
        together = [one for name in pooled for one in judged[name][0]]
        scores = {kind: np.concatenate([judged[name][1][kind] for name in pooled]) for kind in INPUTS}
        judged = {POOL: (together, scores), **judged}
    found: list[Figure] = []
    rows: list[tuple[str, ...]] = []
    for name, (heard, scores) in judged.items():
        whole = _whole(heard)
        for kind in INPUTS:
            row = _figures(name, kind, heard, scores[kind], seed)
            if kind == "all":
                found += row
            counts = f"{whole.sum()} / {(~whole).sum()}"
            rows.append((name, counts, kind, *(one.shown() for one in row), row[0].shown_interval()))
    columns = ("turns", "ends / pauses", "read from", *(one.words for one in _KINDS.values()), "AUROC, 95 % interval")
    tables = [Table("Turn ends", columns, tuple(rows))]
    heard, scores = judged[POOL] if pooled else next(iter(judged.values()))
    progress(len(sets), len(sets) + 1, "hearing recorded talk")
    paused = judge(hear(talk), folder)["all"] if talk else None
    tables.append(_thresholds(heard, scores["all"], paused))
    sure = reliability(scores["all"], _whole(heard))
    plots = [reliability_plot(sure, "Reliability of P(turn over), pooled turns" if pooled else "Reliability")]
    plots.append(interval_plot([one for one in found if one.name.startswith("auroc")], "AUROC by set"))
    return Evaluation(
        MEASURE,
        {"name": "turn end", "weights": folder.name},
        tuple(f"{name} ({len(cuts)} cuts)" for name, cuts in sets.items()),
        "held out",
        seed,
        sum(len(cuts) for cuts in sets.values()),
        tuple(found),
        tuple(tables),
        tuple(plots),
        main=tuple(one.name for one in found if one.name in {kind.name for kind in _KINDS.values()}) if pooled else (),
        notes=(
            "P is calibrated for a caller who pauses inside every other turn; these sets hold as many pauses as were "
            "cut, so their reliability shows another share of ends",
            "cut-offs and waits are those of a floor that waits 300 ms above a threshold and 720 ms below it, for "
            "pauses evenly spread over 250 to 700 ms",
        ),
    )


def _whole(heard: Sequence[Heard]) -> npt.NDArray[np.bool_]:
    return np.array([one.cut.whole for one in heard], dtype=np.bool_)


def _figures(name: str, kind: str, heard: Sequence[Heard], scores: Floats, seed: int) -> list[Figure]:
    """The figures of one set read from one kind of input; with intervals for what calls use."""
    whole = _whole(heard)
    ending = "" if name == POOL else f"_{name}"
    kinds = [replace(one, name=f"{one.name}{ending}", words=f"{one.words}, {name}") for one in _KINDS.values()]

    def statistics(places: npt.NDArray[np.int64]) -> list[float]:
        chosen = whole[places]
        if chosen.all() or not chosen.any():
            return [math.nan] * len(kinds)
        found = figures(scores[places], chosen)
        return [found[key] for key in _KINDS]

    keys = tuple(f"{one.cut.source}\t{one.cut.speaker}\t{one.cut.whole}\t{one.cut.text}" for one in heard)
    if kind == "all":
        return Sample(keys, seed).figures(kinds, statistics)
    values = statistics(np.arange(len(whole)))
    return [
        Figure(one.name, one.words, value * (100.0 if one.unit == "%" else 1.0), len(whole), one.unit, one.better)
        for one, value in zip(kinds, values, strict=True)
    ]


def _thresholds(heard: Sequence[Heard], scores: Floats, paused: Floats | None) -> Table:
    whole = _whole(heard)
    rows = []
    for threshold in THRESHOLDS:
        parts = [scores[whole], scores[~whole], *([] if paused is None else [paused])]
        rows.append((f"{threshold:g}", *(f"{float(np.mean(part >= threshold)):.1%}" for part in parts)))
    columns = ("P at least", "ends", "pauses", *(() if paused is None else ("pauses in recorded talk",)))
    return Table("Operating points, pooled turns", columns, tuple(rows))
