"""ITU-T G.711: mu-law and A-law bytes to 16-bit samples and back.

Tables are computed once from the Recommendation's segment rules. Encoding 16-bit samples takes their upper 14 (mu-law)
or 13 (A-law) bits, as G.711 defines its input, and then the segment; decoding gives the middle of the segment's step.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_Pcm16 = npt.NDArray[np.int16]
_Bytes = npt.NDArray[np.uint8]

_MULAW_BIAS = 33  # G.711 table 2: added to the 14-bit magnitude so that every segment starts at a power of two
_MULAW_CLIP = 8158  # the largest 14-bit magnitude that still has a code


def _mulaw_decoding() -> _Pcm16:
    code = ~np.arange(256, dtype=np.uint8)  # mu-law goes over the line inverted
    step = (code & 0x0F).astype(np.int32)
    segment = ((code >> 4) & 0x07).astype(np.int32)
    magnitude = ((((step << 1) + _MULAW_BIAS) << segment) - _MULAW_BIAS) << 2
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _mulaw_encoding() -> _Bytes:
    linear = _every_int16() >> 2
    negative = linear < 0
    magnitude = np.minimum(np.abs(linear), _MULAW_CLIP) + _MULAW_BIAS
    segment = np.floor(np.log2(magnitude)).astype(np.int32) - 5
    code = (segment << 4) | ((magnitude >> (segment + 1)) & 0x0F)
    line: _Bytes = (code ^ np.where(negative, 0x7F, 0xFF)).astype(np.uint8)
    return line


def _alaw_decoding() -> _Pcm16:
    code = np.arange(256, dtype=np.uint8) ^ 0x55  # A-law goes over the line with its even bits inverted
    step = (code & 0x0F).astype(np.int32)
    segment = ((code >> 4) & 0x07).astype(np.int32)
    magnitude = np.where(segment == 0, (step << 4) + 8, ((step << 4) + 0x108) << np.maximum(segment - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _alaw_encoding() -> _Bytes:
    linear = _every_int16() >> 3
    negative = linear < 0
    magnitude = np.where(negative, -linear - 1, linear)
    segment = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(np.int32) - 4, 0)
    code = (segment << 4) | ((magnitude >> np.maximum(segment, 1)) & 0x0F)
    return (code ^ np.where(negative, 0x55, 0xD5)).astype(np.uint8)


def _every_int16() -> npt.NDArray[np.int32]:
    """Every 16-bit sample, in the order of its bits read as uint16."""
    return np.arange(65536, dtype=np.uint16).view(np.int16).astype(np.int32)


_DECODE_MULAW = _mulaw_decoding()
_ENCODE_MULAW = _mulaw_encoding()
_DECODE_ALAW = _alaw_decoding()
_ENCODE_ALAW = _alaw_encoding()


def encode_mulaw(samples: _Pcm16) -> bytes:
    """Write int16 samples[n] as n mu-law bytes.

    Raises:
        TypeError: samples are not int16.
    """
    return _ENCODE_MULAW.take(_bits(samples)).tobytes()


def decode_mulaw(data: bytes) -> _Pcm16:
    """Read mu-law bytes[n] as int16 samples[n]."""
    return _DECODE_MULAW.take(np.frombuffer(data, dtype=np.uint8))


def encode_alaw(samples: _Pcm16) -> bytes:
    """Write int16 samples[n] as n A-law bytes.

    Raises:
        TypeError: samples are not int16.
    """
    return _ENCODE_ALAW.take(_bits(samples)).tobytes()


def decode_alaw(data: bytes) -> _Pcm16:
    """Read A-law bytes[n] as int16 samples[n]."""
    return _DECODE_ALAW.take(np.frombuffer(data, dtype=np.uint8))


def _bits(samples: _Pcm16) -> npt.NDArray[np.uint16]:
    if samples.dtype != np.int16:
        raise TypeError(f"G.711 encodes int16 samples, got {samples.dtype}; convert with audio.resample.to_pcm16")
    return samples.view(np.uint16)
