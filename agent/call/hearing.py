"""What the caller meant by the open turn: recognition, understanding and emotion, guessed early and settled late."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agent.call.listening import FREEZE_S, LONGEST_S, Listening, Piece
from agent.call.services import CallServices
from agent.dialogue.contracts import Profile
from models.contracts import (
    OUT_OF_SCOPE,
    Recognition,
    RecognitionHints,
    Samples,
    UnderstandingContext,
    Understood,
    VoiceEmotion,
)
from models.pool import Priority
from models.turn import TurnEnd

UNSURE = -1.0
"""Average log-probability per token below which words are asked again; faster-whisper's own retry threshold."""
PROMPTS: Mapping[Profile, str] = {"digits": "The number is 5 0 3 8 6."}
"""What the recognizer is told came before. For dictated digits this cuts errors by a third (docs/benchmarks.md)."""
NO_WORDS = TurnEnd(0.5)
"""Where nothing was recognized, nothing says whether the turn is over."""
EMOTION_GRACE_S = 0.05
"""How long a finished recognition waits for the voice's emotion, which runs beside it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Heard:
    """One reading of the open turn. `history` is the emotion history as it would be after this turn."""

    text: str
    understood: Understood
    voice: VoiceEmotion | None = None
    history: Any = None
    confident: bool = True
    recognition_ms: float = 0.0
    understanding_ms: float = 0.0
    end: int = 0
    over: TurnEnd = NO_WORDS


class Hearing:
    """The open turn of one call. Readings are read-only: `settle` alone makes one count."""

    def __init__(
        self,
        services: CallServices,
        listening: Listening,
        asked: Callable[[], tuple[UnderstandingContext, Profile]],
    ) -> None:
        """`asked` gives what the dialogue waits for now."""
        self._services = services
        self._listening = listening
        self._asked = asked
        self._history = services.emotion.new_history() if services.emotion else None
        self._language = services.settings.recognizer.language
        self._settled_before = self._history
        self._pieces: list[asyncio.Task[str | Exception]] = []
        self._before: list[asyncio.Task[str | Exception]] = []

    def open(self, frames_back: int) -> None:
        """A turn opened `frames_back` frames ago."""
        self._before, self._pieces = self._pieces, []
        self._listening.open(frames_back)

    def merge(self) -> None:
        """The turn that just opened goes on with the one before."""
        self._pieces = self._before + self._pieces
        self._before = []
        self._listening.merge()

    def commit(self) -> None:
        """The open turn is over."""
        self._listening.commit()

    def drop(self) -> None:
        """What was open was no turn; the one before it may still go on."""
        self._pieces = self._before
        self._listening.drop()

    def freeze(self, heard: Heard) -> None:
        """Keep the words of a long turn up to a pause; recognition goes on from there."""
        if self._listening.turn_s() >= FREEZE_S and heard.text:
            self._pieces = [_known(heard.text)]
            self._listening.cut(heard.end)

    def cut_if_long(self) -> asyncio.Task[str | Exception] | None:
        """Start recognizing a turn that has had no pause for too long; returns the task, which the call owns."""
        if self._listening.turn_s() < LONGEST_S or not self._listening.voiced:
            return None
        piece = self._listening.turn()
        if piece is None:
            return None
        self._listening.cut(piece.end)
        task = asyncio.create_task(self._text(piece), name="recognize-piece")
        self._pieces.append(task)
        return task

    async def read(self, priority: Priority, on_words: Callable[[Heard], None] | None = None) -> Heard:
        """Recognize and understand the open turn as it is now.

        on_words: told as soon as the words are understood, before the voice's emotion is known. A guess whose words are
        doubtful is not told: they are heard a second time first.

        Raises:
            models.errors.ModelError: the recognizer or the pool failed.
        """
        clock = self._services.clock
        piece = self._listening.turn()
        began = clock.now_ms()
        earlier = await self._earlier()
        if piece is None:
            text = " ".join(earlier)
            understood, end = await self._understand(text) if text else (Understood(OUT_OF_SCOPE, 0.0), NO_WORDS)
            heard = Heard(text, understood, history=self._history, over=end)
            if on_words is not None:
                on_words(heard)
            return heard
        emotion = asyncio.create_task(self._emotion(piece.samples), name="emotion")
        try:
            recognition = await self._recognize(piece, priority, quick=priority is Priority.SPECULATION)
            if recognition.doubtful:
                recognition = await self._recognize(piece, priority)
            heard = await self._understood(recognition, earlier, piece, began)
            if on_words is not None:
                on_words(heard)
            if heard.text and not emotion.done():
                await asyncio.wait({emotion}, timeout=EMOTION_GRACE_S)
            if heard.text and emotion.done():
                voice, history = emotion.result()
                heard = replace(heard, voice=voice, history=history)
        finally:
            if not emotion.done():
                emotion.cancel()
                await asyncio.gather(emotion, return_exceptions=True)
        return heard

    async def _understood(self, recognition: Recognition, earlier: list[str], piece: Piece, began: float) -> Heard:
        recognized = self._services.clock.now_ms()
        text = " ".join(part for part in (*earlier, recognition.text) if part)
        understood, end = await self._understand(text, recognition, piece.samples)
        return Heard(
            text,
            understood,
            history=self._history,
            confident=recognition.average_log_probability >= UNSURE,
            recognition_ms=recognized - began,
            understanding_ms=self._services.clock.now_ms() - recognized,
            end=piece.end,
            over=end,
        )

    async def understand(self, text: str) -> Understood:
        """Understand a text in the dialogue's present context."""
        understood, _ = await self._understand(text)
        return understood

    async def _understand(
        self, text: str, recognition: Recognition | None = None, samples: Samples | None = None
    ) -> tuple[Understood, TurnEnd]:
        context, _ = self._asked()
        services = self._services

        def work() -> tuple[Understood, TurnEnd]:
            understood = services.understanding.understand(text, context)
            return understood, services.turn_end(understood, context, recognition, samples)

        return await services.pool.run(Priority.UNDERSTANDING, work)

    def settle(self, heard: Heard) -> None:
        """This reading is the turn."""
        self._settled_before = self._history
        if heard.history is not None:
            self._history = heard.history

    def unsettle(self) -> None:
        """The reading settled last was only the beginning of the turn."""
        self._history = self._settled_before

    async def _earlier(self) -> list[str]:
        texts: list[str] = []
        for task in self._pieces:
            text = await asyncio.shield(task)
            if isinstance(text, Exception):
                raise text
            texts.append(text)
        return [text for text in texts if text]

    async def _text(self, piece: Piece) -> str | Exception:
        """The words of a piece, tried twice: as a guess it may be dropped for more urgent work. Never raises."""
        try:
            return (await self._recognize(piece, Priority.SPECULATION)).text
        except Exception as error:
            log.warning("a piece of a long turn is recognized again: %s", error)
        try:
            return (await self._recognize(piece, Priority.FINAL_RECOGNITION)).text
        except Exception as error:
            return error

    async def _recognize(self, piece: Piece, priority: Priority, quick: bool = False) -> Recognition:
        _, profile = self._asked()
        recognizer = self._services.recognizer
        hints = RecognitionHints(PROMPTS.get(profile), self._language, quick)
        return await self._services.pool.run(priority, lambda: recognizer.recognize(piece.samples, hints))

    async def _emotion(self, samples: Samples) -> tuple[VoiceEmotion | None, Any]:
        model = self._services.emotion
        if model is None:
            return None, None
        history = copy.deepcopy(self._history)
        try:
            return await self._services.pool.run(
                Priority.EMOTION, lambda: model.read(samples, history), within_ms=1000.0
            ), history
        except Exception as error:
            log.warning("voice emotion is left out of this turn: %s", error)
            self._services.metrics.faults.labels("emotion_failed").inc()
            return None, self._history


def _known(text: str) -> asyncio.Task[str | Exception]:
    async def known() -> str | Exception:
        return text

    return asyncio.create_task(known(), name="known-piece")
