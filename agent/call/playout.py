"""Playing a reply to the caller on an absolute schedule, and knowing what of it was heard.

Pure: times come in as `now_ms`, commands for the gateway come out. A reply is one line of samples; the ledger maps
spans of its text to spans of that line. What was heard is taken, in this order of trust, from an acknowledged mark,
the paced clock behind the line's measured lag, and nothing else.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.gateways.base import Capabilities, Clear, Mark, Play
from audio.codec import Pcm16

MARK_EVERY_MS = 1000.0
"""A mark at least this often inside long sentences, besides one after each."""
UNTRUE_MS = 120.0
"""A mark back this much before its audio could have ended shows that the gateway's marks mean nothing."""
MARK_PATIENCE_MS = 1500.0
"""A last mark that is not back this long after the audio's paced end is no longer waited for."""
LAGS = 3
"""Marks the line's lag is taken from, as their median: one that comes late says nothing of the line."""
WORD_HEARD = 0.6
"""Share of a word that must have played for the word to count as heard."""
AUDIBLE = 200
"""int16 amplitude from which a sample counts as audible, -44 dBFS."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """Text span [start, end) of an utterance plays as samples [first, last) of the reply's line."""

    generation: int
    utterance: int
    start: int
    end: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class HeardUtterance:
    """What the caller heard of an utterance; `complete` when all of it."""

    utterance: int
    text: str
    heard: str
    complete: bool


WORDS = re.compile(r"[\u3400-\u9fff][，。！？；：、]*|[^\s\u3400-\u9fff]+")
"""Words of a text; Chinese has no spaces, each character is one."""


class Playout:
    """The line of one call: at most one reply plays at a time."""

    def __init__(self, capabilities: Capabilities) -> None:
        self._can = capabilities
        self._encoding = capabilities.encoding
        self._frame = capabilities.encoding.rate * capabilities.frame_ms // 1000
        self._per_ms = capabilities.encoding.rate / 1000.0
        self._lead_ms = capabilities.lead_ms
        self._filled_ms = 0.0
        self.marks_true = capabilities.marks == "played"
        self.lag_ms = 0.0
        self._lags: deque[float] = deque(maxlen=LAGS)
        self.untrue_marks = 0
        self.stale_marks = 0
        self.resyncs = 0
        self._epoch = 0
        self._marks = 0
        self._begin(0)

    def _begin(self, generation: int) -> None:
        self.generation = generation
        self._texts: list[str] = []
        self._must_hear: list[bool] = []
        self._ledger: list[LedgerEntry] = []
        self._line = np.zeros(0, dtype=np.int16)
        self._complete = False
        self._anchor_ms: float | None = None
        self._base = 0
        self._sent = 0
        self._recorded = 0
        self._acked = 0
        self._last_mark = 0
        self._pending: dict[str, int] = {}
        self._paused = False
        self._marks_due: list[int] = []
        self._most_heard: int | None = None
        self._read_from = 0

    def begin(self, generation: int) -> None:
        """Start a new reply; anything of an older one is stale from now on."""
        self._begin(generation)

    def utterance(self, generation: int, text: str, must_hear: bool = False) -> int | None:
        """Announce the next utterance; returns its number, or None where `generation` is stale."""
        if generation != self.generation:
            return None
        self._texts.append(text)
        self._must_hear.append(must_hear)
        return len(self._texts) - 1

    def add(self, generation: int, utterance: int, span: tuple[int, int], samples: Pcm16) -> bool:
        """Queue samples[n] at the gateway's rate that say `span` of an utterance; False where they are stale."""
        if generation != self.generation or self._complete:
            return False
        first = len(self._line)
        self._line = np.concatenate([self._line, samples])
        self._ledger.append(LedgerEntry(generation, utterance, span[0], span[1], first, len(self._line)))
        self._marks_due.append(len(self._line))
        return True

    def complete(self, generation: int) -> None:
        """Nothing more comes for this reply."""
        if generation == self.generation:
            self._complete = True

    def ahead_ms(self, now_ms: float) -> float:
        """Audio queued that was not played yet, in ms; producers wait while it is long."""
        return (len(self._line) - self._paced(now_ms)) / self._per_ms

    @property
    def started(self) -> bool:
        """Whether any of this reply was sent."""
        return self._sent > 0

    @property
    def leading_silence_ms(self) -> float:
        """Silence before the first audible sample of the reply, in ms."""
        loud = np.flatnonzero(np.abs(self._line[: int(2000 * self._per_ms)].astype(np.int32)) >= AUDIBLE)
        return float(loud[0]) / self._per_ms if loud.size else 0.0

    def due(self, now_ms: float) -> list[Play | Mark]:
        """What to send now to keep `Capabilities.lead_ms` ahead."""
        commands: list[Play | Mark] = []
        if self._paused:
            return commands
        while self._sent < len(self._line):
            if self._anchor_ms is None or (self._at(self._sent) < now_ms):
                self._resync(now_ms)
            if self._at(self._sent) - now_ms > self._lead_ms:
                break
            stop = min(self._sent + self._frame, len(self._line))
            if stop - self._sent < self._frame and not self._complete and self._at(stop) - now_ms > self._can.frame_ms:
                break
            piece = self._line[self._sent : stop]
            if len(piece) < self._frame:
                piece = np.concatenate([piece, np.zeros(self._frame - len(piece), dtype=np.int16)])
            commands.append(Play(self._encoding.encode(piece)))
            self._sent = stop
            if self._wants_mark():
                commands.append(self._mark())
        return commands

    def fill(self, now_ms: float) -> list[Play]:
        """Silence for a gateway that must always be sent something, where nothing of a reply is due."""
        if not self._can.silence:
            return []
        spoken = self._at(self._sent) if self._anchor_ms is not None else 0.0
        self._filled_ms = max(self._filled_ms, spoken, now_ms - self._can.frame_ms)
        frames = max(0, math.floor((now_ms + self._lead_ms - self._filled_ms) / self._can.frame_ms))
        self._filled_ms += frames * self._can.frame_ms
        return [Play(self._encoding.silence(self._frame))] * frames

    def next_fill(self) -> float | None:
        """When `fill` has something again, in ms of the clock; None where the gateway needs no silence."""
        return self._filled_ms + self._can.frame_ms - self._lead_ms if self._can.silence else None

    def _wants_mark(self) -> bool:
        if not self.marks_true:
            return False
        passed = bool(self._marks_due) and self._marks_due[0] <= self._sent
        while self._marks_due and self._marks_due[0] <= self._sent:
            self._marks_due.pop(0)
        return passed or self._sent - self._last_mark >= MARK_EVERY_MS * self._per_ms

    def _mark(self) -> Mark:
        self._marks += 1
        name = f"g{self.generation}.{self._epoch}.{self._marks}"
        self._pending[name] = self._sent
        self._last_mark = self._sent
        return Mark(name)

    def next_due(self, now_ms: float) -> float | None:
        """When `due` or `done` has something new, in ms of the clock; None while nothing is queued."""
        if self._paused:
            return None
        if self._sent < len(self._line):
            return now_ms if self._anchor_ms is None else max(now_ms, self._at(self._sent) - self._lead_ms)
        if self._complete:
            return max(now_ms, self._ends_ms())
        return None

    def done(self, now_ms: float) -> bool:
        """Whether everything of a complete reply was heard."""
        if self._paused or not self._complete or self._sent < len(self._line):
            return False
        if self.marks_true and not self._pending:
            return now_ms >= self._at(self._sent) - UNTRUE_MS if self._sent else True
        return now_ms >= self._ends_ms()

    def _ends_ms(self) -> float:
        end = self._at(self._sent) + self.lag_ms
        return end + MARK_PATIENCE_MS if self.marks_true and self._pending else end

    def pause(self, now_ms: float) -> list[Clear]:
        """Stop the sound; `resume` goes on at the word that was cut."""
        if self._paused:
            return []
        self._paused = True
        position = self._word_start(self.position(now_ms)) if self._can.clear else self._sent
        return self._cut(position)

    def resume(self, now_ms: float) -> None:
        """Go on where `pause` stopped."""
        if self._paused:
            self._paused = False
            self._anchor_ms = None

    def rewind(self, now_ms: float) -> int:
        """Go back to where the utterance began that was not heard to its end; returns its number."""
        position = self.position(now_ms)
        cut = next((entry.utterance for entry in self._ledger if entry.last > position), len(self._texts))
        self._cut(min([position, *(entry.first for entry in self._ledger if entry.utterance == cut)]))
        self._read_from = cut
        return cut

    def stop(self, now_ms: float) -> list[Clear]:
        """End the reply for good: the sound stops and what was not heard is forgotten."""
        position = self.position(now_ms)
        cleared = [] if self._paused else self._cut(position)
        self._line = self._line[: min(position, len(self._line))]
        self._sent = min(self._sent, len(self._line))
        self._complete = True
        self._paused = True
        return cleared

    def _cut(self, position: int) -> list[Clear]:
        was_ahead = self._sent > 0
        self._acked = min(self._acked, position)
        self._most_heard = None
        self._sent = self._base = position
        self._recorded = min(self._recorded, position)
        self._last_mark = min(self._last_mark, position)
        self._marks_due = [entry.last for entry in self._ledger if entry.last > position]
        self._anchor_ms = None
        self._pending.clear()
        self._epoch += 1
        return [Clear()] if was_ahead and self._can.clear else []

    def reached(self, name: str, now_ms: float) -> None:
        """A mark came back. Marks from before a `Clear` prove nothing and are only counted."""
        sample = self._pending.pop(name, None)
        if sample is None:
            self.stale_marks += 1
            return
        early = self._at(sample) - now_ms
        if early > UNTRUE_MS:
            self.marks_true = False
            self.untrue_marks += 1
            self._pending.clear()
            return
        for other in [key for key, at in self._pending.items() if at <= sample]:
            del self._pending[other]
        self._acked = max(self._acked, sample)
        self._lags.append(min(1000.0, max(0.0, -early)))
        self.lag_ms = sorted(self._lags)[(len(self._lags) - 1) // 2]

    def lost(self, frames: int) -> None:
        """Of what was sent last, `frames` frames never left: what the caller heard ends before them."""
        self._heard_at_most(self._sent - frames * self._frame)

    def truncated(self, heard_ms: float) -> None:
        """A client that plays the audio says that of this reply it played `heard_ms`."""
        self._heard_at_most(round(heard_ms * self._per_ms))

    def read_out(self, text: str, stopped: bool) -> None:
        """A gateway that speaks itself says that the caller heard `text` of this reply; `stopped`: and no more.

        After `rewind` it counts from there.
        """
        letters = len("".join(text.split()))
        sample = 0
        for entry in self._ledger:
            if entry.utterance < self._read_from:
                sample = entry.last
                continue
            said = len("".join(self._texts[entry.utterance][entry.start : entry.end].split()))
            share = min(1.0, letters / said) if said else 1.0
            sample = entry.first + math.ceil(share * (entry.last - entry.first))
            letters -= said
            if letters <= 0:
                break
        self._acked = max(self._acked, sample)
        if stopped:
            self._heard_at_most(sample)

    def _heard_at_most(self, sample: int) -> None:
        limit = max(0, sample)
        self._most_heard = limit if self._most_heard is None else min(self._most_heard, limit)

    def heard_ms(self, now_ms: float) -> float:
        """How much of this reply was heard, in ms."""
        return self.position(now_ms) / self._per_ms

    @property
    def paused(self) -> bool:
        """Whether the sound is stopped for a while."""
        return self._paused

    def position(self, now_ms: float) -> int:
        """Samples of the reply's line that the caller has heard."""
        position = max(self._acked, self._paced(now_ms - self.lag_ms))
        return position if self._most_heard is None else min(position, self._most_heard)

    def must_hear(self, now_ms: float) -> bool:
        """Whether an utterance that must be heard was announced and has not been heard to its end."""
        position = self.position(now_ms)
        ends = {entry.utterance: entry.last for entry in self._ledger}
        return any(
            must and (number not in ends or position < ends[number]) for number, must in enumerate(self._must_hear)
        )

    def heard(self, now_ms: float) -> list[HeardUtterance]:
        """What was heard of each utterance so far, in order; utterances of which nothing was are left out."""
        position = self.position(now_ms)
        result: list[HeardUtterance] = []
        for number, text in enumerate(self._texts):
            chars = 0.0
            for entry in self._ledger:
                if entry.utterance != number or (position < entry.last and position <= entry.first):
                    continue
                length = entry.last - entry.first
                share = min(1.0, (position - entry.first) / length) if length else 1.0
                chars = entry.start + share * (entry.end - entry.start)
            heard = _whole_words(text, chars)
            if heard:
                result.append(HeardUtterance(number, text, heard, heard == text.strip()))
        return result

    def played(self, now_ms: float) -> tuple[Pcm16, float] | None:
        """Samples that played since the last call and the time of the first, for the recording."""
        if self._anchor_ms is None or self._recorded >= max(self._base, self._sent):
            return None
        stop = self._paced(now_ms)
        if stop <= self._recorded:
            return None
        first, self._recorded = self._recorded, stop
        return self._line[first:stop], self._at(first)

    def entries(self) -> Sequence[LedgerEntry]:
        """The ledger of the current reply."""
        return tuple(self._ledger)

    def _at(self, sample: int) -> float:
        if self._anchor_ms is None:
            return 0.0
        return self._anchor_ms + (sample - self._base) / self._per_ms

    def _resync(self, now_ms: float) -> None:
        if self._anchor_ms is not None:
            self.resyncs += 1
        self._anchor_ms = now_ms
        self._base = self._sent

    def _paced(self, now_ms: float) -> int:
        if self._anchor_ms is None:
            return self._base
        return max(self._base, min(self._sent, self._base + int((now_ms - self._anchor_ms) * self._per_ms)))

    def _word_start(self, position: int) -> int:
        for entry in self._ledger:
            if entry.first < position < entry.last:
                text = self._texts[entry.utterance]
                per_char = (entry.last - entry.first) / max(1, entry.end - entry.start)
                at = entry.start + (position - entry.first) / per_char
                starts = [match.start() for match in WORDS.finditer(text) if match.start() <= at]
                start = max((s for s in starts if s >= entry.start), default=entry.start)
                return math.ceil(entry.first + (start - entry.start) * per_char)
        return position


def _whole_words(text: str, chars: float) -> str:
    end = 0
    for match in WORDS.finditer(text):
        share = (chars - match.start()) / (match.end() - match.start())
        if share < WORD_HEARD:
            break
        end = match.end()
    return text[:end].strip()
