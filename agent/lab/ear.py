"""What the far end of a line hears: received audio, played in real time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from audio.codec import Pcm16

AUDIBLE_RMS = 180.0
"""A piece with this RMS (16-bit scale, about -45 dBFS) is heard as a voice; line silence lies 20 dB lower."""
WORD_GAP_MS = 240.0
"""A voice that paused for less than this is still speaking."""


@dataclass(slots=True)
class Span:
    """A stretch in which the agent was heard without a pause of `WORD_GAP_MS`; ms from the start of the line."""

    start_ms: float
    end_ms: float


class Ear:
    """Buffer, play-out and memory of the agent's audio on one line.

    Audio and marks queue in the order they came; `play` takes them out in real time, so a mark is returned when the
    audio before it was played and not sooner. The buffer holds `limit_s` seconds: what does not fit is refused and
    counted, as a carrier would drop it.
    """

    def __init__(self, rate: int, limit_s: float = 300.0) -> None:
        """`rate` in Hz."""
        self.rate = rate
        self.spans: list[Span] = []
        self.played = 0
        """Samples played so far, silence included."""
        self.received = 0
        """Samples received so far, those that did not fit among them."""
        self.refused = 0
        """Samples that did not fit into the buffer."""
        self._waiting: deque[Pcm16 | str] = deque()
        self._buffered = 0
        self._limit = int(limit_s * rate)

    @property
    def now_ms(self) -> float:
        """How much was played, in ms."""
        return self.played * 1000.0 / self.rate

    @property
    def buffered_ms(self) -> float:
        """Audio received and not yet played, in ms."""
        return self._buffered * 1000.0 / self.rate

    @property
    def speaking(self) -> bool:
        """The agent is audible now, give or take a gap between words."""
        return bool(self.spans) and self.now_ms - self.spans[-1].end_ms < WORD_GAP_MS

    def heard_since(self, since_ms: float) -> bool:
        """The agent was audible at or after `since_ms`."""
        return bool(self.spans) and self.spans[-1].end_ms > since_ms

    def silent_ms(self) -> float:
        """How long the agent has been silent; the whole line's age where it never spoke."""
        return self.now_ms - (self.spans[-1].end_ms if self.spans else 0.0)

    def put(self, samples: Pcm16) -> None:
        """Queue received samples[n]."""
        self.received += len(samples)
        if self._buffered + len(samples) > self._limit:
            self.refused += len(samples)
        elif len(samples):
            self._waiting.append(samples)
            self._buffered += len(samples)

    def mark(self, name: str) -> None:
        """Queue a mark behind everything received so far."""
        self._waiting.append(name)

    def clear(self) -> list[str]:
        """Drop what was not played; returns the marks that were still waiting."""
        names = [item for item in self._waiting if isinstance(item, str)]
        self._waiting.clear()
        self._buffered = 0
        return names

    def play(self, count: int) -> tuple[Pcm16, list[str]]:
        """Play the next `count` samples: what was heard, int16[count], and the marks reached."""
        heard = np.zeros(count, dtype=np.int16)
        names: list[str] = []
        filled = 0
        while self._waiting:
            item = self._waiting[0]
            if isinstance(item, str):
                names.append(item)
                self._waiting.popleft()
                continue
            if filled == count:
                break
            piece = item[: count - filled]
            heard[filled : filled + len(piece)] = piece
            filled += len(piece)
            self._waiting.popleft()
            if len(piece) < len(item):
                self._waiting.appendleft(item[len(piece) :])
        self._buffered -= filled
        self._listen(heard)
        self.played += count
        return heard, names

    def _listen(self, heard: Pcm16) -> None:
        if float(np.sqrt(np.mean(np.square(heard.astype(np.float64))))) < AUDIBLE_RMS:
            return
        start, end = self.now_ms, self.now_ms + len(heard) * 1000.0 / self.rate
        if self.spans and start - self.spans[-1].end_ms < WORD_GAP_MS:
            self.spans[-1].end_ms = end
        else:
            self.spans.append(Span(start, end))
