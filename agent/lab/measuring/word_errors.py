"""Word and character error rate: what was said against what was heard, written alike on both sides first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.languages import CHINESE, base
from models.simplified import simplified
from models.speakable import speakable
from models.speakable.numbers import cardinal
from models.speakable.numbers import digits as digit_by_digit

_APART = 3
"""Figures from this many digits on are read digit by digit, as callers dictate order numbers."""

_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+(?:'[^\W_\u3400-\u9fff]+)*")
_DOTTED_TIME = re.compile(r"\b(\d{1,2})\.(\d{2})(?=\s*(?:[ap]\.?m\b|in the ))", re.IGNORECASE)
"""Recognizers write 4:30 p.m. as 4.30pm, too."""
_HALF_DAY = re.compile(r"\b([ap])\.\s?m\b\.?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Counts that add up over utterances. `words` is how many were said."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    words: int = 0

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.words + other.words,
        )

    @property
    def errors(self) -> int:
        """All errors."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def percent(self) -> float:
        """Word error rate in percent; above 100 where more was heard than said. 0 where nothing was said or heard."""
        return 100.0 * self.errors / max(1, self.words)


def plain_words(text: str) -> list[str]:
    """`text` as words to compare: lower case, no punctuation, figures as words.

    "42719", "4-2-7-1-9" and "four two seven one nine" become the same; figures of one or two digits become a cardinal.
    Each Chinese character is a word.
    """
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text.lower().replace("’", "'"))
    text = re.sub(r"\d+", lambda found: f" {_spelled(found.group())} ", text)
    return _WORD.findall(text)


def count_errors(said: Sequence[str], heard: Sequence[str]) -> WordErrors:
    """Fewest substitutions, deletions and insertions that turn `said` into `heard`."""
    row = [WordErrors(insertions=count) for count in range(len(heard) + 1)]
    for at, word in enumerate(said, 1):
        previous, row = row, [WordErrors(deletions=at)]
        for other, found in enumerate(heard, 1):
            if word == found:
                row.append(previous[other - 1])
                continue
            row.append(
                min(
                    previous[other - 1] + WordErrors(substitutions=1),
                    previous[other] + WordErrors(deletions=1),
                    row[other - 1] + WordErrors(insertions=1),
                    key=lambda errors: errors.errors,
                )
            )
    return row[-1] + WordErrors(words=len(said))


def word_errors(said: str, heard: str) -> WordErrors:
    """Errors between two texts, after `plain_words`."""
    return count_errors(plain_words(said), plain_words(heard))


def character_errors(said: str, heard: str) -> WordErrors:
    """Errors between the letters and figures of two texts, after `plain_words`, without spaces; `words` counts them.

    The measure for languages that write without spaces; elsewhere it forgives a word that is nearly right.
    """
    first, second = ("".join(plain_words(text)) for text in (said, heard))
    if first == second:
        return WordErrors(words=len(first))
    return count_errors(first, second)


def written_out(text: str, language: str = "en") -> str:
    """`text` as it is said: numbers, money, times and addresses in words, on whichever side they were figures.

    Chinese is written in simplified characters.
    """
    if base(language) == CHINESE:
        return speakable(simplified(text), CHINESE).text
    timed = _DOTTED_TIME.sub(r"\1:\2", text)
    return _HALF_DAY.sub(r"\1m", speakable(timed).text)


def _spelled(figures: str) -> str:
    apart = len(figures) >= _APART or figures.startswith("0")
    return (digit_by_digit(figures) if apart else cardinal(int(figures))).replace("-", " ")
