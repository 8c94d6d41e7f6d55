"""What makes a version of understanding out of examples: heads, which need no torch, and fine-tuned networks."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from agent.learning.opening import HEAD_FILE, Opener, head_model
from models.contracts import OUT_OF_SCOPE
from models.explain import ExamplesIndex
from models.heads import save_head
from models.registry import write_info
from models.training.examples import DataError, Example, Splits
from models.training.heads import LEAST_EXAMPLES, train_intent_head
from models.training.understanding.recipe import Recipe


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


class NetworkTrainer:
    """Fine-tunes a network (`models.training.understanding`): minutes to hours, and the extra `train`.

    A run that was broken off goes on where it stopped, if the labels are the same.
    """

    def __init__(
        self,
        opener: Opener,
        recipe: Recipe,
        work: Path,
        now: Callable[[], datetime],
        progress: Callable[[str, float, str], None] | None = None,
    ) -> None:
        """`work` gets a folder of checkpoints while training; `progress` is told (stage, share done, figures)."""
        self._opener = opener
        self._recipe = recipe
        self._work = work
        self._now = now
        self._progress = progress

    def __call__(self, task: Task) -> None:
        """See `Trainer`."""
        from models.training.understanding.pipeline import Job, make  # brings torch, which serving has not

        texts = [f"{example.intent}\t{example.text}\n" for example in task.train]
        key = hashlib.sha256("".join([self._recipe.model_dump_json(), *texts]).encode()).hexdigest()[:16]
        work = self._work / key
        job = Job(
            task.name,
            Splits(train=tuple(task.train), sources=(f"domain {task.name} (yours)", "labelled caller turns (yours)")),
            self._recipe.model_copy(update={"seed": task.seed}),
            language=self._opener.domain.manner.language,
            content=task.content,
            command="agent learn",
        )
        made = make(job, task.folder, work, self._now, self._opener.encoder, self._progress)
        if made is None:
            raise DataError(["`agent learn` is one process; train on several with `agent train understanding`"])
        write_info(task.folder, replace(made.info, version=task.version))
        shutil.rmtree(work, ignore_errors=True)
