"""Labelled texts from files of the shapes that are found: ours, a domain's, and those of published data sets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

from models.training.examples import DataError, Splits
from models.training.reading.domain import read_domain
from models.training.reading.jsonl import read_jsonl, to_row, write_jsonl
from models.training.reading.marks import unmark
from models.training.reading.published import (
    LABELS_FILE,
    is_goemotions,
    read_clinc,
    read_goemotions,
    read_goemotions_file,
)
from models.training.reading.source import SPLIT_NAMES, Labelled, Problems
from models.training.reading.tables import read_table
from models.training.reading.tokens import is_snips, read_snips

__all__ = ["read_examples", "to_row", "unmark", "write_jsonl"]

DOMAIN_FILE = "intents.yaml"
CLINC_FILE = "data_full.json"
_TABLES = (".jsonl", ".csv", ".tsv")
_CPED_ENDING = "_split"
_DEEPEST = 4
"""Folders below the one named in which a data set is looked for."""

Found = tuple[str, list[Labelled]]
FolderReader = Callable[[Path, Problems], Found]

KNOWN = (
    "a .jsonl of ours, a .csv or .tsv with a header, an intents.yaml, train/validation/test files in a folder, "
    "or a Banking77, CLINC150, SNIPS, MultiDoGO, GoEmotions, CPED or Bitext folder"
)


def read_examples(path: Path) -> Splits:
    """The labelled texts of a file or folder, by split; what it is shows in its names and headers.

    A file: `.jsonl` of ours (`models.training.reading.jsonl`), `.csv`/`.tsv` (`models.training.reading.tables`),
    `intents.yaml`, CLINC150's `.json`. A folder: a domain, Banking77, CLINC150, SNIPS, MultiDoGO (one domain),
    GoEmotions (`original` or `ekman`), CPED, Bitext, train/validation/test files of ours, or label files; if it is none
    of these, the one data set in the folders below it. The split is what the row says, else the name of the file or
    folder (`train`, `valid`, `validation`, `val`, `dev`, `test`), else train.

    A source is the kind of data set and the name of its file or folder, without the way there. CPED without its
    `train_split.csv` trains on `test_split.csv` and tests on `valid_split.csv`; its source says so.

    Raises:
        DataError: nothing of these is there, or all that is wrong with what is there, as `file:line: ...` (at most 20).
    """
    problems = Problems()
    if path.is_dir():
        folder, reader = _find(path)
        kind, rows = reader(folder, problems)
        source = f"{kind}: {Path(path.resolve().name, folder.relative_to(path))}"
    else:
        kind, rows = _read_file(path, problems)
        source = f"{kind}: {path.name}"
    problems.refuse()
    chosen = {name: tuple(row.example for row in rows if (row.split or "train") == name) for name in _NAMES}
    return Splits(chosen["train"], chosen["validation"], chosen["test"], (source,))


_NAMES = ("train", "validation", "test")


def _read_file(path: Path, problems: Problems) -> Found:
    if not path.exists():
        raise DataError([f"{path}: not there; name {KNOWN}"])
    ending = path.suffix.lower()
    if ending in {".yaml", ".yml"}:
        return "domain", read_domain(path, problems)
    if ending == ".json":
        return "CLINC150", read_clinc(path, problems)
    if ending in _TABLES:
        return _in_split(path, *_read_rows(path, problems), problems)
    raise DataError([f"{path}: {ending or 'no ending'!r} is not known; name {KNOWN}"])


def _read_rows(path: Path, problems: Problems) -> Found:
    if path.suffix.lower() == ".jsonl":
        return "JSONL", read_jsonl(path, problems)
    if path.suffix.lower() == ".tsv" and path.with_name(LABELS_FILE).is_file():
        return "GoEmotions", read_goemotions_file(path, problems)
    return read_table(path, problems)


def _in_split(path: Path, kind: str, rows: list[Labelled], problems: Problems, name: str | None = None) -> Found:
    """`rows` in the split that the file (or `name`) says; a row that says another is a problem."""
    split = SPLIT_NAMES.get(name or path.stem.lower().removesuffix(_CPED_ENDING))
    if split is None:
        return kind, rows
    for row in rows:
        if row.split not in (None, split):
            problems.add(row.example.origin, f"split is {row.split!r} in a file of {split!r}; take the row elsewhere")
    return kind, [dataclasses.replace(row, split=split) for row in rows]


def _find(folder: Path, depth: int = 0) -> tuple[Path, FolderReader]:
    """The data set in `folder` or, alone, below it.

    Raises:
        DataError: there is none, or several.
    """
    found = _candidates(folder, depth)
    if not found:
        raise DataError([f"{folder}: holds no labelled texts; name {KNOWN}"])
    if len(found) > 1:
        listed = ", ".join(str(path) for path, _ in found[:8]) + (", ..." if len(found) > 8 else "")
        raise DataError([f"{folder}: holds {len(found)} data sets; name one of {listed}"])
    return found[0]


def _candidates(folder: Path, depth: int) -> list[tuple[Path, FolderReader]]:
    reader = _folder_reader(folder)
    if reader is not None:
        return [(folder, reader)]
    if depth == _DEEPEST:
        return []
    return [found for below in _folders(folder) for found in _candidates(below, depth + 1)]


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError([f"{folder}: cannot be read ({error.strerror or error}); allow reading it"]) from None


def _tables(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if entry.suffix.lower() in _TABLES and entry.is_file())
    except OSError as error:
        raise DataError([f"{folder}: cannot be read ({error.strerror or error}); allow reading it"]) from None


def _folder_reader(folder: Path) -> FolderReader | None:
    """How `folder` itself is read, if it is a data set."""
    if (folder / DOMAIN_FILE).is_file():
        return lambda at, problems: ("domain", read_domain(at / DOMAIN_FILE, problems))
    if is_goemotions(folder):
        return lambda at, problems: ("GoEmotions", read_goemotions(at, problems))
    if is_snips(folder):
        return lambda at, problems: ("SNIPS", read_snips(at, problems))
    if (folder / CLINC_FILE).is_file():
        return lambda at, problems: ("CLINC150", read_clinc(at / CLINC_FILE, problems))
    if _tables(folder):
        return _read_files
    if any(_tables(below) for below in _folders(folder) if below.name.lower() in SPLIT_NAMES):
        return _read_split_folders
    return None


def _read_files(folder: Path, problems: Problems) -> Found:
    """Files named by split where there are such, else every table of the folder (label files)."""
    tables = _tables(folder)
    named = [path for path in tables if path.stem.lower().removesuffix(_CPED_ENDING) in SPLIT_NAMES]
    by_split: dict[str, list[Path]] = {}
    for path in named:
        by_split.setdefault(SPLIT_NAMES[path.stem.lower().removesuffix(_CPED_ENDING)], []).append(path)
    for split, paths in by_split.items():
        if len(paths) > 1:
            problems.add(str(folder), f"{' and '.join(path.name for path in paths)} both are {split}; keep one")
    found = [_read_safely(path, problems) for path in named or tables]
    kinds = {kind for kind, _ in found}
    rows = [row for _, part in found for row in part]
    if kinds == {"CPED"} and by_split and "train" not in by_split:
        return _cped_without_train(rows)
    return " and ".join(sorted(kinds)), rows


def _cped_without_train(rows: Iterable[Labelled]) -> Found:
    moved = {"test": "train", "validation": "test"}
    out = [dataclasses.replace(row, split=SPLIT_NAMES[moved[row.split or "validation"]]) for row in rows]
    return "CPED without its training split: trained on test_split.csv, tested on valid_split.csv", out


def _read_safely(path: Path, problems: Problems, name: str | None = None) -> Found:
    """As `_read_file`, with a file that cannot be read noted beside the problems of the others."""
    try:
        return _in_split(path, *_read_rows(path, problems), problems, name)
    except DataError as error:
        problems.include(error)
        return "table", []


def _read_split_folders(folder: Path, problems: Problems) -> Found:
    found = [
        _read_safely(path, problems, below.name.lower())
        for below in _folders(folder)
        if below.name.lower() in SPLIT_NAMES
        for path in _tables(below)
    ]
    return " and ".join(sorted({kind for kind, _ in found})), [row for _, part in found for row in part]
