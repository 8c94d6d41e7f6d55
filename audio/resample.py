"""From one sample rate to another, and between 16-bit and float samples."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import soxr

_Float = npt.NDArray[np.float32]
_Pcm16 = npt.NDArray[np.int16]

# The streaming filter reaches this many samples of the slower rate to each side: 3 ms at 8 kHz.
_REACH = 24
# Kaiser's formulas: 60 dB of stop band with _REACH needs a transition 0.077 of the slower rate wide; centred here it
# passes 3.4 kHz, the telephone band, and stops everything above 4.06 kHz at 8 kHz.
_CUTOFF = 0.4675
_KAISER_BETA = 0.1102 * (60.0 - 8.7)


class StreamResampler:
    """Resample one continuous stream, chunk by chunk, without a seam between chunks.

    A polyphase windowed-sinc filter that holds back 24 samples of the slower rate (3 ms at 8 kHz). soxr's own streaming
    collects blocks and holds back 12-117 ms (63 ms on average at 8 to 16 kHz), which a caller would wait for. Output is
    aligned with input: sample m is the signal at m / out_rate s. One object serves one direction of one call.
    """

    def __init__(self, in_rate: int, out_rate: int) -> None:
        """Rates in Hz.

        Raises:
            ValueError: a rate is not positive.
        """
        _check_rates(in_rate, out_rate)
        self.in_rate = in_rate
        self.out_rate = out_rate
        common = math.gcd(in_rate, out_rate)
        self._up, self._down = out_rate // common, in_rate // common
        self._filters = _filters(self._up, self._down)
        self._half = self._filters.shape[1] // 2
        self._begin()

    def _begin(self) -> None:
        self._kept: _Float = np.zeros(self._half - 1, dtype=np.float32)
        self._silent = True  # whether `_kept` is
        self._next = 0  # where in `_kept` the window of the next output begins, in units of 1 / _up samples

    @property
    def silent(self) -> bool:
        """Whether silence gives silence now, `out_rate / in_rate` times as many samples: nothing is held back."""
        return self._up == self._down or (self._silent and self._down == 1)

    def process(self, samples: _Float, last: bool = False) -> _Float:
        """Take float32 samples[n] at `in_rate`; give what is ready, float32[m] at `out_rate`; m may be 0.

        `last` gives everything held back and makes the object ready for a new stream.
        """
        if self._up == self._down:
            return samples
        width = 2 * self._half
        silent = not last and self._down == 1 and not samples.any()
        if silent and self._silent:
            return np.zeros(len(samples) * self._up, dtype=np.float32)  # of silence, and `_kept` stays what it is
        parts = [self._kept, samples.astype(np.float32, copy=False)]
        if last:
            parts.append(np.zeros(self._half, dtype=np.float32))
        held = np.concatenate(parts)
        windows = max(0, len(held) - width + 1)
        count = max(0, -((self._next - windows * self._up) // self._down))
        out = self._filtered(held, count)
        if last:
            self._begin()
        else:
            following = self._next + self._down * count
            used = following // self._up
            self._kept = held[used:].copy()
            self._silent = silent and len(samples) >= len(self._kept)
            self._next = following - used * self._up
        return out

    def _filtered(self, held: _Float, count: int) -> _Float:
        """The next `count` outputs from float32 held[n]."""
        if not count:
            return np.zeros(0, dtype=np.float32)
        if self._down == 1:  # every phase is due at every input; `_next` is 0, since all of a window was given
            out: _Float = np.empty(count, dtype=np.float32)
            for phase, taps in enumerate(self._filters):
                out[phase :: self._up] = np.correlate(held, taps, "valid")
            return out
        times = self._next + self._down * np.arange(count)
        at, phases = times // self._up, times % self._up
        pieces = np.lib.stride_tricks.sliding_window_view(held, 2 * self._half)[at]
        mixed: _Float = np.einsum("ij,ij->i", pieces, self._filters[phases])
        return mixed


def resample(samples: _Float, in_rate: int, out_rate: int) -> _Float:
    """Resample float32 samples[n] or [n, channels] from `in_rate` to `out_rate` Hz in one go, at soxr's high quality.

    Raises:
        ValueError: a rate is not positive.
    """
    _check_rates(in_rate, out_rate)
    if in_rate == out_rate:
        return samples
    out: _Float = soxr.resample(samples, in_rate, out_rate)
    return out


def to_float(samples: _Pcm16) -> _Float:
    """Turn int16 samples into float32 in [-1, 1), same shape."""
    return samples.astype(np.float32) / np.float32(32768.0)


def to_pcm16(samples: _Float) -> _Pcm16:
    """Turn float32 samples into int16, same shape: rounded, clipped to [-1, 1), NaN as silence."""
    scaled = np.rint(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0) * np.float32(32768.0))
    pcm: _Pcm16 = np.clip(scaled, -32768, 32767).astype(np.int16)
    return pcm


@lru_cache(maxsize=16)
def _filters(up: int, down: int) -> _Float:
    """One filter a phase, float32[up, taps], each with a gain of 1 at 0 Hz; taps are samples of the input."""
    narrowing = min(1.0, up / down)
    half = math.ceil(_REACH / narrowing)
    distance = np.arange(up)[:, None] / up - np.arange(1 - half, half + 1)[None, :]
    cutoff = 2.0 * _CUTOFF * narrowing
    window = np.i0(_KAISER_BETA * np.sqrt(np.clip(1.0 - (distance / half) ** 2, 0.0, None)))
    taps = np.sinc(cutoff * distance) * window
    even: _Float = (taps / taps.sum(axis=1, keepdims=True)).astype(np.float32)
    return even


def _check_rates(in_rate: int, out_rate: int) -> None:
    for name, rate in (("in_rate", in_rate), ("out_rate", out_rate)):
        if rate <= 0:
            raise ValueError(f"{name} must be a positive sample rate in Hz, got {rate}")
