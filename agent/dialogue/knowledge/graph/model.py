"""What graph.yaml holds: types, properties, relations and entities, as plain frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from agent.dialogue.written import Part, Word

Kind = Literal["money", "number", "yes_no", "text", "list"]
Bound = Literal["at_least", "at_most", "exactly"]
Value = Decimal | bool | str | tuple[str, ...]
"""money and number: Decimal, in whole units; yes_no: bool; text: str; list: tuple."""

CURRENCIES = ("USD", "EUR", "GBP", "CNY")


class TypeSpec(Part):
    """A kind of things, and what is said of those that fit a wish. None: see `agent.dialogue.knowledge.graph.wording`.

    list: sentence for a question for all of the kind; None leaves it to the text.
    """

    words: tuple[Word, ...] = Field(min_length=1)
    list: Word | None = None
    one: Word | None = None
    several: Word | None = None
    none: Word | None = None


class Extreme(Part):
    """The words for the smallest or largest value, and the sentence for whoever has it."""

    words: tuple[Word, ...] = Field(min_length=1)
    say: Word | None = None


class PropertySpec(Part):
    """What can be asked of the types in `of`.

    unit: words beside a number that mean this property; before: words before it that do. wanted: how a wished number
    compares. zero: what callers say for the value 0, and what to say then.
    """

    of: tuple[Word, ...] = Field(min_length=1)
    kind: Kind
    words: tuple[Word, ...] = ()
    currency: Literal["USD", "EUR", "GBP", "CNY"] | None = None
    unit: tuple[Word, ...] = ()
    before: tuple[Word, ...] = ()
    wanted: Bound = "exactly"
    say: Word | None = None
    yes: Word | None = None
    no: Word | None = None
    compare: Word | None = None
    least: Extreme | None = None
    most: Extreme | None = None
    zero: Extreme | None = None

    @model_validator(mode="after")
    def _suits_kind(self) -> PropertySpec:
        numeric = self.kind in ("money", "number")
        if self.kind == "yes_no" and not (self.yes and self.no):
            raise ValueError("a yes_no property needs the sentences 'yes' and 'no'; add them")
        if self.kind != "yes_no" and self.say is None:
            raise ValueError(f"a {self.kind} property needs the sentence 'say'; add it")
        if self.kind == "money" and self.currency is None:
            raise ValueError(f"a money property needs 'currency'; add one of {', '.join(CURRENCIES)}")
        if not numeric and (self.least or self.most or self.zero or self.unit or self.before):
            raise ValueError(f"least, most, zero, unit and before are for money and number, not {self.kind}; drop them")
        return self


class RelationSpec(Part):
    """What things of type `from` have to do with things of type `to`."""

    from_: Word = Field(alias="from")
    to: Word
    words: tuple[Word, ...] = ()
    say: Word
    yes: Word
    no: Word


@dataclass(frozen=True, slots=True)
class Entity:
    """A thing. say: how it is spoken; spoken: how single values are, where that is not by rule."""

    name: str
    type: str
    names: tuple[str, ...]
    say: str
    values: Mapping[str, Value]
    spoken: Mapping[str, str]
    links: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Graph:
    """Everything of one graph.yaml; `agent.dialogue.knowledge.graph.reading` has checked that it fits together."""

    path: Path
    language: str
    types: Mapping[str, TypeSpec]
    properties: Mapping[str, PropertySpec]
    relations: Mapping[str, RelationSpec]
    entities: Mapping[str, Entity]
    ignore: tuple[str, ...] = ()

    def of_type(self, name: str) -> list[Entity]:
        """The entities of a type, in the order of the file."""
        return [entity for entity in self.entities.values() if entity.type == name]
