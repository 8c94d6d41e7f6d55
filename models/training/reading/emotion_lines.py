"""Call-centre lines of ours with an emotion each: a TSV with the columns split (`train` or `held`), label and text."""

from __future__ import annotations

import csv
from pathlib import Path

from models.training.examples import Example, Splits
from models.training.reading.source import Problems, lines_of, make_example, read_text, shown

COLUMNS = ["split", "label", "text"]
_HELD = "held"


def read_emotion_lines(path: Path, weight: float = 1.0) -> Splits:
    """The lines of `path`: split `train` as train, `held` as test; each counts as `weight` examples.

    Raises:
        DataError: the file cannot be read, or all rows that are not split, label and text, as `file:line: ...`.
    """
    problems = Problems()
    out: dict[str, list[Example]] = {"train": [], _HELD: []}
    rows = csv.reader(lines_of(read_text(path)), delimiter="\t")
    if next(rows, []) != COLUMNS:
        problems.add(f"{path}:1", f"the header is not {', '.join(COLUMNS)} with tabs between; write it so")
    for number, cells in enumerate(rows, start=2):
        origin = f"{path}:{number}"
        if not cells:
            continue
        if len(cells) != len(COLUMNS) or cells[0] not in out:
            problems.add(origin, f"{shown(cells)} is not train or held, label and text with tabs between; correct it")
            continue
        example = make_example(problems, origin, cells[2], emotions=[cells[1]], weight=weight)
        if example is not None:
            out[cells[0]].append(example)
    problems.refuse()
    return Splits(train=tuple(out["train"]), test=tuple(out[_HELD]), sources=(f"emotion lines: {path.name}",))
