"""An answer for the ear: one or two sentences of a section, as they stand there."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from agent.dialogue.knowledge.terms import chinese, pieces, terms
from agent.dialogue.text import sentences
from models.contracts import Encoder

MOST_SENTENCES = 2
MOST_WORDS = 40
"""Words of an answer, two Chinese characters a word: some 15 s, after which callers interrupt or forget."""

_CHINESE_END = re.compile(r"(?<=[。！？；])")
_LEANING = re.compile(
    r"(it|its|it's|they|their|them|this|that|these|those|he|she|otherwise|below that|above that|then|but|and|or|also|so"
    r"|if not|if so|in that case|after that|before that|instead|however)\b"
    r"|(它|这|那|其|否则|但|不过|如果不|此外|另外|同时|并且)",
    re.IGNORECASE,
)
"""How a sentence begins that needs the one before it."""


def parts_of(text: str) -> list[str]:
    """The sentences of a section, Chinese ones too."""
    return [part.strip() for piece in sentences(text) for part in _CHINESE_END.split(piece) if part.strip()]


def length(text: str) -> float:
    """Words, a Chinese character counting half."""
    return sum(0.5 if chinese(piece) else 1.0 for piece in pieces(text))


def spoken_answer(text: str, question: str, encoder: Encoder, weigh: Callable[[Sequence[str]], float]) -> str:
    """The sentences of `text` that answer `question`, in their order, none changed; `weigh` gives terms their weight.

    A section that is short enough is said whole. Of a longer one the sentence nearest to the question is said, by
    meaning and by the words they share, with the one before it where it leans on that ("It takes ..."), else with the
    one after it where that leans on it. Blocks on the encoder.
    """
    parts = parts_of(text)
    if len(parts) <= MOST_SENTENCES and length(text) <= MOST_WORDS:
        return " ".join(parts) if not chinese(text) else "".join(parts)
    vectors = encoder.encode([question, *parts])
    said = set(terms(question))
    total = weigh(list(said)) or 1.0
    shared = np.array([weigh(list(said.intersection(terms(part)))) / total for part in parts])
    scores = vectors[1:] @ vectors[0] + 0.5 * shared
    best = int(np.argmax(scores))
    chosen = [best]
    if best and _LEANING.match(parts[best]):
        chosen = [best - 1, best]
    elif best + 1 < len(parts) and _LEANING.match(parts[best + 1]):
        chosen = [best, best + 1]
    if len(chosen) > 1 and sum(length(parts[n]) for n in chosen) > MOST_WORDS:
        chosen = [best] if not (best and _LEANING.match(parts[best])) else chosen
    return ("" if chinese(text) else " ").join(parts[n] for n in chosen)
