"""Examples as batches of numbers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.contracts import OUT_OF_SCOPE
from models.text_net import words_of
from models.training.examples import Example
from models.training.understanding.labels import Labels
from models.training.understanding.recipe import Recipe

IGNORED = -100
"""Label of what a head is not taught; torch's cross entropy leaves it out."""

_POOL = 50
"""Batches are drawn from this many together, sorted by length: little padding, still mixed."""

_GROUP = 4
"""Examples of one intent in a batch of few-shot training, where there are as many."""

Rewrite = Callable[[Example, int], Example]
"""Gives the form of an example that is read in an epoch; the same whenever it is asked."""


@dataclass(frozen=True, slots=True)
class Batch:
    """n examples: input_ids and attention_mask int64[n, tokens], intents int64[n], slots int64[n, tokens], emotions
    float32[n, emotions] (targets) with `emotional` bool[n] where they are known, weights float32[n], and `rows`."""

    input_ids: Tensor
    attention_mask: Tensor
    intents: Tensor
    slots: Tensor
    emotions: Tensor
    emotional: Tensor
    weights: Tensor
    rows: Tensor

    def to(self, device: Any) -> Batch:
        """The same on a device."""
        return Batch(*(getattr(self, name).to(device) for name in self.__slots__))


def batches_in(examples: int, recipe: Recipe) -> int:
    """How many batches an epoch of so many examples has."""
    drawn = examples * recipe.few_shot_pairs // _GROUP if recipe.few_shot else examples
    return max(1, -(-drawn // recipe.batch_size))


class Batcher:
    """Cuts examples into batches, the same for a seed and epoch however training was interrupted."""

    def __init__(self, tokenizer: Any, labels: Labels, recipe: Recipe) -> None:
        self._tokenizer = tokenizer
        self._labels = labels
        self._recipe = recipe
        self._intents = {name: n for n, name in enumerate(labels.intents)}
        self._bio = {name: n for n, name in enumerate(labels.bio)}
        self._emotions = {name: n for n, name in enumerate(labels.emotions)}

    def epoch(
        self,
        examples: Sequence[Example],
        epoch: int,
        rewrite: Rewrite | None = None,
        process: int = 0,
        processes: int = 1,
    ) -> Iterator[Batch]:
        """Batches of all examples in random order; with several processes, every one gets as many as the others."""
        rng = random.Random(f"{self._recipe.seed}/{epoch}")
        if rewrite is not None:
            examples = [rewrite(example, epoch) for example in examples]
        size = self._recipe.batch_size
        cut: list[list[int]] = []
        if self._recipe.few_shot:
            cut = self._grouped(examples, rng)
        order = [] if cut else list(range(len(examples)))
        rng.shuffle(order)
        for start in range(0, len(order), size * _POOL):
            pool = sorted(order[start : start + size * _POOL], key=lambda row: len(examples[row].text))
            cut += [pool[at : at + size] for at in range(0, len(pool), size)]
        rng.shuffle(cut)
        cut += cut[: -len(cut) % processes]
        for rows in cut[process::processes]:
            yield self.batch([examples[row] for row in rows], rows)

    def _grouped(self, examples: Sequence[Example], rng: random.Random) -> list[list[int]]:
        """Batches in which every intent drawn comes several times: what few-shot training contrasts."""
        by_intent: dict[str, list[int]] = {}
        for row, example in enumerate(examples):
            if example.intent is not None:
                by_intent.setdefault(example.intent, []).append(row)
        names = sorted(by_intent)
        if not names:
            return []
        cut = []
        for _ in range(batches_in(len(examples), self._recipe)):
            rows: list[int] = []
            for name in rng.sample(names, min(len(names), self._recipe.batch_size // _GROUP)):
                rows += rng.sample(by_intent[name], min(_GROUP, len(by_intent[name])))
            cut.append(rows)
        return cut

    def ordered(self, examples: Sequence[Example], size: int = 128) -> Iterator[Batch]:
        """Batches by length, for measuring; `rows` says where each example stood."""
        order = sorted(range(len(examples)), key=lambda row: len(examples[row].text))
        for at in range(0, len(order), size):
            rows = order[at : at + size]
            yield self.batch([examples[row] for row in rows], rows)

    def batch(self, examples: Sequence[Example], rows: Sequence[int]) -> Batch:
        """One batch of `examples`, which stand at `rows` of their list."""
        encoded = self._tokenizer(
            [example.text for example in examples],
            truncation=True,
            max_length=self._recipe.max_tokens,
            padding=True,
            return_tensors="pt",
        )
        intents = [IGNORED if e.intent is None else self._intents.get(e.intent, IGNORED) for e in examples]
        slots = torch.full_like(encoded["input_ids"], IGNORED)
        emotions = torch.zeros(len(examples), len(self._emotions))
        for n, example in enumerate(examples):
            if self._bio and example.spans is not None:
                for token, label in self._slot_labels(encoded.encodings[n], example):
                    slots[n, token] = label
            known = [self._emotions[name] for name in example.emotions if name in self._emotions]
            for emotion in known:
                emotions[n, emotion] = 1.0
        weights = [e.weight * (self._recipe.outside_weight if e.intent == OUT_OF_SCOPE else 1.0) for e in examples]
        return Batch(
            encoded["input_ids"],
            encoded["attention_mask"],
            torch.tensor(intents),
            slots,
            emotions,
            emotions.sum(1) > 0 if len(self._emotions) else torch.zeros(len(examples), dtype=torch.bool),
            torch.tensor(weights),
            torch.tensor(rows),
        )

    def _slot_labels(self, encoding: Any, example: Example) -> Iterator[tuple[int, int]]:
        """(token, BIO label) of the first token of each word; a word is in a span if they share a character."""
        words = words_of(encoding)
        before = None
        for (start, end), token in zip(words.spans, words.tokens, strict=True):
            span = next((s for s in example.spans or () if s.start < end and start < s.end), None)
            if span is None or f"B-{span.name}" not in self._bio:
                before = None
                yield token, 0
                continue
            yield token, self._bio[f"{'I' if span == before else 'B'}-{span.name}"]
            before = span


def class_weights(counts: Counter[str], labels: Sequence[str], balance: float) -> Tensor:
    """Weight of each label, (mean count / its count) ** balance, on average 1 for an example."""
    have = torch.tensor([float(max(1, counts[label])) for label in labels])
    weights = (have.mean() / have) ** balance
    return weights / ((weights * have).sum() / have.sum())
