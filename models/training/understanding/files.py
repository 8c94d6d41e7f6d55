"""Files of a version folder, written whole or not at all; no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.explain import ExamplesIndex
from models.training.examples import Example


def save_examples(folder: Path, examples: Sequence[Example], vectors: npt.NDArray[np.float32]) -> None:
    """Keep the texts, intents and vectors[n, width] of the examples with an intent, for explanations.

    Borrowed ones, which weigh less than 1, are left out: their texts are for others to pass on.
    """
    rows = [n for n, example in enumerate(examples) if example.intent is not None and example.weight >= 1]
    if rows:
        index = ExamplesIndex([examples[n].text for n in rows], [examples[n].intent or "" for n in rows], vectors[rows])
        index.save(folder)


def write_json(path: Path, document: Any) -> None:
    """Write JSON, readable and in UTF-8."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=1, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
