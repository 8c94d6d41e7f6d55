"""A trained reply model as folders that others load: the adapter, the merged model, a card and a note on serving."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from models.errors import ModelError
from models.training.reply.base import OWN, Base, chat_format
from models.training.reply.card import CARD_FILE, MERGED, RUN_FILE, card, serving
from models.training.reply.chat import IGNORED, Encoded
from models.training.reply.checkpoints import SaveFailed, sync
from models.training.reply.recipe import ReplyRecipe
from models.training.reply.trainer import ADAPTER, Trained

README_FILE = "README.md"
MOST_REPLY_TOKENS = 160
"""A spoken reply has two or three sentences, about 60 tokens; a model that does not stop is stopped here."""
PARITY_EXAMPLES = 8
TOLERANCE = {"float32": 0.01, "float64": 0.01}
HALF_TOLERANCE = 0.5
"""Largest difference of log-probabilities between base + adapter and the merged model, by precision: rounding leaves
1e-5 to 1e-3 in float32, and about 0.1 in half precision, whose products have 8 to 11 bits."""


@dataclass(frozen=True)
class Parity:
    """How far the merged model, read back, is from base + adapter on `tokens` learnt tokens of held-out dialogues.

    difference: largest of log-probabilities (nats). agreement: share of the tokens whose likeliest token is the same.
    """

    tokens: int
    difference: float
    agreement: float
    dtype: str


@dataclass(frozen=True)
class Source:
    """Where dialogues came from: a name without folders, how many dialogues and agent turns to learn, SHA-256."""

    name: str
    dialogues: int
    turns: int
    sha256: str


def export(
    recipe: ReplyRecipe, base: Base, trained: Trained, sources: Sequence[Source], out: Path, created: datetime
) -> Parity:
    """Write `out`/adapter, `out`/merged, card.md, README.md and run.json; each folder whole or not at all.

    Raises:
        SaveFailed: the disk is full or gone; checkpoints and earlier exports are kept.
        ModelError: the merged model does not say what base and adapter say.
    """
    examples = trained.run.validation[:PARITY_EXAMPLES]
    try:
        _replace(out / ADAPTER, lambda folder: _write_adapter(base, trained.adapter, folder))
        parity = _export_merged(base, out, examples)
        document = _document(recipe, base, trained, sources, parity, created)
        for name, text in (
            (CARD_FILE, card(document)),
            (README_FILE, serving(base.kind, recipe.lora_rank)),
            (RUN_FILE, json.dumps(document, indent=2, ensure_ascii=False) + "\n"),
        ):
            part = out / f"{name}.part"
            part.write_text(text, encoding="utf-8")
            part.replace(out / name)
    except ModelError:
        raise
    except Exception as error:  # torch and safetensors raise errors of their own where a disk is full
        raise SaveFailed(
            f"the model could not be written below {out} ({error}); checkpoints are kept. "
            "Free space and run the same command again"
        ) from error
    return parity


def merge(base: Base, adapter: Path, folder: Path) -> None:
    """Write base + adapter as one model to `folder`, in the precision the base is stored in."""
    from peft import PeftModel

    merged = PeftModel.from_pretrained(base.load(), str(adapter)).merge_and_unload()
    _set_generation(merged, base)
    merged.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)


def log_probabilities(model: Any, examples: Sequence[Encoded], seq2seq: bool) -> Any:
    """Log-probabilities of every token at each learnt place, float32[places, vocabulary], one example at a time."""
    import torch

    rows = []
    model.eval()
    with torch.no_grad():
        for example in examples:
            tokens, labels = torch.tensor([example.tokens]), torch.tensor([example.labels])
            if seq2seq:
                logits = model(input_ids=tokens, labels=labels).logits
            else:
                logits, labels = model(input_ids=tokens).logits[:, :-1], labels[:, 1:]
            rows.append(torch.log_softmax(logits[labels != IGNORED].float(), dim=-1))
    return torch.cat(rows)


def _export_merged(base: Base, out: Path, examples: Sequence[Encoded]) -> Parity:
    from peft import PeftModel

    seq2seq = base.kind == "seq2seq"
    model = PeftModel.from_pretrained(base.load(), str(out / ADAPTER))
    dtype = str(next(model.get_base_model().parameters()).dtype).removeprefix("torch.")
    before = log_probabilities(model, examples, seq2seq)
    del model
    found: list[Parity] = []

    def write(folder: Path) -> None:
        merge(base, out / ADAPTER, folder)
        after = log_probabilities(_read_back(folder, seq2seq), examples, seq2seq)
        # Differences of what is all but impossible say nothing: tokens under a hundred-thousandth are left out.
        likely = (before > math.log(1e-5)) | (after > math.log(1e-5))
        difference = float((before - after).abs()[likely].max())
        agreement = float((before.argmax(-1) == after.argmax(-1)).float().mean())
        if not difference <= TOLERANCE.get(dtype, HALF_TOLERANCE):
            raise ModelError(
                f"the merged model differs from base and adapter by {difference:.3g} nats; it is not written. "
                f"The adapter in {out / ADAPTER} is whole: serve that"
            )
        found.append(Parity(len(before), difference, agreement, dtype))

    _replace(out / MERGED, write)
    return found[0]


def _read_back(folder: Path, seq2seq: bool) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    loader = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    return loader.from_pretrained(folder, dtype="auto", local_files_only=True)


def _write_adapter(base: Base, adapter: Path, folder: Path) -> None:
    shutil.copytree(adapter, folder, dirs_exist_ok=True)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty form; the card says it
    base.tokenizer.save_pretrained(folder)


def _replace(folder: Path, write: Any) -> None:
    """Let `write` fill a folder, then put it where `folder` is; an earlier one goes only then."""
    part, old = folder.with_name(folder.name + ".part"), folder.with_name(folder.name + ".old")
    for stale in (part, old):
        shutil.rmtree(stale, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        write(part)
        sync(part)
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _set_generation(model: Any, base: Base) -> None:
    """Stop where the chat template ends the agent's turn, and in any case after `MOST_REPLY_TOKENS`."""
    config, tokenizer = model.generation_config, base.tokenizer
    known = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    ends = [tokenizer.eos_token_id, *known]
    if base.kind == "causal":
        ends += tokenizer(chat_format(base, OWN).end, add_special_tokens=False)["input_ids"][-1:]
    config.eos_token_id = sorted({int(token) for token in ends if token is not None})
    config.pad_token_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    config.max_length = None
    config.max_new_tokens = MOST_REPLY_TOKENS


def _document(
    recipe: ReplyRecipe, base: Base, trained: Trained, sources: Sequence[Source], parity: Parity, created: datetime
) -> dict[str, Any]:
    progress, run = trained.progress, trained.run
    assert progress.loss_before is not None
    assert progress.best_loss is not None
    return {
        "base": Path(base.name).name if Path(base.name).is_dir() else base.name,
        "kind": base.kind,
        "created": created.isoformat(timespec="seconds"),
        "data": [
            {"name": s.name, "dialogues": s.dialogues, "agent_turns": s.turns, "sha256": s.sha256} for s in sources
        ],
        "examples": {"train": len(run.train), "validation": len(run.validation)},
        "learnt_tokens": sum(example.learnt for example in run.train),
        "cut": {"turns": run.cut.turns, "agent_turns": run.cut.agent_turns, "examples": run.cut.examples},
        "adapted": list(run.adapted),
        "steps": {"done": progress.step, "planned": trained.steps, "best": progress.best_step},
        "stopped_early": progress.stopped_early,
        "trainable_parameters": trained.trainable,
        "validation_loss": {"before": progress.loss_before, "after": progress.best_loss},
        "perplexity": {"before": _perplexity(progress.loss_before), "after": _perplexity(progress.best_loss)},
        "merged": {
            "dtype": parity.dtype,
            "tokens": parity.tokens,
            "largest_difference": parity.difference,
            "same_first_choice": parity.agreement,
        },
        "device": trained.device,
        "precision": trained.precision,
        "processes": trained.processes,
        "recipe": recipe.model_dump(mode="json") | {"base": Path(recipe.base).name},
    }


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 50.0))
