"""Asking the model within limits, and turning what it streams into sentences, whole texts or tool calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from agent.clock import Clock
from agent.dialogue.writing.contracts import Reason
from agent.dialogue.writing.faithful import near
from agent.dialogue.writing.splitter import SentenceSplitter
from agent.dialogue.writing.wording import ALIKE
from models.contracts import Encoder
from models.errors import Overloaded
from models.llm.closing import closing
from models.llm.contracts import Finished, Message, TextPiece, Tool, ToolCall
from models.llm.errors import LanguageModelError
from models.llm.guard import Guard, Limits

T = TypeVar("T")

Run = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs blocking work elsewhere and gives its result."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """When an answer is given up, all in ms; see `agent.config.LlmSettings`."""

    first_token_ms: float = 700.0
    first_sentence_ms: float = 1500.0
    gap_ms: float = 1000.0
    total_ms: float = 8000.0

    @property
    def answer(self) -> Limits:
        """For an answer that is spoken as it comes."""
        return Limits(self.first_token_ms, self.gap_ms, self.total_ms)

    @property
    def wording(self) -> Limits:
        """For one sentence that the caller waits for."""
        return Limits(self.first_sentence_ms, self.gap_ms, self.first_sentence_ms)

    @property
    def work(self) -> Limits:
        """For what nobody listens to."""
        return Limits(self.total_ms, self.total_ms, self.total_ms)


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole answer: its sentences and the tools it asks for."""

    sentences: tuple[str, ...]
    calls: tuple[ToolCall, ...]

    @property
    def text(self) -> str:
        """All sentences."""
        return " ".join(self.sentences)


class TooLate(Exception):
    """A deadline passed."""


class Asking:
    """A guarded model, and meaning by an encoder that runs elsewhere."""

    def __init__(
        self, guard: Guard, clock: Clock, encoder: Encoder, run: Run, max_tokens: int = 160, temperature: float = 0.2
    ) -> None:
        self.guard = guard
        self.clock = clock
        self._encoder = encoder
        self._run = run
        self._max_tokens = max_tokens
        self._temperature = temperature

    async def sentences(self, messages: Sequence[Message], limits: Limits) -> AsyncIterator[str | ToolCall]:
        """Sentences as they come, each whole, and tools that are asked for.

        Raises:
            LanguageModelError: the answer was not made, or not to its end; whole sentences before it were given.
        """
        splitter = SentenceSplitter()
        stream = self.guard.stream(messages, limits, max_tokens=self._max_tokens, temperature=self._temperature)
        async with closing(stream):
            try:
                async for delta in stream:
                    if isinstance(delta, TextPiece):
                        for sentence in splitter.feed(delta.text):
                            yield sentence
                    elif isinstance(delta, ToolCall):
                        yield delta
                    elif isinstance(delta, Finished):
                        for sentence in splitter.end(whole=delta.reason == "stop"):
                            yield sentence
            except LanguageModelError:
                for sentence in splitter.end(whole=False):
                    yield sentence
                raise

    async def whole(self, messages: Sequence[Message], limits: Limits, tools: Sequence[Tool] = ()) -> Whole:
        """A whole answer.

        Raises:
            LanguageModelError: it was not made to its end.
        """
        splitter = SentenceSplitter()
        sentences: list[str] = []
        calls: list[ToolCall] = []
        stream = self.guard.stream(
            messages, limits, tools=tools, max_tokens=self._max_tokens, temperature=self._temperature
        )
        async with closing(stream):
            async for delta in stream:
                if isinstance(delta, TextPiece):
                    sentences += splitter.feed(delta.text)
                elif isinstance(delta, ToolCall):
                    calls.append(delta)
                elif isinstance(delta, Finished) and delta.reason == "filtered":
                    raise LanguageModelError("refused", "the model's server filtered its answer")
                elif isinstance(delta, Finished):
                    sentences += splitter.end(whole=delta.reason != "length")
        return Whole(tuple(sentences), tuple(calls))

    async def look(self, work: Callable[[], T]) -> T | None:
        """What `work` finds, on the pool; None where the pool dropped it."""
        try:
            found: T = await self._run(work)
        except Overloaded:
            return None
        return found

    def near(self, sentence: str, windows: Sequence[str]) -> Reason | None:
        """Why the meaning of `sentence` is not that of one of `windows`; None where it is. Blocks: see `look`."""
        vectors = self._encoder.encode([*windows, sentence])
        return None if near(vectors[-1], vectors[:-1]) else "meaning"

    def alike(self, left: str, right: str) -> Reason | None:
        """Why two texts do not mean the same; None where they do. Blocks: see `look`."""
        vectors = self._encoder.encode([left, right])
        return None if float(np.dot(vectors[0], vectors[1])) >= ALIKE else "meaning"

    async def by(self, work: Awaitable[T], at_ms: float) -> T:
        """The result of `work`, which is cancelled where it takes longer than until `at_ms`.

        Raises:
            TooLate: it did.
        """
        task = asyncio.ensure_future(work)
        limit = asyncio.ensure_future(self.clock.sleep_until(at_ms))
        try:
            await asyncio.wait({task, limit}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise TooLate
            return task.result()
        finally:
            for one in (task, limit):
                one.cancel()
            await asyncio.gather(task, limit, return_exceptions=True)
