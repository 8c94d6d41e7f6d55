"""The last seconds of a stream, addressed by absolute sample position."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_Float = npt.NDArray[np.float32]


class Ring:
    """Keep the newest `seconds` of a float32 stream in memory that never grows.

    Positions count samples from the first one ever appended, so they stay true as old samples fall out:
    `start <= position < end` is what can still be read.
    """

    def __init__(self, seconds: float, rate: int) -> None:
        """Room for `seconds` of samples at `rate` Hz.

        Raises:
            ValueError: that is less than one sample.
        """
        size = int(seconds * rate)
        if size < 1:
            raise ValueError(f"a ring of {seconds} s at {rate} Hz holds no sample; make seconds or rate larger")
        self._kept: _Float = np.zeros(size, dtype=np.float32)
        self._end = 0
        self._unwritten = 0  # samples of silence at the end that are not written yet

    @property
    def end(self) -> int:
        """The position after the newest sample; how many were ever appended."""
        return self._end

    @property
    def start(self) -> int:
        """The position of the oldest sample still kept."""
        return max(0, self._end - len(self._kept))

    def append(self, samples: _Float) -> None:
        """Add samples[n]; what no longer fits is forgotten, oldest first."""
        self._write_silence()
        self._write(samples)

    def append_silence(self, count: int) -> None:
        """Add `count` samples of silence; it is written when somebody looks or something follows."""
        self._end += count
        self._unwritten += count

    def _write_silence(self) -> None:
        if self._unwritten:
            count, self._unwritten = min(self._unwritten, len(self._kept)), 0
            self._end -= count
            self._write(np.zeros(count, dtype=np.float32))

    def _write(self, samples: _Float) -> None:
        size = len(self._kept)
        end = self._end + len(samples)
        newest = samples[-size:] if len(samples) > size else samples
        at = (end - len(newest)) % size
        first = size - at
        if len(newest) <= first:
            self._kept[at : at + len(newest)] = newest
        else:
            self._kept[at:] = newest[:first]
            self._kept[: len(newest) - first] = newest[first:]
        self._end = end

    def slice(self, start: int, end: int) -> _Float:
        """Copy the samples from `start` up to, not including, `end`.

        Where `start` is older than what is kept the slice begins at `self.start` instead: the newest part is given.

        Raises:
            ValueError: `start` is negative or after `end`, or `end` lies after the newest sample.
        """
        if not 0 <= start <= end <= self._end:
            raise ValueError(
                f"slice({start}, {end}) is outside the stream of 0..{self._end} samples; "
                "give 0 <= start <= end <= ring.end"
            )
        self._write_silence()
        size = len(self._kept)
        start = max(start, self.start)
        count = max(0, end - start)
        at = start % size
        first = min(count, size - at)
        return np.concatenate((self._kept[at : at + first], self._kept[: count - first]))
