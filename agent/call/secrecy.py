"""What nobody may keep of one call: while it is asked for, nothing is recorded, and words are withheld."""

from __future__ import annotations

import math
from collections.abc import Iterable

from agent.call.notes import Notes
from agent.clock import Clock
from agent.dialogue.contracts import Dialogue
from agent.records.muting import Span
from agent.records.pausing import Pausing, paused_call

BEFORE_MS = 500.0
"""What was said begins this much before it is noticed."""
MOST_PAUSES = 100
"""Pauses of one call that are remembered one by one; of more, the oldest count as one with what lay between."""


class Secrecy:
    """Pauses the recording of one call, as its dialogue or a person asks. Times are ms of the clock."""

    def __init__(self, dialogue: Dialogue, notes: Notes, clock: Clock) -> None:
        self._dialogue = dialogue
        self._clock = clock
        recording = notes.record.recording if notes.record is not None else None
        self._pausing = Pausing(recording, lambda kind, data: notes.event(kind, **data))
        self._pauses: list[tuple[float, float]] = []

    @property
    def paused(self) -> list[str]:
        """Why nothing is recorded now; see `agent.records.pausing.Why`."""
        return [str(why) for why in self._pausing.why]

    def enter(self) -> None:
        """The running task, and those it begins from now on, belong to the call: its pauses hold for their logs."""
        paused_call.set(self._pausing)

    def keep(self) -> None:
        """Record nothing while the caller is asked for what nobody may keep, or has not agreed."""
        if self._dialogue.sensitive:
            self._pausing.hold("secret")
        else:
            self._pausing.release("secret")
        if self._dialogue.may_record:
            self._pausing.release("consent")
        else:
            self._pausing.hold("consent")

    def pause(self, on: bool) -> bool:
        """Keep neither sound nor words from now on, as a person asked, or again; returns whether that is new."""
        if on is ("person" in self._pausing.why):
            return False
        now = self._clock.now_ms()
        if on:
            self._pausing.hold("person")
            self._pauses.append((now, math.inf))
            if len(self._pauses) > MOST_PAUSES:
                self._pauses[:2] = [(self._pauses[0][0], self._pauses[1][1])]
        else:
            self._pausing.release("person")
            self._pauses[-1] = (self._pauses[-1][0], now)
        return True

    def private(self, spans: Iterable[Span]) -> None:
        """Private words were said: secrets leave the recording at once."""
        self._pausing.private(spans)

    def withheld(self, speaker: str, text: str, from_ms: float, to_ms: float) -> bool:
        """Whether what was said between two times, while people have the call, is neither recorded nor shown.

        That is all of it in a pause that a person asked for; else only what the agent had asked the caller for and must
        not keep, such as a PIN.
        """
        if any(begin <= to_ms and from_ms - BEFORE_MS <= end for begin, end in self._pauses):
            return True
        return speaker == "caller" and self._dialogue.sensitive and any(character.isdigit() for character in text)
