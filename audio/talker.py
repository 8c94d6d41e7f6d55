"""Somebody talking, without words: sound with the rhythm, pitch and formants of speech, made from a seed.

A glottal pulse train and noise are shaped by formants that move from vowel to vowel about four times a second, which is
the syllable rate of English (Greenberg 1999, *Speaking in shorthand*); vowel formants are the means of Peterson and
Barney (1952). A voice detector takes much of it for speech, a recognizer finds no sentence in it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

SPEECH_DBFS = -23.0
"""RMS of calm speech on a telephone line; every level of noises and damage counts from it."""
HOP_MS = 10.0
"""A hop of a `Mouth`."""
_VOWELS = np.array(
    [
        (270, 2290, 3010),
        (390, 1990, 2550),
        (530, 1840, 2480),
        (660, 1720, 2410),
        (730, 1090, 2440),
        (570, 840, 2410),
        (440, 1020, 2240),
        (300, 870, 2240),
        (640, 1190, 2390),
        (490, 1350, 1690),
    ],
    dtype=np.float64,
)
"""F1, F2, F3 of ten American English vowels, men, Hz."""
_WIDTHS = (80.0, 100.0, 140.0, 220.0, 280.0)
"""Bandwidths of five formants, Hz."""
_HIGH = (3500.0, 4500.0)
"""Fourth and fifth formant, Hz: they hardly move."""


def active_rms(samples: Samples, rate: int) -> float:
    """RMS of the 20 ms pieces that are within 30 dB of the loud ones (the 95th percentile); 0.0 where all is silent.

    For sound with pauses: its level while it sounds, as ITU-T P.56 means it, by a simpler rule.
    """
    size = rate // 50
    pieces = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    powers = np.mean(pieces**2, axis=1) if len(pieces) else np.zeros(1)
    loud = float(np.quantile(powers, 0.95))
    if loud <= 0.0:
        loud = float(powers.max())
    if loud <= 0.0:
        return 0.0
    return float(np.sqrt(np.mean(powers[powers >= loud * 1e-3])))


def at_speech_level(samples: Samples, rate: int) -> Samples:
    """The same sound with an active level of `SPEECH_DBFS`; silence stays silence."""
    rms = active_rms(samples, rate)
    level: Samples = (samples * (10 ** (SPEECH_DBFS / 20) / rms)).astype(np.float32) if rms > 0.0 else samples
    return level


def talk(seconds: float, rate: int, seed: int, *, pitch_hz: float = 120.0, pause_s: tuple[float, float]) -> Samples:
    """Talk for `seconds`: float32 samples[n] at `rate` Hz with an active level of `SPEECH_DBFS`.

    pitch_hz: the voice's middle pitch (men about 120, women about 200). pause_s: shortest and longest pause between
    phrases of four to ten syllables.
    """
    rng = np.random.default_rng(seed)
    hops = round(seconds * 1000.0 / HOP_MS)
    mouth = Mouth(hops)
    at = round(rng.uniform(*pause_s) * 500.0 / HOP_MS)
    while at < hops:
        at = _phrase(mouth, at, rng, pitch_hz)
        at += round(rng.uniform(*pause_s) * 1000.0 / HOP_MS)
    return at_speech_level(sound(mouth, round(seconds * rate), rate, rng, pitch_hz / 120.0), rate)


class Mouth:
    """What a mouth does in every hop of 10 ms.

    voiced, air, hiss: loudness of the voice, of air rushing through the whole vocal tract, and of air at the teeth.
    hiss_hz: where the hiss is strongest. pitch: Hz. formants: F1, F2, F3 in Hz, [hops, 3].
    """

    def __init__(self, hops: int) -> None:
        self.voiced = np.zeros(hops)
        self.air = np.zeros(hops)
        self.hiss = np.zeros(hops)
        self.hiss_hz = np.full(hops, 3000.0)
        self.pitch = np.full(hops, 120.0)
        self.formants = np.tile(_VOWELS[8], (hops, 1))


def _phrase(mouth: Mouth, at: int, rng: np.random.Generator, pitch_hz: float) -> int:
    """Lay one phrase from hop `at`; returns the hop after it."""
    hops = len(mouth.voiced)
    syllables = int(rng.integers(4, 11))
    vowel = _VOWELS[rng.integers(len(_VOWELS))]
    for number in range(syllables):
        consonant, length = int(rng.integers(4, 10)), int(rng.integers(9, 20))
        if number == syllables - 1:
            length = int(length * 1.5)
        stress = rng.uniform(0.45, 1.0)
        following = _VOWELS[rng.integers(len(_VOWELS))]
        begin, middle, end = at, at + consonant, at + consonant + length
        if begin >= hops:
            break
        kind = rng.integers(3)
        if kind == 0:  # a nasal or a glide: the voice goes on, more softly
            mouth.voiced[begin:middle] = 0.3 * stress
        elif kind == 1:  # a fricative
            mouth.hiss[begin:middle] = 0.25 * stress
            mouth.hiss_hz[begin:middle] = rng.uniform(2200.0, 5000.0)
        else:  # a stop: silence, then a burst
            mouth.hiss[max(begin, middle - 2) : middle] = 0.5 * stress
            mouth.hiss_hz[begin:middle] = rng.uniform(1200.0, 3500.0)
        shape = np.sin(np.linspace(0.15, 1.0, length) * np.pi * 0.94) ** 0.5
        room = len(mouth.voiced[middle:end])
        mouth.voiced[middle:end] = stress * shape[:room]
        glide = np.linspace(0.0, 1.0, consonant + length)[:, None] ** 0.5
        room = len(mouth.formants[begin:end])
        mouth.formants[begin:end] = (vowel + (following - vowel) * glide)[:room]
        fall = 1.15 - 0.35 * number / syllables + 0.12 * (stress - 0.7)
        mouth.pitch[begin:end] = pitch_hz * fall * (1.0 + 0.06 * np.sin(np.linspace(0.0, np.pi, room)))
        vowel, at = following, end
    return at


def sound(mouth: Mouth, count: int, rate: int, rng: np.random.Generator, size: float = 1.0) -> Samples:
    """Sound of the mouth, samples[count]: source and hiss through the mouth's filter, hop by hop, overlapped.

    size: pitch over that of a man; formants rise with it, by 17 % for a woman's shorter vocal tract.
    """
    hops = len(mouth.voiced)
    hop = rate * int(HOP_MS) // 1000
    width = 4 * hop
    centres = (np.arange(hops) + 0.5) * hop
    times = np.arange(count + width)
    pitch = np.interp(times, centres, mouth.pitch) * (1.0 + 0.01 * rng.standard_normal(count + width))
    phase = np.cumsum(pitch / rate)
    pulse = _glottis(phase % 1.0)
    hiss = rng.standard_normal(count + width)
    window = np.hanning(width)
    starts = np.arange(0, count, hop)
    pieces = np.arange(width)[None, :] + starts[:, None]
    hertz: npt.NDArray[np.float64] = np.fft.rfftfreq(width, 1.0 / rate).astype(np.float64)
    at = np.minimum(np.arange(len(starts)) + 2, hops - 1)
    scale = 1.0 + 0.17 * min(1.0, max(0.0, (size - 1.0) / 0.67))
    tract = _tract(mouth.formants[at] * scale, hertz)
    teeth = np.exp(-0.5 * ((hertz[None, :] - mouth.hiss_hz[at][:, None]) / 900.0) ** 2)
    spectrum = np.fft.rfft(pulse[pieces] * window) * tract * mouth.voiced[at][:, None]
    spectrum += np.fft.rfft(hiss[pieces] * window) * (
        teeth * mouth.hiss[at][:, None] * 2.0 + tract * (mouth.voiced * 0.02 + mouth.air)[at][:, None]
    )
    waves = np.fft.irfft(spectrum, width) * window
    out = np.zeros(len(starts) * hop + width)
    for part in range(4):
        lines = waves[:, part * hop : (part + 1) * hop].reshape(-1)
        out[part * hop : part * hop + len(lines)] += lines
    result: Samples = out[:count].astype(np.float32)
    return result


def _glottis(phase: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Flow derivative of a glottal pulse (Rosenberg 1971): opens over 40 % of the period, closes in 16 %."""
    opening, closing = 0.4, 0.16
    rising = np.sin(np.pi * phase / opening) * (phase < opening)
    falling = (
        -np.sin(np.pi / 2 * (phase - opening) / closing) * 3.0 * ((phase >= opening) & (phase < opening + closing))
    )
    flow: npt.NDArray[np.float64] = rising + falling
    return flow


def _tract(formants: npt.NDArray[np.float64], hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Magnitude of the vocal tract, [hops, bins]: a cascade of resonances, each with a gain of 1 at 0 Hz."""
    gain = np.ones((len(formants), len(hertz)))
    for number, bandwidth in enumerate(_WIDTHS):
        centre = formants[:, number, None] if number < 3 else np.full((len(formants), 1), _HIGH[number - 3])
        ratio = hertz[None, :] / centre
        gain /= np.sqrt((1.0 - ratio**2) ** 2 + (ratio * bandwidth / centre) ** 2)
    return gain
