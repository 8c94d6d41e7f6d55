"""Pauses put into a caller's lines between two words, so that answers given too soon can show."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from agent.lab.cues import silence
from agent.lab.ear import AUDIBLE_RMS
from agent.lab.spoken import RATE, Spoken
from audio.codec import Pcm16
from audio.resample import resample, to_float
from models.contracts import Recognizer

PAUSE_MS = (250, 700)
"""Shortest and longest pause: people pause this long inside a turn."""
_NEAR_MS = 60
"""A recognizer's word times are right to about this."""
_MIDDLE = (0.2, 0.8)
"""Part of a line in which a pause may lie; earlier or later it is no pause inside a turn."""
_STEP_MS = 10
_STEP = RATE * _STEP_MS // 1000
_WIDE = 3
"""Steps over which the energy of a gap is averaged."""
_DEEP_DB = 12.0
"""A gap lies this far below the line's speech; elsewhere two words run into each other."""
_FADE = RATE * 5 // 1000


def gap_of(sound: Spoken, recognizer: Recognizer) -> int | None:
    """Where a sound can be parted between two words, as a sample of it; None where it cannot.

    `recognizer` gives word times; it takes 16 kHz. Blocks for one recognition.

    Raises:
        models.errors.ModelError: recognition failed.
    """
    words = recognizer.recognize(resample(to_float(sound.samples), RATE, 16_000)).words
    return word_gap(sound.samples, [(one.end + other.start) * 500.0 for one, other in itertools.pairwise(words)])


def parted(sound: Spoken, gap: int, ms: int) -> Spoken:
    """The sound with one more pause, of `ms`, at sample `gap`."""
    more = ms * RATE // 1000
    moved = [(first + more, last + more) if first >= gap else (first, last) for first, last in sound.pauses]
    pauses = tuple(sorted([*moved, (gap, gap + more)]))
    return Spoken(with_pause(sound.samples, gap, ms), sound.start, sound.end + more, pauses)


def word_gap(samples: Pcm16, between_ms: Sequence[float]) -> int | None:
    """The quietest sample of samples[n] at 8 kHz near one of the times between words; None where none is quiet."""
    count = len(samples) // _STEP
    if count < 4 * _WIDE:
        return None
    power = np.square(samples[: count * _STEP].astype(np.float64).reshape(count, _STEP)).mean(axis=1)
    loud = power[power > AUDIBLE_RMS**2]
    if not len(loud):
        return None
    wide = np.convolve(power, np.full(_WIDE, 1.0 / _WIDE), mode="valid")
    middle_ms = (np.arange(len(wide)) + _WIDE / 2) * _STEP_MS
    length_ms = count * _STEP_MS
    near = np.zeros(len(wide), dtype=bool)
    for at in between_ms:
        if _MIDDLE[0] * length_ms <= at <= _MIDDLE[1] * length_ms:
            near |= np.abs(middle_ms - at) <= _NEAR_MS
    if not near.any():
        return None
    best = int(np.argmin(np.where(near, wide, np.inf)))
    return round(middle_ms[best] * RATE / 1000) if wide[best] <= loud.mean() * 10 ** (-_DEEP_DB / 10) else None


def with_pause(samples: Pcm16, at: int, ms: int) -> Pcm16:
    """samples[n] with `ms` of silence at sample `at`; both edges fade over 5 ms, so that nothing clicks."""
    before, after = samples[:at].astype(np.float64), samples[at:].astype(np.float64)
    fade = min(_FADE, len(before), len(after))
    if fade:
        before[-fade:] *= np.linspace(1.0, 0.0, fade)
        after[:fade] *= np.linspace(0.0, 1.0, fade)
    return np.concatenate([before.astype(np.int16), silence(ms), after.astype(np.int16)])


def trimmed(samples: Pcm16) -> Pcm16:
    """samples[n] up to the last audible 20 ms, so that an answer is timed from the voice and not from the file."""
    size = RATE // 50
    count = len(samples) // size
    power = np.square(samples[: count * size].astype(np.float64).reshape(count, size)).mean(axis=1)
    loud = np.flatnonzero(power >= AUDIBLE_RMS**2)
    return samples[: (int(loud[-1]) + 1) * size] if len(loud) else samples
