"""The training loop: encoder and heads together, with checkpoints, on whatever `accelerate` finds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from torch import Tensor
from torch.nn import functional

from models.training.examples import Example
from models.training.understanding.average import RunningMean, weights_of
from models.training.understanding.batches import Batch, Batcher, Rewrite, batches_in, class_weights
from models.training.understanding.checkpoint import Checkpoint, TrainingFailed
from models.training.understanding.labels import Labels, labels_of
from models.training.understanding.logs import Logs
from models.training.understanding.losses import Targets, adversarial_pass, divergence, loss
from models.training.understanding.measuring import Figures, Outcome, figures
from models.training.understanding.network import UnderstandingNetwork, build, groups
from models.training.understanding.recipe import Recipe

CHECKPOINT_STEPS = 200
"""Steps between two checkpoints: what a kill can cost, half a minute to two minutes on a CPU core."""

Watch = Callable[["Step"], None]


@dataclass(frozen=True, slots=True)
class Step:
    """Where training is: `step` of `steps`, in which epoch, the losses of this step, and the figures of an epoch."""

    step: int
    steps: int
    epoch: int
    losses: Mapping[str, float]
    rate: float = 0.0
    figures: Figures | None = None


@dataclass(slots=True)
class Trained:
    """What training leaves: the best network in float32 on the CPU, its tokenizer, and how it did on validation."""

    network: UnderstandingNetwork
    tokenizer: Any
    labels: Labels
    validation: Outcome
    figures: Figures
    epochs: int
    history: list[Mapping[str, float]] = field(default_factory=list)
    writes: bool = True
    """Whether this process of the run is the one that writes the version."""


@contextmanager
def _precision_of_its_own() -> Iterator[None]:
    """Lets a process train several networks, whose precision can differ: accelerate would keep that of the first."""
    AcceleratorState._reset_state()
    try:
        yield
    finally:
        AcceleratorState._reset_state()


@_precision_of_its_own()
def train(
    train_examples: Sequence[Example],
    validation: Sequence[Example],
    recipe: Recipe,
    work: Path,
    *,
    rewrite: Rewrite | None = None,
    teachers: np.ndarray | None = None,
    watch: Watch | None = None,
    wandb: bool = False,
    start: int | None = None,
) -> Trained:
    """Fine-tune; goes on from the checkpoint in `work` where there is one of the same recipe and data.

    Args:
        work: folder of checkpoints and TensorBoard logs.
        rewrite: gives a noisy or reworded form of an example, drawn anew in each epoch.
        teachers: float[len(train_examples), intents], log-probabilities to learn besides the labels.
        watch: told of every step and epoch.
        wandb: log to Weights & Biases as well.
        start: seed of the heads' first weights where it is not the recipe's: networks that begin alike can be averaged.

    Raises:
        DataError: the examples cannot be learnt.
        TrainingFailed: the loss is not a number, or a checkpoint cannot be written.
        ModelMissing: there is no such base encoder.
    """
    labels = labels_of(train_examples)
    if recipe.workers:
        torch.set_num_threads(recipe.workers)
    set_seed(recipe.seed if start is None else start)
    # Without cpu=True, processes that torchrun starts on a machine without a GPU would each train alone.
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(), mixed_precision=_precision(recipe), step_scheduler_with_optimizer=False
    )
    processes = accelerator.num_processes
    per_epoch = math.ceil(batches_in(len(train_examples), recipe) / accelerator.num_processes)
    steps = max(1, recipe.epochs * math.ceil(per_epoch / recipe.accumulate))
    network, tokenizer = build(recipe, labels, steps)
    if start is not None:
        set_seed(recipe.seed)
    batcher = Batcher(tokenizer, labels, recipe)
    optimizer = torch.optim.AdamW(groups(network, recipe))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps, recipe))
    taught = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if recipe.adversarial != "none":
        # Frozen embeddings stay where they are: their gradient is computed, no optimizer has them.
        network.encoder.get_input_embeddings().weight.requires_grad_(True)
    model, optimizer = accelerator.prepare(network, optimizer)
    depends = [part for part in (start, None if teachers is None else float(teachers.sum())) if part is not None]
    state = Checkpoint(recipe, work, network, optimizer, schedule, train_examples, depends)
    state.resume()
    targets = _targets(train_examples, labels, recipe, teachers, accelerator.device)
    logs = Logs(work, recipe if wandb else None) if accelerator.is_main_process else None
    average = RunningMean(network, recipe.average, state.mean) if recipe.average else None
    state.mean = average.mean if average is not None else None

    def report(losses: Mapping[str, float], found: Figures | None) -> None:
        rate = schedule.get_last_lr()[0]
        if logs is not None:
            logs.write(state.step, rate, losses, found.values if found else {})
        if watch is not None and accelerator.is_main_process:
            watch(Step(state.step, steps, epoch, losses, rate, found))

    try:
        for epoch in range(state.epoch, recipe.epochs):
            if state.stopped(recipe.patience):
                break
            model.train()
            batches = batcher.epoch(train_examples, epoch, rewrite, accelerator.process_index, processes)
            for number, batch in enumerate(batches):
                if number < state.batch:
                    continue
                batch = batch.to(accelerator.device)
                losses = _accumulate(accelerator, model, network, batch, recipe, targets)
                if not all(math.isfinite(value) for value in losses.values()):
                    raise TrainingFailed(
                        _not_a_number(losses, epoch, number, schedule.get_last_lr()[0], train_examples, batch)
                    )
                state.batch = number + 1
                if state.batch % recipe.accumulate and state.batch != per_epoch:
                    continue
                accelerator.clip_grad_norm_(taught, recipe.clip)
                optimizer.step()
                schedule.step()
                if recipe.method == "adalora":
                    network.encoder.base_model.update_and_allocate(state.step)
                network.zero_grad(set_to_none=True)
                state.step += 1
                if average is not None:
                    average.update(state.step)
                report(losses, None)
                if state.step % CHECKPOINT_STEPS == 0 and accelerator.is_main_process:
                    state.save()
            state.batch, state.epoch = 0, epoch + 1
            with weights_of(average, network):
                outcome = predict(network, batcher, validation, accelerator.device, recipe)
                found = figures(outcome, validation, labels)
                state.keep(found, epoch, always=not recipe.patience)
            accelerator.wait_for_everyone()
            if accelerator.is_main_process:
                state.save()
            report({}, found)
    finally:
        if logs is not None:
            logs.close()
    # What `prepare` wrapped around the network's forward pass must not be exported with it.
    network = accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    network.load_state_dict(state.best)
    network = network.to("cpu").float().eval()
    outcome = predict(network, batcher, validation, torch.device("cpu"), recipe)
    found = figures(outcome, validation, labels)
    writes = accelerator.is_main_process
    return Trained(network, tokenizer, labels, outcome, found, state.best_epoch + 1, state.history, writes)


def predict(
    network: UnderstandingNetwork, batcher: Batcher, examples: Sequence[Example], device: Any, recipe: Recipe
) -> Outcome:
    """What the network says of each example: logits, and the slot labels of words."""
    if not examples:
        return Outcome.empty()
    was_training = network.training
    network.eval()
    rows: list[dict[str, np.ndarray]] = [{} for _ in examples]
    truth: list[np.ndarray] = [np.zeros(0, np.int64)] * len(examples)
    low = _precision(recipe) == "bf16"
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=low):
        for batch in batcher.ordered(examples):
            outputs = network(batch.input_ids.to(device), batch.attention_mask.to(device))
            for n, row in enumerate(batch.rows.tolist()):
                taught = (batch.slots[n] >= 0).numpy()
                truth[row] = batch.slots[n].numpy()[taught]
                for name, value in outputs.items():
                    one = value[n].float().cpu().numpy()
                    rows[row][name] = one[: len(taught)][taught] if name == "slots" else one
    network.train(was_training)
    return Outcome.of(rows, truth)


def wait_for_others() -> None:
    """Returns when every process of this run has come here; at once where there is only this one."""
    Accelerator(cpu=not torch.cuda.is_available()).wait_for_everyone()


def _accumulate(
    accelerator: Accelerator, model: Any, network: UnderstandingNetwork, batch: Batch, recipe: Recipe, targets: Targets
) -> dict[str, float]:
    """Add the gradients of one batch; the value of each part of the loss."""

    def forward() -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
        with accelerator.autocast():
            outputs = model(batch.input_ids, batch.attention_mask)
        parts = loss(outputs, batch, recipe, targets)
        if recipe.method == "adalora" and hasattr(network.encoder, "base_model"):
            parts["orthogonal"] = _orthogonality(network)
        total = torch.stack(list(parts.values())).sum() / recipe.accumulate
        return outputs, total, parts

    outputs, total, parts = forward()
    if recipe.consistency and "intent" in outputs:
        second, other, _ = forward()
        parts["consistency"] = recipe.consistency * divergence(outputs, second)
        total = 0.5 * (total + other) + parts["consistency"] / recipe.accumulate
    accelerator.backward(total)
    if recipe.adversarial != "none":
        embeddings = network.encoder.get_input_embeddings()
        adversarial_pass(embeddings, recipe, lambda: forward()[1], accelerator.backward)
    return {name: float(part.detach()) for name, part in parts.items()}


def _orthogonality(network: UnderstandingNetwork, weight: float = 0.5) -> Tensor:
    """AdaLoRA's penalty on P and Q that are not orthogonal (Zhang et al. 2023, equation 4)."""
    penalty = torch.zeros(())
    count = 0
    for name, parameter in network.encoder.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            gram = parameter @ parameter.T if "lora_A" in name else parameter.T @ parameter
            penalty = penalty.to(gram) + (gram - torch.eye(gram.shape[0], device=gram.device)).norm()
            count += 1
    return weight * penalty / max(1, count)


def _precision(recipe: Recipe) -> str:
    if recipe.precision != "auto":
        return {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}[recipe.precision]
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "no"


def _rate(step: int, steps: int, recipe: Recipe) -> float:
    """Factor on the learning rate at a step: up in a line, then down."""
    rising = int(recipe.warm_up * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    share = (step - rising) / max(1, steps - rising)
    return 0.5 * (1.0 + math.cos(math.pi * share)) if recipe.schedule == "cosine" else 1.0 - share


def _targets(
    examples: Sequence[Example], labels: Labels, recipe: Recipe, teachers: np.ndarray | None, device: Any
) -> Targets:
    intents = Counter(e.intent for e in examples if e.intent is not None)
    emotions = Counter(name for e in examples for name in e.emotions)
    several = recipe.several_emotions
    if several is None:
        several = any(len(e.emotions) > 1 for e in examples)
    soft = None
    if teachers is not None:
        soft = functional.softmax(torch.tensor(teachers, dtype=torch.float32) / recipe.teacher_temperature, dim=-1)
    balanced = recipe.balance > 0
    return Targets(
        class_weights(intents, labels.intents, recipe.balance).to(device) if labels.intents and balanced else None,
        class_weights(emotions, labels.emotions, recipe.balance).to(device) if labels.emotions and balanced else None,
        several,
        None if soft is None else soft.to(device),
    )


def _not_a_number(
    losses: Mapping[str, float], epoch: int, number: int, rate: float, examples: Sequence[Example], batch: Batch
) -> str:
    parts = ", ".join(f"{name} {value:g}" for name, value in losses.items())
    first = examples[int(batch.rows[0])]
    where = f" (its first example: {first.origin or first.text[:60]!r})"
    return (
        f"the loss is not a number in epoch {epoch + 1}, batch {number + 1}{where}: {parts}; learning rate {rate:.2g}. "
        "Lower learning_rate or use precision: float32. The last checkpoint was kept"
    )
