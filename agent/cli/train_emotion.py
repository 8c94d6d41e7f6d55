"""`agent train emotion`: voice emotion heads from labelled clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape

from agent.cli.measured import bar
from models.emotion import EMOTIONS, Heads
from models.errors import ModelError
from models.training.voice_emotion import SEED, fit_heads, known_emotions
from models.training.voice_emotion_adaptation import adapt_heads
from models.training.voice_emotion_card import Training, card
from models.training.voice_emotion_data import Dataset, load_dataset, read_folders, read_noises
from models.training.voice_emotion_lines import TESTED, TRAINED
from models.training.voice_emotion_report import FOLDS, Report, check_speakers, evaluate, summary, write_plots

_UNTOLD_LICENCE = "not told (--licence): that of the clips"


def train_emotion(
    data: Annotated[
        list[Path],
        typer.Option(help="Folder with metadata.tsv (file, emotion, actor, text) and clips; may be given again."),
    ],
    out: Annotated[Path, typer.Option(help="Where the heads go; the card goes beside them.", dir_okay=False)] = Path(
        "voice_emotion.npz"
    ),
    noise: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of noise, half to train, half to test; default: noise made here. May be given again."
        ),
    ] = None,
    classes: Annotated[
        str, typer.Option(help="Emotions to use, with commas; clips of others are left out.")
    ] = ",".join(EMOTIONS),
    start_from: Annotated[
        Path | None, typer.Option(help="Heads to move towards the clips, for few clips.", exists=True, dir_okay=False)
    ] = None,
    no_evaluation: Annotated[
        bool, typer.Option("--no-evaluation", help="Train on everything, measure nothing.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Also write the tables here, Markdown.", dir_okay=False)] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for the reliability plots, SVG.", file_okay=False)] = None,
    scores: Annotated[
        Path | None, typer.Option(help="Keep what was said of held-out clips, for fusion with words.", dir_okay=False)
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder to keep measured features in.", file_okay=False)] = None,
    source: Annotated[str, typer.Option(help="What the clips are, for the card.")] = "Clips of the folders given.",
    licence: Annotated[str, typer.Option(help="Licence of the heads, for the card.")] = _UNTOLD_LICENCE,
    seed: Annotated[int, typer.Option(help="Seed of everything drawn by chance.")] = SEED,
) -> None:
    """Train voice emotion heads on labelled clips and say how well they do on speakers they never heard.

    Needs no torch. With --start-from, heads that are already good are moved towards few clips of your own line.
    """
    console = Console()
    emotions = _classes(classes)
    try:
        clips = read_folders(data, emotions)
        noises = read_noises(noise or (), seed)
        with bar(console) as progress:
            train = load_dataset(clips, TRAINED, noises[0::2], seed, cache, progress)
            measured = ""
            if start_from is not None:
                old = Heads.load(start_from)
                progress(0, 1, "moving heads")
                heads, stiffness = adapt_heads(old, train, seed=seed)
                measured = _gain(old, heads, train, stiffness)
            else:
                found = None
                if not no_evaluation:
                    check_speakers(train)
                    test = load_dataset(clips, TESTED, noises[1::2], seed + 1, cache, progress)
                    found = evaluate(train, test, progress)
                    measured = _told(found, train)
                    _keep(found, train, report, plots, scores)
                progress(0, 1, "fitting on every clip")
                heads = fit_heads(train, seed=seed)
        words = _command(data, noise or (), emotions, start_from, seed)
        told = Training(summary(train), source, licence, words, start_from.name if start_from else "", measured)
        heads.save(out)
        out.with_suffix(".md").write_text(card(heads, told), encoding="utf-8")
    except (ModelError, OSError) as error:
        console.print(f"[red]{escape(str(error))}[/red]", soft_wrap=True)
        raise typer.Exit(1) from error
    if measured:
        console.print(measured, soft_wrap=True, markup=False)
    console.print(
        f"{out}: {out.stat().st_size / 1e3:.0f} kB, {summary(train)}; serve it with emotion.heads in the configuration",
        soft_wrap=True,
        markup=False,
    )


def _classes(given: str) -> tuple[str, ...]:
    emotions = tuple(part.strip() for part in given.split(",") if part.strip())
    unknown = [name for name in emotions if name not in EMOTIONS]
    if unknown or not emotions:
        raise typer.BadParameter(
            f"{', '.join(unknown) or 'nothing'}: choose of {', '.join(EMOTIONS)}", param_hint="--classes"
        )
    return emotions


def _command(
    data: Sequence[Path], noise: Sequence[Path], emotions: Sequence[str], start_from: Path | None, seed: int
) -> str:
    """The command with what changes the heads, folders by their names."""
    words = [f"--data {folder.resolve().name}" for folder in data] + [f"--noise {one.resolve().name}" for one in noise]
    words += [f"--classes {','.join(emotions)}"] if tuple(emotions) != EMOTIONS else []
    words += [f"--start-from {start_from.name}"] if start_from else []
    words += [f"--seed {seed}"] if seed != SEED else []
    return " ".join(["agent train emotion", *words])


def _told(found: Report, data: Dataset) -> str:
    speakers = len(set(data.speakers.tolist()))
    return f"""Speaker-independent, {FOLDS} folds over {speakers} speakers, every clip tested once, by heads that never
heard its speaker. "Threshold of the training speakers" is the figure to expect of a deployment; the column before it is
fitted on the test scores. UAR: mean recall of the classes. ECE: expected calibration error, 10 bins.

{found.markdown()}"""


def _keep(found: Report, data: Dataset, report: Path | None, plots: Path | None, scores: Path | None) -> None:
    if report is not None:
        report.write_text(found.markdown() + "\n", encoding="utf-8")
    if plots is not None:
        write_plots(plots, found.plots())
    if scores is not None:
        found.save_scores(scores, data)


def _gain(old: Heads, new: Heads, data: Dataset, stiffness: float) -> str:
    if not np.isfinite(stiffness):
        return "Cross-validation of the clips found no change that helps: the heads are as they were."
    kept = ", ".join(name for name in old.emotions if name not in known_emotions(data))
    return f"Moved with a stiffness of {stiffness:g}, found by cross-validation of the clips." + (
        f" No clip was of {kept}: those are as they were, and so are calibrations that need them." if kept else ""
    )
