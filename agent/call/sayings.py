"""Texts spoken to the caller by our voice while people have the call, or he waits: typed by people, and announced."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.call.notes import Notes
from agent.call.outbox import Outbox
from agent.call.replying import closing, priority
from agent.call.services import CallServices
from agent.call.talk import FRAME, FRAME_MS, RATE
from agent.gateways.base import Capabilities, SpeakText
from audio.codec import Pcm16
from audio.resample import resample, to_pcm16
from models.pool import Priority

MOST_WAITING = 8
"""Texts that wait to be spoken."""
MOST_TEXT = 1000
"""Characters of one."""


@dataclass(frozen=True, slots=True)
class Saying:
    """A text to be spoken. who: who typed it, empty where the agent itself says it."""

    text: str
    language: str | None
    who: str = ""


class Sayings:
    """The texts of one call, one after the other."""

    def __init__(
        self,
        services: CallServices,
        can: Capabilities,
        outbox: Outbox,
        notes: Notes,
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        said: Callable[[Saying, float, float], None],
        changed: Callable[[], None],
    ) -> None:
        """`said` is told what was spoken, from when to when; `changed` that there is something to say, or no more."""
        self._clock = services.clock
        self._voice = services.voice
        self._can = can
        self._outbox = outbox
        self._notes = notes
        self._spawn = spawn
        self._said = said
        self._changed = changed
        self._waiting: deque[Saying] = deque()
        self._speech: deque[Pcm16] = deque()
        self._spoken = asyncio.Event()
        self._speaking: asyncio.Task[None] | None = None

    def say(self, text: str, language: str | None, who: str = "") -> None:
        """Have a text spoken to the caller, or shown to one who reads, after those that wait.

        Raises:
            ValueError: it is empty or too long, or too many wait.
        """
        text = text.strip()
        if not text or len(text) > MOST_TEXT:
            raise ValueError(f"text has {len(text)} characters; send 1 to {MOST_TEXT}")
        if len(self._waiting) >= MOST_WAITING:
            raise ValueError(f"{MOST_WAITING} texts wait to be spoken already; send this one again when they were")
        self._waiting.append(Saying(text, language, who))
        self._changed()
        if self._speaking is None or self._speaking.done():
            self._speaking = self._spawn(self._speak_all(), "say")

    @property
    def speaking(self) -> bool:
        """Whether something is being spoken, or waits to be."""
        return bool(self._waiting)

    async def quiet(self, within_s: float) -> None:
        """Wait until everything was spoken."""
        until = self._clock.now_ms() + within_s * 1000.0
        while self._waiting and self._clock.now_ms() < until:
            await self._clock.sleep_until(self._clock.now_ms() + FRAME_MS)

    def hush(self) -> None:
        """Stop what is spoken, and forget what waits."""
        if self._speaking is not None:
            self._speaking.cancel()
        self._speaking = None
        self._waiting.clear()
        self._speech.clear()

    def take(self) -> Pcm16 | None:
        """The next 320 samples at 16 kHz; None where nothing is spoken."""
        if not self._speech:
            return None
        piece = self._speech.popleft()
        if len(piece) > FRAME:
            self._speech.appendleft(piece[FRAME:])
            return piece[:FRAME]
        if not self._speech:
            self._spoken.set()
        return np.concatenate([piece, np.zeros(FRAME - len(piece), dtype=np.int16)])

    async def _speak_all(self) -> None:
        while self._waiting:
            one = self._waiting[0]
            began = self._clock.now_ms()
            try:
                await self._speak(one)
            except Exception as error:
                self._notes.fault("say_failed", f"{type(error).__name__}: {error}")
            else:
                self._said(one, began, self._clock.now_ms())
            if self._waiting and self._waiting[0] is one:
                self._waiting.popleft()
        self._changed()

    async def _speak(self, one: Saying) -> None:
        if self._can.text_out:
            self._outbox.put(SpeakText(one.text, language=one.language))
            self._outbox.put(SpeakText("", last=True))
            return
        if not self._can.audio_out:
            return
        priority.set(Priority.FIRST_SENTENCE)
        speaking = self._voice.speak(one.text, "neutral", language=one.language)
        async with closing(speaking):
            async for speech in speaking:
                self._spoken.clear()
                self._speech.append(to_pcm16(resample(speech.samples, speech.rate, RATE)))
        while self._speech:
            self._spoken.clear()
            await self._spoken.wait()
