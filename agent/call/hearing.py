"""What the caller meant by the open turn: recognition, understanding and emotion, guessed early and settled late."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.call.claims import words_of
from agent.call.listening import FREEZE_S, LONGEST_S, Listening, Piece
from agent.call.services import CallServices
from agent.dialogue.contracts import Profile
from models.contracts import (
    OUT_OF_SCOPE,
    Hypothesizing,
    Recognition,
    RecognitionHints,
    Samples,
    UnderstandingContext,
    Understood,
    VoiceEmotion,
)
from models.languages import CHINESE, ENGLISH, asked_for, base, written_in
from models.pool import Priority
from models.turn import TurnEnd

UNSURE = -1.0
"""Average log-probability per token below which words are asked again; faster-whisper's own retry threshold."""
PROMPTS: Mapping[Profile, str] = {"digits": "The number is 5 0 3 8 6."}
"""What the recognizer is told came before. For dictated digits this cuts errors by a third (docs/benchmarks.md)."""
PROMPTS_OF: Mapping[str, Mapping[Profile, str]] = {ENGLISH: PROMPTS, CHINESE: {"digits": "号码是50386。"}}
LEAST_WORDS = 2
"""Words from which speech changes the language of the call; a single one is said in any language."""
NO_WORDS = TurnEnd(0.5)
"""Where nothing was recognized, nothing says whether the turn is over."""
EMOTION_GRACE_S = 0.05
"""How long a finished recognition waits for the voice's emotion, which runs beside it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Heard:
    """One reading of the open turn. `history` is the emotion history as it would be after this turn.

    language: what the call is to go on in, where callers may choose; else empty. samples: float32[n] at 16 kHz, where
    all of the words are in them; begin: the first of them, since the call began.
    """

    text: str
    understood: Understood
    voice: VoiceEmotion | None = None
    history: Any = None
    confident: bool = True
    recognition_ms: float = 0.0
    understanding_ms: float = 0.0
    end: int = 0
    over: TurnEnd = NO_WORDS
    language: str = ""
    samples: Samples | None = None
    begin: int = 0


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
            text = joined(earlier)
            understood, end = await self._understand(text) if text else (Understood(OUT_OF_SCOPE, 0.0), NO_WORDS)
            heard = Heard(text, understood, history=self._history, over=end, language=self.language_of(text))
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
        text = joined([*earlier, recognition.text])
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
            language=self.language_of(text, recognition.language),
            samples=None if earlier else piece.samples,
            begin=piece.begin,
        )

    def language_of(self, text: str, spoken: str | None = None) -> str:
        """The language to go on in after `text`: the one it asks for, or that it was `spoken` or written in.

        A single word changes nothing. Empty where callers have no choice.
        """
        if len(self._services.languages) < 2:
            return ""
        asked = asked_for(text)
        if asked in self._services.languages:
            return str(asked)
        now = base(self._asked()[0].language)
        found = base(spoken) if spoken is not None else written_in(text, ENGLISH if words_of(text) else now)
        return found if found in self._services.languages and len(words_of(text)) >= LEAST_WORDS else now

    async def understand(self, text: str) -> Understood:
        """Understand a text in the dialogue's present context."""
        understood, _ = await self._understand(text)
        return understood

    async def others(self, heard: Heard) -> tuple[Understood, ...]:
        """What the words of `heard` may mean instead: readings of the recognizer's other hypotheses, best first.

        Nothing where there is no sound to hear again, or no recognizer that could.
        """
        recognizer, samples = self._services.recognizer, heard.samples
        if samples is None or not isinstance(recognizer, Hypothesizing):
            return ()
        _, profile = self._asked()
        language = heard.language or self._language
        hints = RecognitionHints(PROMPTS_OF.get(language or ENGLISH, PROMPTS).get(profile), language)
        pool = self._services.pool
        texts = await pool.run(Priority.FINAL_RECOGNITION, lambda: recognizer.hypotheses(samples, hints))
        return tuple([await self.understand(text) for text in texts if text != heard.text])

    async def _understand(
        self, text: str, recognition: Recognition | None = None, samples: Samples | None = None
    ) -> tuple[Understood, TurnEnd]:
        context, _ = self._asked()
        services = self._services
        if recognition is not None and len(services.languages) > 1:
            context = replace(context, language=recognition.language)

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
        context, profile = self._asked()
        recognizer, languages = self._services.recognizer, self._services.languages
        language = base(context.language) if len(languages) > 1 else self._language
        prompt = PROMPTS_OF.get(base(language), PROMPTS).get(profile)
        hints = RecognitionHints(prompt, language, quick, languages if len(languages) > 1 else ())
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


def joined(parts: Sequence[str]) -> str:
    """The pieces of a turn as one text; Chinese ones have no space between them."""
    text = ""
    for part in parts:
        apart = text and part and not (written_in(text[-1:]) == CHINESE or written_in(part[:1]) == CHINESE)
        text += (" " if apart else "") + part
    return text


def _known(text: str) -> asyncio.Task[str | Exception]:
    async def known() -> str | Exception:
        return text

    return asyncio.create_task(known(), name="known-piece")
