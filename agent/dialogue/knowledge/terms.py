"""Words of a text as search and the graph compare them: stems of words, and single characters of Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from agent.dialogue.text import STOP_WORDS, stem

_CHARACTER = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Scripts written without spaces: kana and Chinese characters."""
_PIECE = re.compile(rf"\d+(?:[.,]\d+)*|[$€£¥%]|[{_CHARACTER}]|[^\W\d_{_CHARACTER}]+")
_RUN = re.compile(rf"[{_CHARACTER}]+")
_APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")

STOP_CHARACTERS = frozenset("的了吗呢吧啊呀哦嗯我你您他她它们是有个这那哪在和与跟把就都也还请问想要会")
"""Characters that carry little on their own; a pair of two of them is left out."""


def pieces(text: str) -> list[str]:
    """Lower-case words, numbers, signs of money, and single Chinese characters, in their order."""
    return _PIECE.findall(_APOSTROPHE.sub("", text.lower()))


def normal(piece: str) -> str:
    """The form in which two pieces are compared; "come" and "comes", "size" and "sizes" meet."""
    if not piece.isascii() or not piece.isalpha():
        return piece.replace(",", "")
    base = stem(piece)
    return base[:-1] if len(base) > 3 and base.endswith("e") else base


def terms(text: str) -> list[str]:
    """What search indexes: stems of words that carry meaning, and pairs of neighbouring Chinese characters.

    A character that stands alone is a term itself. Pairs are the usual unit for Chinese without a dictionary (Nie, Gao,
    Zhang and Zhou, 2000).
    """
    return [term for term, _ in surfaces(text)]


def surfaces(text: str) -> list[tuple[str, str]]:
    """The terms of `text`, each with the word that it stands for."""
    return list(_surfaces(_APOSTROPHE.sub("", text.lower())))


def _surfaces(text: str) -> Iterator[tuple[str, str]]:
    for word in _PIECE.findall(_RUN.sub(" ", text)):
        if word not in STOP_WORDS and word not in "$€£¥%":
            yield normal(word), word
    for run in _RUN.findall(text):
        if len(run) == 1:
            if run not in STOP_CHARACTERS:
                yield run, run
            continue
        for one, other in pairwise(run):
            if not (one in STOP_CHARACTERS and other in STOP_CHARACTERS):
                yield one + other, one + other


def chinese(text: str) -> bool:
    """Whether `text` has Chinese characters or kana."""
    return _RUN.search(text) is not None
