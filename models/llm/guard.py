"""Deadlines, a bound on answers at a time, and rest for a model that keeps failing: the same for every backend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from models.llm.closing import closing
from models.llm.contracts import Delta, Finished, LanguageModel, Message, Timer, Tool
from models.llm.errors import LanguageModelError

MOST_WAITING = 1024
"""Deltas made but not yet taken; a model further ahead waits."""
MOST_FAILURES = 3
"""Failures in a row after which the model rests: each cost a caller the first-token deadline."""
REST_MS = 10_000.0
"""How long it rests; then one answer is tried, and one more failure makes it rest again."""
LONGEST_REST_MS = 60_000.0
"""Most that a server may ask for by `Retry-After`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines of one answer, all in ms: to its first delta, between two deltas, and for the whole."""

    first_token_ms: float
    gap_ms: float
    total_ms: float


class Guard:
    """Asks a model within limits. `timer` is the clock; `concurrent` answers are made at a time, more fail at once."""

    def __init__(self, model: LanguageModel, timer: Timer, concurrent: int = 8) -> None:
        self.model = model
        self._timer = timer
        self._concurrent = concurrent
        self._running = 0
        self._failures = 0
        self._rests_until = float("-inf")

    async def stream(
        self,
        messages: Sequence[Message],
        limits: Limits,
        *,
        tools: Sequence[Tool] = (),
        max_tokens: int = 160,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
    ) -> AsyncGenerator[Delta, None]:
        """What the model streams, as it comes. Closing it ends the model's work.

        Raises:
            LanguageModelError: the model's own; `first_token`, `stalled` or `total` where a deadline passed; `busy` or
                `resting` where it was not asked at all.
        """
        if self._timer.now_ms() < self._rests_until:
            raise LanguageModelError("resting", "the language model failed repeatedly and is not asked for a while")
        if self._running >= self._concurrent:
            raise LanguageModelError("busy", f"{self._running} answers are being made; raise llm.concurrent")
        work = _Work(self._timer)
        task = asyncio.create_task(
            work.run(self.model, messages, tools=tools, max_tokens=max_tokens, temperature=temperature, stop=stop),
            name=f"answer of {self.model.name}",
        )
        self._running += 1
        try:
            async with closing(work.deltas(limits)) as deltas:
                async for delta in deltas:
                    if isinstance(delta, Finished):
                        self._failures = 0
                    yield delta
        except LanguageModelError as error:
            self._failed(error)
            raise
        finally:
            self._running -= 1
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def aclose(self) -> None:
        """Close the model."""
        await self.model.aclose()

    def _failed(self, error: LanguageModelError) -> None:
        self._failures += 1
        rest_ms = min(error.after_ms, LONGEST_REST_MS)
        if self._failures >= MOST_FAILURES:
            self._failures = MOST_FAILURES - 1
            rest_ms = max(rest_ms, REST_MS)
        if rest_ms:
            self._rests_until = max(self._rests_until, self._timer.now_ms() + rest_ms)


class _Work:
    """One answer as it is made in a task, and taken with deadlines in another."""

    def __init__(self, timer: Timer) -> None:
        self._timer = timer
        self._made: asyncio.Queue[Delta | LanguageModelError] = asyncio.Queue(MOST_WAITING)
        self._news = asyncio.Event()
        self._last_ms: float | None = None

    async def run(
        self,
        model: LanguageModel,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool],
        max_tokens: int,
        temperature: float,
        stop: Sequence[str],
    ) -> None:
        """Let the model work; whatever it raises is given to the one who takes."""
        try:
            answer = model.stream(messages, tools=tools, max_tokens=max_tokens, temperature=temperature, stop=stop)
            async with closing(answer):
                async for delta in answer:
                    await self._put(delta)
            await self._put(LanguageModelError("cut_off", "the answer ended without saying so"))
        except LanguageModelError as error:
            await self._put(error)
        except Exception as error:
            broken = LanguageModelError("failed", f"the language model broke: {type(error).__name__}: {error}")
            broken.__cause__ = error
            await self._put(broken)

    async def deltas(self, limits: Limits) -> AsyncGenerator[Delta, None]:
        """Deltas in order, up to `Finished`."""
        began = self._timer.now_ms()
        while True:
            while not self._made.empty():
                item = self._made.get_nowait()
                if isinstance(item, LanguageModelError):
                    raise item
                yield item
                if isinstance(item, Finished):
                    return
            if self._last_ms is None:
                until, code = began + limits.first_token_ms, "first_token"
            else:
                until, code = self._last_ms + limits.gap_ms, "stalled"
            if began + limits.total_ms <= until:
                until, code = began + limits.total_ms, "total"
            if self._timer.now_ms() >= until:
                raise _late(code, limits)
            await self._timer.wait(self._news, until)

    async def _put(self, item: Delta | LanguageModelError) -> None:
        await self._made.put(item)
        self._last_ms = self._timer.now_ms()
        self._news.set()


def _late(code: str, limits: Limits) -> LanguageModelError:
    if code == "first_token":
        return LanguageModelError("first_token", f"no answer began within {limits.first_token_ms:.0f} ms")
    if code == "stalled":
        return LanguageModelError("stalled", f"the answer stopped for {limits.gap_ms:.0f} ms")
    return LanguageModelError("total", f"the answer was not over within {limits.total_ms:.0f} ms")
