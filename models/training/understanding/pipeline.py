"""From labelled data to a version folder: checks, training, averaging with a frozen head, calibration, export, card."""

from __future__ import annotations

import logging
import os
import shutil
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.contracts import OUT_OF_SCOPE, Encoder
from models.heads import LinearHead, features, save_head, softmax
from models.registry import write_json
from models.text_model import MODEL_FILE, Member, ModelInfo, TextModel
from models.text_model_open import open_text_model, write_sums
from models.text_net import TextNet
from models.training.augment import Noise
from models.training.checks import check, remove_leaks, split_validation
from models.training.examples import DataError, Example, Splits
from models.training.heads import best_temperature, best_threshold, fit_head
from models.training.understanding.card import write_card
from models.training.understanding.files import save_examples
from models.training.understanding.measuring import intent_figures
from models.training.understanding.recipe import Recipe

if TYPE_CHECKING:
    from models.training.understanding.trainer import Trained

log = logging.getLogger(__name__)

HEAD_FILE = "head.npz"
REPORT_FILE = "training.json"
FEW = 20
"""Median examples an intent up to which few-shot training is chosen."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to train: `name` of the model, its data, what the card says of both.

    content: key of the domain's intents, see `models.text_model.ModelInfo`. licences: of the data, for the card.
    """

    name: str
    splits: Splits
    recipe: Recipe
    language: str = "en"
    content: str = ""
    allow_leak: bool = False
    drop_leaks: bool = False
    allow_unseen: bool = False
    licences: tuple[str, ...] = ()
    command: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """A finished version: its folder, what it is, and what was worth saying on the way."""

    folder: Path
    info: ModelInfo
    warnings: tuple[str, ...]


Progress = Callable[[str, float, str], None]
"""Told (stage, share done in [0, 1], figures to show)."""


def prepare(job: Job) -> tuple[tuple[Example, ...], tuple[Example, ...], tuple[str, ...]]:
    """(training examples, validation examples, warnings) of a job.

    Raises:
        DataError: the data cannot be used; see `models.training.checks.check`.
    """
    splits, recipe = job.splits, job.recipe
    warnings: list[str] = []
    few = is_few_shot(splits.train, recipe)
    if job.drop_leaks:
        splits, removed = remove_leaks(splits)
        if removed:
            warnings.append(f"{len(removed)} training texts that are also in validation or test were left out")
    warnings += check(splits, job.allow_leak, few_shot=few, allow_unseen=job.allow_unseen)
    train, validation = splits.train, splits.validation
    if not validation and recipe.validation_share:
        train, validation = split_validation(train, recipe.validation_share, recipe.seed)
    return tuple(train), tuple(validation), tuple(warnings)


def is_few_shot(examples: Sequence[Example], recipe: Recipe) -> bool:
    """Whether the recipe, or where it leaves that open the data, asks for few-shot training."""
    if recipe.few_shot is not None:
        return recipe.few_shot
    counts = Counter(e.intent for e in examples if e.intent not in {None, OUT_OF_SCOPE})
    return bool(counts) and statistics.median(counts.values()) <= FEW


def make(
    job: Job,
    folder: Path,
    work: Path,
    now: Callable[[], datetime],
    encoder: Encoder,
    progress: Progress | None = None,
    wandb: bool = False,
) -> Made | None:
    """Train `job` into `folder`, which is new; checkpoints are kept in `work` until it is done.

    `encoder` is the frozen sentence encoder. Training goes on where a run of the same job stopped. In a run of several
    processes only the first writes the version; the others get None.

    Raises:
        DataError: the data cannot be used.
        models.errors.ModelError: training failed, or the exported network lost more than is allowed.
        OSError: the disk is full; nothing is left in `folder`.
    """
    tell = progress or (lambda *_: None)
    train, validation, warnings = prepare(job)
    for warning in warnings:
        log.warning("%s", warning)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    _remove_left_behind(folder)
    partial.mkdir(parents=True)
    try:
        if job.recipe.method == "head":
            info, report = _make_head(job, train, validation, partial, encoder, now)
        else:
            found = _make_network(job, train, validation, partial, work, encoder, now, tell, wandb)
            if found is None:
                return None
            info, report = found
        write_json(partial / MODEL_FILE, info.document())
        write_json(partial / REPORT_FILE, report)
        write_card(partial, info, job.recipe, report, train, validation, job.splits.sources, job.licences, job.command)
        write_sums(partial)
        open_text_model(partial, encoder)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Made(folder, info, warnings)


def _remove_left_behind(folder: Path) -> None:
    """Remove what killed processes had begun to write for `folder`."""
    for path in folder.parent.glob(f".{folder.name}.*.partial"):
        number = path.name.split(".")[-2]
        if not (number.isdigit() and int(number) != os.getpid() and _alive(int(number))):
            shutil.rmtree(path, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _make_head(
    job: Job,
    train: Sequence[Example],
    validation: Sequence[Example],
    folder: Path,
    encoder: Encoder,
    now: Callable[[], datetime],
) -> tuple[ModelInfo, dict[str, object]]:
    head, labels = head_of(train, encoder, job.recipe)
    if head is None:
        raise DataError(["--method head learns intents, and no example has one; give intents or choose method full"])
    save_head(folder / HEAD_FILE, head)
    info = _info(job, "head", (Member(HEAD_FILE),), labels, now)
    info, figures = _calibrated(info, folder, validation, encoder)
    save_examples(folder, train, encoder.encode)
    return info, {"figures": figures}


def _make_network(
    job: Job,
    train: Sequence[Example],
    validation: Sequence[Example],
    folder: Path,
    work: Path,
    encoder: Encoder,
    now: Callable[[], datetime],
    tell: Progress,
    wandb: bool,
) -> tuple[ModelInfo, dict[str, object]] | None:
    from models.training.understanding.ensemble import train_networks
    from models.training.understanding.fewshot import refit_intents
    from models.training.understanding.trainer import Step, Watch

    recipe = job.recipe
    few = is_few_shot(train, recipe)
    recipe = recipe.model_copy(update={"few_shot": few})

    def watcher(number: int) -> Watch:
        def watch(step: Step) -> None:
            shown = step.figures.values if step.figures else step.losses
            kind = "validation" if step.figures else "loss"
            text = ", ".join(f"{name} {value:.3f}" for name, value in shown.items())
            stage = f"epoch {step.epoch + 1}/{recipe.epochs}"
            if recipe.networks > 1:
                stage = f"network {number}/{recipe.networks}, {stage}"
            tell(stage, step.step / step.steps, f"{kind}: {text}")

        return watch

    ensemble = train_networks(
        train,
        validation,
        recipe,
        work,
        rewriter=rewriter,
        watcher=watcher,
        teachers=teaching(recipe, train, encoder),
        wandb=wandb,
    )
    if not ensemble.writes:
        return None
    trained = ensemble.networks[0]
    if few and trained.labels.intents:
        for one in ensemble.networks:
            refit_intents(one, train, recipe)
    tell("export", 1.0, "")
    names, parity = _exported(ensemble.networks, folder, validation or train, recipe)
    head, labels = (None, trained.labels.intents) if not recipe.head_member else head_of(train, encoder, recipe)
    share = 1.0 - recipe.head_member if head is not None else 1.0
    members = [Member(name, share / len(names)) for name in names]
    if head is not None:
        save_head(folder / HEAD_FILE, head)
        members.append(Member(HEAD_FILE, recipe.head_member))
    several = any(len(e.emotions) > 1 for e in train) if recipe.several_emotions is None else recipe.several_emotions
    info = replace(
        _info(job, recipe.method, tuple(members), trained.labels.intents, now),
        slots=trained.labels.slots,
        emotions=trained.labels.emotions,
        several_emotions=several,
    )
    if head is not None and labels != info.intents:
        raise DataError([f"head and network learnt different intents: {labels} and {info.intents}"])
    info, figures = _calibrated(info, folder, validation, encoder)
    save_examples(folder, train, lambda texts: _vectors([folder / name for name in names], texts, recipe))
    return info, {
        "figures": figures,
        "epochs": trained.epochs,
        "history": [dict(values) for values in trained.history],
        "few_shot": few,
        "parity": parity,
        **({"ensemble": ensemble.report} if ensemble.report else {}),
    }


def rewriter(recipe: Recipe) -> Callable[[Example, int], Example] | None:
    """How training texts are rewritten in each epoch under a recipe; None where they are not."""
    if not (recipe.noise or recipe.paraphrase):
        return None
    return Noise(recipe.seed, noise_rates(recipe)).example


def _exported(
    networks: Sequence[Trained], folder: Path, examples: Sequence[Example], recipe: Recipe
) -> tuple[list[str], dict[str, Any]]:
    """The files of the networks, and how the one that lost most compares with torch.

    Raises:
        ExportFailed: a network lost more than is allowed.
    """
    from models.training.understanding import export

    names = [export.NETWORK_FILE] if len(networks) == 1 else [f"model-{n + 1}.onnx" for n in range(len(networks))]
    found = []
    for one, name in zip(networks, names, strict=True):
        path = export.export_network(one.network, one.tokenizer, folder, name=name)
        parity = export.parity(one, path, examples, recipe)
        if parity.failed:
            raise export.ExportFailed(
                f"int8 lost {100 * parity.lost:.1f} points on {parity.texts} texts "
                f"(allowed {100 * export.ALLOWED_LOSS:.1f}): {dict(parity.float32.values)} became "
                f"{dict(parity.int8.values)}; train longer or with another base"
            )
        found.append(parity)
    worst = max(found, key=lambda parity: parity.lost)
    return names, {
        "texts": worst.texts,
        "largest_probability_difference": max(parity.difference for parity in found),
        "float32": dict(worst.float32.values),
        "int8": dict(worst.int8.values),
        "lost": worst.lost,
    }


def _vectors(paths: Sequence[Path], texts: Sequence[str], recipe: Recipe) -> npt.NDArray[np.float32]:
    """The unit vectors of `texts` that a version with these networks gives."""
    total = np.mean([TextNet(path, recipe.max_tokens).run(texts).vectors for path in paths], axis=0)
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def noise_rates(recipe: Recipe) -> dict[str, float]:
    """How likely each strategy of `models.training.augment` is under a recipe."""
    heard = dict.fromkeys(("dropped_words", "repeated_words", "fillers", "homophones", "typos"), recipe.noise / 2)
    worded = dict.fromkeys(("paraphrase", "synonyms", "numbers"), recipe.paraphrase / 2)
    return {**heard, "casing": recipe.noise, **worded}


def teaching(recipe: Recipe, train: Sequence[Example], encoder: Encoder) -> npt.NDArray[np.float64] | None:
    """Averaged log-probabilities of the recipe's teachers for each training example, in the order of the labels.

    Raises:
        DataError: a teacher knows other intents.
    """
    if not recipe.teachers:
        return None
    wanted = tuple(sorted({e.intent for e in train if e.intent not in {None, OUT_OF_SCOPE}}, key=str))
    if any(e.intent == OUT_OF_SCOPE for e in train):
        wanted = (*wanted, OUT_OF_SCOPE)
    total = np.zeros((len(train), len(wanted)))
    for folder in recipe.teachers:
        model = open_text_model(folder, encoder)
        if set(model.info.intents) != set(wanted):
            different = sorted(set(model.info.intents) ^ set(map(str, wanted)))
            raise DataError(
                [f"teacher {folder} differs in the intents {', '.join(different[:10])}; train it on the same"]
            )
        for n, reading in enumerate(model.read([e.text for e in train])):
            known = dict(reading.ranking)
            total[n] += np.log(np.maximum([known[str(name)] for name in wanted], 1e-9))
    return np.asarray(total / len(recipe.teachers))


def head_of(train: Sequence[Example], encoder: Encoder, recipe: Recipe) -> tuple[LinearHead | None, tuple[str, ...]]:
    """A head over the frozen encoder with the network's order of labels; None where nothing has an intent."""
    # Borrowed examples, which weigh less than 1, teach the network words; a head would only be drawn off the domain.
    rows = [e for e in train if e.intent is not None and e.weight >= 1] or [e for e in train if e.intent is not None]
    if not rows:
        return None, ()
    vectors = features([e.text for e in rows], encoder)
    head = fit_head(vectors, np.array([e.intent for e in rows]), recipe.seed)
    order = sorted(range(len(head.labels)), key=lambda n: (head.labels[n] == OUT_OF_SCOPE, head.labels[n]))
    labels = tuple(head.labels[n] for n in order)
    return LinearHead(labels, head.weights[order], head.bias[order]), labels


def _info(
    job: Job, method: str, members: tuple[Member, ...], intents: tuple[str, ...], now: Callable[[], datetime]
) -> ModelInfo:
    return ModelInfo(
        name=job.name,
        version="",
        method=method,
        base=job.recipe.base if method != "head" else "frozen encoder",
        language=job.language,
        members=members,
        intents=intents,
        content=job.content,
        max_tokens=job.recipe.max_tokens,
        created=now().isoformat(timespec="seconds"),
    )


def _calibrated(
    info: ModelInfo, folder: Path, validation: Sequence[Example], encoder: Encoder
) -> tuple[ModelInfo, dict[str, float]]:
    """Temperatures and threshold from validation data, which no member was fitted on, and the figures there."""
    write_json(folder / MODEL_FILE, info.document())
    model = open_text_model(folder, encoder, verify=False)
    measured: dict[str, float] = {}
    known = [e for e in validation if e.intent in info.intents]
    if known:
        scores = model.log_probabilities([e.text for e in known])
        truth = np.array([info.intents.index(str(e.intent)) for e in known], dtype=np.int64)
        temperature = best_temperature(scores.astype(np.float32), truth)
        threshold = 0.0
        if OUT_OF_SCOPE in info.intents:
            threshold = best_threshold(softmax(scores / temperature), truth, info.intents.index(OUT_OF_SCOPE))
        info = replace(info, temperature=temperature, threshold=threshold)
        measured |= intent_figures(scores.astype(np.float32), truth, info.intents)
    felt = [e for e in validation if e.emotions]
    if felt and info.emotions and not info.several_emotions:
        info = replace(info, emotion_temperature=_emotion_temperature(model, info, felt))
    return replace(info, measured=measured), measured


def _emotion_temperature(model: TextModel, info: ModelInfo, felt: Sequence[Example]) -> float:
    readings = model.read([e.text for e in felt])
    scores = np.log(np.maximum([[reading.emotions[name] for name in info.emotions] for reading in readings], 1e-9))
    truth = np.array([info.emotions.index(e.emotions[0]) for e in felt], dtype=np.int64)
    return best_temperature(scores.astype(np.float32), truth)
