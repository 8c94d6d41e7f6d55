"""One reply: the parts of an answer turned into sound, sentence by sentence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from agent.call.playout import HeardUtterance, Playout
from agent.clock import Clock
from agent.dialogue.contracts import Acted, Because, Expect, HandOff, HangUp, Part, Profile, Say
from agent.gateways.base import SpeakText
from audio.resample import resample, to_pcm16
from models.contracts import Samples, Speech, Voice
from models.pool import Priority

AHEAD_MS = 15_000.0
"""Audio made before it is due; a longer answer waits, so that an interruption wastes little."""
WAIT_MS = 250.0
"""Shortest wait for the line to empty; a paused line does not empty at all."""

MOST_GAIN_DB = 12.0
"""Most that speech is raised: four times the amplitude, at which most of it is still below the limiter."""
CHAR_MS, WIDE_CHAR_MS, FIRST_WIDE = 65.0, 220.0, "\u2e80"
"""What another's voice takes for a letter, 15 a second, and for one from `FIRST_WIDE` on: Chinese, 4.5 a second."""
KNEE = 0.7
"""Amplitude from which raised speech is limited."""

priority: ContextVar[Priority] = ContextVar("priority", default=Priority.LATER_SENTENCE)
"""Urgency of the synthesis that runs in this task; read by whoever submits it to the pool."""
patience_ms: ContextVar[float | None] = ContextVar("patience_ms", default=None)
"""How long the synthesis of this task may wait for a worker before it is given up; None for as long as it takes."""


Manner = Literal["voice", "text", "mute"]
"""How replies are said: by our voice, by that of a gateway, which is given the text, or not at all."""


@dataclass
class Reply:
    """A reply under way. Times are ms of the clock; latency parts in ms."""

    generation: int
    turn: int
    began_ms: float
    answers_caller: bool
    profile: Profile = "open"
    """What had been asked before the turn it answers."""
    guessing: asyncio.Task[None] | None = None
    """The reading of that turn, which may still be under way."""
    snapshot: Any = None
    said: list[str] = field(default_factory=list)
    spoken: list[SpeakText] = field(default_factory=list)
    """The same for a gateway that reads out."""
    tones: list[str] = field(default_factory=list)
    must_hear: bool = False
    reasons: dict[str, Any] = field(default_factory=dict)
    then: Literal["hangup", "transfer", "move"] | None = None
    handoff: HandOff | None = None
    ending: str = ""
    audible_ms: float | None = None
    latency: dict[str, float] = field(default_factory=dict)
    finished: bool = False
    farewell: bool = False
    """Cannot be interrupted: the person at the other end is waiting."""
    continued: bool = False
    """The caller went on with the turn it answers: the dialogue takes the answer back."""
    heard: list[HeardUtterance] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All sentences so far."""
        return " ".join(self.said)


class Prepared(Protocol):
    """A first sentence made in advance; see `agent.call.preparing`."""

    def take(self, say: Say) -> AsyncIterator[Speech] | None:
        """Its sound, or None where it is another sentence."""
        ...

    def drop(self) -> None:
        """It is not wanted."""
        ...


class Speaker:
    """Speaks the parts of replies into a call's playout."""

    def __init__(
        self,
        voice: Voice,
        playout: Playout,
        rate: int,
        clock: Clock,
        wake: Callable[[], None],
        on_part: Callable[[Reply, Part], None],
        manner: Manner = "voice",
    ) -> None:
        self._voice = voice
        self._playout = playout
        self._rate = rate
        self._clock = clock
        self._wake = wake
        self._on_part = on_part
        self._manner = manner

    async def speak(self, reply: Reply, parts: AsyncIterator[Part], prepared: Prepared | None = None) -> None:
        """Take parts as they come, synthesize and queue them; returns when all of the reply is queued.

        `prepared` may hold the sound of the first sentence; it is used where it is the one the answer begins with.
        """
        asked = self._clock.now_ms()
        first = True
        async with closing(parts):
            async for part in parts:
                match part:
                    case Say():
                        if first:
                            reply.latency["dialogue"] = self._clock.now_ms() - asked
                        await self._say(reply, part, first, prepared if first else None)
                        first = False
                    case Because(facts):
                        reply.reasons.update(facts)
                    case HandOff():
                        reply.then, reply.handoff = "transfer", part
                    case HangUp(reason):
                        reply.then, reply.ending = "hangup", reason
                    case Expect() | Acted():
                        pass
                self._on_part(reply, part)
        reply.finished = True
        self._playout.complete(reply.generation)
        self._wake()

    async def _say(self, reply: Reply, say: Say, first: bool, prepared: Prepared | None) -> None:
        utterance = self._playout.utterance(reply.generation, say.text, say.must_hear or reply.farewell)
        if utterance is None:
            return
        reply.said.append(say.text)
        reply.tones.append(say.tone)
        reply.must_hear = reply.must_hear or say.must_hear
        if self._manner != "voice":
            # What another reads out takes its time: silence of that length keeps the ledger's.
            length_ms = read_out_ms(say.text) if self._manner == "text" else 0.0
            silence = np.zeros(round(length_ms * self._rate / 1000.0), dtype=np.int16)
            self._playout.add(reply.generation, utterance, (0, len(say.text)), silence)
            return
        asked = self._clock.now_ms()
        priority.set(Priority.FIRST_SENTENCE if first else Priority.LATER_SENTENCE)
        made = prepared.take(say) if prepared is not None else None
        if prepared is not None:
            reply.reasons["prepared"] = made is not None
            if made is None:
                prepared.drop()
        speaking = (
            made
            if made is not None
            else self._voice.speak(say.text, say.tone, pace=say.pace, language=say.language or None)
        )
        async with closing(speaking):
            async for speech in speaking:
                samples = to_pcm16(louder(resample(speech.samples, speech.rate, self._rate), say.gain_db))
                if not self._playout.add(reply.generation, utterance, speech.span, samples):
                    return
                if first and "synthesis" not in reply.latency:
                    reply.latency["synthesis"] = self._clock.now_ms() - asked
                    priority.set(Priority.LATER_SENTENCE)
                self._wake()
                while (ahead := self._playout.ahead_ms(self._clock.now_ms()) - AHEAD_MS) > 0:
                    await self._clock.sleep_until(self._clock.now_ms() + max(WAIT_MS, ahead))


def read_out_ms(text: str) -> float:
    """How long another's voice takes to read `text` out, roughly."""
    return sum(WIDE_CHAR_MS if character >= FIRST_WIDE else CHAR_MS for character in text)


def louder(samples: Samples, gain_db: float) -> Samples:
    """samples[n] in [-1, 1], `gain_db` louder, at most `MOST_GAIN_DB`; peaks above `KNEE` are limited, never cut."""
    if gain_db == 0.0:
        return samples
    raised = samples * np.float32(10 ** (min(MOST_GAIN_DB, gain_db) / 20))
    over = np.abs(raised) > KNEE
    room = 1.0 - KNEE
    raised[over] = np.sign(raised[over]) * (KNEE + room * np.tanh((np.abs(raised[over]) - KNEE) / room))
    return raised.astype(np.float32)


@asynccontextmanager
async def closing(stream: AsyncIterator[object]) -> AsyncIterator[None]:
    """Close `stream` on leaving: an answer or a synthesis given up half-way has ended before the next one begins."""
    try:
        yield
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()
