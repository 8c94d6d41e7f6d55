"""A call's stereo recording, streamed to disk by a thread that all calls share: caller left, agent right."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from audio.codec import Pcm16
from audio.wav import StereoWavWriter

log = logging.getLogger(__name__)

RATE = 8000
"""Hz; what a telephone line carries."""
ALIGNMENT_MS = 2000
"""How long a piece may come late and still be placed; twice a bad network stall."""
ROOM_MS = 4000
"""Room for what is not on disk: what may still change, and what came since it was last written. 128 kB a call."""
JITTER_MS = 1000
"""A piece that begins this little before the end of its channel follows on instead of replacing what is there."""
WAKE_S = 0.25
"""The thread looks this often whether anything is to be silenced."""
WRITE_S = 1.0
"""It writes what came of each recording this often; waking for every 20 ms piece would cost a switch each."""
LEAST_REST_S = 0.02
"""The thread rests so long between two looks, so that many calls do not wake it one by one."""
PENDING_SAMPLES = 20 * RATE
"""Samples waiting for the thread, both channels together; a disk slower than that loses the oldest pieces."""
LONGEST_MS = 12 * 3600 * 1000
"""A position beyond this is a mistake of the sender; it would fill the disk with silence."""
MOST_MUTES = 1000
"""Stretches to be silenced that wait for the thread; beyond it the last two become one, with all between them."""

_Side = Literal[0, 1]
_Piece = tuple[_Side, int, Pcm16]


class StereoRecording:
    """Records both sides of a call at 8 kHz, 16 bit, each piece at its time from the start of the call.

    Gaps become silence. A piece that overlaps its channel's end by up to `JITTER_MS` is moved later to follow on; by
    more, it replaces what is there. No piece is ever moved earlier. What comes more than `ALIGNMENT_MS` late is left
    out and counted. `caller` and `agent` never block and never raise: a disk that fails ends the recording, is logged
    once and shows in `error`. The file is a valid WAV up to the last second at any time. What `mute` names is silent in
    the file within `WAKE_S`, whether it is written already or not.
    """

    def __init__(self, path: Path) -> None:
        """Create the file at `path`.

        Raises:
            OSError: the file cannot be created.
        """
        self.path = path
        self.error: str | None = None
        """What ended the recording early."""
        self.lost_samples = 0
        """Samples that came too late, too fast for the disk, or after an error."""
        self._writer = StereoWavWriter(path, RATE, WRITE_S / 2)
        self._timeline = _Timeline(self._writer)
        self._pending: deque[_Piece] = deque()
        self._pending_samples = 0
        self._mutes: list[tuple[int, int]] = []
        self._paused = self._sealed = False
        self._lock = threading.Lock()
        self._disk = threading.Lock()  # held by whoever writes
        self._closing = self._closed = False
        _scribe.tend(self, WRITE_S)

    def caller(self, samples: Pcm16, at_ms: float) -> None:
        """Samples[n] at 8 kHz heard from the caller; `at_ms` of the first sample, from the start of the call."""
        self._put(0, samples, at_ms)

    def agent(self, samples: Pcm16, at_ms: float) -> None:
        """Samples[n] at 8 kHz that the caller's side played at `at_ms`."""
        self._put(1, samples, at_ms)

    def pause(self) -> None:
        """Leave silence in both channels from here on, as while a card number is said."""
        self._paused = True

    def resume(self) -> None:
        """Record again."""
        self._paused = False

    def mute(self, from_ms: float, to_ms: float) -> bool:
        """Silence both channels between two times from the start of the call, also where they are on disk already.

        False where the recording is closed or has failed: the file must then be silenced by `agent.records.muting`.
        """
        if not (math.isfinite(from_ms) and math.isfinite(to_ms)):
            return False
        start, stop = (round(min(max(ms, 0.0), LONGEST_MS) * RATE / 1000) for ms in (from_ms, to_ms))
        with self._lock:
            if self._sealed or self.error is not None:
                return False
            if len(self._mutes) >= MOST_MUTES:
                last = self._mutes.pop()
                start, stop = min(start, last[0]), max(stop, last[1])
            self._mutes.append((start, stop))
            asked = len(self._mutes) > 1
        if not asked:
            _scribe.tend(self, 0.0, again=False)
        return True

    def close(self) -> None:
        """Write the rest and complete the file; blocks on the disk. May be called twice."""
        self._closing = True
        with self._disk:
            if self._closed:
                return
            self._closed = True
            try:
                if self.error is None:
                    self._place_pending(last=True)
                    self._timeline.write_until(self._timeline.end)
                self._writer.close()
            except (OSError, ValueError) as error:
                self._fail(error)
            self.lost_samples += self._timeline.late_samples

    def tend(self) -> bool:
        """Write what is due; False once there is nothing more to write, ever. For the thread of all recordings."""
        with self._disk:
            if self._closing:
                return False
            try:
                self._place_pending()
                self._timeline.write_until(self._timeline.end - ALIGNMENT_MS * RATE // 1000)
            except Exception as error:  # whatever it is, it must not end the recordings of other calls
                self._fail(error)
        return self.error is None

    def _put(self, side: _Side, samples: Pcm16, at_ms: float) -> None:
        if self._paused or not len(samples):
            return
        if self.error is not None or self._closing or not (math.isfinite(at_ms) and at_ms <= LONGEST_MS):
            self.lost_samples += len(samples)
            return
        piece = side, round(at_ms * RATE / 1000), np.array(samples, dtype=np.int16)
        with self._lock:
            self._pending.append(piece)
            self._pending_samples += len(samples)
            while self._pending_samples > PENDING_SAMPLES and len(self._pending) > 1:
                dropped = len(self._pending.popleft()[2])
                self._pending_samples -= dropped
                self.lost_samples += dropped

    def _fail(self, error: Exception) -> None:
        if self.error is None:
            self.error = str(error)
            log.error("the recording %s ends early: %s; free or repair the disk", self.path, error)
        with contextlib.suppress(OSError):
            self._writer.close()

    def _place_pending(self, last: bool = False) -> None:
        with self._lock:
            self._sealed = last
            pending, self._pending = self._pending, deque()
            self._pending_samples = 0
            mutes, self._mutes = self._mutes, []
        for start, stop in mutes:
            self._timeline.mute(start, stop)
        for side, start, samples in _joined(pending):
            self._timeline.place(side, start, samples)


class _Scribe:
    """Looks after all open recordings in one thread, which lives while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._due: list[tuple[float, int, StereoRecording, bool]] = []
        self._runs = False

    def tend(self, recording: StereoRecording, in_s: float, again: bool = True) -> None:
        """Look after a recording in so many seconds, and `again` every `WRITE_S` while it is open."""
        with self._lock:
            heapq.heappush(self._due, (time.monotonic() + in_s, next(self._order), recording, again))
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._work, name="recordings", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._due:
                    self._runs = False
                    return
                rest_s = self._due[0][0] - time.monotonic()
            time.sleep(min(max(LEAST_REST_S, rest_s), WAKE_S))
            while (taken := self._taken(time.monotonic())) is not None:
                due, _, recording, again = taken
                if recording.tend() and again:
                    with self._lock:
                        heapq.heappush(self._due, (due + WRITE_S, next(self._order), recording, True))
                time.sleep(0)  # whoever waits for the interpreter goes first

    def _taken(self, now_s: float) -> tuple[float, int, StereoRecording, bool] | None:
        """What is due at `now_s`, the longest first."""
        with self._lock:
            return heapq.heappop(self._due) if self._due and self._due[0][0] <= now_s else None


_scribe = _Scribe()


def _joined(pieces: Iterable[_Piece]) -> Iterator[_Piece]:
    """The pieces, with those in one that follow each other without a gap on a side."""
    run: list[Pcm16] = []
    side: _Side = 0
    start = end = 0
    for its_side, its_start, samples in pieces:
        if run and (its_side != side or its_start != end):
            yield side, start, np.concatenate(run)
            run = []
        if not run:
            side, start = its_side, its_start
        run.append(samples)
        end = its_start + len(samples)
    if run:
        yield side, start, np.concatenate(run)


class _Timeline:
    """The part of a recording that is not yet on disk; positions in samples from the start of the call."""

    def __init__(self, writer: StereoWavWriter) -> None:
        self.late_samples = 0
        self._writer = writer
        self._buffer: npt.NDArray[np.int16] = np.zeros((2, ROOM_MS * RATE // 1000), dtype=np.int16)
        self._ends = [0, 0]
        self._settled = 0  # nothing before this changes any more; at least what is on disk
        self._mutes: list[tuple[int, int]] = []

    @property
    def end(self) -> int:
        """End of the longer channel."""
        return max(self._ends)

    def place(self, side: _Side, start: int, samples: Pcm16) -> None:
        """Put samples[n] of a channel at `start`; see `StereoRecording` for overlaps and late pieces."""
        behind = self._ends[side] - start
        if 0 < behind <= JITTER_MS * RATE // 1000:
            start = self._ends[side]
        self._settle(min(start, self.end) - ALIGNMENT_MS * RATE // 1000)
        if start - self.end > ALIGNMENT_MS * RATE // 1000:
            self._skip_to(start - ALIGNMENT_MS * RATE // 1000)
        late = min(max(0, self._settled - start), len(samples))
        self.late_samples += late
        samples, start = samples[late:], start + late
        if not len(samples):
            return
        stop = start + len(samples)
        if stop - self._writer.frames > self._buffer.shape[1]:
            self._make_room(stop)
        offset = start - self._writer.frames
        self._buffer[side, offset : offset + len(samples)] = samples
        self._ends[side] = max(self._ends[side], stop)

    def write_until(self, position: int) -> None:
        """Write everything before `position` to disk."""
        position = min(position, self.end)
        self._settle(position)
        count, kept = position - self._writer.frames, self.end - position
        if count > 0:
            for start, stop in self._mutes:
                first, last = (max(0, at - self._writer.frames) for at in (start, stop))
                self._buffer[:, min(first, count) : min(last, count)] = 0
            self._mutes = [(start, stop) for start, stop in self._mutes if stop > position]
            self._writer.write(self._buffer[0, :count], self._buffer[1, :count])
            self._buffer[:, :kept] = self._buffer[:, count : count + kept]
            self._buffer[:, kept : count + kept] = 0

    def mute(self, start: int, stop: int) -> None:
        """Silence both channels from `start` up to `stop`: on disk now, and the rest when it is written."""
        self._writer.silence(start, stop)
        if stop > self._writer.frames:
            self._mutes.append((start, stop))

    def _settle(self, position: int) -> None:
        self._settled = max(self._settled, position)

    def _make_room(self, stop: int) -> None:
        """Write what is settled; where that does not make room up to `stop`, grow."""
        self.write_until(self._settled)
        missing = stop - self._writer.frames - self._buffer.shape[1]
        if missing > 0:
            self._buffer = np.pad(self._buffer, ((0, 0), (0, missing)))

    def _skip_to(self, position: int) -> None:
        """Write all there is, then silence, up to `position`."""
        self.write_until(self.end)
        while (missing := position - self._writer.frames) > 0:
            silence = np.zeros(min(missing, 10 * RATE), dtype=np.int16)
            self._writer.write(silence, silence)
        self._settle(position)
