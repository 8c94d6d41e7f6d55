"""What a telephone line does to a clip: its band, a codec, noise, gain and speed, each from a seed."""

from __future__ import annotations

from typing import Literal

import av
import numpy as np
import numpy.typing as npt
import soxr

from audio import g711
from audio.resample import resample, to_float, to_pcm16
from models.contracts import Samples
from models.emotion import RATE

Pcm16 = npt.NDArray[np.int16]
Variant = Literal["telephone", "noisy", "wideband", "alaw", "low_rate", "muffled"]

TRAINED: tuple[Variant, ...] = ("telephone", "noisy", "wideband", "alaw", "low_rate")
"""telephone: the clip through G.711 mu-law; noisy: with noise and a gain before it; wideband: both, no line; alaw:
noise, gain, another speed and A-law; low_rate: noise, gain and G.723.1."""
TESTED: tuple[Variant, ...] = (*TRAINED, "muffled")
"""muffled: a line never trained on, G.723.1 over a handset that lets 400-1600 Hz through."""

LINE_RATE = 8_000
LINE_LOW_HZ = 200.0
LINE_ORDER = 4
NOISE_DB = (12.0, 25.0)
GAIN_DB = (-12.0, 6.0)
SPEED = (0.94, 1.06)
MUFFLED_HZ = (400.0, 1600.0)
LOW_RATE_BITS = 6300
_LOW_RATE_FRAME = 240
_LOW_RATE_DELAY = 60
"""Look-ahead of G.723.1 in samples at 8 kHz (7.5 ms)."""


def _shaped(samples: Samples, low_hz: float, high_hz: float | None = None) -> Samples:
    """samples[n] at 16 kHz without what lies under low_hz or over high_hz; Butterworth slopes of `LINE_ORDER`."""
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    rise = (hertz / low_hz) ** LINE_ORDER
    gain = rise / np.sqrt(1.0 + rise**2)
    if high_hz is not None:
        gain = gain / np.sqrt(1.0 + (hertz / high_hz) ** (2 * LINE_ORDER))
    out: Samples = np.fft.irfft(np.fft.rfft(samples) * gain, len(samples)).astype(np.float32)
    return out


def _narrow(samples: Samples) -> Pcm16:
    return to_pcm16(resample(_shaped(samples, LINE_LOW_HZ), RATE, LINE_RATE))


def telephone(samples: Samples) -> Samples:
    """Take samples[n] at 16 kHz over a line and back: 200 Hz high-pass, 8 kHz, mu-law, 16 kHz."""
    return resample(to_float(g711.decode_mulaw(g711.encode_mulaw(_narrow(samples)))), LINE_RATE, RATE)


def alaw(samples: Samples) -> Samples:
    """`telephone` with A-law."""
    return resample(to_float(g711.decode_alaw(g711.encode_alaw(_narrow(samples)))), LINE_RATE, RATE)


def low_rate(samples: Samples) -> Samples:
    """`telephone` with G.723.1 at 6.3 kbit/s, a speech codec that keeps no wave form; FFmpeg's, through PyAV."""
    narrow = _narrow(samples)
    length = len(narrow)
    narrow = np.concatenate([narrow, np.zeros(2 * _LOW_RATE_FRAME - length % _LOW_RATE_FRAME, np.int16)])
    encoder = av.codec.CodecContext.create("g723_1", "w")
    decoder = av.codec.CodecContext.create("g723_1", "r")
    assert isinstance(encoder, av.AudioCodecContext)
    assert isinstance(decoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = LINE_RATE, "mono", "s16"
    encoder.bit_rate = LOW_RATE_BITS
    decoder.sample_rate, decoder.layout = LINE_RATE, "mono"
    heard: list[Pcm16] = []
    for start in range(0, len(narrow), _LOW_RATE_FRAME):
        frame = av.AudioFrame.from_ndarray(
            narrow[None, start : start + _LOW_RATE_FRAME].copy(), format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts = LINE_RATE, start
        decoded = [out for packet in encoder.encode(frame) for out in decoder.decode(packet)]
        heard += [np.asarray(out.to_ndarray(), dtype=np.int16).ravel() for out in decoded]
    late = np.concatenate(heard)[_LOW_RATE_DELAY : _LOW_RATE_DELAY + length]
    return resample(to_float(late), LINE_RATE, RATE)


def muffled(samples: Samples) -> Samples:
    """`low_rate` over a handset that lets only 400-1600 Hz through."""
    return low_rate(_shaped(samples, *MUFFLED_HZ))


def add_noise(samples: Samples, noise: Samples, rng: np.random.Generator) -> Samples:
    """Add a random stretch of `noise` at 12-25 dB below the mean power of samples[n]."""
    start = int(rng.integers(0, max(1, len(noise) - len(samples))))
    stretch = np.resize(noise[start:], len(samples)).astype(np.float64)
    power = float(np.mean(samples.astype(np.float64) ** 2)) / 10 ** (rng.uniform(*NOISE_DB) / 10)
    scale = np.sqrt(power / (float(np.mean(stretch**2)) + 1e-12))
    noisy: Samples = (samples + scale * stretch).astype(np.float32)
    return noisy


def _at_speed(samples: Samples, rng: np.random.Generator) -> Samples:
    """samples[n] up to 6 % faster or slower, pitch and all."""
    rate = int(round(RATE * rng.uniform(*SPEED), -2))
    out: Samples = np.asarray(soxr.resample(samples, rate, RATE), dtype=np.float32)
    return out


def vary(samples: Samples, variant: Variant, gain_db: float, noise: Samples, rng: np.random.Generator) -> Samples:
    """Bring samples[n] at 16 kHz into a variant; gain_db and noise play no part in `telephone` and `muffled`."""
    if variant == "telephone":
        return telephone(samples)
    if variant == "muffled":
        return muffled(samples)
    if variant == "alaw":
        samples = _at_speed(samples, rng)
    loud = (add_noise(samples, noise, rng) * 10 ** (gain_db / 20)).astype(np.float32)
    if variant == "wideband":
        return np.clip(loud, -1.0, 1.0)
    return {"noisy": telephone, "alaw": alaw, "low_rate": low_rate}[variant](loud)
