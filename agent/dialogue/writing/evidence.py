"""The sections an answer may rest on, cut into clauses whose words, values and denials are known."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from agent.dialogue.writing.contracts import Passage
from agent.dialogue.writing.terms import all_stems, content_stems, denies, lacking
from agent.dialogue.writing.values import Value, figures, support_words, values

_SENTENCE = re.compile(r"(?<=[.!?])[\"')]*\s+(?=[\"'(]?[A-Z0-9$€£])|(?<=[。！？])|\n+")
_TURN = re.compile(
    r";|；|,?\s+(?:but|while|whereas|although|though|however)\s+|,?\s+and\s+(?=(?:you|we|it|they|there|he|she)\b)"
    r"|,\s+(?=(?:not|neither|nor)\b)"
    r"|,?\s+and\s+(?=(?:costs?|takes?|runs?|needs?|lasts?|is|are|was|were|has|have|can|may|must|will)\b)"
    r"|，?(?:但是|但|不过|而)",
    re.IGNORECASE,
)
_PIECE = re.compile(r"[,;:，；：、]\s*|\s+(?:and|or|but)\s+", re.IGNORECASE)
_NO_SUBJECT = re.compile(
    r"(?:it|they|this|that|these|those|otherwise|then|not|is|are|was|were|has|have|can|may|must|will|would|should|costs?|takes?|runs?|needs?|includes?|gets?|stays?|lasts?"
    r"|closes?|opens?|starts?|begins?|ends?|arrives?|leaves?|comes?|goes|rises?|falls?|counts?|covers?|sends?|gives?"
    r"|expires?|ships?|pays?|before|after|below|above|within|until|from|on|in|at)\b",
    re.IGNORECASE,
)
_JOIN = re.compile(r",\s+(?:and\s+)?|\s+and\s+|，|、|和", re.IGNORECASE)
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Clause:
    """Words that say one thing.

    stems: of all its words; content: of those that need support; lacking: what it says is not there. context: stems of
    the heading above it, and of the clause before where it leaves its subject out. sentence: number of its sentence.
    """

    text: str
    stems: frozenset[str]
    content: tuple[str, ...]
    values: tuple[Value, ...]
    denies: bool
    lacking: frozenset[str]
    context: frozenset[str] = _NONE
    source: str = ""
    sentence: int = 0


class Evidence:
    """What is known. `names` are words such as the business's name that may always be said."""

    def __init__(self, passages: Sequence[Passage], names: Iterable[str] = ()) -> None:
        self.clauses: list[Clause] = []
        self.windows: list[str] = []
        """Texts that a sentence is compared to by meaning: each sentence, two in a row, and under its heading."""
        self.values: list[Value] = []
        self.stems: set[str] = set()
        self.words: set[str] = {word for name in names for word in re.findall(r"\w+", name.lower())}
        self.answers_yes: dict[str, bool] = {}
        """Sections whose text begins with yes or no, and which."""
        for passage in passages:
            self._add(passage)

    @staticmethod
    def sentences(text: str) -> list[str]:
        """The sentences of a section."""
        return [piece.strip() for piece in _SENTENCE.split(text) if piece and piece.strip()]

    def _add(self, passage: Passage) -> None:
        heading = frozenset(all_stems(passage.heading))
        pieces = self.sentences(passage.text)
        before = _NONE
        for piece in pieces:
            before = self._cut(piece, passage.source, heading, before)
            self.windows += [part for part in _PIECE.split(piece) if len(part.split()) > 2 or not part.isascii()]
        self.windows += [*pieces, *(f"{left} {right}" for left, right in itertools.pairwise(pieces))]
        self.windows += [f"{passage.heading} {piece}" for piece in pieces]
        whole = f"{passage.heading}. {passage.text}"
        self.values += [*values(whole), *support_words(whole)]
        self.values += [value for one in self.clauses for value in one.values]
        self.stems |= set(all_stems(whole))
        self.words |= set(re.findall(r"[\w&'-]+", whole.lower())) | set(re.findall(r"\w+", whole.lower()))
        lead = re.match(r"(yes|no)\b", passage.text, re.IGNORECASE)
        if lead:
            self.answers_yes[passage.source] = lead[1].lower() == "yes"

    def _cut(self, sentence: str, source: str, heading: frozenset[str], before: frozenset[str]) -> frozenset[str]:
        """Add the clauses of a sentence, and give the stems of the last.

        A clause that goes on in a sentence, leaves its subject out, or says "it", also means words of the one before,
        whose stems are `before`.
        """
        number, unit = len(self.windows), ""
        for n, part in enumerate(parts(sentence)):
            begins = values(part)[:1]
            elliptic = n or _NO_SUBJECT.match(part) or (begins and begins[0].start == 0)
            one = clause(part, source, heading | before if elliptic else heading, number, unit)
            self.clauses.append(one)
            before = one.stems | before if elliptic else one.stems
            unit = next((value.unit for value in reversed(one.values) if value.rival == "duration"), unit)
        return before


def clause(text: str, source: str = "", context: frozenset[str] = _NONE, sentence: int = 0, unit: str = "") -> Clause:
    """`text` as a clause. `unit` is what its bare numbers count, as in "for ten years; a child's for five"."""
    plain = figures(text)
    found = list(values(plain))
    if unit:
        found += [replace(value, unit=unit) for value in found if value.kind == "number" and not value.unit]
    return Clause(
        text,
        frozenset(all_stems(plain)),
        tuple(dict.fromkeys(content_stems(plain))),
        tuple(found),
        denies(plain),
        lacking(plain),
        context,
        source,
        sentence,
    )


def parts(sentence: str) -> list[str]:
    """A sentence where it turns ("but") and where it lists facts with a value of the same kind each."""
    found: list[str] = []
    for piece in _TURN.split(sentence):
        found += _listed(piece.strip())
    return [piece for piece in found if piece]


def _listed(piece: str) -> list[str]:
    for match in _JOIN.finditer(piece):
        left, right = piece[: match.start()], piece[match.end() :]
        found = [values(side) for side in (left, right)]
        if found[1] and found[1][0].start == 0 and found[1][0].kind == "weekday":
            continue  # "Tuesdays and Thursdays" is more of the same
        kinds = [{one.rival for one in side if not one.rival.startswith("word")} for side in found]
        told = [len(kinds[n]) > 1 or content_stems(side) for n, side in enumerate((left, right))]
        if kinds[0] & kinds[1] and all(told):
            return [left, *_listed(right)]
    return [piece]
