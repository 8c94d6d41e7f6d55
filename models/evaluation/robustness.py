"""Worse texts: as people type in haste, and as a recognizer writes. The same seed makes the same text."""

from __future__ import annotations

import random
from collections.abc import Mapping

from models.evaluation.texts import Worsen

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_TYPOS = 0.06
"""Share of letters mistyped; about one word in four."""
_DROPPED = 0.15
"""Share of words a bad line swallows."""


def mistyped(text: str, seed: int) -> str:
    """`text` with neighbouring keys hit, letters left out, doubled or swapped, at least one; digits stay."""
    rng = random.Random(seed)
    places = [place for place, letter in enumerate(text) if letter.isascii() and letter.isalpha()]
    if not places:
        return text
    chosen = {place for place in places if rng.random() < _TYPOS} or {rng.choice(places)}
    out: list[str] = []
    for place, letter in enumerate(text):
        out.append(_mistyped(letter, rng) if place in chosen else letter)
    return "".join(out)


def _mistyped(letter: str, rng: random.Random) -> str:
    kind = rng.randrange(3)
    if kind == 0:
        return ""
    if kind == 1:
        return letter * 2
    row = next((row for row in _ROWS if letter.lower() in row), letter.lower())
    place = row.find(letter.lower())
    near = row[max(0, place - 1) : place] + row[place + 1 : place + 2]
    return rng.choice(near) if near else letter


def unmarked(text: str, seed: int) -> str:
    """`text` in lower case without punctuation, as a bare recognizer writes; apostrophes and hyphens in words stay."""
    kept = "".join(letter if letter.isalnum() or letter in " '’-@$%" else " " for letter in text.lower())
    return " ".join(kept.split())


def with_words_lost(text: str, seed: int) -> str:
    """`text` with about one word in seven lost, at least one where there are three or more; never all."""
    rng = random.Random(seed)
    words = text.split()
    if len(words) < 3:
        return text
    lost = {place for place in range(len(words)) if rng.random() < _DROPPED} or {rng.randrange(len(words))}
    kept = [word for place, word in enumerate(words) if place not in lost]
    return " ".join(kept) or text


WORSENED: Mapping[str, Worsen] = {
    "typos": mistyped,
    "no case or marks": unmarked,
    "words lost": with_words_lost,
}
