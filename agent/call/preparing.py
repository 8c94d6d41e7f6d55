"""The first sentence of a reply, made while it is not known yet whether the caller has finished."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from agent.call.replying import closing, patience_ms, priority
from agent.dialogue.contracts import Part, Say
from models.contracts import Speech, Voice
from models.pool import Priority

PATIENCE_MS = 120.0
"""How long a prepared synthesis may wait for a worker; on a busy machine it is given up, and final work goes first."""

log = logging.getLogger(__name__)


class Preparation:
    """Makes the first sentence of an answer that may never be given.

    It reads the dialogue's preview and speaks its first sentence into memory of its own. The call sees nothing of it
    until `take`; a preparation that is dropped has changed nothing. `run` is the task's body, owned by the call.
    """

    def __init__(self, voice: Voice, parts: AsyncIterator[Part]) -> None:
        self._voice = voice
        self._parts = parts
        self._say: Say | None = None
        self._pieces: list[Speech] = []
        self._over = False
        self._whole = False
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begin(self, task: asyncio.Task[None]) -> None:
        """`task` runs `run`; `drop` ends it."""
        self._task = task

    def drop(self) -> None:
        """It is not wanted, or not any more."""
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Make the sentence. A failure only means that there is nothing to take."""
        priority.set(Priority.SPECULATION)
        patience_ms.set(PATIENCE_MS)
        try:
            async with closing(self._parts):
                self._say = await self._first()
            if self._say is not None:
                speaking = self._spoken(self._say, self._say.text)
                async with closing(speaking):
                    async for speech in speaking:
                        self._pieces.append(speech)
                        self._changed.set()
                self._whole = True
        except Exception as error:
            # The answer itself meets the same fault, if it is one, and says so.
            log.info("a first sentence was not prepared: %s: %s", type(error).__name__, error)
        finally:
            self._over = True
            self._changed.set()

    def take(self, say: Say) -> AsyncIterator[Speech] | None:
        """The sound of `say`, as far as it is made and as it is made; None where something else was prepared."""
        if self._say is None or _sound_of(self._say) != _sound_of(say):
            return None
        if self._over and not self._pieces:
            return None
        return self._stream(say)

    def _spoken(self, say: Say, text: str) -> AsyncIterator[Speech]:
        return self._voice.speak(text, say.tone, pace=say.pace, language=say.language or None)

    async def _first(self) -> Say | None:
        async for part in self._parts:
            if isinstance(part, Say):
                return part
        return None

    async def _stream(self, say: Say) -> AsyncIterator[Speech]:
        given = 0
        if not self._pieces:
            await self._first_piece()
        while True:
            while given < len(self._pieces):
                given += 1
                yield self._pieces[given - 1]
            if self._over:
                break
            self._changed.clear()
            await self._changed.wait()
        if not self._whole:
            # What is left of the sentence is made again, at the urgency of whoever speaks.
            async for speech in self._rest(say):
                yield speech

    async def _first_piece(self) -> None:
        """Wait for it a moment; where others are served first it is made again, at the urgency of whoever speaks."""
        try:
            async with asyncio.timeout(PATIENCE_MS / 1000.0):
                await self._changed.wait()
        except TimeoutError:
            self.drop()
            self._over = True

    async def _rest(self, say: Say) -> AsyncIterator[Speech]:
        done = self._pieces[-1].span[1] if self._pieces else 0
        rest = say.text[done:]
        if rest.strip():
            speaking = self._spoken(say, rest)
            async with closing(speaking):
                async for speech in speaking:
                    span = (done + speech.span[0], done + speech.span[1])
                    yield Speech(speech.samples, speech.rate, span)


def _sound_of(say: Say) -> tuple[object, ...]:
    """What the sound of a sentence depends on; how loud it is played is no part of it."""
    return say.text, say.tone, say.pace, say.language
