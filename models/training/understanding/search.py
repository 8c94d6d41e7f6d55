"""Looking for a better recipe: trials that train and are compared on validation data, never on a test split."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models.contracts import Encoder
from models.heads import features, softmax
from models.training.examples import DataError, Example
from models.training.understanding.measuring import figures
from models.training.understanding.pipeline import Job, Progress, head_of, is_few_shot, prepare, rewriter, teaching
from models.training.understanding.recipe import Recipe, recipe_from

log = logging.getLogger(__name__)

STUDY_FILE = "study.db"
TRIAL_FOLDER = "trial"
_RANDOM_TRIALS = 8
"""Trials before the sampler's model of what is good and the pruner's median mean something."""
_BLENDED = "blended"


def search(job: Job, work: Path, trials: int, encoder: Encoder, tell: Progress) -> Recipe:
    """The best recipe of `trials` (those of earlier searches on the same data and recipe among them).

    Trials are drawn by TPE (Bergstra et al. 2011) around the job's recipe, which is the first of them; after each epoch
    one that is worse than the median of the others is given up. The study is `work`/study.db: a search that was broken
    off, even in the middle of a trial, goes on. A trial's value is the validation score of one network, averaged with
    the frozen head where it has one.

    Raises:
        DataError: the data cannot be used, nothing is held out, the recipe has no network, this is one of several
            processes, or optuna is not installed.
        models.errors.ModelError: every trial failed.
    """
    _check(job.recipe)
    try:
        import optuna
    except ImportError:
        raise DataError(
            ["optuna is not installed; pip install 'callagent[train]', or train without --search"]
        ) from None
    from models.training.understanding.checkpoint import CHECKPOINT_FILE, TrainingFailed
    from models.training.understanding.trainer import Step, train

    examples, validation, _ = prepare(job)
    if not validation:
        raise DataError(["nothing is held out to compare recipes on; give validation data or set validation_share=0.1"])
    recipe = job.recipe.model_copy(update={"few_shot": is_few_shot(examples, job.recipe)})
    work.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{work / STUDY_FILE}",
        study_name=_name(recipe, examples, validation),
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_RANDOM_TRIALS // 2, n_warmup_steps=1),
    )
    done = _finished(study, optuna)
    study.sampler = optuna.samplers.TPESampler(seed=recipe.seed + done, n_startup_trials=_RANDOM_TRIALS)
    if not study.trials:
        study.enqueue_trial(_values(recipe), skip_if_exists=True)
    for broken in [trial for trial in study.trials if trial.state == optuna.trial.TrialState.RUNNING]:
        study.tell(broken.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(broken.params)

    head = _HeadScores(examples, validation, encoder, recipe)
    teachers = teaching(recipe, examples, encoder)

    def objective(trial: Any) -> float:
        chosen = recipe_from({**recipe.model_dump(), **_drawn(trial, recipe)}, f"trial {trial.number + 1}")

        def watch(step: Step) -> None:
            shown = "" if step.figures is None else f"validation: score {step.figures.score:.3f}"
            stage = f"trial {trial.number + 1}, epoch {step.epoch + 1}/{chosen.epochs}"
            tell(stage, (_finished(study, optuna) + step.step / step.steps) / trials if step.figures else 0.0, shown)
            if step.figures is not None:
                trial.report(step.figures.score, step.epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned

        try:
            trained = train(
                examples,
                validation,
                chosen.model_copy(update={"networks": 1}),
                work / TRIAL_FOLDER,
                rewrite=rewriter(chosen),
                teachers=teachers,
                watch=watch,
            )
        except TrainingFailed as error:
            log.warning("trial %d: %s", trial.number + 1, error)
            raise optuna.TrialPruned from error
        outcome = replace(trained.validation, intents=head.blended(trained.validation.intents, chosen.head_member))
        found = figures(outcome, validation, trained.labels)
        trial.set_user_attr(_BLENDED, dict(found.values))
        return found.score

    def clean(_: Any, trial: Any) -> None:
        (work / TRIAL_FOLDER / CHECKPOINT_FILE).unlink(missing_ok=True)
        log.info("trial %d: %s %s with %s", trial.number + 1, trial.state.name, trial.value, trial.params)

    study.optimize(objective, n_trials=max(0, trials - done), callbacks=[clean])
    if not any(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.trials):
        raise TrainingFailed(f"none of {trials} trials came to an end; lower learning_rate, or train without --search")
    return recipe_from({**job.recipe.model_dump(), **study.best_params}, "the best trial")


def _check(recipe: Recipe) -> None:
    if recipe.method == "head":
        raise DataError(["--search tunes how a network is fine-tuned, and --method head has none; choose full or lora"])
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise DataError(["--search runs in one process; search first, then train with the recipe it prints"])


def _finished(study: Any, optuna: Any) -> int:
    ended = {optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED}
    return sum(trial.state in ended for trial in study.trials)


def _name(recipe: Recipe, examples: Sequence[Example], validation: Sequence[Example]) -> str:
    """A study belongs to data and to a recipe that it starts from."""
    content = [recipe.model_dump(mode="json"), *([[e.text, e.intent, e.emotions] for e in examples]), len(validation)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _rate(recipe: Recipe) -> str:
    """The learning rate that moves most: adapters and prefixes learn at that of the heads."""
    return "learning_rate" if recipe.method == "full" else "head_learning_rate"


def _ranges(recipe: Recipe) -> dict[str, tuple[float, float]]:
    """Where settings are looked for: around what is usual, and always around the recipe's own values."""
    rate = getattr(recipe, _rate(recipe))
    ranges = {
        _rate(recipe): (rate / 8, rate * 3),
        "epochs": (max(1, recipe.epochs // 2), recipe.epochs * 2),
        "label_smoothing": (0.0, 0.2),
        "dropout": (0.0, 0.3),
        "contrastive": (0.0, 1.0),
        "noise": (0.0, 0.3),
        "head_member": (0.0, 0.7),
    }
    if recipe.method == "full":
        ranges["layer_decay"] = (0.7, 1.0)
    return {
        name: (min(low, getattr(recipe, name)), max(high, getattr(recipe, name)))
        for name, (low, high) in ranges.items()
    }


def _drawn(trial: Any, recipe: Recipe) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, (low, high) in _ranges(recipe).items():
        if name == "epochs":
            values[name] = trial.suggest_int(name, int(low), int(high))
        else:
            values[name] = trial.suggest_float(name, low, high, log=name == _rate(recipe))
    values["adversarial"] = trial.suggest_categorical("adversarial", ["none", "fgm", "pgd"])
    return values


def _values(recipe: Recipe) -> dict[str, object]:
    """The recipe's own values of what is searched."""
    return {name: getattr(recipe, name) for name in (*_ranges(recipe), "adversarial")}


class _HeadScores:
    """What a head over the frozen encoder says of the validation data, fitted once for all trials."""

    def __init__(
        self, examples: Sequence[Example], validation: Sequence[Example], encoder: Encoder, recipe: Recipe
    ) -> None:
        head, _ = head_of(examples, encoder, recipe)
        self._scores: np.ndarray | None = None
        if head is not None:
            vectors = features([e.text for e in validation], encoder)
            self._scores = np.log(np.maximum(head.probabilities(vectors), 1e-9))

    def blended(self, logits: np.ndarray, share: float) -> np.ndarray:
        """Logits[n, intents] of a network, averaged with the head as a version does it; `share`: the head's weight."""
        if self._scores is None or not share:
            return logits
        own = np.log(np.maximum(softmax(logits), 1e-9))
        return np.asarray((1 - share) * own + share * self._scores, dtype=np.float32)
