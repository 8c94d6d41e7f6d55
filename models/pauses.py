"""Long pauses inside speech, cut short before recognition, and times put back to where they were."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.contracts import Samples, Word

LONGEST_S = 0.6
"""A longer pause is cut short: between digits said 1.5 s apart the decoder writes digits twice. In 84 numbers of FSDD
digits 0.3 to 1.5 s apart, and with 0.4 and 0.6 s here as well, tiny.en's errors fall by more than half."""
LEFT_S = 0.3
"""What is left of it, half on each side."""
STEP_S = 0.02
_FLOOR = 10 ** (8 / 10)
"""A step is speech where its power is 8 dB above the tenth percentile (the line's own noise) ..."""
_PEAK = 10 ** (-20 / 10)
"""... as far as that is not more than 20 dB below the 95th (speech), where steady noise would pass for pauses ..."""
_LEAST = 10 ** (-65 / 10)
"""... and -65 dBFS."""


@dataclass(frozen=True, slots=True)
class Shortened:
    """samples[n] of which `kept` are the stretches left of what it was, [begin, end) in samples, in order."""

    samples: Samples
    kept: tuple[tuple[int, int], ...]
    rate: int

    def restored(self, words: tuple[Word, ...]) -> tuple[Word, ...]:
        """`words` found in `samples`, at the times they have in what it was.

        A word that begins in what is left of a pause after the word before it begins after the pause, and one that
        ends in what is left before the next word ends before it: a recognizer's words share the silence between them.
        """
        if len(self.kept) == 1:
            return words
        ends = np.cumsum([end - begin for begin, end in self.kept]) / self.rate
        begins = np.array([begin for begin, _ in self.kept]) / self.rate
        shifts = begins - np.concatenate([[0.0], ends[:-1]])
        last = len(shifts) - 1

        def moved(time: float, edge: float) -> float:
            return time + float(shifts[min(int(np.searchsorted(ends + edge, time)), last)])

        half = LEFT_S / 2
        return tuple(replace(word, start=moved(word.start, -half), end=moved(word.end, half)) for word in words)


def shorten(samples: Samples, rate: int) -> Shortened:
    """Cut the pauses of samples[n] at `rate` Hz that are longer than `LONGEST_S` down to `LEFT_S`.

    Silence before the first and after the last speech stays.
    """
    size = round(STEP_S * rate)
    whole = Shortened(samples, ((0, len(samples)),), rate)
    count = len(samples) // size
    if count * STEP_S <= LONGEST_S:
        return whole
    power = np.square(samples[: count * size].reshape(count, size), dtype=np.float64).mean(axis=1)
    low, high = np.percentile(power, (10, 95))
    loud = np.flatnonzero(power > max(_LEAST, min(low * _FLOOR, high * _PEAK)))
    pauses = np.flatnonzero(np.diff(loud) - 1 > LONGEST_S / STEP_S)
    if not len(pauses):
        return whole
    margin = round(LEFT_S * rate / 2)
    kept, begin = [], 0
    for index in pauses:
        kept.append((begin, (int(loud[index]) + 1) * size + margin))
        begin = int(loud[index + 1]) * size - margin
    kept.append((begin, len(samples)))
    return Shortened(np.concatenate([samples[first:last] for first, last in kept]), tuple(kept), rate)
