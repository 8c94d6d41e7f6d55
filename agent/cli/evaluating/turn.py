"""`agent evaluate turn`: whether a turn is over at a pause."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agent.cli.evaluating.output import Against, FailOn, Html, Json, Markdown, Output, Seed, evaluated
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.report import Progress
from models.evaluation.report import Evaluation
from models.evaluation.turns import MEASURE, measure_turns
from models.training.turn import TALK, TESTED, read_cuts
from models.training.turn_cuts import Cut
from models.turn_text import WEIGHTS


def turn(
    cuts: Annotated[Path, typer.Option(help="Folder of turns whole and cut, one file a set.", file_okay=False)],
    data: Annotated[
        Path | None, typer.Option(help="Published sets: make the cuts that --cuts lacks from them (slow).")
    ] = None,
    weights: Annotated[
        Path, typer.Option(help="Folder of the turn-end model.", exists=True, file_okay=False)
    ] = WEIGHTS,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help=f"Of {', '.join(TESTED)}; may be given again.")
    ] = None,
    seed: Seed = 0,
    html: Html = None,
    json_file: Json = None,
    against: Against = None,
    fail_on: FailOn = None,
    markdown: Markdown = False,
) -> None:
    """How well the end of a turn is told from a pause inside it, on turns that no part was trained on.

    The cuts are those of `python -m agent.lab.measuring.turn_cuts --data DIR --out CUTS`, which --data makes as needed.
    """

    def run(progress: Progress) -> Evaluation:
        names = tuple(dict.fromkeys(sets or TESTED))
        unknown = [name for name in names if name not in TESTED]
        if unknown:
            raise MeasureFailed(f"--set {unknown[0]!r} is not measured; give of {', '.join(TESTED)}")
        try:
            found = {name: _cuts(name, cuts, data, seed, progress) for name in names}
            talk = _cuts(TALK, cuts, data, seed, progress) if data or (cuts / f"{TALK}.npz").is_file() else []
            return measure_turns(found, talk, weights, seed, progress)
        except (ValueError, KeyError) as error:
            raise MeasureFailed(f"the cuts in {cuts.name} cannot be used: {error}") from error

    evaluated(MEASURE, run, Output(html, json_file, markdown, against, fail_on))


def _cuts(name: str, folder: Path, data: Path | None, seed: int, progress: Progress) -> list[Cut]:
    """The held-out cuts of a set, made first where they are not there and `data` is given."""
    if data is not None and not (folder / f"{name}.npz").is_file():
        from agent.lab.measuring.turn_cuts import Cutting, ear, make_cuts

        progress(0, 1, f"making the cuts of {name}")
        make_cuts(name, Cutting(data, seed=seed), folder, ear())
    return read_cuts(folder, name, held_out=True)
