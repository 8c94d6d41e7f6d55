"""The training loop: encoder and heads together, with checkpoints, on whatever `accelerate` finds."""

from __future__ import annotations

import json
import logging
import math
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor

from models.contracts import OUT_OF_SCOPE
from models.errors import ModelError
from models.training.examples import DataError, Example
from models.training.understanding.batches import Batch, Batcher, Rewrite, batches_in, class_weights
from models.training.understanding.losses import Targets, adversarial_pass, divergence, loss
from models.training.understanding.measuring import Figures, Outcome, figures
from models.training.understanding.network import Labels, UnderstandingNetwork, build, groups
from models.training.understanding.recipe import Recipe

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
CHECKPOINT_STEPS = 200
"""Steps between two checkpoints: what a kill can cost, half a minute to two minutes on a CPU core."""

Watch = Callable[["Step"], None]


class TrainingFailed(ModelError):
    """Training cannot go on; the message says why and what to change."""


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


def labels_of(examples: Sequence[Example]) -> Labels:
    """The labels that occur in the examples; `OUT_OF_SCOPE` stands last among the intents."""
    intents = sorted({e.intent for e in examples if e.intent is not None} - {OUT_OF_SCOPE})
    if intents and any(e.intent == OUT_OF_SCOPE for e in examples):
        intents.append(OUT_OF_SCOPE)
    slots = sorted({span.name for e in examples for span in e.spans or ()})
    emotions = sorted({name for e in examples for name in e.emotions})
    for name, found in (("intent", intents), ("emotion", emotions)):
        if len(found) == 1:
            raise DataError([f"every example has the {name} {found[0]!r}; a model needs at least two to tell apart"])
    if not (intents or slots or emotions):
        raise DataError(["no example has a label; give intent, slots or emotion"])
    return Labels(tuple(intents), tuple(slots), tuple(emotions))


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
) -> Trained:
    """Fine-tune; goes on from the checkpoint in `work` where there is one of the same recipe and data.

    Args:
        work: folder of checkpoints and TensorBoard logs.
        rewrite: gives a noisy or reworded form of an example, drawn anew in each epoch.
        teachers: float[len(train_examples), intents], log-probabilities to learn besides the labels.
        watch: told of every step and epoch.
        wandb: log to Weights & Biases as well.

    Raises:
        DataError: the examples cannot be learnt.
        TrainingFailed: the loss is not a number, or a checkpoint cannot be written.
        ModelMissing: there is no such base encoder.
    """
    labels = labels_of(train_examples)
    if recipe.workers:
        torch.set_num_threads(recipe.workers)
    set_seed(recipe.seed)
    # Without cpu=True, processes that torchrun starts on a machine without a GPU would each train alone.
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(), mixed_precision=_precision(recipe), step_scheduler_with_optimizer=False
    )
    processes = accelerator.num_processes
    per_epoch = math.ceil(batches_in(len(train_examples), recipe) / accelerator.num_processes)
    steps = max(1, recipe.epochs * math.ceil(per_epoch / recipe.accumulate))
    network, tokenizer = build(recipe, labels, steps)
    batcher = Batcher(tokenizer, labels, recipe)
    optimizer = torch.optim.AdamW(groups(network, recipe))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps, recipe))
    model, optimizer = accelerator.prepare(network, optimizer)
    state = _State(recipe, work, network, optimizer, schedule, train_examples)
    state.resume()
    targets = _targets(train_examples, labels, recipe, teachers).to(accelerator.device)
    logs = _Logs(work, recipe if wandb else None) if accelerator.is_main_process else None
    average = _Average(network, recipe.average) if recipe.average else None
    try:
        for epoch in range(state.epoch, recipe.epochs):
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
                accelerator.clip_grad_norm_(network.parameters(), recipe.clip)
                optimizer.step()
                schedule.step()
                if recipe.method == "adalora":
                    network.encoder.base_model.update_and_allocate(state.step)  # type: ignore[operator,union-attr]
                optimizer.zero_grad(set_to_none=True)
                state.step += 1
                if average is not None:
                    average.update(state.step)
                report = Step(state.step, steps, epoch, losses, schedule.get_last_lr()[0])
                if logs is not None:
                    logs.step(report)
                if watch is not None and accelerator.is_main_process:
                    watch(report)
                if state.step % CHECKPOINT_STEPS == 0 and accelerator.is_main_process:
                    state.save()
            state.batch, state.epoch = 0, epoch + 1
            with _weights_of(average, network):
                outcome = predict(network, batcher, validation, accelerator.device, recipe)
                found = figures(outcome, validation, labels)
                state.keep(found, epoch, always=not recipe.patience)
            accelerator.wait_for_everyone()
            report = Step(state.step, steps, epoch, {}, schedule.get_last_lr()[0], found)
            if logs is not None:
                logs.step(report)
            if watch is not None and accelerator.is_main_process:
                watch(report)
            if accelerator.is_main_process:
                state.save()
            if recipe.patience and epoch - state.best_epoch >= recipe.patience:
                break
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
        embeddings = network.encoder.get_input_embeddings()  # type: ignore[operator]
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


@dataclass(frozen=True, slots=True)
class _Prepared:
    targets: Targets

    def to(self, device: Any) -> Targets:
        """The targets on a device."""
        values = {
            name: value.to(device) if isinstance(value := getattr(self.targets, name), Tensor) else value
            for name in Targets.__slots__
        }
        return Targets(**values)


def _targets(examples: Sequence[Example], labels: Labels, recipe: Recipe, teachers: np.ndarray | None) -> _Prepared:
    intents = Counter(e.intent for e in examples if e.intent is not None)
    emotions = Counter(name for e in examples for name in e.emotions)
    several = recipe.several_emotions
    if several is None:
        several = any(len(e.emotions) > 1 for e in examples)
    soft = None
    if teachers is not None:
        soft = F.softmax(torch.tensor(teachers, dtype=torch.float32) / recipe.teacher_temperature, dim=-1)
    return _Prepared(
        Targets(
            class_weights(intents, labels.intents, recipe.balance) if labels.intents and recipe.balance else None,
            class_weights(emotions, labels.emotions, recipe.balance) if labels.emotions and recipe.balance else None,
            several,
            soft,
        )
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


class _Average:
    """A running mean of the weights (Polyak); it starts fast so that the first steps do not linger."""

    def __init__(self, network: UnderstandingNetwork, decay: float) -> None:
        self.decay = decay
        self.network = network
        self.mean = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def update(self, step: int) -> None:
        """Take in the weights after a step."""
        share = 1.0 - min(self.decay, (1 + step) / (10 + step))
        for name, value in self.network.state_dict().items():
            if value.dtype.is_floating_point:
                self.mean[name].lerp_(value.detach(), share)


class _weights_of:  # noqa: N801
    """Puts the mean weights into the network for a while."""

    def __init__(self, average: _Average | None, network: UnderstandingNetwork) -> None:
        self._average = average
        self._network = network
        self._own: dict[str, Tensor] = {}

    def __enter__(self) -> None:
        if self._average is not None:
            self._own = {name: value.detach().clone() for name, value in self._network.state_dict().items()}
            self._network.load_state_dict(self._average.mean)

    def __exit__(self, *_: object) -> None:
        if self._average is not None:
            self._network.load_state_dict(self._own)


class _Logs:
    """Scalars for TensorBoard, and for Weights & Biases where asked."""

    def __init__(self, work: Path, run: Recipe | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._run: Any = None
        if run is not None:
            import wandb

            self._run = wandb.init(project="callagent-understanding", config=run.model_dump(mode="json"), dir=str(work))

        self._writer = SummaryWriter(str(work / "logs"))  # type: ignore[no-untyped-call]

    def step(self, step: Step) -> None:
        """Write what is known of a step."""
        for name, value in step.losses.items():
            self._writer.add_scalar(f"loss/{name}", value, step.step)  # type: ignore[no-untyped-call]
        self._writer.add_scalar("learning rate", step.rate, step.step)  # type: ignore[no-untyped-call]
        for name, value in (step.figures.values if step.figures else {}).items():
            self._writer.add_scalar(f"validation/{name}", value, step.step)  # type: ignore[no-untyped-call]

        if self._run is not None:
            scalars = {f"loss/{name}": value for name, value in step.losses.items()}
            scalars |= {
                f"validation/{name}": value for name, value in (step.figures.values if step.figures else {}).items()
            }
            self._run.log(scalars, step=step.step)

    def close(self) -> None:
        """Write what is buffered."""
        if self._run is not None:
            self._run.finish()
        self._writer.close()  # type: ignore[no-untyped-call]


class _State:
    """What a checkpoint holds; written whole or not at all."""

    def __init__(
        self, recipe: Recipe, work: Path, network: Any, optimizer: Any, schedule: Any, examples: Sequence[Example]
    ) -> None:
        self.step = self.epoch = self.batch = 0
        self.best_epoch = 0
        self.best_score = -math.inf
        self.history: list[Mapping[str, float]] = []
        self.best: dict[str, Tensor] = {}
        self._parts = (network, optimizer, schedule)
        self._path = work / CHECKPOINT
        content = json.dumps([recipe.model_dump(mode="json"), [(e.text, e.intent, e.emotions) for e in examples]])
        self._key = f"{hash_of(content)}"

    def keep(self, found: Figures, epoch: int, always: bool) -> None:
        """Keep the weights of the best epoch, or `always` of the last; equal scores take the later one."""
        self.history.append(found.values)
        if always or found.score >= self.best_score or not self.best:
            self.best_score, self.best_epoch = found.score, epoch
            self.best = {name: value.detach().cpu().clone() for name, value in self._parts[0].state_dict().items()}

    def save(self) -> None:
        """Write the checkpoint; where that fails, the one before stays.

        Raises:
            TrainingFailed: the disk is full or cannot be written.
        """
        network, optimizer, schedule = self._parts
        content = {
            "key": self._key,
            "numbers": (self.step, self.epoch, self.batch, self.best_epoch, self.best_score),
            "history": [dict(values) for values in self.history],
            "best": self.best,
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "random": (torch.get_rng_state(), random.getstate()),
        }
        partial = self._path.with_suffix(".partial")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self._path)
        except (OSError, RuntimeError) as error:
            partial.unlink(missing_ok=True)
            free = shutil.disk_usage(self._path.parent).free / 1e6
            raise TrainingFailed(
                f"{self._path} cannot be written ({error}; {free:.0f} MB free); the checkpoint before it was kept: "
                "make room and run the same command again"
            ) from error

    def resume(self) -> None:
        """Go on where the checkpoint stopped, if it is of this recipe and data."""
        if not self._path.is_file():
            return
        try:
            found = torch.load(self._path, map_location="cpu", weights_only=False)
        except Exception as error:  # torch has no error class for a damaged file
            log.warning("%s cannot be read (%s): training starts anew", self._path, error)
            return
        if found["key"] != self._key:
            log.warning("%s is of another recipe or other data: training starts anew", self._path)
            return
        network, optimizer, schedule = self._parts
        network.load_state_dict(found["network"])
        optimizer.load_state_dict(found["optimizer"])
        schedule.load_state_dict(found["schedule"])
        self.step, self.epoch, self.batch, self.best_epoch, self.best_score = found["numbers"]
        self.history, self.best = list(found["history"]), found["best"]
        torch.set_rng_state(found["random"][0])
        random.setstate(found["random"][1])
        log.info("going on from step %d, epoch %d", self.step, self.epoch + 1)


def hash_of(content: str) -> str:
    """32 hex digits that stand for `content`."""
    import hashlib

    return hashlib.sha256(content.encode()).hexdigest()[:32]
