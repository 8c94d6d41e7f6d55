"""The training texts that a version keeps; no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.explain import ExamplesIndex
from models.training.examples import Example


def save_examples(
    folder: Path, examples: Sequence[Example], encode: Callable[[list[str]], npt.NDArray[np.float32]]
) -> None:
    """Keep the texts, intents and vectors of the examples with an intent, for explanations.

    `encode` gives float32[n, width]. Borrowed examples, which weigh less than 1, are left out: their texts are for
    others to pass on.
    """
    kept = [example for example in examples if example.intent is not None and example.weight >= 1]
    if kept:
        texts = [example.text for example in kept]
        ExamplesIndex(texts, [example.intent or "" for example in kept], encode(texts)).save(folder)
