"""Files of labelled texts for tests: writing them, and what reading them gives or refuses."""

from pathlib import Path

import pytest

from models.training.examples import DataError, Example
from models.training.readers import read_examples


def write(path: Path, *lines: str) -> Path:
    """Write lines as UTF-8, each ended by LF, with the folders around them; gives `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(("\n".join(lines) + "\n").encode())
    return path


def problems(path: Path) -> tuple[str, ...]:
    """What reading `path` refuses it for."""
    with pytest.raises(DataError) as error:
        read_examples(path)
    return error.value.problems


def values(example: Example) -> list[tuple[str, str]]:
    """(slot, words) of each slot value."""
    return [(span.name, example.text[span.start : span.end]) for span in example.spans or ()]
