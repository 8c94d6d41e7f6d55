"""Texts that come as words with a label each: SNIPS folders, and the turns of MultiDoGO."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from models.training.examples import Span
from models.training.reading.source import (
    SPLIT_NAMES,
    Labelled,
    Problems,
    SplitName,
    lines_of,
    make_example,
    read_text,
    shown,
)

OUTSIDE = "O"
_FILES = ("seq.in", "seq.out", "label")


def joined(tokens: Sequence[str], labels: Sequence[str]) -> tuple[str, tuple[Span, ...]]:
    """The words with one space between them, and the spans that their labels make.

    `B-x` begins a value, `I-x` goes on with it, or begins one where none of that name is open (as conlleval reads it);
    a bare `x` goes on with a value of that name or begins one. Blank words are left out, and end a value they are not
    labelled as.
    """
    pieces: list[str] = []
    spans: list[Span] = []
    length = 0
    opened: tuple[str, int, int] | None = None
    for token, label in zip(tokens, labels, strict=True):
        prefix, _, rest = label.partition("-")
        begins, name = (prefix == "B", rest) if prefix in {"B", "I"} and rest else (False, label)
        word = token.strip()
        start = length + (1 if pieces and word else 0)
        end = start + len(word)
        if opened is not None and (label == OUTSIDE or begins or name != opened[0]):
            spans.append(Span(opened[1], opened[2], opened[0]))
            opened = None
        if not word:
            continue
        if label != OUTSIDE:
            opened = (name, start, end) if opened is None else (name, opened[1], end)
        pieces.append(word)
        length = end
    if opened is not None:
        spans.append(Span(opened[1], opened[2], opened[0]))
    return " ".join(pieces), tuple(spans)


def is_snips(folder: Path) -> bool:
    """Whether `folder` holds `train/seq.in` and the like."""
    return any((folder / name / "seq.in").is_file() for name in SPLIT_NAMES)


def read_snips(folder: Path, problems: Problems) -> list[Labelled]:
    """The examples of a folder with train, valid and test, each `seq.in` (words), `seq.out` (BIO) and `label` (intent).

    Raises:
        DataError: a file cannot be read or is not UTF-8. Everything else is noted in `problems`.
    """
    out: list[Labelled] = []
    for name, split in SPLIT_NAMES.items():
        if (folder / name / "seq.in").is_file():
            out += _split(folder / name, split, problems)
    return out


def _split(folder: Path, split: SplitName, problems: Problems) -> list[Labelled]:
    words, slots, intents = (lines_of(read_text(folder / name)) for name in _FILES)
    if not len(words) == len(slots) == len(intents):
        counts = ", ".join(f"{name} {len(rows)}" for name, rows in zip(_FILES, (words, slots, intents), strict=True))
        problems.add(f"{folder}", f"files of different length ({counts} lines); give each line in all three")
        return []
    out = []
    for number, (said, tagged, intent) in enumerate(zip(words, slots, intents, strict=True), start=1):
        origin = f"{folder / 'seq.in'}:{number}"
        tokens, labels = said.split(), tagged.split()
        if len(tokens) != len(labels):
            problems.add(origin, f"{len(tokens)} words, but seq.out has {len(labels)} labels; give each word one")
            continue
        wrong = [label for label in labels if label != OUTSIDE and not (label[:2] in {"B-", "I-"} and label[2:])]
        if wrong:
            problems.add(origin, f"label {shown(wrong[0])} is not O, B-name or I-name; correct seq.out")
            continue
        text, spans = joined(tokens, labels)
        example = make_example(problems, origin, text, intent=intent, spans=spans)
        if example is not None:
            out.append(Labelled(example, split))
    return out
