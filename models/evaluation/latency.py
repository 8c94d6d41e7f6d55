"""How long one text takes, on its own."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from models.text_model import TextModel

TEXTS = 200
_WARM = 8


def one_at_a_time(model: TextModel, texts: Sequence[str], seed: int = 0, most: int = TEXTS) -> list[float]:
    """Milliseconds of each of at most `most` different texts, drawn by `seed`, read by themselves.

    To be called before anything else reads them: models remember the last texts. Threads are as the model opened itself
    (one).
    """
    different = list(dict.fromkeys(texts))
    order = np.random.default_rng(seed).permutation(len(different))
    chosen = [different[int(place)] for place in order[:most]]
    for number in range(_WARM):
        model.read([f"warming up for the {number}th time"])
    times = []
    for text in chosen:
        began = time.perf_counter()
        model.read([text])
        times.append((time.perf_counter() - began) * 1000.0)
    return times
