"""Other words for the same: synonyms, other ways to ask, and numbers in digits or in words.

Slot values keep their words, except that a number in one may be written the other way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random

from models.slots.digits import digit_runs
from models.speakable import speakable
from models.training.edits import Edit, free, like, words
from models.training.examples import Span
from models.training.mishearings import read_rows, whole_words

SYNONYMS_FILE = Path(__file__).with_name("synonyms.tsv")
"""A wording of customer service, then what may stand for it in a row; our own list."""

_MOST_REPLACED = 2
"""Synonyms in one text."""
_LEAST_DIGITS = 3
"""Digits in words from which a run becomes figures; fewer are mostly counts ("one of them")."""

FAMILIES: tuple[tuple[str, ...], ...] = (
    # the agent is to do it
    ("can you", "could you", "would you", "will you", "please", "can you please", "could you please", "I need you to",
     "I want you to", "I'd like you to", "would you be able to", "are you able to", "go ahead and"),
    # the caller wants to do it
    ("I want to", "I'd like to", "I would like to", "I need to", "I wanna", "I'm trying to", "I am trying to",
     "I'm looking to", "I was hoping to", "I'm calling to", "I have to", "I've got to", "I wish to", "let me",
     "help me", "I need help to"),
    # the caller asks whether it can be done
    ("can I", "could I", "may I", "am I able to", "am I allowed to", "is it possible to", "is there any way to",
     "is it okay to", "would it be possible to"),
    # the caller asks how it is done
    ("how do I", "how can I", "how would I", "how could I", "what do I do to", "what do I need to do to",
     "what's the way to", "tell me how to", "how am I supposed to", "what is the process to", "how does one"),
    # the caller asks for a fact
    ("I'd like to know", "I want to know", "can you tell me", "could you tell me", "do you know", "tell me",
     "please tell me", "I was wondering", "I'm wondering", "would you know"),
    # the caller reports
    ("I have a problem with", "there's a problem with", "I'm having trouble with", "I have an issue with",
     "there is something wrong with", "something's wrong with", "I'm having an issue with"),
    ("I got", "I received", "I was sent", "I was given"),
    ("I haven't received", "I didn't get", "I never got", "I have not received", "I still haven't gotten"),
    ("do you have", "have you got", "do you carry", "do you sell"),
    ("where is", "where's"),
    ("when will", "how soon will", "what day will"),
)  # fmt: skip
"""Openings of a request that may stand for each other; a longer one is known before a shorter."""

_BARE = re.compile(
    r"(?:activate|add|arrange|book|block|cancel|change|check|close|confirm|connect|find|give|help|look|make|open|order|"
    r"pay|put|register|remove|renew|replace|reschedule|reset|return|schedule|send|set|ship|show|start|stop|switch|"
    r"track|transfer|turn|unlock|update|upgrade)\b(?! (?:is|was|has|have|of|number|status|policy|label|form|date)\b)",
    re.IGNORECASE,
)
"""Requests that begin with their verb."""
_LEAD = re.compile(
    r"(?:(?:hi|hello|hey|yes|yeah|okay|ok|so|well|um|uh|good morning|good afternoon|please|there)\b[,.!]?\s*)*", re.I
)
_BEFORE = ("can you", "please", "could you", "I need you to", "I'd like you to")
_THANKS = ("thanks", "thank you")
_ENDINGS = ("please", "if you can", "if possible", "when you get a chance", *_THANKS)
_LEAST_WORDS, _ENDED = 4, 0.3
"""Words of the shortest text that gets another ending, and the share of them that do."""
_POLITE = re.compile(r"\b(?:please|thanks|thank you|possible|if you)\b", re.IGNORECASE)
_ARTICLE = re.compile(r"\b(an?)\s+$", re.IGNORECASE)
_FIGURES = re.compile(r"[$€£#]?\d[\d,.:\s-]*%?")


def synonyms(text: str, rng: Random, spans: Sequence[Span] = ()) -> list[Edit]:
    """One or two wordings replaced by others that mean the same in a call."""
    table, pattern = _synonym_table()
    found = [match for match in pattern.finditer(text.replace("’", "'")) if free(*match.span(), spans)]
    count = min(len(found), rng.randint(1, _MOST_REPLACED))
    edits = []
    for match in rng.sample(found, count):
        article = _ARTICLE.search(text, 0, match.start())
        others = table[match.group().lower()]
        if article is not None:
            others = tuple(other for other in others if (other[0] in "aeiou") is (article[1].lower() == "an"))
        if others:
            edits.append(Edit(match.start(), match.end(), like(text[match.start() : match.end()], rng.choice(others))))
    return edits


@cache
def _synonym_table() -> tuple[Mapping[str, tuple[str, ...]], re.Pattern[str]]:
    table = {row[0].lower(): tuple(row[1:]) for row in read_rows(SYNONYMS_FILE, 2)}
    return table, whole_words(table)


def paraphrase(text: str, rng: Random, spans: Sequence[Span] = ()) -> list[Edit]:
    """Another way to open or to close the same request: "can you X" / "please X", "I want to X" / "I'd like to X"."""
    lead = _LEAD.match(text)
    start = lead.end() if lead else 0
    edits: list[Edit] = []
    families, pattern = _opening_table()
    opening = pattern.match(text.replace("’", "'"), start)
    if opening is not None:
        others = [other for other in families[opening.group().lower()] if other.lower() != opening.group().lower()]
        edits.append(Edit(opening.start(), opening.end(), _opened(opening.group(), rng.choice(others))))
    elif _BARE.match(text, start) and free(start, start + 1, spans):
        first = text[start]
        opener = _opened(first, rng.choice(_BEFORE))
        edits.append(Edit(start, start + 1, f"{opener} {first.lower()}"))
    ended = text.rstrip(" .?!")
    if len(words(text)) >= _LEAST_WORDS and not _POLITE.search(text) and rng.random() < _ENDED:
        endings = _ENDINGS if edits or text.rstrip().endswith("?") else _THANKS
        edits.append(Edit(len(ended), len(ended), f" {rng.choice(endings)}"))
    return edits


def _opened(written: str, other: str) -> str:
    """`other` as `written` was: all small where its "I" is, else with a capital first where it had one."""
    if re.match(r"i\b", written):
        return other.lower()
    return other if re.match(r"I\b", written) else like(written, other)


@cache
def _opening_table() -> tuple[Mapping[str, tuple[str, ...]], re.Pattern[str]]:
    table = {opening.lower(): family for family in FAMILIES for opening in family}
    return table, whole_words(table)


def numbers(text: str, rng: Random, spans: Sequence[Span] = ()) -> list[Edit]:
    """Figures as they are said (42719: four two seven one nine), or numbers said digit by digit as figures."""
    figures = [
        Edit(segment.start, segment.end, _said(said.text[segment.spoken_start : segment.spoken_end]), within=True)
        for said in (speakable(text),)
        for segment in said.segments
        if not segment.same and _is_figure(text, segment.start, segment.end)
    ]
    in_words = [
        Edit(run.start, run.end, run.digits, within=True)
        for run in digit_runs(text)
        if len(run.digits) >= _LEAST_DIGITS and not run.guessed and not _has_digit(text[run.start : run.end])
    ]
    chosen = figures if figures and (not in_words or rng.random() < 0.5) else in_words
    return [edit for edit in chosen if edit.text]


def _said(spoken: str) -> str:
    """As a recognizer writes it: without the pauses and hyphens, and without the "number" that only a voice needs."""
    return " ".join(spoken.removeprefix("number ").replace(",", " ").replace("-", " ").split())


def _is_figure(text: str, start: int, end: int) -> bool:
    """Whether text[start:end] is a number that stands alone."""
    beside = text[max(0, start - 1) : start] + text[end : end + 1]
    return _FIGURES.fullmatch(text, start, end) is not None and not any(letter.isalnum() for letter in beside)


def _has_digit(text: str) -> bool:
    return any(letter.isdecimal() for letter in text)
