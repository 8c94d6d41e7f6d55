"""Rooms: made-up room responses, and convolution with them as a stream."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_Float = npt.NDArray[np.float32]
_Spectra = npt.NDArray[np.complex64]

_LONGEST_S = 0.4
"""A response is cut here: the rest is more than 35 dB below its beginning in the most echoing room."""


def speakerphone(level: float, rate: int, rng: np.random.Generator) -> _Float:
    """Response from a mouth to the microphone of a speakerphone: float32[n] at `rate` Hz, with an energy of 1.

    level, 0..1: the reverberation time grows from 0.2 to 0.7 s (offices lie at 0.4-0.6), the reverberation from 18 dB
    below the direct sound to as loud as it, early reflections (a comb over the spectrum) from a tenth of it to more
    than a half, and the passband shrinks from 200-3700 to 400-3000 Hz.
    """
    count = round(_LONGEST_S * rate)
    times = np.arange(count) / rate
    reverberation_s = 0.2 + 0.5 * level
    tail = rng.standard_normal(count) * np.exp(-np.log(1000.0) * times / reverberation_s)
    tail[: round(0.004 * rate)] = 0.0
    tail *= 10 ** ((-18.0 + 18.0 * level) / 20) / np.sqrt(np.sum(tail**2))
    response = tail
    response[0] += 1.0
    for delay_s in rng.uniform(0.002, 0.025, size=4):
        response[round(delay_s * rate)] += (0.1 + 0.45 * level) * rng.choice((-1.0, 1.0)) * np.exp(-40.0 * delay_s)
    hertz = np.fft.rfftfreq(2 * count, 1.0 / rate)
    low, high = 200.0 + 200.0 * level, 3700.0 - 700.0 * level
    passed = 1.0 / np.sqrt(1.0 + (low / np.maximum(hertz, 1.0)) ** 6) / np.sqrt(1.0 + (hertz / high) ** 12)
    # The filter's own response is made causal by shifting it a few milliseconds; what wraps around is faded out.
    shift = round(0.004 * rate)
    moved = np.exp(-2j * np.pi * hertz * shift / rate)
    whole = np.fft.irfft(np.fft.rfft(response, 2 * count) * passed * moved, 2 * count)[:count]
    fade = round(0.02 * rate)
    whole[-fade:] *= np.linspace(1.0, 0.0, fade)
    result: _Float = (whole / np.sqrt(np.sum(whole**2))).astype(np.float32)
    return result


class Convolution:
    """A stream convolved with a response in blocks: partitioned overlap-save, no delay beyond the response's own."""

    def __init__(self, response: _Float, block: int) -> None:
        """response: float32[n]; block: samples in each call of `process`."""
        parts = -(-len(response) // block)
        padded = np.zeros(parts * block, dtype=np.float32)
        padded[: len(response)] = response
        self._block = block
        self._parts: _Spectra = np.fft.rfft(padded.reshape(parts, block), 2 * block).astype(np.complex64)
        self._inputs: _Spectra = np.zeros_like(self._parts)
        self._before: _Float = np.zeros(block, dtype=np.float32)
        self._newest = 0

    def process(self, samples: _Float) -> _Float:
        """Convolve the next float32[block]."""
        parts = len(self._parts)
        self._newest = (self._newest - 1) % parts
        self._inputs[self._newest] = np.fft.rfft(np.concatenate((self._before, samples)))
        self._before = samples.copy()
        split = parts - self._newest
        total = np.einsum("ij,ij->j", self._parts[:split], self._inputs[self._newest :])
        if self._newest:
            total = total + np.einsum("ij,ij->j", self._parts[split:], self._inputs[: self._newest])
        out: _Float = np.fft.irfft(total, 2 * self._block)[self._block :].astype(np.float32)
        return out
