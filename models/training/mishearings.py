"""What happens to a caller's words before a model sees them: hesitations, what recognizers mishear, and typos.

Each strategy chooses edits by chance; how often they apply is in `models.training.augment`. Slot values keep their
words. Words are found in Latin script only, and the tables are English: other texts lose case and punctuation at most.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random

from models.errors import ModelDamaged
from models.training.edits import Edit, Word, free, like, words
from models.training.examples import Span

HOMOPHONES_FILE = Path(__file__).with_name("homophones.tsv")
"""Pairs of words or wordings that a recognizer writes for each other on a telephone line; our own list."""

_MARKS = re.compile(
    r"\s*[.,!?;:…\"“”()。，！？；：、]+(?=\s|$)|(?<!\S)[\"“”()¿¡]+|\s[-–—]+(?=\s)|(?<=[^\W\d_])-(?=[^\W\d_])"
)
_CJK_MARKS = re.compile(r"[。，！？；：、“”…]+")
NEGATIONS = frozenset("no not never none nothing nobody without cannot nor neither un".split())
"""Words that turn a request round, and so are never dropped; those in n't neither."""
_SMALL = frozenset(
    "a an the to of my is it i in on at for and that this do does can you your have has was were be am are so".split()
)
"""Words that talkers swallow, and recognizers miss."""
_DROPPED_SMALL, _DROPPED = 0.2, 0.06
"""Share of small and of other words that are dropped."""
_MOST_DROPPED = 4
"""At most one word in so many is dropped."""
FILLERS = ("uh", "um", "er", "hmm", "like", "you know", "I mean", "well", "let me see", "actually", "kind of")
OPENERS = ("hi", "hello", "hi um", "hey", "hello there", "so", "okay so", "well", "um", "good morning", "hi there")
_MISHEARD_EVERY = 6
"""One word in so many is misheard at most, at least one."""
_TYPOS_EVERY = 8
"""One word in so many gets a typo, at least one."""
_TYPED = 4
"""Letters of the shortest word that gets a typo."""
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def plain(text: str, rng: Random, spans: Sequence[Span] = ()) -> list[Edit]:
    """Lower case without punctuation, as bare recognizers write; marks inside slot values stay. `rng` is not used."""
    return [*_without_marks(text, spans), *_small_letters(text, spans)]


def casing(text: str, rng: Random, spans: Sequence[Span] = ()) -> list[Edit]:
    """One of the ways in which recognizers write: without case, without marks, without both, or as a sentence."""
    drawn = rng.random()
    if drawn < 0.6:
        return plain(text, rng, spans)
    if drawn < 0.75:
        return _small_letters(text, spans)
    if drawn < 0.9:
        return _without_marks(text, spans)
    edits = []
    if text[:1].islower() and text[:1].isascii():
        edits.append(Edit(0, 1, text[0].upper(), within=True))
    if text[-1:].isalnum():
        edits.append(Edit(len(text), len(text), "."))
    return edits


def _small_letters(text: str, spans: Sequence[Span]) -> list[Edit]:
    return [Edit(at, at + 1, letter.lower(), within=True) for at, letter in enumerate(text) if letter.lower() != letter]


def _without_marks(text: str, spans: Sequence[Span]) -> list[Edit]:
    found = sorted((*_MARKS.finditer(text), *_CJK_MARKS.finditer(text)), key=lambda match: match.span())
    edits = []
    for match in found:
        blank = match.group() == "-" or (match.start() > 0 and match.re is _CJK_MARKS and match.end() < len(text))
        edits.append(Edit(match.start(), match.end(), " " if blank else ""))
    return edits


def dropped_words(text: str, rng: Random, spans: Sequence[Span] = ()) -> list[Edit]:
    """Words left out, small ones more often; negations stay, and at least three words in four."""
    found = words(text, spans)
    edits = []
    for word in found:
        chance = rng.random()
        if not word.free or word.lower in NEGATIONS or word.lower.endswith("n't"):
            continue
        if chance < (_DROPPED_SMALL if word.lower in _SMALL else _DROPPED):
            edits.append(_without(text, word))
    most = len(found) // _MOST_DROPPED
    return rng.sample(edits, most) if len(edits) > most else edits


def _without(text: str, word: Word) -> Edit:
    """Leave out a word with its comma and the blanks after it; those before it where it is the last."""
    after = re.compile(r",?\s*").match(text, word.end)
    end = after.end() if after else word.end
    start = word.start
    if end == len(text):
        start = len(text[:start].rstrip())
    return Edit(start, end, "")


def fillers(text: str, rng: Random, spans: Sequence[Span] = ()) -> list[Edit]:
    """An opener ("hi um"), or one or two fillers before words that are inside no slot value, or both."""
    starts = [word.start for word in words(text) if _between(word.start, spans)]
    if not starts:
        return []
    edits = [Edit(starts[0], starts[0], f"{rng.choice(OPENERS)} ")] if rng.random() < 0.4 else []
    for start in rng.sample(starts, min(len(starts), rng.choice((1, 1, 2)))):
        if not edits or rng.random() < 0.7:
            edits.append(Edit(start, start, f"{rng.choice(FILLERS)} "))
    return edits


def _between(position: int, spans: Sequence[Span]) -> bool:
    return not any(span.start < position < span.end for span in spans)


def repeated_words(text: str, rng: Random, spans: Sequence[Span] = ()) -> list[Edit]:
    """A stammer ("I I want"), a new start ("can you can you cancel") or a word broken off ("can- cancel")."""
    found = words(text, spans)
    at = [index for index, word in enumerate(found) if word.free]
    if not at:
        return []
    index = rng.choice(at)
    word = found[index]
    drawn = rng.random()
    if drawn < 0.4 and index + 1 < len(found) and free(word.start, found[index + 1].end, spans):
        return [Edit(word.start, word.start, f"{text[word.start : found[index + 1].end]} ")]
    if drawn < 0.65 and len(word.text) > 3 and word.text.isalpha():
        return [Edit(word.start, word.start, f"{word.text[: rng.choice((2, 3))]}- ")]
    return [Edit(word.start, word.start, f"{word.text} ")]


def typos(text: str, rng: Random, spans: Sequence[Span] = ()) -> list[Edit]:
    """Slips of the fingers in words of four letters and more: a neighbouring key, two swapped, one lost, one double."""
    able = [word for word in words(text, spans) if word.free and len(word.text) >= _TYPED and word.text.isalpha()]
    count = min(len(able), max(1, len(words(text)) // _TYPOS_EVERY))
    return [Edit(word.start, word.end, _mistyped(word.text, rng)) for word in rng.sample(able, count)]


def _mistyped(word: str, rng: Random) -> str:
    at = rng.randrange(1, len(word) - 1)
    match rng.choice(("key", "swap", "lose", "double")):
        case "key":
            near = _neighbours().get(word[at].lower())
            return word[:at] + (rng.choice(near) if near else word[at]) + word[at + 1 :]
        case "swap":
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        case "lose":
            return word[:at] + word[at + 1 :]
    return word[:at] + word[at] + word[at:]


@cache
def _neighbours() -> Mapping[str, str]:
    """Key -> the keys beside it on a QWERTY keyboard, each row standing half a key to the right of the one above."""
    out: dict[str, str] = {}
    for number, row in enumerate(_ROWS):
        for column, key in enumerate(row):
            beside = row[max(0, column - 1) : column] + row[column + 1 : column + 2]
            above = _ROWS[number - 1][column : column + 2] if number else ""
            below = _ROWS[number + 1][max(0, column - 1) : column + 1] if number + 1 < len(_ROWS) else ""
            out[key] = beside + above + below
    return out


def homophones(text: str, rng: Random, spans: Sequence[Span] = ()) -> list[Edit]:
    """Words that sound alike in place of those said, one in six words at most; a word alone stays as it is."""
    table, pattern = _homophone_table()
    count = len(words(text))
    if count < 2:
        return []
    found = [match for match in pattern.finditer(text.replace("’", "'")) if free(*match.span(), spans)]
    edits = []
    for match in rng.sample(found, min(len(found), max(1, count // _MISHEARD_EVERY))):
        heard = rng.choice(table[match.group().lower()])
        edits.append(Edit(match.start(), match.end(), like(text[match.start() : match.end()], heard)))
    return edits


@cache
def _homophone_table() -> tuple[Mapping[str, tuple[str, ...]], re.Pattern[str]]:
    table: dict[str, list[str]] = {}
    for one, other in read_rows(HOMOPHONES_FILE, 2):
        table.setdefault(one.lower(), []).append(other)
        table.setdefault(other.lower(), []).append(one)
    return {word: tuple(others) for word, others in table.items()}, whole_words(table)


def whole_words(phrases: Sequence[str] | Mapping[str, object]) -> re.Pattern[str]:
    """A pattern for the longest of `phrases` at a place, as whole words and in any case."""
    listed = "|".join(re.escape(phrase) for phrase in sorted(phrases, key=len, reverse=True))
    return re.compile(rf"(?<![\w'@.-])(?:{listed})(?![\w'@-]|\.\w)", re.IGNORECASE)


def read_rows(path: Path, width: int) -> list[list[str]]:
    """The cells of a TSV of ours without header, `width` or more in a row.

    Raises:
        ModelDamaged: a row is narrower, or a cell is empty or has blanks around it.
    """
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    for number, row in enumerate(rows, start=1):
        if len(row) < width or any(not cell or cell != cell.strip() for cell in row):
            raise ModelDamaged(f"{path}:{number}: {row!r} is not {width} or more cells with words; install again")
    return rows
