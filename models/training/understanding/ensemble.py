"""Several networks of one recipe, from different seeds: averaged by what they say or by their weights, or distilled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.training.examples import DataError, Example
from models.training.understanding.average import mean_weights
from models.training.understanding.batches import Batcher, Rewrite
from models.training.understanding.measuring import figures
from models.training.understanding.network import merged
from models.training.understanding.recipe import Recipe
from models.training.understanding.trainer import Trained, Watch, predict
from models.training.understanding.trainer import train as fine_tune

LogProbabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The networks that become members of the version, and what `training.json` says of how they came about."""

    networks: tuple[Trained, ...]
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def writes(self) -> bool:
        """Whether this process of the run is the one that writes the version."""
        return all(trained.writes for trained in self.networks)


def train_networks(
    examples: Sequence[Example],
    validation: Sequence[Example],
    recipe: Recipe,
    work: Path,
    *,
    rewriter: Callable[[Recipe], Rewrite | None],
    watcher: Callable[[int], Watch | None],
    teachers: LogProbabilities | None = None,
    wandb: bool = False,
) -> Ensemble:
    """Train `recipe.networks` networks, the n-th with seed + n and its checkpoints in work/network-n, and combine them.

    `rewriter` gives the noise of a network by its recipe, `watcher` who is told of the n-th network's steps (from 1).
    `teachers` and what is raised: see `models.training.understanding.trainer.train`.
    """
    if recipe.networks == 1:
        only = fine_tune(
            examples,
            validation,
            recipe,
            work,
            rewrite=rewriter(recipe),
            teachers=teachers,
            watch=watcher(1),
            wandb=wandb,
        )
        return Ensemble((only,))

    def fit(number: int, taught: LogProbabilities | None) -> Trained:
        own = recipe.model_copy(update={"seed": recipe.seed + number - 1})
        return fine_tune(
            examples,
            validation,
            own,
            work / f"network-{number}",
            rewrite=rewriter(own),
            teachers=taught,
            watch=watcher(number),
            wandb=wandb,
            start=recipe.seed if recipe.combine == "weights" else None,
        )

    if recipe.combine == "distil":
        return _distilled(examples, recipe, fit, teachers)
    networks = tuple(fit(number, teachers) for number in range(1, recipe.networks + 1))
    if recipe.combine == "weights":
        return _soup(networks, validation, recipe)
    return Ensemble(networks, _report(recipe, networks))


def _report(recipe: Recipe, networks: Sequence[Trained]) -> dict[str, Any]:
    return {
        "combine": recipe.combine,
        "networks": [{"epochs": one.epochs, "score": one.figures.score, **one.figures.values} for one in networks],
    }


def _distilled(
    examples: Sequence[Example],
    recipe: Recipe,
    fit: Callable[[int, LogProbabilities | None], Trained],
    teachers: LogProbabilities | None,
) -> Ensemble:
    """The first network, taught by the others and by the teachers there are: each counts alike."""
    others = [fit(number, teachers) for number in range(2, recipe.networks + 1)]
    if not others[0].labels.intents:
        raise DataError(["combine: distil teaches intents, and no example has one; choose logits or weights"])
    total = sum((log_probabilities(one, examples, recipe) for one in others), start=np.zeros(1))
    if teachers is not None:
        total = total + teachers * len(recipe.teachers)
    student = fit(1, np.asarray(total / (len(others) + len(recipe.teachers))))
    return Ensemble((student,), {**_report(recipe, [student, *others]), "kept": "network 1, taught by the others"})


def log_probabilities(trained: Trained, examples: Sequence[Example], recipe: Recipe) -> LogProbabilities:
    """What a network believes of the intent of each example: float64[n, intents], in the order of its labels."""
    exact = recipe.model_copy(update={"precision": "float32"})
    batcher = Batcher(trained.tokenizer, trained.labels, exact)
    logits = predict(trained.network, batcher, examples, torch.device("cpu"), exact).intents.astype(np.float64)
    shifted = logits - logits.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))


def _soup(networks: Sequence[Trained], validation: Sequence[Example], recipe: Recipe) -> Ensemble:
    """One network with the mean of all weights, or the best of them where the mean is worse on validation data."""
    for one in networks:
        merged(one.network)
    states = [{name: value.clone() for name, value in one.network.state_dict().items()} for one in networks]
    best = max(range(len(networks)), key=lambda number: networks[number].figures.score)
    first = networks[0]
    first.network.load_state_dict(mean_weights(states))
    outcome = predict(
        first.network, Batcher(first.tokenizer, first.labels, recipe), validation, torch.device("cpu"), recipe
    )
    found = figures(outcome, validation, first.labels)
    report = {**_report(recipe, networks), "mean_score": found.score}
    if found.score >= networks[best].figures.score:
        return Ensemble((replace(first, validation=outcome, figures=found),), {**report, "kept": "mean of the weights"})
    first.network.load_state_dict(states[0])
    return Ensemble((networks[best],), {**report, "kept": f"network {best + 1}, better than the mean of the weights"})
