"""Rows that the database would not take, kept on disk until it does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

Kind = Literal["open", "turn", "event", "action", "finish"]
Entry = tuple[Kind, dict[str, Any]]
"""What a row is, and its columns, JSON-ready."""

SPILL_BYTES = 4 * 1024 * 1024
"""Events are left out of a spill file beyond this; turns and actions of the longest call stay far below it."""
SUFFIX = ".spill.jsonl"


class Spill:
    """The spill file of one call, one row a line. Blocks on the disk: call it from a thread."""

    def __init__(self, folder: Path, call_id: str, owner: str) -> None:
        self.path = folder / f"{call_id}.{owner}{SUFFIX}"
        self.size = 0
        """Bytes written; 0 where there is no file."""

    @staticmethod
    def found(folder: Path) -> list[tuple[Path, str]]:
        """The spill files in a folder, each with its owner."""
        return [(path, path.name.removesuffix(SUFFIX).rpartition(".")[2]) for path in folder.glob(f"*{SUFFIX}")]

    def append(self, entries: Sequence[Entry]) -> int:
        """Append rows; returns how many events were left out because the file is full.

        Raises:
            OSError: the disk is full or gone.
        """
        lines: list[bytes] = []
        size, left_out = self.size, 0
        for entry in entries:
            line = json.dumps(entry).encode() + b"\n"
            if entry[0] == "event" and size + len(line) > SPILL_BYTES:
                left_out += 1
                continue
            lines.append(line)
            size += len(line)
        with self.path.open("ab") as file:
            file.write(b"".join(lines))
        self.size = size
        return left_out

    def clear(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
        self.size = 0

    def read(self) -> list[Entry]:
        """The rows kept so far."""
        return read_spill(self.path) if self.size else []


def read_spill(path: Path) -> list[Entry]:
    """The rows of a spill file; a last line cut short by a crash is left out.

    Raises:
        OSError: the file cannot be read.
    """
    entries: list[Entry] = []
    for line in path.read_bytes().splitlines():
        try:
            kind, row = json.loads(line)
        except ValueError:
            continue
        entries.append((kind, row))
    return entries
