"""One speaker of a call that is only listened to: audio in, turns out. In received samples, without a clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from agent.call.floor import FRAME_MS
from agent.call.listening import RATE, RECORD_RATE, Listening, Timeline
from agent.call.segments import Began, Over, Segmenter
from agent.config import Settings
from audio.codec import Encoding, Pcm16
from models.contracts import Samples

Side = Literal["caller", "agent", "human"]


@dataclass
class Turn:
    """Something said. number counts the turns of both speakers, as they begin.

    begin_ms, end_ms: in the received audio of this speaker; started_ms: when it began, by the clock. samples:
    float32[n] at 16 kHz, once it is over; first_ms: when the first of them came, by the clock. early: words of it that
    were shown before it was over.
    """

    number: int
    speaker: Side
    begin_ms: float
    started_ms: float
    end_ms: float = 0.0
    cut: bool = False
    samples: Samples = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    first_ms: float = 0.0
    over: bool = False
    early: str = ""
    peeked_ms: float = 0.0


class Ear:
    """Hears one speaker. `vad_state` is the voice activity state of their audio."""

    def __init__(
        self,
        speaker: Side,
        encoding: Encoding,
        settings: Settings,
        vad_state: Any,
        numbers: Iterator[int],
        now_ms: float,
        listening: Listening | None = None,
        timeline: Timeline | None = None,
    ) -> None:
        """`numbers` gives each turn its own; the call has one for all speakers.

        listening: where this speaker's audio is fed and its frames are judged already; `feed` is then not used, and
        `timeline` is where that audio lies.
        """
        self.speaker = speaker
        self.vad_state = vad_state
        self.turn: Turn | None = None
        """What is being said."""
        self._listening = listening or Listening(encoding, settings.vad.threshold, settings.vad.release)
        self._segmenter = Segmenter(settings.floor)
        self._numbers = numbers
        self._timeline = timeline or Timeline(now_ms)
        self._from_ms = self._listening.judged * 1000.0 / RATE

    def feed(self, audio: bytes, now_ms: float) -> tuple[list[Samples], Pcm16, float]:
        """Take audio that came at `now_ms`; gives frames for voice activity, and 8 kHz for the recording with its time.

        Raises:
            ValueError: the audio does not fit the encoding.
        """
        frames, narrow = self._listening.feed(audio)
        before_ms = self._listening.received_ms - len(narrow) / RECORD_RATE * 1000.0
        return frames, narrow, self._timeline.place(before_ms, now_ms)

    def judge(self, chance: float) -> Turn | None:
        """The next frame has a voice with P = `chance`; gives a turn that is over with it."""
        match self._segmenter.frame(self._listening.judge(chance)):
            case Began(begin, back):
                self._listening.open(back)
                at = begin * FRAME_MS
                started_ms = self._timeline.from_ms + self._from_ms + at
                self.turn = Turn(next(self._numbers), self.speaker, at, started_ms)
            case Over() as over:
                return self._over(over)
        return None

    def finish(self) -> Turn | None:
        """No more audio comes for now; gives the turn that was under way."""
        over = self._segmenter.finish()
        return None if over is None else self._over(over)

    @property
    def speaking(self) -> bool:
        """Whether a turn is under way and its speaker does not pause."""
        return self._segmenter.speaking

    def so_far(self) -> Samples | None:
        """What was said of the turn under way, float32[n] at 16 kHz."""
        piece = None if self.turn is None else self._listening.turn()
        return None if piece is None else piece.samples

    def _over(self, over: Over) -> Turn | None:
        turn, piece = self.turn, self._listening.turn()
        self._listening.commit()
        self.turn = None
        if turn is None or piece is None:
            return None
        turn.samples, turn.end_ms, turn.cut, turn.over = piece.samples, over.end * FRAME_MS, over.cut, True
        turn.first_ms = self._timeline.from_ms + piece.begin * 1000.0 / RATE
        return turn
