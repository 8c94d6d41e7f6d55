"""Names of people as they are heard on the telephone, compared with names as they are written in a record."""

from __future__ import annotations

import difflib
import itertools
import re

NAME_LIKENESS = 0.75
"""Similarity (difflib ratio) of a heard and a written last name from which they are the same: "burg strom", Bergstrom.

Meant for names that are checked beside something exact, such as a date of birth.
"""


def same_name(heard: str, written: str) -> bool:
    """Whether the words `heard` hold the last name of `written`, spelled out, in two words, or much like it."""
    words = re.findall(r"[a-z]+", heard.lower())
    wanted = re.sub(r"[^a-z]", "", written.split()[-1].lower())
    spelled = "".join(word for word in words if len(word) == 1)
    candidates = [*words, *("".join(pair) for pair in itertools.pairwise(words)), spelled]
    return any(difflib.SequenceMatcher(None, one, wanted).ratio() >= NAME_LIKENESS for one in candidates)
