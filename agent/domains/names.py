"""Names of people as they are heard on the telephone, compared with names as they are written in a record.

Meant for names that are checked beside something exact, such as a date of birth and a postcode: recognizers write
"Priyaraman" for Priya Raman and "Novatny" for Novotny, so the comparison is loose.
"""

from __future__ import annotations

import difflib
import itertools
import re

LAST_NAME_LIKENESS = 0.75
"""Similarity (difflib ratio) of a heard word and a last name from which they are the same."""
WHOLE_NAME_LIKENESS = 0.72
"""The same for all that was heard and the whole name. With both, 31 of 34 made-up names read over a telephone line are
found, and 4 of 544 times another name is taken for one; the thresholds were set on these."""
WHOLE_SOUND_LIKENESS = 0.85
"""The same for the consonants of both as a recognizer confuses them: "on a book strum" is Anna Bergstrom."""
KNOWN_LINE_LIKENESS = 0.5
"""Similarity of all that was heard from which it is the name of the owner of the number that calls."""
_LEAD_IN = frozenset(
    "my name is it's its i'm im the patient patient's her his it i am for uh um yes last first".split()
)
_LEAST_LETTERS = 3
_LEAST_CONSONANTS = 2
"""Consonants a last name must have for its sound to be compared; shorter ones sound like too many others."""
_WHOLE_CONSONANTS = 5
"""The same for a whole name."""
_ALIKE = str.maketrans("dbvgjzcq", "tpfkkskk")


def same_name(heard: str, written: str, own_line: bool = False) -> bool:
    """Whether the words `heard` are the name `written`: its last name, spelled, in two words or much like it.

    own_line: the call comes from that person's number; then anything like the whole name will do, as far as it is
    checked beside something exact.
    """
    said = [word.replace("'", "") for word in re.findall(r"[a-z']+", heard.lower()) if word not in _LEAD_IN]
    wanted = re.sub(r"[^a-z]", "", written.split()[-1].lower())
    spelled = "".join(word for word in said if len(word) == 1)
    candidates = [*said, *("".join(pair) for pair in itertools.pairwise(said)), spelled]
    sound = _sound(wanted)
    told, whole = "".join(said), re.sub(r"[^a-z]", "", written.lower())
    if _alike(told, whole) >= (KNOWN_LINE_LIKENESS if own_line else WHOLE_NAME_LIKENESS) or _same_sound(told, whole):
        return True
    return any(
        _alike(one, wanted) >= LAST_NAME_LIKENESS or (len(sound) >= _LEAST_CONSONANTS and _sound(one) == sound)
        for one in candidates
        if len(one) >= _LEAST_LETTERS
    )


def _same_sound(told: str, whole: str) -> bool:
    wanted = _sound(whole)
    return len(wanted) >= _WHOLE_CONSONANTS and _alike(_sound(told), wanted) >= WHOLE_SOUND_LIKENESS


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _sound(name: str) -> str:
    """The consonants of a name as a recognizer confuses them, each once in a row: "morrow" and "moreau" are "mr"."""
    consonants = re.sub(r"[aeiouyhw]", "", name.replace("ph", "f")).translate(_ALIKE)
    return re.sub(r"(.)\1+", r"\1", consonants)
