"""How an understanding model is trained: every setting with its default and the reason for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.training.examples import DataError

Method = Literal["full", "lora", "adalora", "prefix", "head"]

METHODS: tuple[Method, ...] = ("full", "lora", "adalora", "prefix", "head")

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(ge=1)]


class Recipe(BaseModel):
    """All settings of `agent train understanding`; a YAML file with any of them is given by `--recipe`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str = "all-MiniLM-L6-v2"
    """Encoder: that of the package, a folder, or any transformers encoder by hub name. 22 M parameters, pretrained on a
    billion sentence pairs: the best of its size, and 23 MB in int8."""
    method: Method = "full"
    """full beats adapters wherever there are more than a few hundred examples; head needs no torch."""
    epochs: Count = 10
    """Small sets are still improving after 5; early stopping ends it sooner where nothing is gained."""
    batch_size: Count = 64
    """64 short texts keep one CPU core busy; smaller ones are slower without being better."""
    accumulate: Count = 1
    """Batches to a step: raise it where `batch_size` does not fit into memory."""
    learning_rate: Positive = 2e-4
    """For the encoder. High for BERT, right for this small one: 2e-5 is still underfitted after ten epochs."""
    head_learning_rate: Positive = 2e-3
    """The heads begin at chance, so they move ten times faster."""
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Factor on the learning rate from each layer to the one below; under 1 keeps low layers near pretraining."""
    warm_up: Share = 0.1
    """Share of the steps in which the rate rises from 0: AdamW's moments are noise at first."""
    schedule: Literal["cosine", "linear"] = "cosine"
    """How the rate falls afterwards."""
    weight_decay: NotNegative = 0.05
    """AdamW's, on matrices only; biases and norms are left alone."""
    dropout: Share = 0.1
    """On the vector and the word states that heads read."""
    label_smoothing: Share = 0.1
    """Published intents are mislabelled in a few percent of the cases; also calibrates."""
    clip: Positive = 1.0
    """Largest norm of the gradient."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """auto: bfloat16 where the processor or GPU has it (1.7 times faster here at equal accuracy), else float32."""
    freeze_embeddings: bool = True
    """Word embeddings are half of the parameters; freezing them keeps words that training has not seen in place."""
    validation_share: Annotated[float, Field(ge=0.0, le=0.5)] = 0.1
    """Share of the training data held out, by intent, where the data has no validation split."""
    patience: Annotated[int, Field(ge=0)] = 3
    """Epochs without a better validation score before training stops and the best one is kept; 0 never stops."""
    balance: Share = 0.3
    """Exponent on how much rare classes are weighted up: 0 leaves them, 1 makes all equal."""
    intent_weight: NotNegative = 1.0
    slot_weight: NotNegative = 1.0
    emotion_weight: NotNegative = 0.5
    """Weights of the losses. Emotion has the most examples and the noisiest labels."""
    several_emotions: bool | None = None
    """Whether a text may have several emotions (sigmoids); None: if any example has."""
    outside_weight: NotNegative = 1.0
    """Weight of an out-of-scope example beside others."""
    average: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Decay of a running mean of the weights, which is what is kept; 0.995 smooths long runs, 0 is off."""
    networks: Count = 1
    """Networks trained from different seeds (seed, seed + 1, ...) and combined; each costs a whole training."""
    combine: Literal["logits", "weights", "distil"] = "logits"
    """logits: all are members of the version, averaged (as many passes a text). weights: one network with the mean of
    their weights, from equal first heads (model soup, Wortsman et al. 2022), or the best of them where the mean is
    worse on validation data. distil: the others teach the first."""
    adversarial: Literal["none", "fgm", "pgd"] = "none"
    """A second pass on word embeddings moved against the loss (Miyato et al. 2017; Madry et al. 2018); doubles time.
    Embeddings that `freeze_embeddings` holds are moved for that pass only."""
    adversarial_size: Positive = 0.3
    """Norm of that move."""
    pgd_steps: Count = 3
    """Moves of `pgd`, each a third of the whole."""
    contrastive: NotNegative = 0.3
    """Weight of a supervised contrastive loss on vectors (Khosla et al. 2020); parts close intents: CLINC150's
    validation 96.5 -> 97.5 %, Banking77's held-out training data 93.1 -> 93.5 %."""
    contrastive_temperature: Positive = 0.1
    consistency: NotNegative = 0.0
    """Weight of the divergence between two passes with different dropout (R-Drop, Liang et al. 2021); doubles time."""
    noise: Share = 0.1
    """Share of training texts that are read, in each epoch, as a recognizer might have written them."""
    paraphrase: Share = 0.0
    """Share that is reworded by synonyms and request patterns."""
    few_shot: bool | None = None
    """Contrastive pairs first, heads after (SetFit, Tunstall et al. 2022). None: where intents have at most 20 examples
    in the middle."""
    few_shot_pairs: Count = 20
    """How often an epoch compares each example; batches hold four of an intent, so 20 draws each example five times."""
    teachers: tuple[Path, ...] = ()
    """Folders of trained versions with the same intents, whose averaged probabilities are learnt too (Hinton 2015)."""
    teacher_weight: Share = 0.7
    teacher_temperature: Positive = 2.0
    lora_rank: Count = 16
    lora_alpha: Count = 32
    prefix_tokens: Count = 16
    """Virtual tokens before every text."""
    max_tokens: Annotated[int, Field(ge=8, le=512)] = 96
    """Longer texts are cut at their end; the longest caller turns have about 80."""
    head_member: Share = 0.5
    """Weight of a frozen-encoder head averaged into the result. It errs elsewhere than the network: together 94.3 % on
    Banking77's held-out training data, where the network has 93.5 % and the head 92.4 %."""
    seed: int = 0
    workers: Annotated[int, Field(ge=0)] = 0
    """Threads of torch; 0 leaves it to torch."""

    @model_validator(mode="after")
    def _goes_together(self) -> Recipe:
        if self.method == "head" and self.networks > 1:
            raise ValueError(f"networks = {self.networks} needs a network, method is head; choose full or networks: 1")
        return self


def recipe_from(values: dict[str, object], origin: str) -> Recipe:
    """A recipe of `values`, the rest by default.

    Raises:
        DataError: a key is unknown or a value not allowed; names each, with `origin`.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise DataError(
            [
                f"{origin}: {'.'.join(map(str, e['loc']))} = {e['input']!r}: {e['msg']}"
                if e["loc"]
                else f"{origin}: {e['msg'].removeprefix('Value error, ')}"
                for e in error.errors()
            ]
        ) from error
