"""Worse texts to measure on, made by the strategies of training; the same seed makes the same texts."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from models.training.augment import apply_to
from models.training.examples import Example

WORSENED = ("typos", "plain", "dropped_words", "homophones", "fillers", "repeated_words")
"""Strategies of `models.training.augment`, each for itself and wherever it finds something to do."""

WORDS = {
    "typos": "with typos",
    "plain": "in lower case without marks",
    "dropped_words": "with words lost",
    "homophones": "with words that sound alike",
    "fillers": "with ums and uhs",
    "repeated_words": "with false starts",
}
"""How reports name them."""


def worsened(strategy: str, examples: Sequence[Example], seed: int) -> list[Example]:
    """Each of `examples` after `strategy`, drawn by the seed and its place; slot values where their words now are.

    Raises:
        DataError: there is no such strategy.
    """
    return [apply_to(strategy, example, Random(f"{seed}:{strategy}:{place}")) for place, example in enumerate(examples)]
