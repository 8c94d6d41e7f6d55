"""Names for how samples are written as bytes on a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from audio import g711

Codec = Literal["mulaw", "alaw", "pcm16"]
Pcm16 = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Encoding:
    """A codec and its sample rate in Hz, mono; `pcm16` is little-endian."""

    codec: Codec
    rate: int

    def silence(self, samples: int) -> bytes:
        """`samples` samples of silence."""
        return self.encode(np.zeros(samples, dtype=np.int16))

    def encode(self, samples: Pcm16) -> bytes:
        """Write int16 samples[n] as bytes."""
        if self.codec == "mulaw":
            return g711.encode_mulaw(samples)
        if self.codec == "alaw":
            return g711.encode_alaw(samples)
        return samples.astype("<i2", copy=False).tobytes()

    def decode(self, data: bytes) -> Pcm16:
        """Read bytes as int16 samples[n].

        Raises:
            ValueError: `pcm16` data of odd length.
        """
        if self.codec == "mulaw":
            return g711.decode_mulaw(data)
        if self.codec == "alaw":
            return g711.decode_alaw(data)
        if len(data) % 2:
            raise ValueError(f"pcm16 audio has an odd length of {len(data)} bytes; send whole 16-bit samples")
        return np.frombuffer(data, dtype="<i2").astype(np.int16, copy=False)
