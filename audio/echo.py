"""How much of what comes in is what went out: the agent's own voice coming back from the caller's side."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from audio.resample import StreamResampler

_Float = npt.NDArray[np.float32]

RATE = 8_000
"""Everything is compared at telephone bandwidth, Hz."""
LONGEST_DELAY_S = 0.6
"""Longest way out and back that is searched."""
LONGEST_LAG_S = 1.0
"""How far incoming audio may be timed too early, because some before it was lost: delays below zero are searched."""
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
MISSES = 4
"""Frames in a row the filter fails to explain before the delay is looked for anew with it: 128 ms, while a caller needs
220 ms of voice to stop the agent."""
MOST_MISSES = 8
"""Frames it is looked for in at most, and that it goes on failing before the search is given up for a while."""
MOVE = 0.2
"""Share the filter must explain at another delay for the echo to be there. A caller over the echo reaches 0.2 in 5 % of
searches over four frames."""
MARGIN = 0.15
"""How far that must be above what it explains at all delays more than `APART` from it. Counting all delays more than
5 ms away, a caller over the echo reached 0.05 in 5 % and 0.21 at most of 1039 searches, an echo whose delay had changed
0.15 in half of those over four frames."""
APART = 100
"""Samples, 12.5 ms; delays nearer than a pitch period explain much the same."""
AUDIBLE = 1e-6
"""Mean square of an incoming frame, -60 dBFS, below which it says nothing about the delay."""
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
OUTLIER = 8.0
"""How many times what the filter usually leaves of an echo a frame's rest must be for a caller to be in it, too.

Three to five 8 s lines of Piper, Kokoro as the caller, no room / a measured one: of a caller 0 / 3 / 6 dB below an echo
of -16 dB it leaves 12 / 18 / 30 % and 24 / 37 / 48 % of the frames taken for echo instead of 24 / 34 / 44 % and
31 / 42 / 54 %; it holds 97 % of the room's echo instead of 99 %. 4 would take 4 / 10 / 17 % and hold 95 %.
"""
USUAL_STEP = 0.05
"""How far, in natural logarithms, one frame of echo moves what is usual: towards the median."""
LEAST_USUAL = 0.025
"""What is usual is not taken to be less; a path that changes a little is no caller."""
USUAL_FIRST = 0.2
"""What is taken to be usual before any echo was heard."""
SILENCE = 1e-7
"""Mean square below which played audio can leave no echo (-70 dBFS)."""

FRAME = 256
"""Samples of a frame of voice activity detection at `RATE`."""
_SHORTEST, _LONGEST = -round(LONGEST_LAG_S * RATE), round(LONGEST_DELAY_S * RATE)


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
        self._played = _Line(rate, LONGEST_LAG_S + LONGEST_DELAY_S + SEARCH_S + 1.0)
        self._received = _Line(rate, SEARCH_S + 0.5)
        self._correlation: npt.NDArray[np.float64] | None = None
        self._until_search = SEARCH_AFTER
        self._energies: list[tuple[float, float]] = []
        self._misses = 0
        self._usual = USUAL_FIRST
        self.delay: int | None = None
        """Delay of the echo in samples at `RATE`; None while none is known."""
        self._forget()

    def played(self, samples: _Float, at_ms: float) -> None:
        """The agent's side sent samples[n] in [-1, 1]; the first of them was due at `at_ms`."""
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
        recent = self._played.read(first - _LONGEST, size + _LONGEST - _SHORTEST)
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
        heard = self._received.read(first, size)
        rows = self._rows(first, size, self.delay)
        missed = heard - rows @ self._filter
        if self._lost(heard, missed) and self._relocate(self.delay):
            rows = self._rows(first, size, self.delay)
            missed = heard - rows @ self._filter
        self._energies.append((float(np.dot(heard, heard)), float(np.dot(missed, missed))))
        del self._energies[:-FRAMES]
        self._fit(rows, heard, missed)
        total = sum(energy for energy, _ in self._energies)
        rest = min(1.0, sum(energy for _, energy in self._energies) / total) if total > 0.0 else 1.0
        if rest <= 1.0 - ECHO:
            self._usual *= math.exp(USUAL_STEP if rest > self._usual else -USUAL_STEP)
        return 1.0 - rest

    @property
    def limit(self) -> float:
        """Share from which a frame is no more than an echo, given what is usually explained of this one."""
        return max(ECHO, 1.0 - OUTLIER * max(self._usual, LEAST_USUAL))

    def _rows(self, first: int, size: int, delay: int) -> _Float:
        """What the filter is applied to for each of `size` incoming samples, [size, TAPS]."""
        reference = self._played.read(first - delay + LEAD - TAPS + 1, size + TAPS - 1)
        return np.lib.stride_tricks.sliding_window_view(reference, TAPS)

    def _lost(self, heard: _Float, missed: _Float) -> bool:
        """Whether so many frames in a row were not explained that the delay may have changed."""
        power = float(np.dot(heard, heard))
        if power < AUDIBLE * len(heard):
            return False
        explained = float(np.dot(missed, missed)) <= (1.0 - ECHO) * power
        self._misses = 0 if explained else self._misses + 1
        return MISSES <= self._misses <= MOST_MISSES or (self._misses > 0 and self._misses % SEARCH_EVERY == 0)

    def _relocate(self, known: int) -> bool:
        """Find the delay at which the filter explains most of the frames it missed; True if the echo is there.

        Phones and gateways buffer anew in steps of 20 ms, and lost audio moves everything after it; the path stays.
        """
        length = min(self._misses, MOST_MISSES) * FRAME
        begin = self._received.end - length
        heard = self._received.read(begin, length)
        first, count = begin - _LONGEST + LEAD - TAPS + 1, length + _LONGEST - _SHORTEST
        played = self._played.read(first, count + TAPS - 1)
        size = -(-len(played) // 2048) * 2048
        spectrum = np.fft.rfft(played, size) * np.conj(np.fft.rfft(self._filter, size))
        echo = np.fft.irfft(spectrum, size)[:count]
        power = np.concatenate([[0.0], np.cumsum(np.square(echo))])
        shifts = count - length + 1
        common = np.fft.irfft(spectrum * np.conj(np.fft.rfft(heard, size)), size)[:shifts]
        explained = (2.0 * common - (power[length:] - power[:-length])) / (float(np.dot(heard, heard)) + 1e-12)
        best = int(np.argmax(explained))
        others = np.concatenate([explained[: max(0, best - APART)], explained[best + APART + 1 :]])
        if _LONGEST - best == known or explained[best] < max(MOVE, float(np.max(others)) + MARGIN):
            return False
        self.delay = _LONGEST - best
        self._misses = 0
        self._energies.clear()
        self._correlation, self._until_search = None, TRACK_EVERY  # until then it would see the delay before
        return True

    def _fit(self, rows: _Float, heard: _Float, missed: _Float) -> None:
        # Least squares weighted by the inverse power of what is not echo, so that a caller hardly moves the filter.
        noise = np.float32(np.mean(np.square(missed)) + UNSURE * np.mean(np.square(heard)) + SILENCE)
        self._power *= MEMORY
        self._power += rows.T @ (rows / noise)
        self._cross *= MEMORY
        self._cross += rows.T @ (heard / noise)
        ridge = RIDGE * float(np.trace(self._power)) / TAPS + 1e-9
        self._filter[:] = np.linalg.solve(self._power + ridge * np.eye(TAPS, dtype=np.float32), self._cross)

    def _correlate(self, length: int, shortest: int, longest: int) -> npt.NDArray[np.float64]:
        """Correlation of the last `length` samples with what was played, for delays shortest..longest, over its RMS."""
        begin = self._received.end - length
        heard = self._received.read(begin, length)
        played = self._played.read(begin - longest, length + longest - shortest)
        size = -(-(length + longest - shortest) // 2048) * 2048
        spectrum = np.fft.rfft(played, size)
        cross = spectrum * np.conj(np.fft.rfft(heard, size))
        cross /= np.sqrt(np.abs(cross)) + 1e-9
        # cross-correlation at shift s pairs heard[n] with played[n + s], so the delay is longest - s
        found = np.abs(np.fft.irfft(cross, size)[: longest - shortest + 1][::-1])
        scaled: npt.NDArray[np.float64] = found / (float(np.sqrt(np.mean(np.square(found)))) + 1e-12)
        return scaled

    def _search(self) -> None:
        found = self._correlate(round(SEARCH_S * RATE), _SHORTEST, _LONGEST)
        kept = self._correlation
        self._correlation = found if kept is None else SEARCH_MEMORY * kept + (1.0 - SEARCH_MEMORY) * found
        peak, best = float(np.max(self._correlation)), _SHORTEST + int(np.argmax(self._correlation))
        if peak < CLEAR_PEAK:
            return
        if self.delay is None or (
            abs(best - self.delay) > LEAD // 2 and peak > SWITCH * self._correlation[self.delay - _SHORTEST]
        ):
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
