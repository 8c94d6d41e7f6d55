"""What training minimises: the heads' errors, and what makes them hold on words they have not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.understanding.batches import IGNORED, Batch
from models.training.understanding.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Targets:
    """What the losses need besides a batch: class weights, and the teachers' intent probabilities of every example."""

    intent_weights: Tensor | None = None
    emotion_weights: Tensor | None = None
    several_emotions: bool = False
    teachers: Tensor | None = None


def loss(outputs: dict[str, Tensor], batch: Batch, recipe: Recipe, targets: Targets) -> dict[str, Tensor]:
    """The weighted losses of the heads, by name; their sum is what is minimised."""
    parts: dict[str, Tensor] = {}
    if "intent" in outputs:
        parts["intent"] = recipe.intent_weight * _intent(outputs["intent"].float(), batch, recipe, targets)
        if recipe.contrastive:
            parts["contrastive"] = recipe.contrastive * contrastive(
                outputs["vector"].float(), batch.intents, recipe.contrastive_temperature
            )
    if "slots" in outputs:
        parts["slots"] = recipe.slot_weight * _slots(outputs["slots"].float(), batch)
    if "emotion" in outputs:
        parts["emotion"] = recipe.emotion_weight * _emotion(outputs["emotion"].float(), batch, recipe, targets)
    return parts


def _mean(losses: Tensor, weights: Tensor) -> Tensor:
    return (losses * weights).sum() / weights.sum().clamp_min(1e-6)


def _intent(logits: Tensor, batch: Batch, recipe: Recipe, targets: Targets) -> Tensor:
    known = batch.intents != IGNORED
    if not known.any():
        return logits.sum() * 0.0
    logits, truth, weights = logits[known], batch.intents[known], batch.weights[known]
    hard = functional.cross_entropy(
        logits, truth, weight=targets.intent_weights, label_smoothing=recipe.label_smoothing, reduction="none"
    )
    if targets.teachers is None:
        return _mean(hard, weights)
    heat = recipe.teacher_temperature
    soft = functional.kl_div(
        functional.log_softmax(logits / heat, -1), targets.teachers[batch.rows[known]].to(logits), reduction="none"
    ).sum(-1)
    return _mean((1 - recipe.teacher_weight) * hard + recipe.teacher_weight * heat * heat * soft, weights)


def _slots(logits: Tensor, batch: Batch) -> Tensor:
    if not (batch.slots != IGNORED).any():
        return logits.sum() * 0.0
    return functional.cross_entropy(logits.flatten(0, 1), batch.slots.flatten(), ignore_index=IGNORED)


def _emotion(logits: Tensor, batch: Batch, recipe: Recipe, targets: Targets) -> Tensor:
    known = batch.emotional
    if not known.any():
        return logits.sum() * 0.0
    logits, truth, weights = logits[known], batch.emotions[known], batch.weights[known]
    scale = targets.emotion_weights if targets.emotion_weights is not None else torch.ones(logits.shape[1])
    if targets.several_emotions:
        each = functional.binary_cross_entropy_with_logits(logits, truth, pos_weight=scale, reduction="none").sum(-1)
    else:
        share = truth / truth.sum(-1, keepdim=True)
        smooth = (1 - recipe.label_smoothing) * share + recipe.label_smoothing / truth.shape[1]
        each = -(smooth * scale * functional.log_softmax(logits, -1)).sum(-1)
    return _mean(each, weights)


def contrastive(vectors: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss of vectors[n, width] (Khosla et al. 2020, L_out); 0 where no two share a label."""
    known = labels != IGNORED
    vectors, labels = functional.normalize(vectors[known], dim=-1), labels[known]
    if len(labels) < 2:
        return vectors.sum() * 0.0
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    close = (vectors @ vectors.T / temperature).masked_fill(itself, -1e9)
    share = close - torch.logsumexp(close, 1, keepdim=True)
    equal = (labels[:, None] == labels[None, :]) & ~itself
    counts = equal.sum(1)
    have = counts > 0
    if not have.any():
        return vectors.sum() * 0.0
    return -((share * equal).sum(1)[have] / counts[have]).mean()


def divergence(first: dict[str, Tensor], second: dict[str, Tensor]) -> Tensor:
    """Symmetric Kullback-Leibler divergence of the intent outputs of two passes (R-Drop, Liang et al. 2021)."""
    a = functional.log_softmax(first["intent"].float(), -1)
    b = functional.log_softmax(second["intent"].float(), -1)
    forward = functional.kl_div(a, b, log_target=True, reduction="batchmean")
    return 0.5 * (forward + functional.kl_div(b, a, log_target=True, reduction="batchmean"))


def adversarial_pass(
    embeddings: nn.Embedding, recipe: Recipe, again: Callable[[], Tensor], backward: Callable[[Tensor], Any]
) -> None:
    """Add the gradients of the loss on moved word embeddings to those that are there; the embeddings are put back.

    fgm: one move of `adversarial_size` along the gradient; pgd: `pgd_steps` moves, only the last one's gradients count.
    `again` gives the loss, `backward` accumulates its gradients.
    """
    weight = embeddings.weight
    if weight.grad is None:
        raise ValueError("word embeddings have no gradient: adversarial training needs freeze_embeddings: false")
    original = weight.data.clone()
    moves = recipe.pgd_steps if recipe.adversarial == "pgd" else 1
    kept = [(group, group.grad) for group in _with_gradient(embeddings)]
    try:
        for move in range(moves):
            assert weight.grad is not None
            norm = weight.grad.norm()
            if not torch.isfinite(norm) or norm == 0:
                return
            weight.data.add_(recipe.adversarial_size / moves * weight.grad / norm)
            if move < moves - 1:
                weight.grad = None
                gradient = torch.autograd.grad(again(), weight)[0]
                weight.grad = gradient.detach()
        for group, gradient_before in kept:
            group.grad = gradient_before
        backward(again())
    finally:
        weight.data.copy_(original)


def _with_gradient(module: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in module.parameters() if parameter.grad is not None]
