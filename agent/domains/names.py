"""Names of people as they are heard on the telephone, compared with names as they are written in a record."""

from __future__ import annotations

import difflib
import itertools
import re

NAME_LIKENESS = 0.75
"""Similarity (difflib ratio) of a heard and a written last name from which they are the same: "burg strom", Bergstrom.

Meant for names that are checked beside something exact, such as a date of birth.
"""


_ALIKE = str.maketrans("dbvgjzcq", "tpfkkskk")
_LEAST_CONSONANTS = 2
"""Consonants a name must have for its sound to be compared; shorter ones sound like too many others."""


def same_name(heard: str, written: str) -> bool:
    """Whether the words `heard` hold the last name of `written`, spelled out, in two words, or much like it."""
    words = re.findall(r"[a-z]+", heard.lower())
    wanted = re.sub(r"[^a-z]", "", written.split()[-1].lower())
    spelled = "".join(word for word in words if len(word) == 1)
    candidates = [*words, *("".join(pair) for pair in itertools.pairwise(words)), spelled]
    sound = _sound(wanted)
    return any(
        difflib.SequenceMatcher(None, one, wanted).ratio() >= NAME_LIKENESS
        or (len(sound) >= _LEAST_CONSONANTS and _sound(one) == sound)
        for one in candidates
    )


def _sound(name: str) -> str:
    """The consonants of a name as a recognizer confuses them, each once in a row: "morrow" and "moreau" are "mr"."""
    consonants = re.sub(r"[aeiouyhw]", "", name.replace("ph", "f")).translate(_ALIKE)
    return re.sub(r"(.)\1+", r"\1", consonants)
