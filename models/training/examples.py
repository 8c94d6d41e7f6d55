"""Labelled caller turns: what understanding is trained and measured on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from models.errors import ModelError


class DataError(ModelError):
    """Data that cannot be used; names the file and line, the value and the remedy. `problems` has one line each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Span:
    """A slot value in a text: characters [start, end) of it are a `name`."""

    start: int
    end: int
    name: str


@dataclass(frozen=True, slots=True)
class Example:
    """One text with the labels that are known of it.

    intent: its name, `models.contracts.OUT_OF_SCOPE`, or None where nobody labelled it. spans: the slot values in it,
    () where it was labelled and has none, None where slots were not labelled. emotions: its emotion labels (often one),
    () where not labelled. origin: `file:line`, for messages. weight: how many ordinary examples it counts as.
    """

    text: str
    intent: str | None = None
    spans: tuple[Span, ...] | None = None
    emotions: tuple[str, ...] = ()
    origin: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Splits:
    """A data set by use. Where a source has no validation split, training takes one from `train` by its seed."""

    train: tuple[Example, ...] = ()
    validation: tuple[Example, ...] = ()
    test: tuple[Example, ...] = ()
    sources: tuple[str, ...] = field(default=())

    def __add__(self, other: Splits) -> Splits:
        """Both data sets together."""
        return Splits(
            self.train + other.train,
            self.validation + other.validation,
            self.test + other.test,
            self.sources + other.sources,
        )


def intents_of(examples: Iterable[Example]) -> tuple[str, ...]:
    """The intents named in `examples`, sorted."""
    return tuple(sorted({example.intent for example in examples if example.intent is not None}))
