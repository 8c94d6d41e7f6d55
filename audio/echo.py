"""How much of what comes in is what went out: the agent's own voice coming back from the caller's side."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audio.resample import StreamResampler

_Float = npt.NDArray[np.float32]

RATE = 8_000
"""Everything is compared at telephone bandwidth, Hz."""
LONGEST_DELAY_S = 0.6
"""Longest way out and back that is searched."""
SEARCH_S = 0.512
"""Incoming audio that is correlated with what was played."""
SEARCH_EVERY = 4
"""Frames from one search to the next while no delay is known; frames of voice activity detection have 32 ms."""
SEARCH_AFTER = 8
"""Audible frames before the first search; what is shorter correlates with anything."""
TRACK_EVERY = 16
"""Frames from one search to the next while one is known."""
SEARCH_MEMORY = 0.4
"""What a search keeps of the correlation before it."""
CLEAR_PEAK = 8.0
"""Height of a correlation peak over the root mean square of all delays from which it is a delay."""
SWITCH = 1.3
"""How much higher another peak must be before the delay moves."""
GAP_MS = 60.0
"""Silence between two stretches of played audio after which the later may come back sooner or later than the one
before: gateways and phones buffer anew, in steps of 20 ms."""
NEAR_S = 0.06
"""How far from the delay known a new stretch is looked for."""
NEAR_LENGTH_S = 0.16
"""Incoming audio that is correlated for that."""
NEAR_PEAK = 5.5
"""Height of a peak among the near delays over their root mean square; chance reaches 3.7 among 960."""
NEAR_FRAMES = 30
"""Audible frames of a new stretch in which it is looked for."""
LEAD = 16
"""Taps before the delay found: the peak of an echo is not its beginning."""
TAPS = 128
"""Length of the filter from played to incoming, samples: 16 ms hold the codec and a room's early reflections. Twice as
much explains more of a far room's echo (0.75 instead of 0.46 of it), for four times the time."""
MEMORY = 0.95
"""What a frame leaves of the weight of the frames before it when the filter is fitted: about 600 ms of 32 ms frames."""
RIDGE = 1e-3
"""Regularization of the fit, against the power of what was played."""
UNSURE = 0.01
"""Share of a frame's power that is never taken to be echo."""
FRAMES = 3
"""Frames over which energies are compared; one frame alone may hold the gap between two syllables."""
ECHO = 0.5
"""Share explained from which a frame is the agent's echo.

Chosen on three of six 8 s lines of Piper with Kokoro as the caller, reported on the other three: mu-law both ways,
delays of 40 to 500 ms, three measured rooms, a synthetic one and none. Of the loud echo frames it holds 90 % (echo at
-10 to -30 dB; at -20 dB 93 to 98 %, but 78 % in the synthetic room, whose reverberation is 3 dB above its direct
sound). Of a caller's frames it takes 24 / 5 / 0.2 % for echo where the caller is 0 / 6 / 20 dB above it.
"""
SILENCE = 1e-7
"""Mean square below which played audio can leave no echo (-70 dBFS)."""


class EchoDetector:
    """Tells the agent's echo from a caller, for one call.

    Tell it everything that was played, with the time of its first sample, before asking about a frame of that time.
    Times are ms of any one clock; an offset between the two directions counts as delay. The delay is found by
    cross-correlation (whitened by half, over `LONGEST_DELAY_S`), then a short filter from played to incoming is fitted
    by recursive least squares in frames, and each frame is predicted by the filter fitted before it. A caller who talks
    over the echo is not predicted.
    """

    def __init__(self, rate: int) -> None:
        """rate: of both directions, Hz; what `audio.resample` takes."""
        self._rate = rate
        self._played = _Line(rate, LONGEST_DELAY_S + SEARCH_S + 1.0)
        self._received = _Line(rate, SEARCH_S + 0.5)
        self._correlation: npt.NDArray[np.float64] | None = None
        self._until_search = SEARCH_AFTER
        self._energies: list[tuple[float, float]] = []
        self._played_ms = 0.0
        self._near_frames = 0
        self.delay: int | None = None
        """Delay of the echo in samples at `RATE`; None while none is known."""
        self._forget()

    def played(self, samples: _Float, at_ms: float) -> None:
        """The agent's side sent samples[n] in [-1, 1]; the first of them was due at `at_ms`."""
        if at_ms > self._played_ms + GAP_MS:
            self._near_frames = NEAR_FRAMES
        self._played_ms = at_ms + len(samples) * 1000.0 / self._rate
        self._played.append(samples, at_ms)

    def heard(self, frame: _Float, at_ms: float) -> None:
        """Keep frame[n], of which nothing is asked; a frame without a voice needs no explaining and costs little."""
        self._received.append(frame, at_ms)

    def explains(self, frame: _Float, at_ms: float) -> float:
        """Share of the energy of frame[n] (and the two before it) that is an echo of what was played, in [0, 1].

        `at_ms` is the time of its first sample. 0 where nothing was audible lately or no delay is known yet.
        """
        first = self._received.end
        self.heard(frame, at_ms)
        first = max(first, self._received.end - round(len(frame) * RATE / self._rate) - 8)
        size = self._received.end - first
        if size < 1:
            return 0.0
        longest = round(LONGEST_DELAY_S * RATE)
        recent = self._played.read(first - longest, size + longest)
        if float(np.dot(recent, recent)) < SILENCE * len(recent):
            self._energies.clear()
            if self.delay is None:
                self._until_search, self._correlation = SEARCH_AFTER, None
            return 0.0
        self._until_search -= 1
        if self._until_search < 0:
            self._search()
            self._until_search = (SEARCH_EVERY if self.delay is None else TRACK_EVERY) - 1
        if self.delay is None:
            return 0.0
        if self._near_frames:
            self._near_frames -= 1
            self._search_near(self.delay)
        reference = self._played.read(first - self.delay + LEAD - TAPS + 1, size + TAPS - 1)
        rows = np.lib.stride_tricks.sliding_window_view(reference, TAPS)
        heard = self._received.read(first, size)
        missed = heard - rows @ self._filter
        self._energies.append((float(np.dot(heard, heard)), float(np.dot(missed, missed))))
        del self._energies[:-FRAMES]
        self._fit(rows, heard, missed)
        total = sum(energy for energy, _ in self._energies)
        return max(0.0, 1.0 - sum(energy for _, energy in self._energies) / total) if total > 0.0 else 0.0

    def _fit(self, rows: _Float, heard: _Float, missed: _Float) -> None:
        # Least squares weighted by the inverse power of what is not echo, so that a caller hardly moves the filter.
        noise = np.float32(np.mean(np.square(missed)) + UNSURE * np.mean(np.square(heard)) + SILENCE)
        self._power *= MEMORY
        self._power += rows.T @ (rows / noise)
        self._cross *= MEMORY
        self._cross += rows.T @ (heard / noise)
        ridge = RIDGE * float(np.trace(self._power)) / TAPS + 1e-9
        self._filter[:] = np.linalg.solve(self._power + ridge * np.eye(TAPS, dtype=np.float32), self._cross)

    def _search_near(self, delay: int) -> None:
        """Find a new stretch about where the one before was; the filter, which counts from the delay, still holds."""
        reach = round(NEAR_S * RATE)
        shortest = max(0, delay - reach)
        found = self._correlate(round(NEAR_LENGTH_S * RATE), shortest, delay + reach)
        best = int(np.argmax(found))
        if found[best] >= NEAR_PEAK:
            self.delay = shortest + best
            self._near_frames = 0

    def _correlate(self, length: int, shortest: int, longest: int) -> npt.NDArray[np.float64]:
        """Correlation of the last `length` samples with what was played, for delays shortest..longest, over its RMS."""
        begin = self._received.end - length
        heard = self._received.read(begin, length)
        played = self._played.read(begin - longest, length + longest - shortest)
        size = 1 << (length + longest - shortest - 1).bit_length()
        spectrum = np.fft.rfft(played, size)
        cross = spectrum * np.conj(np.fft.rfft(heard, size))
        cross /= np.sqrt(np.abs(cross)) + 1e-9
        # cross-correlation at shift s pairs heard[n] with played[n + s], so the delay is longest - s
        found = np.abs(np.fft.irfft(cross, size)[: longest - shortest + 1][::-1])
        scaled: npt.NDArray[np.float64] = found / (float(np.sqrt(np.mean(np.square(found)))) + 1e-12)
        return scaled

    def _search(self) -> None:
        found = self._correlate(round(SEARCH_S * RATE), 0, round(LONGEST_DELAY_S * RATE))
        kept = self._correlation
        self._correlation = found if kept is None else SEARCH_MEMORY * kept + (1.0 - SEARCH_MEMORY) * found
        best = int(np.argmax(self._correlation))
        peak = float(self._correlation[best])
        if peak < CLEAR_PEAK:
            return
        if self.delay is None or (abs(best - self.delay) > LEAD // 2 and peak > SWITCH * self._correlation[self.delay]):
            self.delay = best
            self._forget()

    def _forget(self) -> None:
        self._power: _Float = np.zeros((TAPS, TAPS), dtype=np.float32)
        self._cross: _Float = np.zeros(TAPS, dtype=np.float32)
        self._filter = np.zeros(TAPS, dtype=np.float32)


class _Line:
    """The last seconds of one direction at `RATE`, by time: positions count samples since time 0."""

    JOIN = round(0.05 * RATE)
    """Times that miss the end of what was there by less are taken to continue it: clocks jitter, audio does not."""

    def __init__(self, rate: int, seconds: float) -> None:
        self._resampler = StreamResampler(rate, RATE) if rate != RATE else None
        self._kept: _Float = np.zeros(round(seconds * RATE), dtype=np.float32)
        self.end = 0

    def append(self, samples: _Float, at_ms: float) -> None:
        if self._resampler is not None:
            samples = self._resampler.process(samples)
        begin = round(at_ms * RATE / 1000.0)
        if abs(begin - self.end) > self.JOIN:
            self._move(begin)
        samples = samples[-len(self._kept) :]
        count = len(samples)
        if count:
            self._kept[:-count] = self._kept[count:]
            self._kept[-count:] = samples
            self.end += count

    def read(self, begin: int, count: int) -> _Float:
        """Samples [begin, begin + count); zeros where nothing is known."""
        found = np.zeros(count, dtype=np.float32)
        start = self.end - len(self._kept)
        low, high = max(begin, start), min(begin + count, self.end)
        if low < high:
            found[low - begin : high - begin] = self._kept[low - start : high - start]
        return found

    def _move(self, begin: int) -> None:
        """Go on at `begin`, after a silence or, where time went back, over what was there."""
        ahead = begin - self.end
        kept = np.zeros_like(self._kept)
        if 0 < ahead < len(kept):
            kept[: len(kept) - ahead] = self._kept[ahead:]
        elif -len(kept) < ahead < 0:
            kept[-ahead:] = self._kept[: len(kept) + ahead]
        self._kept = kept
        self.end = begin
