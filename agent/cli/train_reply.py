"""`agent train reply`: fine-tune a language model to word replies, on dialogues of your own."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from agent.cli.domains import NEEDED
from agent.cli.records import open_database
from agent.cli.settings import settings_or_leave
from agent.dialogue.loader import load_domain
from agent.records.database import DatabaseError
from agent.records.dialogues import Quality, heard_dialogues
from agent.yamlfile import FileError
from models.errors import ModelError
from models.training.examples import DataError
from models.training.reply.card import MERGED, RUN_FILE
from models.training.reply.dialogues import (
    Dialogue,
    digest_of,
    read_dialogues,
    split_validation,
    with_system,
    without_repeats,
)
from models.training.reply.export import Parity, Source, export
from models.training.reply.recipe import Kind, Precision, ReplyRecipe, recipe_from
from models.training.reply.trainer import Trained, Watch

_DEFAULT = ReplyRecipe(base="")


def train_reply(
    base: Annotated[str, typer.Option(help="Model to start from: a folder, or with --allow-download a hub name.")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, adapter, merged model and card.", file_okay=False)],
    data: Annotated[
        list[Path] | None, typer.Option(help="Dialogues, JSON Lines, or a folder of such files; may be given again.")
    ] = None,
    from_records: Annotated[bool, typer.Option("--from-records", help="Learn from recorded calls too.")] = False,
    outcome: Annotated[
        list[str] | None, typer.Option(help="Outcome of the calls to learn from; may be given again.")
    ] = None,
    validation: Annotated[
        list[Path] | None, typer.Option(help="Held-out dialogues; without, --validation-share of the data is held out.")
    ] = None,
    system: Annotated[str, typer.Option(help="System message for dialogues that have none.")] = "",
    kind: Annotated[Kind | None, typer.Option(help="Kind of model; default: as its configuration says.")] = None,
    chat_template: Annotated[
        str, typer.Option(help="auto (the model's own), plain, or a file with a Jinja template.")
    ] = _DEFAULT.chat_template,
    lora_rank: Annotated[int, typer.Option(help="Rank of the adapters.")] = _DEFAULT.lora_rank,
    lora_alpha: Annotated[float, typer.Option(help="Their scale, times the rank.")] = _DEFAULT.lora_alpha,
    lora_dropout: Annotated[float, typer.Option(help="Dropout before them.")] = _DEFAULT.lora_dropout,
    lora_target: Annotated[
        list[str] | None, typer.Option(help="Name of layers to adapt; may be given again; default: all linear ones.")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = _DEFAULT.epochs,
    batch_size: Annotated[int, typer.Option(help="Dialogues at a time, on each device.")] = _DEFAULT.batch_size,
    accumulate: Annotated[int, typer.Option(help="Batches to a step.")] = _DEFAULT.accumulate,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = _DEFAULT.learning_rate,
    warm_up: Annotated[float, typer.Option(help="Share of the steps in which it rises.")] = _DEFAULT.warm_up,
    clip: Annotated[float, typer.Option(help="Largest norm of the gradient.")] = _DEFAULT.clip,
    max_tokens: Annotated[int, typer.Option(help="Longer dialogues lose their oldest turns.")] = _DEFAULT.max_tokens,
    precision: Annotated[Precision, typer.Option(help="auto: bfloat16 or float16 on GPUs.")] = _DEFAULT.precision,
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Less memory, a third slower.")
    ] = False,
    validation_share: Annotated[float, typer.Option(help="Share held out.")] = _DEFAULT.validation_share,
    evaluate_every: Annotated[int, typer.Option(help="Steps between validations; 0: each epoch.")] = 0,
    patience: Annotated[
        int, typer.Option(help="Validations without gain before it stops; 0 never.")
    ] = _DEFAULT.patience,
    checkpoint_every: Annotated[int, typer.Option(help="Steps between checkpoints.")] = _DEFAULT.checkpoint_every,
    seed: Annotated[int, typer.Option(help="Seed of everything drawn by chance.")] = _DEFAULT.seed,
    allow_download: Annotated[bool, typer.Option("--allow-download", help="Fetch --base from its hub.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Delete the checkpoints in --out first.")] = False,
    database: Annotated[str | None, typer.Option(help="Database URL; default: records.database_url.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file.", exists=True, dir_okay=False)] = None,
) -> None:
    """Fine-tune a language model (LoRA) on dialogues, with the loss on the agent's words only.

    The same command goes on where a killed run ended. On several devices: accelerate launch -m agent.cli.main train
    reply ..., or torchrun. Exit status 1 when the data or the training is at fault.
    """
    errors = Console(stderr=True)
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        remedy = escape("pip install 'callagent[train]'")
        errors.print(f"[red]No reply model:[/] this needs {', '.join(missing)}; {remedy}", soft_wrap=True)
        raise typer.Exit(1)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        recipe = recipe_from(
            "agent train reply",
            base=base, kind=kind, chat_template=_template(chat_template), lora_rank=lora_rank, lora_alpha=lora_alpha,
            lora_dropout=lora_dropout, lora_targets=tuple(lora_target or ()), epochs=epochs, batch_size=batch_size,
            accumulate=accumulate, learning_rate=learning_rate, warm_up=warm_up, clip=clip, max_tokens=max_tokens,
            precision=precision, gradient_checkpointing=gradient_checkpointing, validation_share=validation_share,
            evaluate_every=evaluate_every, patience=patience, checkpoint_every=checkpoint_every, seed=seed,
        )  # fmt: skip
        console = Console(quiet=not _main_process())
        groups = [(path.name, read_dialogues([path])) for path in data or ()]
        if from_records:
            outcomes = outcome or list(Quality().outcomes)
            groups.append(("recorded calls", _recorded(config, database, outcomes, console)))
        train_on, validate_on = _splits(groups, validation or (), recipe, system, console)
        trained, parity = _run(recipe, groups, train_on, validate_on, out, console, allow_download, restart)
    except KeyboardInterrupt:
        errors.print(f"\nStopped. The same command goes on from the last checkpoint in {escape(str(out))}.")
        raise typer.Exit(130) from None
    except (ModelError, FileError, DatabaseError, SQLAlchemyError, OSError) as error:
        errors.print(f"[red]No reply model:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from error
    if parity is not None:
        _show(console, trained, parity, out)


def _run(
    recipe: ReplyRecipe,
    groups: Sequence[tuple[str, Sequence[Dialogue]]],
    train_on: Sequence[Dialogue],
    validate_on: Sequence[Dialogue],
    out: Path,
    console: Console,
    allow_download: bool,
    restart: bool,
) -> tuple[Trained, Parity | None]:
    from transformers.utils import logging as transformers_logging

    from models.training.reply.base import open_base
    from models.training.reply.trainer import train

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    model = open_base(recipe, allow_download)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    ) as bar:
        trained = train(recipe, model, train_on, validate_on, out, _Bar(bar), restart)
    if not trained.main:
        return trained, None
    console.print("Merging, and comparing the merged model with base and adapter ...")
    sources = [
        Source(name, len(found), sum(dialogue.targets for dialogue in found), digest_of(found))
        for name, found in groups
    ]
    return trained, export(recipe, model, trained, sources, out, datetime.now(UTC))


class _Bar(Watch):
    """Shows a run as a progress bar with its latest figures."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task: TaskID | None = None
        self._held_out = ""

    def began(self, step: int, steps: int) -> None:
        """Training begins, or goes on."""
        self._task = self._bar.add_task("training", total=steps, completed=step)
        if step:
            self._bar.console.print(f"Going on from the checkpoint of step {step}.", highlight=False)

    def stepped(self, step: int, figures: Mapping[str, float]) -> None:
        """A step is done."""
        if self._task is not None:
            loss = f"loss {figures['loss']:.3f}{self._held_out}  rate {figures['learning_rate']:.1e}"
            self._bar.update(self._task, completed=step, description=f"epoch {figures['epoch']:.2f}  {loss}")

    def validated(self, step: int, loss: float) -> None:
        """Held-out dialogues were read."""
        self._held_out = f", held out {loss:.3f}"
        self._bar.console.print(f"step {step}: held-out loss {loss:.4f}", highlight=False)


def _recorded(config: Path | None, url: str | None, outcomes: list[str], console: Console) -> list[Dialogue]:
    settings = settings_or_leave(config)
    domain = load_domain(settings.domain_path())
    knowledge = {fact.source: fact.text for fact in domain.facts}

    async def read() -> list[Dialogue]:
        async with open_database(url or settings.records.database_url) as database:
            found, left_out = await heard_dialogues(database, Quality(tuple(outcomes)), knowledge=knowledge)
        for why, count in left_out.most_common():
            console.print(f"recorded calls left out: {count} {escape(why)}", highlight=False)
        return found

    return asyncio.run(read())


def _splits(
    groups: Sequence[tuple[str, Sequence[Dialogue]]],
    validation: Sequence[Path],
    recipe: ReplyRecipe,
    system: str,
    console: Console,
) -> tuple[list[Dialogue], list[Dialogue]]:
    found = [dialogue for _, group in groups for dialogue in group]
    if not found:
        raise DataError(["there are no dialogues; give --data FILE, or --from-records once there are completed calls"])
    dialogues, repeats = without_repeats(found)
    if repeats:
        console.print(f"{repeats} repeated dialogues left out", highlight=False)
    if validation:
        held_out = without_repeats(read_dialogues(list(validation)))[0]
        seen = {dialogue.digest for dialogue in held_out}
        train_on = [dialogue for dialogue in dialogues if dialogue.digest not in seen]
        if len(train_on) < len(dialogues):
            console.print(f"{len(dialogues) - len(train_on)} dialogues are held out already: not trained on")
        if not train_on:
            raise DataError(["every dialogue of --data is in --validation too; give others to train on"])
    else:
        train_on, held_out = split_validation(dialogues, recipe.validation_share, recipe.seed)
    if system.strip():
        train_on, held_out = with_system(train_on, system), with_system(held_out, system)
    console.print(f"{len(train_on)} dialogues to train on, {len(held_out)} held out", highlight=False)
    return train_on, held_out


def _template(given: str) -> str:
    if given in ("auto", "plain"):
        return given
    try:
        return Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError([f"--chat-template {given}: {error}; give auto, plain, or a UTF-8 file"]) from error


def _main_process() -> bool:
    """Whether this is the first of the processes that a launcher started, as it tells them."""
    return os.environ.get("RANK", "0") == "0"


def _show(console: Console, trained: Trained, parity: Parity, out: Path) -> None:
    progress = trained.progress
    table = Table("held-out", "base", "fine-tuned")
    assert progress.loss_before is not None
    assert progress.best_loss is not None
    table.add_row("loss, nats a token", f"{progress.loss_before:.4f}", f"{progress.best_loss:.4f}")
    console.print(table)
    cut = trained.run.cut
    if cut.turns or cut.examples:
        console.print(
            f"to fit, {cut.turns} turns were cut and {cut.examples} examples left out (--max-tokens)", highlight=False
        )
    console.print(
        f"merged model differs from base and adapter by at most {parity.difference:.2g} nats ({parity.dtype})",
        highlight=False,
    )
    if progress.best_loss >= progress.loss_before:
        console.print("[yellow]It is no better than the base model: do not serve it.[/]")
    console.print(f"{escape(str(out / MERGED))} is ready to serve; {escape(str(out / RUN_FILE))} has the figures")
