"""`agent train understanding`: fine-tune intents, slots and emotion of words on a domain and on data of your own."""

from __future__ import annotations

import importlib.util
import shutil
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from agent.cli.domains import NEEDED, ConfigOption, settings_for, told
from agent.cli.measured import command
from agent.dialogue.loader import load_domain
from agent.learning.domain_examples import domain_examples
from agent.learning.opening import content_key
from models.contracts import OUT_OF_SCOPE
from models.encoder import SentenceEncoder
from models.registry import Registry
from models.text_model_open import open_text_model
from models.training.checks import normalised
from models.training.examples import DataError, Example, Splits
from models.training.pseudo import pseudo_label, read_texts
from models.training.readers import read_examples
from models.training.reading.source import read_text
from models.training.understanding.pipeline import Job, Made, make
from models.training.understanding.recipe import METHODS, Recipe, recipe_from

_PSEUDO_FLOOR = 0.95

Data = Annotated[
    list[Path] | None,
    typer.Option(help="Labelled texts: JSON Lines, CSV, TSV, intents.yaml, or a published set's folder; repeatable."),
]
Outside = Annotated[
    list[Path] | None, typer.Option(help="Texts of which none is for this domain: more out of scope; repeatable.")
]


def train_understanding(
    domain: Annotated[str | None, typer.Option(help="A name under configs/domains, or a folder.")] = None,
    data: Data = None,
    outside: Outside = None,
    name: Annotated[str | None, typer.Option(help="Name of the versions; default: the domain, else the data.")] = None,
    base: Annotated[str | None, typer.Option(help="Encoder: a folder or a hub name; default: the package's.")] = None,
    method: Annotated[str | None, typer.Option(help=f"One of {', '.join(METHODS)}; head needs no torch.")] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="YAML file with settings of the recipe.", exists=True, dir_okay=False)
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="One setting of the recipe, as epochs=5; repeatable.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything drawn by chance.")] = None,
    shots: Annotated[
        int | None, typer.Option(help="Take only this many examples of each intent, drawn by the seed.", min=2)
    ] = None,
    unlabelled: Annotated[
        Path | None, typer.Option(help="Texts without labels: a first model labels those it is sure of.", exists=True)
    ] = None,
    floor: Annotated[
        float, typer.Option(help="How sure it must be of an unlabelled text.", min=0.5, max=1.0)
    ] = _PSEUDO_FLOOR,
    search: Annotated[int | None, typer.Option(help="Try so many recipes first (Optuna).", min=2)] = None,
    drop_leaks: Annotated[bool, typer.Option(help="Leave out training texts that are also tested.")] = False,
    allow_leak: Annotated[bool, typer.Option(help="Train although training texts are also tested.")] = False,
    allow_unseen: Annotated[bool, typer.Option(help="Allow labels in test data that training lacks.")] = False,
    licence: Annotated[
        list[str] | None, typer.Option(help="A licence of the data, for the model card; repeatable.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the version to this folder instead of the versions'.", file_okay=False)
    ] = None,
    use: Annotated[bool, typer.Option(help="Make the version current when it is done.")] = False,
    restart: Annotated[bool, typer.Option(help="Do not go on from a run that was broken off.")] = False,
    wandb: Annotated[bool, typer.Option(help="Also log to Weights & Biases (extra `wandb`).")] = False,
    config: ConfigOption = None,
) -> None:
    """Fine-tune one encoder with heads for intent, slots and emotion, and write it as a version.

    Trains on a domain's examples, on --data, or on both. A run that was broken off goes on where it stopped. Several
    GPUs or machines: `accelerate launch -m agent.cli.main train understanding ...`, or torchrun.
    """
    console = Console(stderr=True)
    with told("train understanding"):
        if domain is None and not data:
            raise DataError(["nothing to train on; give --domain NAME, --data PATH, or both"])
        chosen = _recipe(recipe, setting, base, method, seed)
        if chosen.method != "head":
            _need_torch()
        settings = settings_for(config, domain)
        splits, content, language, known = Splits(), "", "en", None
        if domain is not None:
            known = load_domain(settings.domain_path())
            splits, content, language = domain_examples(known), content_key(known), known.manner.language
        for path in data or ():
            splits = splits + read_examples(path)
        for path in outside or ():
            splits = splits + _outside(path)
        if shots is not None:
            splits = _few(splits, shots, chosen.seed)
        label = name or (known.name if known else Path(data[0]).resolve().stem if data else "model")
        encoder = SentenceEncoder(cache_size=50_000)
        work = settings.understanding.versions / label / "work"
        job = Job(
            name=label,
            splits=splits,
            recipe=chosen,
            language=language,
            content=content,
            allow_leak=allow_leak,
            drop_leaks=drop_leaks,
            allow_unseen=allow_unseen,
            licences=tuple(licence or ()),
            command=command(),
        )
        if restart:
            _clear(work, True)
        if search:
            from models.training.understanding.search import search as best_of

            with _bar(console) as shown:
                chosen = best_of(job, work, search, encoder, _told_by(shown))
            job = replace(job, recipe=chosen)
            console.print(f"best recipe: {chosen.model_dump(exclude_defaults=True)}", highlight=False)
        registry = Registry(settings.understanding.versions)
        if unlabelled is not None:
            job = _with_pseudo(job, unlabelled, floor, work, encoder, console)
        target = out or work / "version"
        with _bar(console) as shown:
            made = make(job, target, work, lambda: datetime.now(UTC), encoder, _told_by(shown), wandb=wandb)
        if made is None:  # another process of the same run writes the version
            return
        _show(console, made)
        if out is not None:
            _clear(work, chosen.method != "head")
            console.print(f"written to {out}")
            return
        version = registry.install(label, made.folder)
        _clear(work, chosen.method != "head")
        console.print(f"{label}: version {version} in {registry.path(label, version)}", highlight=False, soft_wrap=True)
        if use:
            registry.use(label, version, "trained")
            console.print("it is current: running servers take it for new turns")
        else:
            console.print(f"`agent models use {version}` makes it current", highlight=False)


def _clear(work: Path, checkpoints: bool) -> None:
    """Remove what a finished run leaves behind, its `checkpoints` too; logs and the study of a search stay."""
    for checkpoint in work.rglob("checkpoint.pt") if checkpoints else ():
        checkpoint.unlink()
    for folder in ("version", "first"):
        shutil.rmtree(work / folder, ignore_errors=True)


def _recipe(
    file: Path | None, settings: list[str] | None, base: str | None, method: str | None, seed: int | None
) -> Recipe:
    values: dict[str, Any] = {}
    origin = "recipe"
    if file is not None:
        origin = str(file)
        try:
            loaded = yaml.safe_load(read_text(file)) or {}
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            reason = getattr(error, "problem", None) or error
            raise DataError([f"{file}:{mark.line + 1 if mark else 1}: not valid YAML: {reason}; correct it"]) from error
        if not isinstance(loaded, dict):
            raise DataError([f"{file}: the file must hold settings such as 'epochs: 5'"])
        values |= loaded
    for entry in settings or ():
        key, sign, value = entry.partition("=")
        if not sign:
            raise DataError([f"--set {entry}: write NAME=VALUE"])
        try:
            values[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise DataError([f"--set {entry}: {value!r} is not YAML; put quotes around text"]) from None
    for key, given in (("base", base), ("method", method), ("seed", seed)):
        if given is not None:
            values[key] = given
    return recipe_from(values, origin)


def _need_torch() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise DataError(
            [f"{', '.join(missing)} not installed; pip install 'callagent[train]', or train with --method head"]
        )


def _outside(path: Path) -> Splits:
    """Every text of a file or set as out of scope."""
    if path.suffix == ".txt":
        texts: tuple[Example, ...] = tuple(read_texts(path))
    else:
        found = read_examples(path)
        texts = found.train + found.validation
    seen: dict[str, Example] = {}
    for example in texts:
        seen.setdefault(normalised(example.text), Example(example.text, OUT_OF_SCOPE, origin=example.origin))
    return Splits(train=tuple(seen.values()), sources=(f"{path.name} (out of scope)",))


def _few(splits: Splits, shots: int, seed: int) -> Splits:
    """`shots` training examples of each intent, drawn by the seed; the others are left out."""
    rng = Random(seed)
    order = list(splits.train)
    rng.shuffle(order)
    counts: Counter[str] = Counter()
    train = []
    for example in order:
        if example.intent is None or counts[example.intent] < shots:
            train.append(example)
            counts[example.intent or ""] += 1
    return Splits(tuple(train), splits.validation, splits.test, splits.sources)


def _with_pseudo(job: Job, path: Path, floor: float, work: Path, encoder: SentenceEncoder, console: Console) -> Job:
    """The job with texts of `path` labelled by a first model of the same recipe."""
    texts = read_texts(path)
    with _bar(console) as shown:
        made = make(job, work / "first", work / "first-work", lambda: datetime.now(UTC), encoder, _told_by(shown))
    if job.recipe.method != "head":
        from models.training.understanding.trainer import wait_for_others

        wait_for_others()  # the first process of a run writes the folder that all of them label with
    if made is not None:
        for warning in made.warnings:
            console.print(f"[yellow]{escape(warning)}[/yellow]", highlight=False, soft_wrap=True)
    model = open_text_model(work / "first", encoder)
    found = pseudo_label(model, [e.text for e in texts], floor)
    console.print(f"{len(found)} of {len(texts)} unlabelled texts were labelled with at least {floor:.2f}")
    splits = job.splits + Splits(train=tuple(found), sources=(f"{path.name} (labelled by a first model)",))
    return replace(job, splits=splits)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        console=console,
    )


def _told_by(shown: Progress) -> Any:
    """Shows each stage as a bar, and the figures of each epoch as a line that stays."""
    bars: dict[str, TaskID] = {}

    def tell(stage: str, done: float, figures: str) -> None:
        if "training" not in bars:
            bars["training"] = shown.add_task("training", total=1.0, figures="")
        shown.update(bars["training"], description=stage, completed=done, figures=escape(figures))
        if figures.startswith("validation"):
            shown.console.print(f"{stage}: {figures}", highlight=False)

    return tell


def _show(console: Console, made: Made) -> None:
    for warning in made.warnings:
        console.print(f"[yellow]{escape(warning)}[/yellow]", highlight=False, soft_wrap=True)
    figures = ", ".join(f"{name} {100 * value:.1f} %" for name, value in made.info.measured.items())
    console.print(f"on validation data: {figures or 'nothing was held out'}", highlight=False)
