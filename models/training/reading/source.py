"""What every reader shares: text from bytes, problems by file and line, and examples that hold what they say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.training.examples import DataError, Example, Span

LISTED = 20
"""Problems shown of one data set; more are only counted."""

SplitName = Literal["train", "validation", "test"]
SPLIT_NAMES: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
"""What data sets call their splits."""


class Problems:
    """What is wrong with a data set, as far as it was read; the first `LISTED` are kept in words."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, origin: str, message: str) -> None:
        """Note `message` (what is wrong, the value, the remedy) of `origin` (`file:line`)."""
        self._count += 1
        if len(self._lines) < LISTED:
            self._lines.append(f"{origin}: {message}")

    def include(self, error: DataError) -> None:
        """Note all problems of `error`, which name their origin themselves."""
        for line in error.problems:
            self._count += 1
            if len(self._lines) < LISTED:
                self._lines.append(line)

    def refuse(self) -> None:
        """Raise what was noted, if anything.

        Raises:
            DataError: the problems, and how many more there are than are listed.
        """
        if not self._count:
            return
        more = self._count - len(self._lines)
        raise DataError([*self._lines, f"... and {more} more problems"] if more else self._lines)


@dataclass(frozen=True, slots=True)
class Labelled:
    """An example and the split that its row names; None where it names none."""

    example: Example
    split: SplitName | None = None


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte-order mark.

    Raises:
        DataError: it cannot be read, or is not UTF-8; names the line of the first wrong byte.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            [f"{path}: cannot be read ({error.strerror or error}); name a file of labelled texts"]
        ) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        wrong = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise DataError([f"{path}:{line}: {wrong}; save the file with UTF-8 encoding"]) from None


def lines_of(text: str) -> list[str]:
    """The lines of `text` without their ends; only LF and CRLF end one, and a last empty one is no line."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines and not lines[-1] else lines


def shown(value: object) -> str:
    """`value` as messages quote it: at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def make_example(
    problems: Problems,
    origin: str,
    text: str,
    *,
    intent: str | None = None,
    spans: Sequence[Span] | None = None,
    emotions: Sequence[str] = (),
    weight: float = 1.0,
) -> Example | None:
    """An example of what a row says, or None with its problems noted.

    A text without spans loses the blanks around it; with spans it is kept, since they count its characters.
    """
    before = len(problems)
    if not text.strip():
        problems.add(origin, f"text is {shown(text)}, no words; remove the row or write what was said")
    elif not _whole(text):
        problems.add(origin, f"text {shown(text)} holds half of a character (a lone surrogate); write it again")
    if intent is not None and not (intent.strip() and _whole(intent)):
        problems.add(origin, f"intent is {shown(intent)}; name one, or leave the field out where none is known")
    for emotion in emotions:
        if not (emotion.strip() and _whole(emotion)):
            problems.add(origin, f"emotion is {shown(emotion)}; name one, or leave the field out where none is known")
    if not 0 < weight < float("inf"):
        problems.add(origin, f"weight is {weight!r}; give a number above 0")
    ordered = None if spans is None else tuple(sorted(spans, key=lambda span: (span.start, span.end)))
    for problem in span_problems(text, ordered or ()):
        problems.add(origin, problem)
    if len(problems) > before:
        return None
    return Example(
        text=text if ordered else text.strip(),
        intent=intent.strip() if intent is not None else None,
        spans=ordered,
        emotions=tuple(dict.fromkeys(emotion.strip() for emotion in emotions)),
        origin=origin,
        weight=float(weight),
    )


def span_problems(text: str, spans: Iterable[Span]) -> list[str]:
    """What is wrong with `spans`, in order of their starts, as slot values of `text`."""
    out, reached, last = [], 0, ""
    for span in spans:
        named = f"slot {span.name!r} at [{span.start}, {span.end})"
        if not (span.name.strip() and _whole(span.name)):
            out.append(f"slot at [{span.start}, {span.end}) is named {shown(span.name)}; give it a name")
        elif not 0 <= span.start < span.end <= len(text):
            out.append(f"{named} is outside the text, which has {len(text)} characters; count from 0, end excluded")
        elif not text[span.start : span.end].strip():
            out.append(f"{named} holds no words; mark the words of the value")
        elif span.start < reached:
            out.append(f"{named} overlaps {last}; a character belongs to one slot: keep one of them")
        if span.end > reached:
            reached, last = span.end, named
    return out


def _whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
