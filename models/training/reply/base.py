"""The model that a reply model starts from: its kind, tokenizer and weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import ModelError, ModelMissing
from models.training.reply.chat import ChatFormat
from models.training.reply.recipe import Kind, ReplyRecipe

PLAIN = "plain"
OWN = "auto"


@dataclass(frozen=True)
class Base:
    """A model that is known but not loaded. `longest`: tokens it can read, None where nothing limits them."""

    name: str
    kind: Kind
    tokenizer: Any
    config: Any
    local_only: bool

    @property
    def longest(self) -> int | None:
        """The model's own limit of tokens."""
        if self.kind == "seq2seq" and getattr(self.config, "relative_attention_num_buckets", None):
            return None
        found = getattr(self.config, "max_position_embeddings", None)
        return int(found) if found else None

    def load(self, dtype: Any = "auto") -> Any:
        """The model with its weights, on the processor; `dtype` as torch names it, or as stored.

        Raises:
            ModelError: the weights are missing or cannot be read.
        """
        from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

        loader = AutoModelForSeq2SeqLM if self.kind == "seq2seq" else AutoModelForCausalLM
        with _explained(self.name):
            return loader.from_pretrained(self.name, dtype=dtype, local_files_only=self.local_only)


def open_base(recipe: ReplyRecipe, allow_download: bool = False) -> Base:
    """Look at the base model: nothing is computed, and without `allow_download` nothing is fetched.

    Raises:
        ModelMissing: it is not on this machine.
        ModelError: it is of another kind than the recipe says, or cannot be read.
    """
    from transformers import AutoConfig, AutoTokenizer

    with _explained(recipe.base):
        config = AutoConfig.from_pretrained(recipe.base, local_files_only=not allow_download)
        tokenizer = AutoTokenizer.from_pretrained(recipe.base, local_files_only=not allow_download)
    kind: Kind = "seq2seq" if config.is_encoder_decoder else "causal"
    if recipe.kind not in (None, kind):
        raise ModelError(f"kind is {recipe.kind}, but {recipe.base} is a {kind} model; leave --kind out")
    return Base(recipe.base, kind, tokenizer, config, not allow_download)


def chat_format(base: Base, template: str) -> ChatFormat:
    """The chat format that `ReplyRecipe.chat_template` asks for; the tokenizer keeps it, so exports have it.

    Raises:
        models.training.reply.chat.TemplateError: the template does not do.
    """
    if template == PLAIN:
        base.tokenizer.chat_template = None
    chat = ChatFormat(base.tokenizer, None if template in (OWN, PLAIN) else template, base.kind == "seq2seq")
    base.tokenizer.chat_template = chat.template
    return chat


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if isinstance(error, OSError) and not Path(name).is_dir():
            raise ModelMissing(
                f"base model {name!r} is not on this machine; name its folder, or allow the download ({reason})"
            ) from error
        raise ModelError(f"base model {name!r} cannot be read ({reason}); check that its folder is whole") from error
