"""One of a list of values in Chinese text, by name or synonym.

Option: `values`, a list of values, or a mapping of value to its synonyms.
"""

from __future__ import annotations

import re
import unicodedata

from models.contracts import Slot
from models.slots.choice import named_values
from models.slots.spec import SlotContext, SlotSpec


def parse(text: str, spec: SlotSpec, context: SlotContext) -> list[Slot]:
    """Every value named, leftmost and longest first; Chinese has no spaces, so a name may stand anywhere."""
    names = sorted(
        ((_folded(phrase.replace("_", " ")), value) for value, also in named_values(spec) for phrase in (value, *also)),
        key=lambda row: -len(row[0]),
    )
    plain = _folded(text)
    if len(plain) != len(text):
        plain = text.lower()
    found: list[Slot] = []
    taken: list[tuple[int, int]] = []
    for name, value in names:
        for match in re.finditer(_bounded(name), plain):
            if name and not any(match.start() < high and low < match.end() for low, high in taken):
                taken.append(match.span())
                found.append(Slot(spec.name, value, text[slice(*match.span())], match.span(), 1.0))
    return sorted(found, key=lambda slot: slot.span)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()


def _bounded(name: str) -> str:
    """Latin names are whole words."""
    before = r"(?<![a-z0-9])" if name[:1].isascii() else ""
    after = r"(?![a-z0-9])" if name[-1:].isascii() else ""
    return before + re.escape(name) + after
