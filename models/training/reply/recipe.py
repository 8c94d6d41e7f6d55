"""How a reply model is fine-tuned: every setting with its default and the reason for it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.training.examples import DataError

Kind = Literal["causal", "seq2seq"]
Precision = Literal["auto", "float32", "bfloat16", "float16"]

Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]


class ReplyRecipe(BaseModel):
    """All settings of `agent train reply`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str
    """The model to start from: a folder, or a hub name. Its licence is the licence of what comes out."""
    kind: Kind | None = None
    """causal (Llama, Qwen, GPT-2 ...) or seq2seq (T5, BART ...); None: as the model's configuration says."""
    chat_template: str = "auto"
    """auto: the tokenizer's own, or `plain` where it has none; plain: headers of our own; else a Jinja template."""
    lora_rank: Count = 16
    """Rank of the update; more gains little on dialogues of one business (Hu et al. 2021, table 6)."""
    lora_alpha: Positive = 32.0
    """The update is scaled by alpha / rank; twice the rank is the common choice."""
    lora_dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    """On the input of the update; small sets overfit without it."""
    lora_targets: tuple[str, ...] = ()
    """Names of the layers that are adapted; none adapts every linear layer but the output (Dettmers et al. 2023)."""
    epochs: Count = 3
    """A few hundred dialogues are learnt by then; early stopping ends it sooner where nothing is gained."""
    batch_size: Count = 4
    """Dialogues computed at a time on each device; what memory allows."""
    accumulate: Count = 4
    """Batches to a step; 16 dialogues a step with the batch size above, on each device."""
    learning_rate: Positive = 2e-4
    """Adapters take ten times the rate of full fine-tuning (Hu et al. 2021)."""
    weight_decay: NotNegative = 0.0
    """AdamW's; low rank and dropout already restrain the update."""
    warm_up: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    """Share of the steps in which the rate rises from 0; it falls to 0 as a cosine afterwards."""
    clip: Positive = 1.0
    """Largest norm of the gradient."""
    max_tokens: Annotated[int, Field(ge=16)] = 1024
    """Longer dialogues lose their oldest turns, whole ones; a call of 20 turns has about 600 tokens."""
    precision: Precision = "auto"
    """auto: bfloat16 on GPUs that have it, float16 on others, float32 on processors."""
    gradient_checkpointing: bool = False
    """Compute activations twice rather than keep them: a third slower, much less memory."""
    validation_share: Annotated[float, Field(gt=0.0, le=0.5)] = 0.1
    """Share of the dialogues held out where no validation file is given."""
    evaluate_every: Annotated[int, Field(ge=0)] = 0
    """Steps between validations; 0 validates after each epoch."""
    patience: Annotated[int, Field(ge=0)] = 2
    """Validations without a lower loss before training stops; the best one is kept in any case. 0 never stops."""
    checkpoint_every: Count = 50
    """Steps between checkpoints, besides one at each validation; a killed run loses at most this."""
    keep_checkpoints: Annotated[int, Field(ge=1)] = 2
    """Checkpoints kept besides the best one."""
    seed: int = 0


def recipe_from(origin: str, **values: object) -> ReplyRecipe:
    """A recipe of `values`, the rest by default.

    Raises:
        DataError: a value is not allowed; names each, with `origin`.
    """
    try:
        return ReplyRecipe.model_validate(values)
    except ValidationError as error:
        raise DataError(
            [f"{origin}: {'.'.join(map(str, e['loc']))} is {e['input']!r}: {e['msg']}" for e in error.errors()]
        ) from error
