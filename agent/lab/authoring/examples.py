"""Examples of intents that no model can tell apart: the same text twice, or nearly the same in two intents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.dialogue.checking import OWN_INTENTS
from agent.yamlfile import YamlFile
from models.contracts import OUT_OF_SCOPE, Encoder
from models.training.examples import DataError
from models.training.reading.marks import unmark

NEAR = 0.95
"""Cosine similarity from which two examples of different intents are look-alikes: to the encoder, one sentence."""
FEWEST = 10
"""Examples of an intent under which it is told to have more: docs/domains.md says ten to forty work well."""


@dataclass(frozen=True, slots=True)
class Example:
    """An example as a file has it: plain text, its intent or `OUT_OF_SCOPE`, and `file:line`."""

    text: str
    intent: str
    where: str
    own: bool


def examples_in(files: Sequence[YamlFile]) -> list[Example]:
    """The examples in intents.yaml, and in those of what the domain extends; the first file's are its own.

    An intent or a group of texts that an earlier file has hides one of the same name in a later file.
    """
    found: list[Example] = []
    seen: set[tuple[str, str]] = set()
    for number, file in enumerate(files):
        data = file.data if isinstance(file.data, dict) else {}
        groups = [("intents", name, (spec or {}).get("examples") or ()) for name, spec in _items(data, "intents")]
        groups += [("out_of_scope", name, texts or ()) for name, texts in _items(data, "out_of_scope")]
        for section, name, texts in groups:
            if (section, name) in seen:
                continue
            intent = name if section == "intents" else OUT_OF_SCOPE
            for n, text in enumerate(texts):
                where = ("intents", name, "examples", n) if section == "intents" else ("out_of_scope", name, n)
                found.append(Example(_plain(str(text)), intent, file.problem(where, "").removesuffix(": "), not number))
        seen |= {(section, name) for section, name, _ in groups}
    return found


def odd_examples(examples: Sequence[Example], encoder: Encoder) -> Iterator[str]:
    """Warnings about examples; pairs that are both inherited are left out."""
    first: dict[str, Example] = {}
    twice: set[int] = set()
    for n, example in enumerate(examples):
        before = first.setdefault(" ".join(example.text.lower().split()), example)
        if before is not example:
            twice.add(n)
            if before.own or example.own:
                mine, other = (example, before) if example.own else (before, example)
                again = "again" if before.intent == example.intent else f"as {other.intent}"
                yield f"{mine.where}: “{mine.text}” stands {again} at {_at(other.where)}; remove one"
    rows = [example for n, example in enumerate(examples) if n not in twice]
    yield from _look_alikes(rows, encoder)
    yield from _few(examples)


def _look_alikes(rows: Sequence[Example], encoder: Encoder) -> Iterator[str]:
    if not rows:
        return
    vectors = encoder.encode([row.text for row in rows])
    intents = np.array([row.intent for row in rows])
    for n, row in enumerate(rows):
        cosines = vectors[n + 1 :] @ vectors[n]
        for m in np.flatnonzero((cosines > NEAR) & (intents[n + 1 :] != row.intent)):
            other = rows[n + 1 + int(m)]
            if {row.intent, other.intent} <= OWN_INTENTS:
                continue  # what was asked and what else was said tells these apart: "no" and "no, bye"
            mine, theirs = (row, other) if row.own else (other, row)
            if mine.own:
                yield (
                    f"{mine.where}: “{mine.text}” ({mine.intent}) is to the encoder the same as “{theirs.text}” "
                    f"({theirs.intent}) at {_at(theirs.where)}: {float(cosines[m]):.2f}; say one of them otherwise"
                )


def _few(examples: Sequence[Example]) -> Iterator[str]:
    counts: dict[str, list[Example]] = {}
    for example in examples:
        if example.intent != OUT_OF_SCOPE:
            counts.setdefault(example.intent, []).append(example)
    for name, found in counts.items():
        if found[0].own and len(found) < FEWEST and name not in OWN_INTENTS:
            text = f"intent '{name}' has {len(found)} examples; ten to forty, said in different ways, work well"
            yield f"{found[0].where}: {text}"


def _items(data: dict[str, Any], key: str) -> list[tuple[str, Any]]:
    section = data.get(key)
    return list(section.items()) if isinstance(section, dict) else []


def _plain(text: str) -> str:
    try:
        return unmark(text)[0]
    except DataError:
        return text


def _at(where: str) -> str:
    """`file:line` without the folders."""
    return where.rsplit("/", 1)[-1]
