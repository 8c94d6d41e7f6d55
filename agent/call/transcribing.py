"""The words of people who talk to each other: turns recognized in order, what callers meant, what could be answered.

Calls that the agent itself takes go first: all work here waits behind theirs. Under load words shown early go first,
then suggestions; the words of a whole turn are tried again, and where they are lost after all, that is a fault.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import math
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Literal, Protocol

from agent.call.assistant import Assistant, Question
from agent.call.claims import words_of
from agent.call.ears import Ear, Side, Turn
from agent.call.hearing import LEAST_WORDS
from agent.call.services import CallServices
from agent.gateways.base import ShowSuggestion, ShowTranscript
from models.contracts import (
    AFFIRM,
    DENY,
    GIVE_INFORMATION,
    Recognition,
    RecognitionHints,
    Said,
    Samples,
    UnderstandingContext,
    Understood,
    VoiceEmotion,
)
from models.errors import Overloaded
from models.languages import base
from models.pool import Priority

WHOLE = Priority.PARTIAL
"""Whole turns: behind everything that a caller of the agent's waits for."""
HELP = Priority.EMOTION
"""Suggestions, and emotion in the voice."""
EARLY = Priority.BACKGROUND
"""Words of turns under way: the first to be dropped."""

EARLY_MS = 1000.0
"""Least time between two looks at a turn under way; a look that waits so long for a worker is dropped."""
HELP_WITHIN_MS = 4000.0
"""A suggestion that waits so long for a worker is dropped: the conversation has gone on."""
REST_MS = 5000.0
"""No words are shown early for so long after work was refused."""
RETRY_S = (0.5, 2.0, 5.0)
"""Waits before a whole turn is tried again."""
MOST_BEHIND = 8
"""Whole turns waiting; the oldest is given up for one more. All at their longest hold 14 MB of audio."""
MOST_HELP = 2
"""Suggestions looked for at a time."""
NO_QUESTION = (AFFIRM, DENY, GIVE_INFORMATION)
"""Intents of turns that answer the agent and ask nothing."""

log = logging.getLogger(__name__)


class Writes(Protocol):
    """Writes down what was said; see `agent.call.minutes.Minutes`."""

    def said(
        self,
        turn: Turn,
        text: str,
        confidence: float | None,
        understood: Understood | None = None,
        voice: VoiceEmotion | None = None,
    ) -> None:
        """A turn is known."""
        ...

    def lost(self, turn: Turn, why: str) -> None:
        """The words of a turn are not known."""
        ...

    def event(self, kind: str, /, **data: Any) -> None:
        """Something happened."""
        ...

    def fault(self, code: str, detail: str) -> None:
        """Something was wrong."""
        ...


class Shows(Protocol):
    """Shows words and suggestions; an `Outbox` does."""

    def put(self, command: ShowTranscript | ShowSuggestion, /) -> None:
        """Show one."""
        ...


class Transcriber:
    """Turns the turns of both speakers into text. `run` is a task of the call's."""

    def __init__(
        self,
        services: CallServices,
        minutes: Writes,
        outbox: Shows,
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
    ) -> None:
        self._services = services
        self._clock = services.clock
        self._minutes = minutes
        self._outbox = outbox
        self._spawn = spawn
        first = base(services.settings.recognizer.language)
        self._languages: dict[Side, str] = {"caller": first, "agent": first, "human": first}
        self._history = services.emotion.new_history() if services.emotion is not None else None
        self._waiting: deque[Turn] = deque()
        self._current: Turn | None = None
        self._ready, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._peeking = False
        self._rest_until = -math.inf
        self._helping = 0
        self._topic: str | None = None
        self._suggested: str | None = None

    @property
    def behind(self) -> int:
        """Whole turns that are not settled yet."""
        return len(self._waiting) + (self._current is not None)

    def expect(self, language: str) -> None:
        """What the gateway says is spoken; it counts where callers may speak it."""
        if base(language) in self._services.languages:
            self._languages = dict.fromkeys(self._languages, base(language))

    def over(self, turn: Turn) -> None:
        """A turn is over: its words are wanted."""
        if len(self._waiting) >= MOST_BEHIND:
            self._give_up(self._waiting.popleft(), "too many turns waited")
        self._waiting.append(turn)
        self._idle.clear()
        self._ready.set()

    def early(self, ear: Ear, now: float) -> None:
        """Look at the turn under way, where it is time to and nothing more important is to be done."""
        turn = ear.turn
        if turn is None or not ear.speaking or self._peeking or now < max(turn.started_ms, turn.peeked_ms) + EARLY_MS:
            return
        turn.peeked_ms = now
        if self.behind > 1 or now < self._rest_until:
            self._minutes.fault("interim_dropped", "words are not shown early: the models are busy")
            return
        samples = ear.so_far()
        if samples is not None:
            self._peeking = True
            self._spawn(self._peek(turn, samples), "interim")

    async def run(self) -> None:
        """Settle turns until cancelled."""
        while True:
            while self._waiting:
                self._current = self._waiting.popleft()
                await self._settle(self._current)
                self._current = None
            self._idle.set()
            self._ready.clear()
            await self._ready.wait()

    async def finish(self, within_s: float) -> None:
        """Wait until all turns are settled; those that are not in time are lost."""
        try:
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        except TimeoutError:
            for turn in ([] if self._current is None else [self._current]) + list(self._waiting):
                self._give_up(turn, "the call ended before they were recognized")
            self._waiting.clear()

    def _give_up(self, turn: Turn, why: str) -> None:
        """The words of a whole turn are lost; where some were shown early, they stay."""
        self._minutes.lost(turn, why)
        self._show(turn, turn.early, None)

    async def _peek(self, turn: Turn, samples: Samples) -> None:
        try:
            recognition = await self._recognize(turn, samples, EARLY, EARLY_MS)
        except Exception as error:
            self._dropped("interim_dropped", error)
        else:
            if recognition.text and not turn.over:
                turn.early = recognition.text
                end_ms = turn.begin_ms + len(samples) / 16.0
                self._outbox.put(
                    ShowTranscript(
                        _side(turn.speaker),
                        self._services.redact(recognition.text),
                        False,
                        turn.number,
                        turn.begin_ms,
                        end_ms,
                        confidence_of(recognition),
                    )
                )
        finally:
            self._peeking = False

    async def _settle(self, turn: Turn) -> None:
        recognition = await self._recognized(turn)
        if recognition is None:
            return
        text = recognition.text
        confidence = confidence_of(recognition)
        self._show(turn, text, confidence)
        if not text:
            return
        language = self._language(turn.speaker, recognition)
        if turn.speaker != "caller":
            self._minutes.said(turn, text, confidence)
            return
        understood, voice = await asyncio.gather(self._understood(text, language), self._emotion(turn.samples))
        self._minutes.said(turn, text, confidence, understood, voice)
        self._help(text, language, understood)

    def _show(self, turn: Turn, text: str, confidence: float | None) -> None:
        """Show a whole turn; one without words only where some were shown before, which then goes."""
        if text or turn.early:
            shown = self._services.redact(text)
            self._outbox.put(
                ShowTranscript(_side(turn.speaker), shown, True, turn.number, turn.begin_ms, turn.end_ms, confidence)
            )

    async def _recognized(self, turn: Turn) -> Recognition | None:
        """The words of a whole turn; None where they are lost, which is then recorded."""
        why = ""
        for wait_s in (*RETRY_S, None):
            try:
                return await self._recognize(turn, turn.samples, WHOLE)
            except Exception as error:
                self._dropped("transcript_delayed", error)
                why = f"{type(error).__name__}: {error}"
            if wait_s is not None:
                await self._clock.sleep_until(self._clock.now_ms() + wait_s * 1000.0)
        self._give_up(turn, why)
        return None

    async def _recognize(
        self, turn: Turn, samples: Samples, priority: Priority, within_ms: float | None = None
    ) -> Recognition:
        recognizer, languages = self._services.recognizer, self._services.languages
        among = languages if len(languages) > 1 else ()
        language = self._languages[turn.speaker] if among else self._services.settings.recognizer.language
        hints = RecognitionHints(None, language, priority is EARLY, among)
        return await self._services.pool.run(
            priority, lambda: recognizer.recognize(samples, hints), within_ms=within_ms
        )

    def _language(self, speaker: Side, recognition: Recognition) -> str:
        """The language of what was said; of a few words, the one spoken before."""
        spoken = base(recognition.language)
        if spoken in self._services.languages and len(words_of(recognition.text)) >= LEAST_WORDS:
            self._languages[speaker] = spoken
        return self._languages[speaker]

    async def _understood(self, text: str, language: str) -> Understood | None:
        context, understanding = UnderstandingContext(language=language), self._services.understanding
        try:
            return await self._services.pool.run(WHOLE, lambda: understanding.understand(text, context))
        except Exception as error:
            self._dropped("not_understood", error)
            return None

    async def _emotion(self, samples: Samples) -> VoiceEmotion | None:
        model = self._services.emotion
        if model is None:
            return None
        history = copy.deepcopy(self._history)
        try:
            voice = await self._services.pool.run(HELP, lambda: model.read(samples, history), within_ms=EARLY_MS)
        except Exception as error:
            self._dropped("emotion_failed", error)
            return None
        self._history = history
        return voice

    def _help(self, text: str, language: str, understood: Understood | None) -> None:
        if self._services.assistant is None or (understood is not None and understood.intent in NO_QUESTION):
            return
        if self._waiting or self._helping >= MOST_HELP:
            self._minutes.fault("suggestion_dropped", "nothing is suggested: the models are busy")
            return
        questions = [Question(text, language, about=self._topic)]
        if understood is not None:
            wishes = understood.wishes or (Said(understood.intent, understood.confidence, text, 0),)
            questions = [Question(w.text, language, w.intent, w.confidence, self._topic) for w in wishes]
        self._helping += 1
        self._spawn(self._suggest(self._services.assistant, questions), "suggest")

    async def _suggest(self, assistant: Assistant, questions: list[Question]) -> None:
        try:
            for question in questions:
                work = partial(assistant.suggest, question)
                found = await self._services.pool.run(HELP, work, within_ms=HELP_WITHIN_MS)
                for suggestion in found:
                    self._topic = suggestion.source
                    if suggestion.source == self._suggested:
                        continue
                    self._suggested = suggestion.source
                    self._minutes.event("suggestion", source=suggestion.source, confidence=suggestion.confidence)
                    self._outbox.put(
                        ShowSuggestion(suggestion.title, suggestion.text, suggestion.source, suggestion.confidence)
                    )
        except Exception as error:
            self._dropped("suggestion_dropped", error)
        finally:
            self._helping -= 1

    def _dropped(self, code: str, error: Exception) -> None:
        """Work was refused or failed."""
        self._minutes.fault(code, f"{type(error).__name__}: {error}")
        if isinstance(error, Overloaded):
            self._rest_until = self._clock.now_ms() + REST_MS


def _side(speaker: Side) -> Literal["caller", "agent"]:
    """On which side of the line a speaker is."""
    return "caller" if speaker == "caller" else "agent"


def confidence_of(recognition: Recognition) -> float:
    """How sure the recognizer is of its words, in [0, 1]: the mean probability of a token."""
    return round(math.exp(min(0.0, recognition.average_log_probability)), 3)
