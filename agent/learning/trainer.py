"""What makes a version of understanding out of examples: any trainer, and the one that needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.learning.opening import HEAD_FILE, Opener, head_model
from models.contracts import OUT_OF_SCOPE
from models.explain import ExamplesIndex
from models.heads import save_head
from models.registry import write_info
from models.training.examples import DataError, Example
from models.training.heads import LEAST_EXAMPLES, train_intent_head


@dataclass(frozen=True, slots=True)
class Task:
    """What to train. The trainer fills `folder` with a whole version but for SHA256SUMS (`models.text_model`).

    content: for `ModelInfo.content`. start_from: the folder of the version in force, to go on from its weights; None
    where it has none.
    """

    name: str
    version: str
    folder: Path
    train: Sequence[Example]
    content: str
    start_from: Path | None = None
    seed: int = 0


class Trainer(Protocol):
    """Trains by one method; blocking, for seconds or hours."""

    def __call__(self, task: Task) -> None:
        """Train and write the version.

        Raises:
            models.errors.ModelError: the examples cannot be learnt, or a part that is needed is not installed.
            OSError: the disk is full or gone.
        """
        ...


class HeadTrainer:
    """Heads over the frozen sentence encoder (`models.training.heads`): seconds, and no torch."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener

    def __call__(self, task: Task) -> None:
        """See `Trainer`; examples without an intent are not used, since the head reads intents only."""
        groups: dict[str, list[str]] = {}
        for example in task.train:
            if example.intent is not None:
                groups.setdefault(example.intent, []).append(example.text)
        outside = groups.pop(OUT_OF_SCOPE, [])
        counts = {OUT_OF_SCOPE: len(outside), **{name: len(texts) for name, texts in groups.items()}}
        problems = [
            f"intent {name} has {count} examples; give it {LEAST_EXAMPLES} at least"
            for name, count in sorted(counts.items())
            if count < LEAST_EXAMPLES
        ]
        if len(groups) < 2:
            problems.append(f"the examples are all of {', '.join(groups) or 'no intent'}; a model needs two at least")
        if problems:
            raise DataError(problems)
        head = train_intent_head(groups, outside, self._opener.encoder, task.seed)
        save_head(task.folder / HEAD_FILE, head.head, head.threshold)
        info = self._opener.head_info(head, task.version, task.content)
        write_info(task.folder, info)
        rows = [(example.text, example.intent) for example in task.train if example.intent is not None]
        ExamplesIndex.of(head_model(head, self._opener.encoder, info), rows).save(task.folder)
