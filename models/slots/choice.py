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

_SHORTEST_FUZZY = 6
"""Letters; in shorter names one letter makes another word (shell, sell)."""


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


def named_values(spec: SlotSpec) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(value, synonyms) of every value.

    Raises:
        SlotError: the option is no list and no mapping, or empty.
    """
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


def _named_at(words: list[str], phrases: tuple[tuple[tuple[str, ...], str], ...]) -> tuple[str, int, float] | None:
    """The value that `words` begin with: (value, number of words, confidence); an exact name before a near one."""
    near: tuple[str, int, float] | None = None
    for names, value in phrases:
        if words[0][0] != names[0][0] or len(words) < len(names):
            continue
        if tuple(words[: len(names)]) == names:
            return value, len(names), 1.0
        if near is not None:
            continue
        phrase, heard = " ".join(names), " ".join(words[: len(names)])
        likest = 2 * min(len(phrase), len(heard)) / (len(phrase) + len(heard))
        if len(phrase) >= _SHORTEST_FUZZY and likest >= _CLOSE:
            close = difflib.SequenceMatcher(None, heard, phrase).ratio()
            if close >= _CLOSE:
                near = value, len(names), round(0.8 * close, 3)
    return near


def parse(text: str, spec: SlotSpec, context: SlotContext) -> list[Slot]:
    """Every value named, leftmost and longest first."""
    phrases = _phrases(named_values(spec))
    longest = len(phrases[0][0]) if phrases else 0
    tokens = tokenize(text)
    found: list[Slot] = []
    at = 0
    while at < len(tokens):
        best = _named_at([token.text for token in tokens[at : at + longest]], phrases)
        if best is None:
            at += 1
            continue
        value, length, confidence = best
        start, end = tokens[at].start, tokens[at + length - 1].end
        found.append(Slot(spec.name, value, text[start:end], (start, end), confidence))
        at += length
    return found
