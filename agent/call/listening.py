"""From the gateway's audio to voiced frames and utterances: one per call, in received samples, without a clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from audio.codec import Encoding, Pcm16
from audio.resample import StreamResampler, to_float, to_pcm16
from audio.ring import Ring
from models.contracts import Samples

RATE = 16_000
FRAME = 512
"""Samples of a voice activity frame."""
RING_S = 30.0
"""Audio kept of a call; it does not grow with the call."""
PREROLL = int(0.3 * RATE)
"""Audio before the first voiced frame that belongs to the turn: soft onsets are not voiced yet."""
TAIL = int(0.2 * RATE)
"""Audio after the last voiced frame given to the recognizer."""
FREEZE_S = 12.0
"""Words recognized at a pause in a turn longer than this are kept, and recognition goes on from there."""
LONGEST_S = 26.0
"""A turn without a pause is cut here, before the ring forgets its start."""
RECORD_RATE = 8_000
DRIFT_MS = 500.0
"""Received audio this far from the clock has lost or gained time; the timeline of the call then follows the clock."""

SILENT_FRAME: Samples = np.zeros(FRAME, dtype=np.float32)
"""What every frame of digital silence is."""
SILENT_FRAME.setflags(write=False)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the open turn, [begin, end) in samples since the start of the call."""

    samples: Samples
    begin: int
    end: int


class Timeline:
    """Where received audio lies in time, in ms of the clock: by its own length, until that and the clock part."""

    def __init__(self, now_ms: float) -> None:
        self.from_ms = now_ms
        """When the first of the audio came, as if all since had come in time."""

    def place(self, before_ms: float, now_ms: float) -> float:
        """When audio that came at `now_ms`, after `before_ms` of it, began."""
        if abs(self.from_ms + before_ms - now_ms) > DRIFT_MS:
            self.from_ms = now_ms - before_ms
        return self.from_ms + before_ms


class Listening:
    """The caller's audio of one call.

    `feed` takes what the gateway sent and returns whole frames for voice activity detection; `turn` gives the open
    turn to the recognizer.
    """

    def __init__(self, encoding: Encoding, threshold: float, release: float) -> None:
        self._encoding = encoding
        self._threshold = threshold
        self._release = release
        self._up = StreamResampler(encoding.rate, RATE)
        self._down = StreamResampler(encoding.rate, RECORD_RATE)
        self._ring = Ring(RING_S, RATE)
        self._rest = np.zeros(0, dtype=np.float32)
        self._silence, self._silent = b"", np.zeros(0, dtype=np.int16)
        self._rests = False  # whether nothing but digital silence is held back anywhere
        self._framed = 0
        self._voiced = False
        self._begin: int | None = None
        self._before: int | None = None
        self._last_voiced = 0
        self._answered = 0
        self.received = 0
        """Samples received so far, at the gateway's rate."""

    def feed(self, audio: bytes) -> tuple[list[Samples], Pcm16]:
        """Take a piece of audio; returns float32[512] frames at 16 kHz, and the piece at 8 kHz for the recording.

        Raises:
            ValueError: the audio does not fit the encoding.
        """
        if audio == self._silence and self._rests:
            return self._feed_silence()
        pcm = self._encoding.decode(audio)
        self.received += len(pcm)
        self._rests = not pcm.any()
        if self._rests and len(audio) != len(self._silence):
            self._silence, self._silent = self._encoding.silence(len(pcm)), np.zeros(len(pcm), dtype=np.int16)
        samples = to_float(pcm)
        wide = self._up.process(samples)
        self._ring.append(wide)
        if self._encoding.rate != RECORD_RATE:
            pcm = to_pcm16(self._down.process(samples))
        rest = np.concatenate([self._rest, wide]) if self._rest.size else wide
        count = len(rest) // FRAME
        self._rest = rest[count * FRAME :]
        self._rests = self._rests and not rest.any() and self._up.silent and self._encoding.rate == RECORD_RATE
        return [rest[n * FRAME : (n + 1) * FRAME] for n in range(count)], pcm

    def _feed_silence(self) -> tuple[list[Samples], Pcm16]:
        """What `feed` gives of digital silence after digital silence: always the same."""
        self.received += len(self._silent)
        count = len(self._silent) * RATE // RECORD_RATE
        self._ring.append_silence(count)
        frames, left = divmod(len(self._rest) + count, FRAME)
        self._rest = SILENT_FRAME[:left]
        return [SILENT_FRAME] * frames, self._silent

    @property
    def judged(self) -> int:
        """Samples at 16 kHz whose frames were judged so far."""
        return self._framed

    @property
    def received_ms(self) -> float:
        """Length of what was received so far."""
        return self.received * 1000.0 / self._encoding.rate

    def would_judge(self, probability: float) -> bool:
        """Whether a frame of this voice probability would count as voiced, were it the next."""
        return probability >= (self._release if self._voiced else self._threshold)

    def judge(self, probability: float) -> bool:
        """Whether the next frame, of this voice probability, counts as voiced."""
        self._voiced = self.would_judge(probability)
        self._framed += FRAME
        if self._voiced:
            self._last_voiced = self._framed
        return self._voiced

    def open(self, frames_back: int) -> None:
        """A turn opened, `frames_back` frames before the last one judged."""
        self._before = self._begin
        self._begin = max(self._answered, self._framed - frames_back * FRAME - PREROLL)

    def commit(self) -> None:
        """The open turn is over; a later one does not begin before its last voiced frame."""
        self._answered = self._last_voiced

    def merge(self) -> None:
        """The turn that just opened goes on with the one before it."""
        if self._before is not None:
            self._begin, self._before = self._before, None

    def drop(self) -> None:
        """What was open is no turn; the one before it may still go on."""
        self._begin = self._before

    def cut(self, at: int) -> None:
        """Everything of the open turn before sample `at` has been recognized for good."""
        self._begin = at

    @property
    def voiced(self) -> bool:
        """Whether the open turn, or what was not cut of it, has a voice in it."""
        return self._begin is not None and self._last_voiced > self._begin

    def turn(self) -> Piece | None:
        """The open turn up to a little after its last voiced frame; None where nothing is open or kept of it."""
        if self._begin is None:
            return None
        end = min(self._ring.end, max(self._last_voiced, self._begin) + TAIL)
        begin = max(self._begin, self._ring.start)
        if begin >= end:
            return None
        return Piece(self._ring.slice(begin, end), begin, end)

    def turn_s(self) -> float:
        """Length of the open turn in seconds."""
        return 0.0 if self._begin is None else max(0.0, (self._framed - self._begin) / RATE)
