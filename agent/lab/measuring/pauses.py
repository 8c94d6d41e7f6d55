"""Pauses put into a caller's lines between two words, so that answers given too soon can show."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from agent.lab.cues import RATE, Cue, CueSheet, silence
from agent.lab.ear import AUDIBLE_RMS
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


def find_gaps(sheet: CueSheet, recognizer: Recognizer) -> dict[str, int]:
    """Where each line of `sheet` can be parted between two words, as a sample of its audio; lines without are left out.

    `recognizer` gives word times; it takes 16 kHz. Blocks for one recognition a line.

    Raises:
        models.errors.ModelError: recognition failed.
    """
    found = {}
    for cue in sheet.cues:
        audio = sheet.audio(cue)
        words = recognizer.recognize(resample(to_float(audio), RATE, 16_000)).words
        between = [(one.end + other.start) * 500.0 for one, other in itertools.pairwise(words)]
        gap = word_gap(trimmed(audio), between)
        if gap is not None:
            found[cue] = gap
    return found


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


def paused_sheet(
    sheet: CueSheet, gaps: Mapping[str, int], chance: random.Random, share: float
) -> tuple[CueSheet, dict[str, int]]:
    """The sheet again, each line trimmed, and `share` of those in `gaps` parted there; and the pause of each such line.

    Pauses are in ms. Everything is drawn from `chance`.
    """
    pieces: list[Pcm16] = []
    cues: list[Cue] = []
    pauses: dict[str, int] = {}
    at_ms = 0
    for cue in sheet.cues.values():
        audio = trimmed(sheet.audio(cue.id))
        wanted, ms = chance.random() < share, chance.randint(*PAUSE_MS)
        gap = gaps.get(cue.id) if wanted else None
        if gap is not None:
            audio, pauses[cue.id] = with_pause(audio, gap, ms), ms
        audio = _whole_ms(audio)
        length = len(audio) * 1000 // RATE
        cues.append(replace(cue, start_ms=at_ms, end_ms=at_ms + length))
        pieces.append(audio)
        at_ms += length
    return CueSheet({cue.id: cue for cue in cues}, _joined(pieces)), pauses


def _whole_ms(audio: Pcm16) -> Pcm16:
    per_ms = RATE // 1000
    return audio[: len(audio) // per_ms * per_ms]


def _joined(pieces: Sequence[Pcm16]) -> Pcm16:
    return np.concatenate(pieces) if pieces else silence(0)
