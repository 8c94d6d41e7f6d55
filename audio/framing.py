"""Chunks of any length into frames of one length."""

from __future__ import annotations

from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

S = TypeVar("S", np.float32, np.int16)


class Framer(Generic[S]):
    """Cut a stream into frames of exactly `size` samples; what is left over waits for the next chunk.

    It keeps fewer than `size` samples, however long the stream is.
    """

    def __init__(self, size: int) -> None:
        """Frames of `size` samples.

        Raises:
            ValueError: size is less than 1.
        """
        if size < 1:
            raise ValueError(f"size must be at least 1 sample, got {size}")
        self.size = size
        self._rest: npt.NDArray[S] | None = None

    @property
    def waiting(self) -> int:
        """Samples kept for the next frame."""
        return 0 if self._rest is None else len(self._rest)

    def push(self, samples: npt.NDArray[S]) -> list[npt.NDArray[S]]:
        """Take samples[n]; give every frame that is now complete, in order."""
        whole = samples if not self.waiting or self._rest is None else np.concatenate((self._rest, samples))
        cut = len(whole) - len(whole) % self.size
        self._rest = whole[cut:].copy()
        return [whole[at : at + self.size] for at in range(0, cut, self.size)]

    def flush(self) -> npt.NDArray[S] | None:
        """Give the left-over samples[m], m < size, and forget them; None where there are none."""
        rest, self._rest = self._rest, None
        return rest if rest is not None and len(rest) else None
