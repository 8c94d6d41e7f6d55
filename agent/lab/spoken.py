"""A caller's words as sound, with exactly when they are heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.lab.ear import AUDIBLE_RMS
from audio.codec import Pcm16
from audio.noises import limited
from audio.resample import resample, to_float, to_pcm16
from audio.talker import at_speech_level

RATE: Final = 8000
"""Sample rate of everything simulated callers say, Hz."""
_STEP = RATE // 200
"""Samples (5 ms) over which audibility is judged."""
_EDGE = RATE * 20 // 1000
"""Samples kept before and after the voice, faded: consonants at the edges are quieter than the threshold."""
_FLOOR = 2.5
"""A sample is audible where its level is this much (8 dB) above the recording's own noise ..."""
_PEAK = 0.1
"""... as far as that is not more than 20 dB below its loud parts."""


@dataclass(frozen=True)
class Spoken:
    """int16 samples[n] at `RATE`, of which [start, end) are audible; `pauses`: silences put inside, (start, end).

    start, end and pauses count samples.
    """

    samples: Pcm16
    start: int
    end: int
    pauses: tuple[tuple[int, int], ...] = ()


def audible(samples: Pcm16) -> tuple[int, int]:
    """The first and the last audible sample of samples[n], judged in steps of 5 ms; (0, 0) where none is.

    Audible is what `agent.lab.ear` calls so, but in a noisy recording no less than its noise by 8 dB.
    """
    count = len(samples) // _STEP
    if not count:
        return 0, 0
    level = np.sqrt(np.square(samples[: count * _STEP].astype(np.float64).reshape(count, _STEP)).mean(axis=1))
    floor, loud = np.percentile(level, (10, 95))
    steps = np.flatnonzero(level >= max(AUDIBLE_RMS, min(floor * _FLOOR, loud * _PEAK)))
    return (int(steps[0]) * _STEP, (int(steps[-1]) + 1) * _STEP) if len(steps) else (0, 0)


def spoken(pieces: Sequence[Pcm16], pauses_ms: Sequence[float] = ()) -> Spoken:
    """Say pieces one after another, each trimmed to its voice, with pauses between them, used again from the first.

    A pause runs from the last audible sample of one piece to the first of the next, edges included.
    """
    parts: list[Pcm16] = []
    pauses: list[tuple[int, int]] = []
    at = start = end = 0
    for n, piece in enumerate(pieces):
        first, last = audible(piece)
        before, after = min(first, _EDGE), min(len(piece) - last, _EDGE)
        part = _faded(piece[first - before : last + after], before, after)
        if n:
            gap = max(0, round(pauses_ms[(n - 1) % len(pauses_ms)] * RATE / 1000) if pauses_ms else 0)
            silence = max(0, gap - (at - end) - before)
            parts.append(np.zeros(silence, dtype=np.int16))
            at += silence
            pauses.append((end, at + before))
        else:
            start = before
        end = at + before + (last - first)
        parts.append(part)
        at += len(part)
    return Spoken(np.concatenate(parts), start, end, tuple(pauses)) if parts else Spoken(np.zeros(0, np.int16), 0, 0)


def levelled(samples: Pcm16) -> Pcm16:
    """The same recording at the level of calm speech on a telephone line, -23 dBFS; loud peaks are limited softly."""
    return to_pcm16(limited(at_speech_level(to_float(samples), RATE)))


def at_rate(samples: Pcm16, rate: int) -> Pcm16:
    """samples[n] at `RATE` as samples at `rate`."""
    return samples if rate == RATE else to_pcm16(resample(to_float(samples), RATE, rate))


def _faded(samples: Pcm16, before: int, after: int) -> Pcm16:
    faded = samples.astype(np.float64)
    if before:
        faded[:before] *= np.linspace(0.0, 1.0, before, endpoint=False)
    if after:
        faded[-after:] *= np.linspace(1.0, 0.0, after)
    result: Pcm16 = faded.astype(np.int16)
    return result
