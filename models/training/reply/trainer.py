"""Fine-tuning by low-rank adapters: the loop, on as many devices as `accelerate launch` or `torchrun` start.

The loss is the mean over all learnt tokens of a step, whatever batches and devices they are spread over.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import DeviceUnavailable, ModelError
from models.training.examples import DataError
from models.training.reply.base import Base, chat_format
from models.training.reply.chat import IGNORED, Cut, Encoded, encode_all
from models.training.reply.checkpoints import Checkpoints, Progress
from models.training.reply.dialogues import Dialogue, digest_of
from models.training.reply.recipe import ReplyRecipe

ADAPTER = "adapter"
CHECKPOINTS = "checkpoints"
LOGS = "logs"
MOST_SKIPPED = 25
"""Steps in a row that float16 may skip while its scale is found; more means that the loss has blown up."""

_STATE = "state.pt"
_PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


class TrainingStopped(ModelError):
    """Training cannot go on; the message says why, and which checkpoint is kept."""


class Watch:
    """Hears how a run goes; does nothing by itself. Called on the main process only."""

    def began(self, step: int, steps: int) -> None:
        """Training begins, or goes on, at `step` of `steps`."""

    def stepped(self, step: int, figures: Mapping[str, float]) -> None:
        """A step is done: loss, learning_rate, gradient (norm), epoch."""

    def validated(self, step: int, loss: float) -> None:
        """The loss on held-out dialogues, per token, in nats."""


@dataclass(frozen=True)
class Run:
    """What is trained on: examples of both splits, and what was cut from them."""

    train: Sequence[Encoded]
    validation: Sequence[Encoded]
    cut: Cut
    adapted: Sequence[str] = ()


@dataclass(frozen=True)
class Trained:
    """What came of a run. adapter: the best adapter's folder. main: whether this process is the one that writes."""

    progress: Progress
    steps: int
    adapter: Path
    run: Run
    device: str
    precision: str
    processes: int
    trainable: int
    main: bool


def train(
    recipe: ReplyRecipe,
    base: Base,
    train_on: Sequence[Dialogue],
    validate_on: Sequence[Dialogue],
    out: Path,
    watch: Watch | None = None,
    restart: bool = False,
) -> Trained:
    """Fine-tune `base` into `out`/checkpoints, going on where an earlier run of the same data and settings ended.

    Deterministic for a seed on one kind of device; a run that was killed ends with the weights it would have had.

    Raises:
        DataError: nothing to learn is left within `max_tokens`.
        TrainingStopped: the loss is no number any more.
        models.training.reply.checkpoints.OtherRun, SaveFailed: see there.
        DeviceUnavailable: float16 was asked for without a GPU.
        ModelError: the base model cannot be read, or the adapter does not fit it.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.utils import set_seed

    precision = _precision(recipe)
    logs = "tensorboard" if _has_tensorboard() else None
    accelerator = Accelerator(
        mixed_precision=_PRECISIONS[precision],
        cpu=not torch.accelerator.is_available(),  # else processes on processors do not find each other
        log_with=logs,
        project_dir=str(out / LOGS),
    )
    set_seed(recipe.seed)
    run = encode_run(recipe, base, train_on, validate_on)
    key = run_key(recipe, train_on, validate_on, accelerator.num_processes)
    store = Checkpoints(out / CHECKPOINTS, key, recipe.keep_checkpoints)
    if restart and accelerator.is_main_process:
        store.clear()
    accelerator.wait_for_everyone()
    progress = store.latest() or Progress()
    model = _adapted(base, recipe, precision)
    loop = _Loop(recipe, run, accelerator, model, store, watch or Watch(), _padding(base))
    loop.go(progress)
    assert progress.best_step is not None
    trainable, steps = sum(parameter.numel() for parameter in loop.parameters), loop.steps
    # The wrapped model must not outlive the process group: as its last owner it would end that group's threads while it
    # holds the interpreter, and they may be waiting for the interpreter.
    del loop
    accelerator.free_memory()
    accelerator.end_training()
    return Trained(
        progress,
        steps,
        store.path(progress.best_step) / ADAPTER,
        run,
        str(accelerator.device),
        precision,
        accelerator.num_processes,
        trainable,
        accelerator.is_main_process,
    )


def encode_run(recipe: ReplyRecipe, base: Base, train_on: Sequence[Dialogue], validate_on: Sequence[Dialogue]) -> Run:
    """Both splits as tokens.

    Raises:
        DataError: a split has nothing left within `max_tokens`, or holds control tokens.
    """
    chat = chat_format(base, recipe.chat_template)
    longest = min(recipe.max_tokens, base.longest or recipe.max_tokens)
    train_examples, cut = encode_all(chat, train_on, longest)
    validation_examples, lost = encode_all(chat, validate_on, longest)
    for name, examples in (("training", train_examples), ("validation", validation_examples)):
        if not examples:
            raise DataError([f"no {name} dialogue fits into {longest} tokens; raise --max-tokens, or shorten them"])
    return Run(train_examples, validation_examples, cut + lost, chat.adapted)


def run_key(recipe: ReplyRecipe, train_on: Sequence[Dialogue], validate_on: Sequence[Dialogue], processes: int) -> str:
    """Names a run: the same settings, dialogues and number of processes give the same steps."""
    parts = (recipe.model_dump_json(), digest_of(train_on), digest_of(validate_on), str(processes))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def rate_at(step: int, steps: int, warm_up: float) -> float:
    """The share of the learning rate at `step` (from 0): a rise over `warm_up` of all steps, then half a cosine."""
    rise = round(warm_up * steps)
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1.0 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def plan(count: int, size: int, epoch: int, seed: int) -> list[list[int]]:
    """The examples of each step of an epoch: all of `count` once, in an order drawn by seed and epoch."""
    order = list(range(count))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return [order[at : at + size] for at in range(0, count, size)]


class _Loop:
    def __init__(
        self, recipe: ReplyRecipe, run: Run, accelerator: Any, model: Any, store: Checkpoints, watch: Watch, pad: int
    ) -> None:
        import torch

        self._recipe, self._run, self._accelerator, self._store, self._pad = recipe, run, accelerator, store, pad
        self._watch = watch if accelerator.is_main_process else Watch()
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(self.parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        self._model, self._optimizer = accelerator.prepare(model, optimizer)
        self._size = recipe.batch_size * recipe.accumulate * accelerator.num_processes
        self._each = math.ceil(len(run.train) / self._size)
        self.steps = self._each * recipe.epochs
        self._evaluate_every = recipe.evaluate_every or self._each
        self._skipped = 0

    def go(self, progress: Progress) -> None:
        """Train to the end, changing `progress`."""
        from accelerate.utils import set_seed

        set_seed(self._recipe.seed, device_specific=True)
        if progress.step:
            self._load(progress.step)
        tracked = {name: str(value) for name, value in self._recipe.model_dump().items()}
        begin = {"tensorboard": {"purge_step": progress.step + 1}} if progress.step else {}
        self._accelerator.init_trackers("reply", tracked, init_kwargs=begin)
        self._watch.began(progress.step, self.steps)
        if progress.loss_before is None:
            progress.loss_before = self._validate(progress)
            self._save(progress)
        while progress.step < self.steps and not progress.finished:
            epoch, within = divmod(progress.step, self._each)
            self._step(plan(len(self._run.train), self._size, epoch, self._recipe.seed)[within], progress)
            progress.step += 1
            done = progress.step == self.steps
            if done or progress.step % self._evaluate_every == 0:
                self._judge(progress, self._validate(progress))
                progress.finished = done or progress.stopped_early
                self._save(progress)
            elif progress.step % self._recipe.checkpoint_every == 0:
                self._save(progress)

    def _step(self, chunk: Sequence[int], progress: Progress) -> None:
        import torch

        recipe, accelerator = self._recipe, self._accelerator
        rate = recipe.learning_rate * rate_at(progress.step, self.steps, recipe.warm_up)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._model.train()
        learnt = sum(self._run.train[n].learnt for n in chunk)
        summed = torch.zeros((), device=accelerator.device)
        batches = list(self._shares(chunk))
        for n, batch in enumerate(batches):
            last = n == len(batches) - 1
            with contextlib.nullcontext() if last else accelerator.no_sync(self._model):
                loss = self._loss(batch)
                # Devices average their gradients; the loss is a mean over the tokens of all.
                accelerator.backward(loss * accelerator.num_processes / learnt)
            summed += loss.detach()
        mean = float(accelerator.reduce(summed, "sum")) / learnt
        if not math.isfinite(mean):
            raise self._stopped(f"the loss became {mean}", progress)
        norm = float(accelerator.clip_grad_norm_(self.parameters, recipe.clip))
        self._optimizer.step()
        self._skipped = self._skipped + 1 if accelerator.optimizer_step_was_skipped else 0
        if (not math.isfinite(norm) and not self._skipped) or self._skipped > MOST_SKIPPED:
            raise self._stopped(f"the gradient became {norm}", progress)
        self._optimizer.zero_grad(set_to_none=True)
        figures = {"loss": mean, "learning_rate": rate, "gradient": norm, "epoch": (progress.step + 1) / self._each}
        accelerator.log({f"train/{name}": value for name, value in figures.items()}, step=progress.step + 1)
        self._watch.stepped(progress.step + 1, figures)

    def _shares(self, chunk: Sequence[int]) -> Iterator[Mapping[str, Any]]:
        """This process's batches of a step; where it has none left, one of which nothing is learnt, to keep in step."""
        size, processes, own = self._recipe.batch_size, self._accelerator.num_processes, self._accelerator.process_index
        for at in range(0, len(chunk), size * processes):
            rows = chunk[at + own * size : at + (own + 1) * size]
            yield self._batch([self._run.train[n] for n in rows or chunk[:1]], blank=not rows)

    def _batch(self, examples: Sequence[Encoded], blank: bool = False) -> Mapping[str, Any]:
        import torch

        device = self._accelerator.device

        def padded(rows: Sequence[Sequence[int]], value: int) -> Any:
            longest = max(map(len, rows))
            return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows], device=device)

        labels = padded([example.labels for example in examples], IGNORED)
        return {
            "input_ids": padded([example.tokens for example in examples], self._pad),
            "attention_mask": padded([[1] * len(example.tokens) for example in examples], 0),
            "labels": torch.full_like(labels, IGNORED) if blank else labels,
        }

    def _loss(self, batch: Mapping[str, Any]) -> Any:
        """Cross entropy summed over the learnt tokens, in nats."""
        import torch

        labels = batch["labels"]
        if self._accelerator.unwrap_model(self._model).config.is_encoder_decoder:
            logits = self._model(**batch, use_cache=False).logits
        else:
            inputs = {name: value for name, value in batch.items() if name != "labels"}
            logits, labels = self._model(**inputs, use_cache=False).logits[:, :-1], labels[:, 1:]
        learnt = labels != IGNORED
        return torch.nn.functional.cross_entropy(logits[learnt].float(), labels[learnt], reduction="sum")

    def _validate(self, progress: Progress) -> float:
        import torch

        accelerator, size = self._accelerator, self._recipe.batch_size
        self._model.eval()
        examples = self._run.validation
        summed = torch.zeros((), device=accelerator.device)
        with torch.no_grad():
            own = range(accelerator.process_index * size, len(examples), size * accelerator.num_processes)
            for at in own:
                summed += self._loss(self._batch(examples[at : at + size]))
        loss = float(accelerator.reduce(summed, "sum")) / sum(example.learnt for example in examples)
        if not math.isfinite(loss):
            raise self._stopped(f"the validation loss became {loss}", progress)
        accelerator.log({"validation/loss": loss, "validation/perplexity": math.exp(min(loss, 50))}, step=progress.step)
        self._watch.validated(progress.step, loss)
        return loss

    def _judge(self, progress: Progress, loss: float) -> None:
        if progress.best_loss is None or loss < progress.best_loss:
            progress.best_step, progress.best_loss, progress.bad = progress.step, loss, 0
            return
        progress.bad += 1
        progress.stopped_early = 0 < self._recipe.patience <= progress.bad and progress.step < self.steps

    def _save(self, progress: Progress) -> None:
        import torch
        from accelerate.utils import gather_object

        random_states = gather_object([_random_state()])
        if self._accelerator.is_main_process:
            scaler = self._accelerator.scaler
            state = {
                "optimizer": self._optimizer.state_dict(),
                "scaler": None if scaler is None else scaler.state_dict(),
                "random": random_states,
            }

            def write(folder: Path) -> None:
                self._accelerator.unwrap_model(self._model).save_pretrained(folder / ADAPTER)
                torch.save(state, folder / _STATE)

            self._store.save(progress, write)
        self._accelerator.wait_for_everyone()

    def _load(self, step: int) -> None:
        import torch
        from peft import set_peft_model_state_dict
        from safetensors.torch import load_file

        folder = self._store.path(step)
        try:
            weights = load_file(folder / ADAPTER / "adapter_model.safetensors")
            set_peft_model_state_dict(self._accelerator.unwrap_model(self._model), weights)
            state = torch.load(folder / _STATE, map_location="cpu", weights_only=True)
            self._optimizer.load_state_dict(state["optimizer"])
            if self._accelerator.scaler is not None and state["scaler"]:
                self._accelerator.scaler.load_state_dict(state["scaler"])
            _set_random_state(state["random"][self._accelerator.process_index])
        except Exception as error:  # safetensors, pickle and torch each raise their own
            why = type(error).__name__
            raise ModelError(f"checkpoint {folder} cannot be read ({why}); delete it, or give --restart") from error

    def _stopped(self, what: str, progress: Progress) -> TrainingStopped:
        kept = self._store.steps()
        rest = f"the checkpoint of step {kept[-1]} is kept" if kept else "there is no checkpoint yet"
        return TrainingStopped(
            f"{what} at step {progress.step + 1} of {self.steps}; {rest}. "
            "Try a lower --learning-rate, or --precision float32, and look for broken dialogues"
        )


def _precision(recipe: ReplyRecipe) -> str:
    import torch

    cuda = torch.cuda.is_available()
    if recipe.precision == "auto":
        return "float32" if not cuda else "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    if recipe.precision == "float16" and not cuda:
        raise DeviceUnavailable("precision is float16, which needs a GPU; use float32 or bfloat16 on processors")
    return recipe.precision


def _adapted(base: Base, recipe: ReplyRecipe, precision: str) -> Any:
    """The base model with fresh adapters, which alone are trained, in float32; the first step leaves it as it was."""
    import torch
    from peft import LoraConfig, TaskType, get_peft_model

    model = base.load(getattr(torch, precision))
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=list(recipe.lora_targets) or "all-linear",
        fan_in_fan_out=any(type(module).__name__ == "Conv1D" for module in model.modules()),  # GPT-2's transposed
        task_type=TaskType.SEQ_2_SEQ_LM if base.kind == "seq2seq" else TaskType.CAUSAL_LM,
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        named = ", ".join(recipe.lora_targets) or "every linear layer"
        raise ModelError(f"--lora-target {named} does not fit {base.name}: {str(error).splitlines()[0]}") from error


def _padding(base: Base) -> int:
    tokenizer = base.tokenizer
    return int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)


def _random_state() -> dict[str, Any]:
    import torch

    cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _set_random_state(state: Mapping[str, Any]) -> None:
    import torch

    torch.set_rng_state(state["cpu"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _has_tensorboard() -> bool:
    import importlib.util

    return importlib.util.find_spec("tensorboard") is not None
