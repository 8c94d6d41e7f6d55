"""Examples that are never trained on: chosen by their content, kept beside the versions, and only added to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from models.contracts import OUT_OF_SCOPE
from models.encoder import normalise
from models.errors import ModelDamaged
from models.training.examples import Example

FILE = "heldout.jsonl"
DOMAIN_SET = "examples of the domain"
SHARE = 0.15
"""Share of each intent's examples that is held out of learning: 6 of the 40 that a usual intent has."""
LABEL_SHARE = 0.3
"""Share of new labels held out: there are few of them, and they show best what calls are like."""
LEAST_TRAINED = 5
"""Examples of an intent that stay for training whatever the shares say; a head needs as many."""
LEAST_LABELS = 4
"""New labels from which one at least is held out."""

TestSets = Mapping[str, tuple[Example, ...]]


def place(text: str) -> float:
    """Where a text stands in [0, 1), by its words alone: the same in every run and on every machine."""
    return int.from_bytes(hashlib.sha256(normalise(text).encode()).digest()[:6]) / 2**48


def of_domain(intents: Mapping[str, Sequence[str]], outside: Sequence[str]) -> tuple[Example, ...]:
    """The examples of a domain that are held out: of each intent, and of what belongs to none, the same ones always."""
    held: list[Example] = []
    taken: set[str] = set()
    for intent, texts in {**intents, OUT_OF_SCOPE: outside}.items():
        once = list({normalise(text): text for text in texts}.values())
        spare = max(0, len(once) - LEAST_TRAINED)
        chosen = sorted((text for text in once if place(text) < SHARE), key=place)[:spare]
        held += [Example(text, intent) for text in chosen if normalise(text) not in taken]
        taken |= {normalise(text) for text in chosen}
    return tuple(held)


def of_labels(examples: Sequence[Example]) -> tuple[Example, ...]:
    """The new labels that are held out; where there are at least `LEAST_LABELS`, one is."""
    chosen = [example for example in examples if place(example.text) < LABEL_SHARE]
    if not chosen and len(examples) >= LEAST_LABELS:
        chosen = [min(examples, key=lambda example: place(example.text))]
    return tuple(chosen)


def read_sets(folder: Path, intents: Iterable[str]) -> dict[str, tuple[Example, ...]]:
    """The test sets kept in `folder`, without examples of intents that the domain has no longer.

    Raises:
        ModelDamaged: the file cannot be read; names the line.
    """
    path = folder / FILE
    known = {*intents, OUT_OF_SCOPE}
    sets: dict[str, list[Example]] = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise ModelDamaged(f"{path} is not UTF-8; restore it, or delete it to hold out examples anew") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            example = Example(str(row["text"]), str(row["intent"]), origin=str(row.get("origin", "")))
            name = str(row["note"])
        except (ValueError, KeyError, TypeError) as error:
            remedy = "restore it, or delete it to hold out examples anew"
            raise ModelDamaged(f"{path}:{number}: not a held-out example ({error!r}); {remedy}") from error
        if example.intent in known:
            sets.setdefault(name, []).append(example)
    return {name: tuple(examples) for name, examples in sets.items()}


def write_sets(folder: Path, sets: TestSets) -> None:
    """Keep the test sets in `folder`; an older file stays until the new one is on the disk.

    Raises:
        OSError: the disk is full or gone.
    """
    path = folder / FILE
    rows = [
        {"text": example.text, "intent": example.intent, "split": "test", "note": name, "origin": example.origin}
        for name, examples in sets.items()
        for example in examples
    ]
    beside = path.with_name(f".{FILE}.part")
    try:
        with beside.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
