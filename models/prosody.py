"""How something was said, whatever the words: pitch, loudness, rhythm and timbre of one utterance.

Everything is measured inside the telephone band, so that a microphone and a telephone line give like values, and
nothing depends on how long the utterance is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.contracts import Samples

Floats = npt.NDArray[np.float64]

RATE = 16_000
HOP = 160
WINDOW = 640
"""40 ms: two periods of the lowest pitch."""
LOWEST_PITCH_HZ = 65.0
HIGHEST_PITCH_HZ = 500.0
VOICED_STRENGTH = 0.45
"""Least normalised autocorrelation of a voiced frame (Boersma 1993)."""
OCTAVE_COST = 0.02
"""Preference for the higher of two equal candidates, per octave (Boersma 1993)."""
SPEECH_RANGE_DB = 30.0
"""A frame is speech when it is within this of the 95th percentile."""

_FFT = 1024
_BINS = _FFT // 4 + 1  # up to 4 kHz
_LAG_RATE = RATE // 2
_MELS = 24
_CEPSTRA = 13
_BANDS_HZ = ((200, 500), (500, 1000), (1000, 2000), (2000, 3400))


@dataclass(frozen=True, slots=True)
class Prosody:
    """Features float64[len(FEATURE_NAMES)] and how much there was to measure, in seconds."""

    features: Floats
    speech_seconds: float
    voiced_seconds: float


def speech_frames(samples: Samples, hop: int, window: int | None = None) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Level of each frame in dB of full scale, float64[frames], and which frames are speech.

    hop and window are in samples; window is hop unless given. Speech is within 30 dB of the 95th percentile.
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples, window or hop)[::hop]
    level = 10.0 * np.log10(np.einsum("ij,ij->i", frames, frames, dtype=np.float64) / frames.shape[1] + 1e-10)
    return level, level > np.percentile(level, 95) - SPEECH_RANGE_DB


def _mel_filters() -> Floats:
    """Triangles float64[24, bins] between 200 and 3600 Hz, equally spaced in mel."""
    low, high = (2595.0 * np.log10(1.0 + hertz / 700.0) for hertz in (200.0, 3600.0))
    edges = 700.0 * (10.0 ** (np.linspace(float(low), float(high), _MELS + 2) / 2595.0) - 1.0)
    hertz = np.arange(_BINS) * RATE / _FFT
    rise = (hertz - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - hertz) / np.diff(edges)[1:, None]
    filters: Floats = np.maximum(0.0, np.minimum(rise, fall))
    return filters


_HANN = np.hanning(WINDOW + 2)[1:-1]
_FILTERS = _mel_filters()
_HERTZ = np.arange(_BINS) * RATE / _FFT
_COSINES = np.cos(np.pi / _MELS * np.outer(np.arange(1, _CEPSTRA + 1), np.arange(_MELS) + 0.5)) * np.sqrt(2 / _MELS)
_IN_BAND = (_HERTZ >= 200) & (_HERTZ <= 3600)
_WINDOW_LAGS = np.fft.irfft((np.abs(np.fft.rfft(_HANN, _FFT)) ** 2)[:_BINS])
_PITCH_BAND = np.clip((2500.0 - _HERTZ) / 1000.0, 0.0, 1.0)
_SHORTEST = int(_LAG_RATE / HIGHEST_PITCH_HZ)
_LONGEST = int(np.ceil(_LAG_RATE / LOWEST_PITCH_HZ))


def _pitch(power: Floats, speech: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Pitch in Hz and its strength in [0, 1], float64[frames], from power[frames, bins] of a Hann window.

    The strongest lag of the autocorrelation divided by that of the window (Boersma 1993), up to 2 kHz: the harmonics
    give the pitch even where the line has cut the fundamental. A second pass keeps to the caller's own range, from
    0.72 q35 - 10 Hz to 1.9 q65 + 10 Hz (De Looze and Hirst 2008), which undoes most octave errors.
    """
    lags = np.fft.irfft(power * _PITCH_BAND, axis=1)[:, : _LONGEST + 2]
    normal = lags / (lags[:, :1] + 1e-12) / (_WINDOW_LAGS[: _LONGEST + 2] / _WINDOW_LAGS[0])
    left, middle, right = normal[:, _SHORTEST - 1 : -2], normal[:, _SHORTEST:-1], normal[:, _SHORTEST + 1 :]
    peak = (middle >= left) & (middle >= right)
    bend = np.minimum(left - 2 * middle + right, -1e-9)
    shift = np.clip(0.5 * (left - right) / bend, -0.5, 0.5)
    height = np.where(peak, middle - 0.25 * (left - right) * shift, -1.0)
    hertz = _LAG_RATE / (np.arange(_SHORTEST, _LONGEST + 1) + np.where(peak, shift, 0.0))
    ranked = height + OCTAVE_COST * np.log2(hertz / LOWEST_PITCH_HZ)
    rows = np.arange(len(normal))
    best = np.argmax(ranked, axis=1)
    sure = speech & (height[rows, best] >= VOICED_STRENGTH)
    if sure.any():
        low, high = np.percentile(hertz[rows, best][sure], (35, 65))
        inside = (hertz >= 0.72 * low - 10) & (hertz <= 1.9 * high + 10)
        best = np.argmax(np.where(inside, ranked, -2.0), axis=1)
    return hertz[rows, best], np.clip(height[rows, best], 0.0, 1.0)


def _runs(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return edges[1::2] - edges[::2]


def _slope(values: Floats, at: npt.NDArray[np.floating[Any]]) -> float:
    """Least-squares slope of values over at; 0 where there is nothing to fit."""
    spread = at - at.mean()
    total = float(spread @ spread)
    return float(spread @ values) / total if total > 0 else 0.0


def _pitch_features(semitones: Floats, frame: npt.NDArray[np.int64]) -> list[float]:
    if len(semitones) == 0:
        return [0.0] * 8
    low, middle, high = np.percentile(semitones, (10, 50, 90))
    steps = np.abs(np.diff(semitones))[np.diff(frame) == 1]
    return [
        float(semitones.mean()),
        float(semitones.std()),
        float(low),
        float(middle),
        float(high),
        float(high - low),
        float(steps.mean()) if len(steps) else 0.0,
        _slope(semitones, frame * (HOP / RATE)),
    ]


def _level_features(level: Floats, speech: npt.NDArray[np.bool_]) -> list[float]:
    """Loudness: the peak as it is, the rest against it, so that only the first knows the gain of the line."""
    peak = float(np.percentile(level, 95))
    inside = level[speech] - peak
    steps = np.diff(level)[speech[1:]]
    low, middle = np.percentile(inside, (10, 50))
    return [
        peak,
        float(inside.mean()),
        float(inside.std()),
        float(low),
        float(middle),
        float(np.abs(steps).mean()) if len(steps) else 0.0,
        float(np.percentile(steps, 95)) if len(steps) else 0.0,
        _slope(inside, np.flatnonzero(speech) * (HOP / RATE)),
    ]


def _rhythm_features(level: Floats, speech: npt.NDArray[np.bool_], voiced: npt.NDArray[np.bool_]) -> list[float]:
    spoken = max(1, int(np.count_nonzero(speech)))
    seconds = spoken * HOP / RATE
    smooth = np.convolve(np.pad(level, 4, mode="edge"), np.hanning(11)[1:-1] / np.hanning(11).sum(), mode="valid")
    tops = (smooth[1:-1] > smooth[:-2]) & (smooth[1:-1] >= smooth[2:]) & voiced[1:-1]
    runs = _runs(voiced)
    inner = speech[np.argmax(speech) : len(speech) - np.argmax(speech[::-1])]
    return [
        float(np.count_nonzero(voiced)) / spoken,
        float(runs.mean()) * HOP / RATE if len(runs) else 0.0,
        len(runs) / seconds,
        float(np.count_nonzero(tops)) / seconds,
        1.0 - float(inner.mean()),
    ]


def _timbre_features(power: Floats, previous: Floats) -> list[float]:
    """Balance, tilt, centre and change of the spectrum, and cepstra.

    power[frames, bins] of the speech frames, and of the frame before each.
    """
    decibel = 10.0 * np.log10(power + 1e-9)
    total = 10.0 * np.log10(power[:, _IN_BAND].sum(axis=1) + 1e-9)
    out: list[float] = []
    bands = []
    for low, high in _BANDS_HZ:
        inside = (low <= _HERTZ) & (high > _HERTZ)
        bands.append(10.0 * np.log10(power[:, inside].sum(axis=1) + 1e-9) - total)
    octaves = np.log2(_HERTZ[_IN_BAND])
    octaves = octaves - octaves.mean()
    tilt = decibel[:, _IN_BAND] @ octaves / float(octaves @ octaves)
    centre = power[:, _IN_BAND] @ _HERTZ[_IN_BAND] / (power[:, _IN_BAND].sum(axis=1) + 1e-12)
    shape = np.sqrt(power / (power.sum(axis=1, keepdims=True) + 1e-12))
    before = np.sqrt(previous / (previous.sum(axis=1, keepdims=True) + 1e-12))
    change = np.linalg.norm(shape - before, axis=1)
    for track in (*bands, tilt, centre, change):
        out += [float(track.mean()), float(track.std())]
    mel = np.log(power @ _FILTERS.T + 1e-9)
    before_mel = np.log(previous @ _FILTERS.T + 1e-9)
    cepstra = mel @ _COSINES.T
    steps = cepstra - before_mel @ _COSINES.T
    return [*out, *cepstra.mean(axis=0), *cepstra.std(axis=0), *np.abs(steps).mean(axis=0)]


FEATURE_NAMES: tuple[str, ...] = (
    *(f"pitch_{n}" for n in ("mean", "deviation", "p10", "p50", "p90", "range", "step", "slope")),
    *(f"level_{n}" for n in ("peak", "mean", "deviation", "p10", "p50", "step", "attack", "slope")),
    *(f"rhythm_{n}" for n in ("voiced_ratio", "voiced_run", "runs_per_second", "peaks_per_second", "pause_ratio")),
    *(
        f"{track}_{n}"
        for track in (*(f"band_{low}_{high}" for low, high in _BANDS_HZ), "tilt", "centre", "change")
        for n in ("mean", "deviation")
    ),
    *(f"mfcc{i}_{n}" for n in ("mean", "deviation", "step") for i in range(1, _CEPSTRA + 1)),
    "voicing_mean",
    "voicing_deviation",
)


def measure(samples: Samples) -> Prosody:
    """Measure one utterance, samples[n] at 16 kHz.

    Pitch is in semitones over 100 Hz, levels in dB, times in seconds. Pitch features are 0 where nothing is voiced.

    Raises:
        ValueError: fewer samples than one 40 ms window.
    """
    if len(samples) < WINDOW:
        raise ValueError(f"samples has length {len(samples)}; give at least {WINDOW} (40 ms at 16 kHz)")
    level, speech = speech_frames(samples, HOP, WINDOW)
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    spectrum = np.fft.rfft(frames * _HANN.astype(np.float32), _FFT, axis=1)[:, :_BINS]
    power = spectrum.real.astype(np.float64) ** 2 + spectrum.imag.astype(np.float64) ** 2
    pitch, strength = _pitch(power, speech)
    voiced = speech & (strength >= VOICED_STRENGTH)
    semitones = 12.0 * np.log2(pitch[voiced] / 100.0)
    index = np.flatnonzero(speech)
    features = [
        *_pitch_features(semitones, np.flatnonzero(voiced)),
        *_level_features(level, speech),
        *_rhythm_features(level, speech, voiced),
        *_timbre_features(power[index], power[np.maximum(index - 1, 0)]),
        float(strength[speech].mean()),
        float(strength[speech].std()),
    ]
    return Prosody(
        features=np.array(features, dtype=np.float64),
        speech_seconds=float(np.count_nonzero(speech)) * HOP / RATE,
        voiced_seconds=float(np.count_nonzero(voiced)) * HOP / RATE,
    )
