"""Sounds that are no speech to the agent: coughs, doors, dogs, and beds of noise, made from a seed without files.

Levels count from `SPEECH_DBFS`, calm speech on a telephone line: a sound at 0 dB is as loud, while it sounds, as the
caller speaks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from audio.resample import to_pcm16
from audio.talker import HOP_MS, SPEECH_DBFS, Mouth, Samples, at_speech_level, sound, talk
from audio.wav import read_mono

__all__ = ["BEDS", "EVENTS", "SPEECH_DBFS", "Bed", "Event", "bed", "event", "limited", "other_talker"]

Event = Literal["cough", "door", "breath", "dog", "tv_burst", "keyboard"]
Bed = Literal["white", "pink", "babble", "tv"]
EVENTS: tuple[str, ...] = get_args(Event)
BEDS: tuple[str, ...] = get_args(Bed)

BED_S = 20.0
"""A bed repeats after this long; its ends fit together."""
_VARIANTS = 4
"""Beds of each kind; seeds share them and begin at places of their own, for making one takes a tenth of a second."""
_JOIN_S = 0.25
_TALKER_S = 40.0
_TALKER_PAUSE_S = (1.5, 5.0)
_PEAK = 0.98


def event(kind: str, rate: int, seed: int = 0, level_db: float = 0.0) -> npt.NDArray[np.int16]:
    """One sound: int16 samples[n] at `rate` Hz, `level_db` over calm speech while it sounds; loud peaks are limited.

    kind: one of `EVENTS`, or the path of a WAV file.

    Raises:
        OSError: the WAV file cannot be read.
        ValueError: there is no such sound, or the file is no WAV file.
    """
    if kind in _MAKERS:
        made = _MAKERS[kind](rate, np.random.default_rng(seed))
    elif kind.lower().endswith(".wav"):
        made = read_mono(Path(kind), rate)
    else:
        raise ValueError(f"there is no sound {kind!r}; use one of {', '.join(EVENTS)}, or the path of a WAV file")
    return to_pcm16(limited(at_speech_level(made, rate) * np.float32(10 ** (level_db / 20))))


def bed(kind: str, rate: int, seed: int = 0) -> Samples:
    """A bed of noise to be played round and round: float32 samples[n] at `rate` Hz and `SPEECH_DBFS`.

    kind: one of `BEDS`, or the path of a WAV file. The level of babble, tv and files is that of their sounding parts.

    Raises:
        OSError: the WAV file cannot be read.
        ValueError: there is no such bed, or the file is no WAV file or is silent.
    """
    if kind in BEDS:
        made = _bed(kind, rate, seed % _VARIANTS)
    elif kind.lower().endswith(".wav"):
        made = at_speech_level(read_mono(Path(kind), rate), rate)
        if not np.any(made):
            raise ValueError(f"{kind}: the file is silent; a bed of noise needs sound")
    else:
        raise ValueError(f"there is no noise {kind!r}; use one of {', '.join(BEDS)}, or the path of a WAV file")
    return np.roll(made, -int(np.random.default_rng(seed).integers(len(made))))


def other_talker(rate: int, seed: int = 0) -> Samples:
    """Somebody else in the room who talks now and then, to be played round and round, as `bed`."""
    talked = _other_talker(rate, seed % _VARIANTS)
    return np.roll(talked, -int(np.random.default_rng(seed).integers(len(talked))))


def limited(samples: Samples) -> Samples:
    """Samples without a clipped peak: what is over full scale is bent down softly, the rest is untouched."""
    over = np.abs(samples) > _PEAK / 2
    bent = np.sign(samples) * (_PEAK / 2) * (1.0 + np.tanh(np.abs(samples) / (_PEAK / 2) - 1.0))
    result: Samples = np.where(over, bent, samples).astype(np.float32)
    return result


@lru_cache(maxsize=len(BEDS) * _VARIANTS)
def _bed(kind: str, rate: int, variant: int) -> Samples:
    rng = np.random.default_rng(1000 + variant)
    count = round(BED_S * rate)
    if kind == "white":
        return _exact(rng.standard_normal(count))
    if kind == "pink":
        return _exact(_shaped(count, rate, rng, lambda hertz: 1.0 / np.sqrt(np.maximum(hertz, 20.0))))
    if kind == "babble":
        voices = [_round(rate, 100 * variant + n, pitch, (0.2, 0.8)) for n, pitch in enumerate(_CROWD)]
        return at_speech_level(np.sum(voices, axis=0, dtype=np.float32), rate)
    man, woman = (_round(rate, 50 * variant + n, pitch, (0.2, 2.5)) for n, pitch in enumerate((115.0, 205.0)))
    return at_speech_level((man + np.float32(0.8) * woman + np.float32(0.25) * _music(count, rate, rng)), rate)


@lru_cache(maxsize=2 * _VARIANTS)
def _other_talker(rate: int, variant: int) -> Samples:
    pitch = (110.0, 190.0, 130.0, 215.0)[variant]
    return at_speech_level(_round(rate, 7000 + variant, pitch, _TALKER_PAUSE_S, _TALKER_S), rate)


_CROWD = (105.0, 130.0, 190.0, 220.0, 115.0, 205.0)


def _round(rate: int, seed: int, pitch_hz: float, pause_s: tuple[float, float], seconds: float = BED_S) -> Samples:
    """Talk of `seconds` whose end runs over into its beginning."""
    count, join = round(seconds * rate), round(_JOIN_S * rate)
    talked = talk(seconds + _JOIN_S, rate, seed, pitch_hz=pitch_hz, pause_s=pause_s)
    fade = np.linspace(0.0, 1.0, join, dtype=np.float32)
    whole = talked[:count].copy()
    whole[:join] = whole[:join] * fade + talked[count : count + join] * (1.0 - fade)
    return whole


def _music(count: int, rate: int, rng: np.random.Generator) -> Samples:
    """Chords of half a second, at `SPEECH_DBFS`."""
    beat = rate // 2
    out = np.zeros(count)
    for start in range(0, count - beat + 1, beat):
        root = 110.0 * 2 ** (int(rng.integers(0, 13)) / 12)
        times = np.arange(beat) / rate
        chord = sum(
            np.sin(2 * np.pi * root * third * harmonic * times) / harmonic
            for third in (1.0, 1.26, 1.5)
            for harmonic in (1, 2, 3, 4)
        )
        out[start : start + beat] += chord * np.exp(-3.0 * times) * np.minimum(1.0, times * 100.0)
    return at_speech_level(out.astype(np.float32), rate)


def _exact(noise: npt.NDArray[np.float64]) -> Samples:
    """Steady noise with an RMS of `SPEECH_DBFS`."""
    result: Samples = (noise * (10 ** (SPEECH_DBFS / 20) / np.sqrt(np.mean(noise**2)))).astype(np.float32)
    return result


def _shaped(
    count: int,
    rate: int,
    rng: np.random.Generator,
    gain: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
) -> npt.NDArray[np.float64]:
    """White noise [count] with its spectrum multiplied by `gain` of the frequency in Hz."""
    hertz: npt.NDArray[np.float64] = np.fft.rfftfreq(count, 1.0 / rate).astype(np.float64)
    return np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) * gain(hertz), count)


def _hump(centre: float, width: float) -> Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
    """A gain with its maximum of 1 at `centre` Hz, falling on both sides; `width` in octaves."""

    def gain(hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        octaves = np.log2(np.maximum(hertz, 1.0) / centre)
        result: npt.NDArray[np.float64] = np.exp(-0.5 * (octaves / width) ** 2)
        return result

    return gain


def _cough(rate: int, rng: np.random.Generator) -> Samples:
    """One to three coughs of 250-500 ms: a burst, rushing air, and often a voiced end.

    The three phases and their lengths follow Korpáš, Sadloňová and Vrabec (1996), Analysis of the cough sound.
    """
    coughs = int(rng.integers(1, 4))
    lengths = rng.integers((3, 12, 8, 8), (6, 24, 22, 25), (coughs, 4)).tolist()
    mouth = Mouth(sum(map(sum, lengths)))
    mouth.formants[:] = (680.0, 1250.0, 2500.0)
    throaty = rng.uniform(0.0, 1.2)
    at = 1
    for burst, air, end, pause in lengths:
        mouth.air[at : at + burst] = 1.0
        mouth.hiss[at : at + burst] = 0.4
        mouth.air[at + burst : at + burst + air] = 0.5 * np.exp(-np.arange(air) * 0.06)
        voiced = slice(at + burst + air // 2, at + burst + air + end)
        length = voiced.stop - voiced.start
        mouth.voiced[voiced] = throaty * np.sin(np.linspace(0.3, np.pi, length)) ** 0.7
        mouth.air[at + burst + air : voiced.stop] = 0.15 * np.linspace(1.0, 0.0, end)
        mouth.pitch[voiced] = np.linspace(1.25, 0.85, length) * rng.uniform(140.0, 260.0)
        at += burst + air + end + pause
    return sound(mouth, round((at - lengths[-1][3]) * HOP_MS * rate / 1000.0), rate, rng)


def _door(rate: int, rng: np.random.Generator) -> Samples:
    """A door that falls shut: the latch's click, the thump of the leaf, a rattle."""
    count = round(0.7 * rate)
    times = np.arange(count) / rate
    late = np.maximum(0.0, times - 0.12)
    thump = sum(
        np.sin(2 * np.pi * hertz * late) * np.exp(-late * damping) / n
        for n, (hertz, damping) in enumerate(((95.0, 12.0), (170.0, 16.0), (310.0, 22.0)), start=1)
    ) * (times >= 0.12)
    click = rng.standard_normal(count) * np.exp(-times * 180.0) * 0.5
    slam = _shaped(count, rate, rng, _hump(500.0, 1.2))
    slam *= np.exp(-late * 30.0) * (times >= 0.12) / np.sqrt(np.mean(slam**2))
    rattle = rng.standard_normal(count) * np.exp(-np.maximum(0.0, times - 0.3) * 60.0) * (times >= 0.3) * 0.12
    return (thump + click + slam + rattle).astype(np.float32)


def _breath(rate: int, rng: np.random.Generator) -> Samples:
    """A breath into the microphone, 400-800 ms: no pitch, rising and falling."""
    count = round(rng.uniform(0.4, 0.8) * rate)
    swell = np.sin(np.linspace(0.0, np.pi, count)) ** 1.5
    air = _shaped(count, rate, rng, lambda hertz: _hump(500.0, 1.0)(hertz) + 0.5 * _hump(1700.0, 0.8)(hertz))
    return (air * swell).astype(np.float32)


def _dog(rate: int, rng: np.random.Generator) -> Samples:
    """Two to four barks of about 150 ms, with a pitch that rises and falls."""
    parts = []
    middle = rng.uniform(380.0, 650.0)
    for _ in range(int(rng.integers(2, 5))):
        count = round(rng.uniform(0.12, 0.2) * rate)
        at = np.linspace(0.0, 1.0, count)
        phase = np.cumsum(middle * (0.8 + 0.5 * np.sin(np.pi * at) * (1.0 - 0.3 * at)) / rate)
        voice = sum(np.sin(2 * np.pi * phase * n) * _hump(1000.0, 0.9)(n * middle * np.ones(1)) for n in range(1, 8))
        rough = _shaped(count, rate, rng, _hump(1200.0, 0.8))
        made = (voice + 0.5 * rough / np.sqrt(np.mean(rough**2))) * np.sin(np.pi * at) ** 0.6
        parts += [made, np.zeros(round(rng.uniform(0.15, 0.45) * rate))]
    return np.concatenate(parts[:-1]).astype(np.float32)


def _tv_burst(rate: int, rng: np.random.Generator) -> Samples:
    """One and a half to two and a half seconds of a television set that is suddenly loud."""
    seconds = rng.uniform(1.5, 2.5)
    talked = talk(seconds, rate, int(rng.integers(1 << 30)), pitch_hz=rng.choice((115.0, 200.0)), pause_s=(0.05, 0.15))
    return talked + np.float32(0.4) * _music(len(talked), rate, rng)


def _keyboard(rate: int, rng: np.random.Generator) -> Samples:
    """Typing for about two seconds: a click down and a softer one up for every key."""
    count = round(2.0 * rate)
    times = np.arange(count) / rate
    out = np.zeros(count)
    at = 0.02
    while at < 1.85:
        for offset, loud in ((0.0, rng.uniform(0.6, 1.0)), (rng.uniform(0.05, 0.09), 0.35)):
            since = times - at - offset
            out += loud * (since >= 0) * np.exp(-np.maximum(0.0, since) * 250.0) * rng.standard_normal(count)
        at += rng.uniform(0.1, 0.28)
    return out.astype(np.float32)


_MAKERS: dict[str, Callable[[int, np.random.Generator], Samples]] = {
    "cough": _cough,
    "door": _door,
    "breath": _breath,
    "dog": _dog,
    "tv_burst": _tv_burst,
    "keyboard": _keyboard,
}
