"""Several wishes in one turn: where it may be parted, and which of the parts ask for something of their own. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from models.contracts import Said
from models.text_model import Reading

CLEAR = 0.7
"""Confidence from which a part asks for something by itself. Parts are short, and half a sentence is easily misread:
"I bought a tent and I want to return it" has one wish."""
LEAST_WORDS = 2
LEAST_CHARACTERS = 3
"""The least of a part, in English and in Chinese."""

_END = re.compile(r"[.?!;]+(?:\s+|$)|[。？！；]+")
_JOIN = re.compile(
    r",?\s+(?:and|plus|then)(?:\s+(?:also|then|after that))?\s+(?=(?:i|i'd|i'm|i've|can|could|would|will|what|what's|"
    r"when|where|where's|how|who|which|why|do|does|did|is|are|please|tell|cancel|check|change|book|send|block|report|pay|"
    r"move|order|transfer|renew|make|give|also|my|the)\b)"
    r"|,\s+(?:also|oh and|by the way)\s+"
    r"|[，,]?(?:还有(?![多几没钱什余别其])|另外(?![一那])|顺便|对了|然后)[，,]?",
    re.IGNORECASE,
)
_HAN = re.compile("[\u4e00-\u9fff]")


def parts(text: str) -> list[tuple[int, str]]:
    """The parts of `text` that may be wishes: (where each begins, its words). One part is the text itself."""
    found: list[tuple[int, str]] = []
    start = 0
    for mark in [*sorted((*_END.finditer(text), *_JOIN.finditer(text)), key=lambda match: match.start()), None]:
        end = len(text) if mark is None else mark.start()
        piece = text[start:end]
        bare = piece.strip()
        if _long_enough(bare):
            found.append((start + piece.index(bare), bare))
        elif found and bare:
            begin = found[-1][0]
            found[-1] = (begin, text[begin:end].strip())
        start = start if mark is None else max(start, mark.end())
    return found


def wishes(text: str, read: Callable[[list[str]], Sequence[Reading]], idle: frozenset[str]) -> tuple[Said, ...]:
    """What `text` asks for where that is two or more things, in their order; else nothing. The same intent may be there
    twice: two questions, or one wish in two sentences.

    read: gives a reading of each text. idle: intents that ask for nothing (thanks, a bare value).
    """
    pieces = parts(text)
    if len(pieces) < 2:
        return ()
    found: list[Said] = []
    for (start, piece), reading in zip(pieces, read([piece for _, piece in pieces]), strict=True):
        if reading.intent in idle or reading.confidence < CLEAR:
            continue
        found.append(Said(reading.intent, reading.confidence, piece, start))
    return tuple(found) if len(found) > 1 else ()


def _long_enough(text: str) -> bool:
    if _HAN.search(text):
        return len(text) >= LEAST_CHARACTERS
    return len(text.split()) >= LEAST_WORDS
