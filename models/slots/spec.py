"""What a slot is: its type and options, and what the parsers may know besides the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any


class SlotError(ValueError):
    """A slot is declared wrongly; the message names slot, option, value and remedy."""


@dataclass(frozen=True, slots=True)
class SlotSpec:
    """A slot as a domain declares it; `options` are those of its type (see each parser's module)."""

    name: str
    type: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def option(self, key: str, default: int) -> int:
        """A whole-number option.

        Raises:
            SlotError: it is not a whole number of 0 or more.
        """
        value = self.options.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise SlotError(f"slot {self.name!r}: option {key} is {value!r}; give a whole number of 0 or more")
        return value

    def word(self, key: str, default: str, allowed: Sequence[str] | None = None) -> str:
        """A text option, one of `allowed` where given.

        Raises:
            SlotError: it is no text, or none of `allowed`.
        """
        value = self.options.get(key, default)
        if not isinstance(value, str) or (allowed is not None and value not in allowed):
            wanted = f"one of {', '.join(allowed)}" if allowed else "a text"
            raise SlotError(f"slot {self.name!r}: option {key} is {value!r}; give {wanted}")
        return value


@dataclass(frozen=True, slots=True)
class SlotContext:
    """What parsing may know: the caller's date, the names of the slots asked for, whether yes or no was asked.

    language: that of the text, `en` or `zh`.
    """

    today: date
    expected: tuple[str, ...] = ()
    asked_yes_no: bool = False
    language: str = "en"
