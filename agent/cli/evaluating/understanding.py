"""`agent evaluate understanding`: intents, slots and emotion of words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.evaluating.output import (
    Against,
    Config,
    FailOn,
    Html,
    Json,
    Limit,
    Markdown,
    Output,
    Seed,
    evaluated,
)
from agent.cli.settings import settings_or_leave
from agent.config import CONFIGS, Settings
from agent.dialogue.loader import load_domain
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.report import Progress
from agent.learning.opening import Opener
from models.contracts import OUT_OF_SCOPE
from models.encoder import SentenceEncoder
from models.evaluation.frozen import fit_frozen
from models.evaluation.labels import choose_split
from models.evaluation.report import Evaluation
from models.evaluation.robustness import WORSENED
from models.evaluation.texts import MEASURE, Plan, cross_validated, evaluate
from models.registry import Registry
from models.text_model import TextModel
from models.text_model_open import open_text_model
from models.training.examples import Example, Splits
from models.training.heads import generic_out_of_scope
from models.training.readers import read_examples

Model = Annotated[
    str | None,
    typer.Option(help="Folder of a trained version, or a version of the domain; without it, what would be served."),
]
Domain = Annotated[str | None, typer.Option(help="Name or folder of a domain; without it, the configured one.")]


def understanding(
    data: Annotated[Path | None, typer.Option(help="Labelled texts, in any form that `agent train` reads.")] = None,
    model: Model = None,
    domain: Domain = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    method_head: Annotated[
        bool, typer.Option("--method-head", help="Frozen heads, trained on the spot; with --model, side by side.")
    ] = False,
    spoken: Annotated[
        Path | None, typer.Option(help="The texts as a recognizer heard them (JSONL).", exists=True, dir_okay=False)
    ] = None,
    robustness: Annotated[bool, typer.Option(help="Also measure worse texts.")] = True,
    ignore_unknown_labels: Annotated[
        bool, typer.Option("--ignore-unknown-labels", help="Leave out what the model was not trained on.")
    ] = False,
    limit: Limit = None,
    seed: Seed = 0,
    config: Config = None,
    html: Html = None,
    json_file: Json = None,
    against: Against = None,
    fail_on: FailOn = None,
    markdown: Markdown = False,
) -> None:
    """How well texts are understood: accuracy, rejection, slots, emotion, calibration, robustness, time, mistakes.

    With --domain and no --data, frozen heads are cross-validated on the domain's examples. With --method-head they are
    trained on the data's train split, or on the examples of --domain.
    """
    settings = settings_or_leave(config)

    def run(progress: Progress) -> Evaluation:
        progress(0, 1, "loading")
        encoder = SentenceEncoder(cache_size=50_000)
        plan = Plan(
            split,
            seed,
            limit,
            ignore_unknown_labels,
            WORSENED if robustness else (),
            () if spoken is None else _all(read_examples(spoken)),
        )
        if data is None:
            if model is not None:
                raise MeasureFailed("--model is measured on texts it was not trained on: give them with --data")
            folder = _domain_folder(settings, domain)
            splits = _taught(folder)
            return cross_validated(splits, encoder, folder.name, plan, progress, encoder.identity)
        splits = read_examples(data)
        choose_split(splits, split, data.name)
        head = None
        if method_head:
            progress(0, 1, "training frozen heads")
            learnt = splits if domain is None else _taught(_domain_folder(settings, domain))
            if not learnt.train:
                raise MeasureFailed(f"{data.name} has no train split for --method-head; name a --domain to learn from")
            head = fit_frozen(learnt.train, encoder, seed, encoder.identity)
            if model is None:
                return evaluate(head, splits, data.name, plan, progress)
        chosen, problem = text_model(settings, model, domain, encoder)
        found = evaluate(chosen, splits, data.name, plan, progress, head)
        return found if problem is None else replace(found, notes=(problem, *found.notes))

    evaluated(MEASURE, run, Output(html, json_file, markdown, against, fail_on))


def text_model(
    settings: Settings, model: str | None, domain: str | None, encoder: SentenceEncoder
) -> tuple[TextModel, str | None]:
    """The model of a folder, of a version of the domain, or that the configuration would serve.

    Beside it, why it is not the version that was chosen, where what is served is another.

    Raises:
        ModelError: it is not there, or damaged.
        FileError: the domain cannot be used.
    """
    if model is not None and Path(model).is_dir():
        return open_text_model(Path(model), encoder), None
    taught = load_domain(_domain_folder(settings, domain))
    opener = Opener(Registry(settings.understanding.versions), taught, encoder, settings.understanding.cache)
    if model is not None:
        return opener.open(model).model, None
    choice, _ = opener.open_current()
    return choice.model, choice.problem


def _domain_folder(settings: Settings, domain: str | None) -> Path:
    if domain is None:
        return settings.domain_path()
    named = CONFIGS / "domains" / domain
    folder = named if named.is_dir() else Path(domain)
    if not folder.is_dir():
        there = ", ".join(sorted(path.name for path in (CONFIGS / "domains").iterdir() if path.is_dir()))
        raise MeasureFailed(f"--domain {domain} is neither a folder nor one of {there}")
    return folder


def _taught(folder: Path) -> Splits:
    """What heads of a domain are fitted on: its examples, and sentences of ours that belong to no domain."""
    outside = (Example(text, OUT_OF_SCOPE, origin="out_of_scope.txt") for text in generic_out_of_scope())
    return read_examples(folder) + Splits(train=tuple(outside))


def _all(splits: Splits) -> tuple[Example, ...]:
    return (*splits.test, *splits.validation, *splits.train)
