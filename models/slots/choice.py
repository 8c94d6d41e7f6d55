"""One of a list of values, by name, synonym or a near spelling.

Option: `values`, a list of values, or a mapping of value to its synonyms.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping

from models.contracts import Slot
from models.slots.spec import SlotContext, SlotError, SlotSpec
from models.slots.tokens import tokenize

_CLOSE = 0.84
"""Similarity (difflib ratio) from which a misheard name counts; a letter in six may differ."""

_SHORTEST_FUZZY = 5


@functools.lru_cache(maxsize=256)
def _phrases(names: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[tuple[tuple[str, ...], str], ...]:
    """(words, value) of every way to name a value, longest first."""
    entries: dict[tuple[str, ...], str] = {}
    for value, synonyms in names:
        for phrase in (value, *synonyms):
            words = tuple(token.text for token in tokenize(phrase.replace("_", " ")))
            if words:
                entries.setdefault(words, value)
    return tuple(sorted(entries.items(), key=lambda entry: (-len(entry[0]), -len(" ".join(entry[0])))))


def _names(spec: SlotSpec) -> tuple[tuple[str, tuple[str, ...]], ...]:
    values = spec.options.get("values")
    if isinstance(values, Mapping):
        rows = [(str(value), tuple(str(word) for word in synonyms or ())) for value, synonyms in values.items()]
    elif isinstance(values, list | tuple):
        rows = [(str(value), ()) for value in values]
    else:
        rows = []
    if not rows:
        raise SlotError(
            f"slot {spec.name!r}: option values is {values!r}; give a list of values or a mapping to synonyms"
        )
    return tuple(rows)


def parse(text: str, spec: SlotSpec, context: SlotContext) -> list[Slot]:
    """Every value named, leftmost and longest first."""
    phrases = _phrases(_names(spec))
    tokens = tokenize(text)
    found: list[Slot] = []
    at = 0
    while at < len(tokens):
        best: tuple[str, int, float] | None = None
        for words, value in phrases:
            said = tuple(token.text for token in tokens[at : at + len(words)])
            if said == words:
                best = value, len(words), 1.0
                break
            phrase = " ".join(words)
            if (
                best is None
                and len(said) == len(words)
                and len(phrase) >= _SHORTEST_FUZZY
                and said[0][0] == words[0][0]
            ):
                close = difflib.SequenceMatcher(None, " ".join(said), phrase).ratio()
                if close >= _CLOSE:
                    best = value, len(words), round(0.8 * close, 3)
        if best is None:
            at += 1
            continue
        value, length, confidence = best
        start, end = tokens[at].start, tokens[at + length - 1].end
        found.append(Slot(spec.name, value, text[start:end], (start, end), confidence))
        at += length
    return found
