"""How well logits fit their labels: the figures that training watches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.contracts import OUT_OF_SCOPE
from models.text_net import best_path
from models.training.examples import Example
from models.training.understanding.labels import Labels

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outputs for n examples: vectors float32[n, width], intents and emotions logits float32[n, labels], and of each
    text the slot logits float32[words, BIO] with the labels int64[words] that were meant."""

    vectors: Floats
    intents: Floats
    emotions: Floats
    slots: tuple[Floats, ...]
    meant: tuple[Ints, ...]

    @classmethod
    def empty(cls) -> Outcome:
        """Of no examples."""
        none = np.zeros((0, 0), np.float32)
        return cls(none, none, none, (), ())

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Floats]], meant: Sequence[Ints]) -> Outcome:
        """From the outputs of each example."""
        none = np.zeros(0, np.float32)
        return cls(
            np.stack([row["vector"] for row in rows]),
            np.stack([row.get("intent", none) for row in rows]),
            np.stack([row.get("emotion", none) for row in rows]),
            tuple(row.get("slots", np.zeros((0, 0), np.float32)) for row in rows),
            tuple(meant),
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures by name, shares in [0, 1], and their mean, by which epochs are compared."""

    values: Mapping[str, float]
    score: float


def figures(outcome: Outcome, examples: Sequence[Example], labels: Labels) -> Figures:
    """In-scope accuracy and rejection of the intent head, span F1 of the slots, macro F1 of the emotions.

    Raises:
        ValueError: outcome and examples do not belong together.
    """
    if len(outcome.vectors) != len(examples):
        raise ValueError(f"{len(outcome.vectors)} outputs for {len(examples)} examples")
    values: dict[str, float] = {}
    scores: list[float] = []
    if labels.intents:
        known = [n for n, e in enumerate(examples) if e.intent in labels.intents]
        if known:
            truth = np.array([labels.intents.index(str(examples[n].intent)) for n in known], dtype=np.int64)
            values |= intent_figures(outcome.intents[known], truth, labels.intents)
        scores += [values[name] for name in ("accuracy",) if name in values]
    if labels.slots:
        taught = [n for n, e in enumerate(examples) if e.spans is not None]
        if taught:
            values["slot_f1"] = span_f1([outcome.slots[n] for n in taught], [outcome.meant[n] for n in taught])
            scores.append(values["slot_f1"])
    if labels.emotions:
        felt = [n for n, e in enumerate(examples) if e.emotions]
        if felt:
            several = any(len(examples[n].emotions) > 1 for n in felt)
            targets = np.array([[name in examples[n].emotions for name in labels.emotions] for n in felt])
            values["emotion_f1"] = emotion_f1(outcome.emotions[felt], targets, several)
            scores.append(values["emotion_f1"])
    return Figures(values, float(np.mean(scores)) if scores else 0.0)


def intent_figures(logits: Floats, truth: Ints, intents: Sequence[str]) -> dict[str, float]:
    """accuracy: of in-scope examples, the best intent that is not out of scope; outside_auroc where both are there."""
    outside = intents.index(OUT_OF_SCOPE) if OUT_OF_SCOPE in intents else -1
    inside = truth != outside
    values: dict[str, float] = {}
    best = logits.copy()
    if outside >= 0:
        best[:, outside] = -np.inf
    if inside.any():
        values["accuracy"] = float((best.argmax(1) == truth)[inside].mean())
    if inside.any() and (~inside).any():
        from sklearn.metrics import roc_auc_score

        shifted = np.exp(logits - logits.max(1, keepdims=True))
        sure = np.delete(shifted, outside, 1).max(1) / shifted.sum(1)
        values["outside_auroc"] = float(roc_auc_score(inside, sure))
    return values


def span_f1(scores: Sequence[Floats], meant: Sequence[Ints]) -> float:
    """Micro F1 of exact spans, in [0, 1]."""
    found = right = there = 0
    for row, truth in zip(scores, meant, strict=True):
        guess = spans_of(best_path(row)) if len(row) else set()
        real = spans_of(truth.tolist())
        found += len(guess)
        there += len(real)
        right += len(guess & real)
    return 2 * right / (found + there) if found + there else 0.0


def spans_of(path: Sequence[int]) -> set[tuple[int, int, int]]:
    """(first word, last word, slot) of each span of BIO labels in `bio_labels` order."""
    spans: list[tuple[int, int, int]] = []
    for at, label in enumerate(path):
        if label <= 0:
            continue
        slot, part = divmod(label - 1, 2)
        if part == 1 and spans and spans[-1][1] == at - 1 and spans[-1][2] == slot:
            spans[-1] = (spans[-1][0], at, slot)
        else:
            spans.append((at, at, slot))
    return set(spans)


SEVERAL_THRESHOLD = 0.3
"""Probability from which an emotion counts where there may be several; that of the GoEmotions paper."""


def emotion_f1(logits: Floats, targets: npt.NDArray[np.bool_], several: bool) -> float:
    """Macro F1 over the labels, in [0, 1]."""
    if several:
        guess = 1.0 / (1.0 + np.exp(-logits)) > SEVERAL_THRESHOLD
    else:
        guess = np.zeros_like(targets)
        guess[np.arange(len(guess)), logits.argmax(1)] = True
    right = (guess & targets).sum(0)
    total = guess.sum(0) + targets.sum(0)
    return float(np.mean(2 * right / np.maximum(total, 1)))
