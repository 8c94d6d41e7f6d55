"""Two published data sets in files of their own shape: CLINC150 (JSON) and GoEmotions (TSV with numbered labels)."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.contracts import OUT_OF_SCOPE
from models.training.examples import DataError
from models.training.reading.source import SPLIT_NAMES, Labelled, Problems, lines_of, make_example, read_text, shown

LABELS_FILE = "labels.txt"
_CLINC_OUTSIDE = "oos"
_STRING = r'"(?:[^"\\]|\\.)*"'
_PAIR = re.compile(rf"\[\s*{_STRING}\s*,\s*{_STRING}\s*\]")


def read_clinc(path: Path, problems: Problems) -> list[Labelled]:
    """The examples of CLINC150's `data_full.json`, {"train": [[text, intent], ...], "oos_train": ...}.

    Its intent `oos` is out of scope.

    Raises:
        DataError: the file cannot be read or is not UTF-8. Everything else is noted in `problems`.
    """
    text = read_text(path)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        problems.add(f"{path}:{getattr(error, 'lineno', 1)}", f"not JSON ({error}); a file of ours is .jsonl")
        return []
    if not isinstance(document, dict) or not document:
        problems.add(f"{path}:1", "not CLINC150's {split: [[text, intent], ...]}; write examples as .jsonl, one a line")
        return []
    origins = _pair_lines(path, text)
    out = []
    for key, rows in document.items():
        split = SPLIT_NAMES.get(str(key).removeprefix("oos_"))
        if split is None or not isinstance(rows, list):
            problems.add(
                f"{path}:1", f"key {shown(key)} is no split with a list; give train, val, test and oos_ of each"
            )
            continue
        for row in rows:
            if not _is_pair(row):
                problems.add(f"{path}:1", f"{shown(row)} in {key!r} is not [text, intent]; write it so")
                continue
            intent = OUT_OF_SCOPE if row[1] == _CLINC_OUTSIDE else row[1]
            example = make_example(problems, next(origins, f"{path}:1"), row[0], intent=intent)
            if example is not None:
                out.append(Labelled(example, split))
    return out


def _is_pair(row: Any) -> bool:
    return isinstance(row, list) and len(row) == 2 and all(isinstance(item, str) for item in row)


def _pair_lines(path: Path, text: str) -> Iterator[str]:
    """`file:line` of each pair of strings, in order."""
    ends = [found.start() for found in re.finditer("\n", text)]
    for found in _PAIR.finditer(text):
        yield f"{path}:{bisect_right(ends, found.start()) + 1}"


def is_goemotions(folder: Path) -> bool:
    """Whether `folder` holds `labels.txt` and tables such as `train.tsv`."""
    return (folder / LABELS_FILE).is_file() and any((folder / f"{name}.tsv").is_file() for name in SPLIT_NAMES)


def read_goemotions(folder: Path, problems: Problems) -> list[Labelled]:
    """The examples of a GoEmotions folder, `original` or `ekman`: all of its splits.

    Raises:
        DataError: a file cannot be read or is not UTF-8. Everything else is noted in `problems`.
    """
    out: list[Labelled] = []
    for name, split in SPLIT_NAMES.items():
        path = folder / f"{name}.tsv"
        if path.is_file():
            out += [Labelled(labelled.example, split) for labelled in read_goemotions_file(path, problems)]
    return out


def read_goemotions_file(path: Path, problems: Problems) -> list[Labelled]:
    """One table of text, label numbers parted by commas, and id; `labels.txt` beside it names the labels.

    Raises:
        DataError: a file cannot be read, is not UTF-8, or `labels.txt` is empty.
    """
    names = [line.strip() for line in lines_of(read_text(path.with_name(LABELS_FILE))) if line.strip()]
    if not names:
        raise DataError([f"{path.with_name(LABELS_FILE)}: empty; write one label on each line"])
    out = []
    for number, line in enumerate(lines_of(read_text(path)), start=1):
        origin = f"{path}:{number}"
        cells = line.split("\t")
        if len(cells) != 3:
            problems.add(origin, f"{len(cells)} cells; write text, label numbers and id with tabs between")
            continue
        numbers = cells[1].split(",")
        wrong = [item for item in numbers if not (re.fullmatch("[0-9]{1,4}", item) and int(item) < len(names))]
        if wrong:
            problems.add(origin, f"label {shown(wrong[0])} is no line of {LABELS_FILE}; give 0 to {len(names) - 1}")
            continue
        example = make_example(problems, origin, cells[0], emotions=[names[int(item)] for item in numbers])
        if example is not None:
            out.append(Labelled(example))
    return out
