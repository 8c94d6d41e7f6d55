"""Callers that load a server: many calls at a time, each saying one line after another at a steady pace."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agent.clock import Clock
from agent.lab.ear import Span
from agent.lab.line import CallerLine, Cleared, FromAgent, Heard, LineError, Unreachable
from agent.lab.pacing import Arrival, Pacing, pacing
from agent.lab.spoken import RATE, Spoken
from agent.lab.twilio_caller import TwilioCaller

ANSWER_S = 15.0
"""A line without an answer by then is unanswered; the worst peer's p95 under load was 14 s."""
SETTLED_MS = 700.0
"""The agent has finished when it was silent for this long; gaps between its sentences are shorter."""
REPLY_S = 40.0
"""Longest wait for a reply to end."""
SPREAD = 0.15
"""Share by which the time between two lines varies, so that calls do not fall into step."""
SLACK_MS = 5_000.0
"""How much longer than planned something may take before it is given up."""
REDIAL_S = 1.0
"""Pause before a call that ended is placed again."""


@dataclass(frozen=True, slots=True)
class LoadTurn:
    """A line that was said, and its answer. Times in ms; `at_s` is when it ended, seconds after the load began.

    answered_ms: from its last audible sample to the first of the agent's, at the caller's ear; None where none came.
    settled_ms: the same to the reply that was allowed to finish. cut_off: the agent spoke before the line was over.
    """

    call: int
    line: str
    at_s: float
    answered_ms: float | None
    settled_ms: float | None
    cut_off: bool


@dataclass(frozen=True, slots=True)
class PacedReply:
    """How evenly the frames of a reply came; `at_s` is when it ended, seconds after the load began."""

    call: int
    at_s: float
    pacing: Pacing


@dataclass(frozen=True, slots=True)
class BrokenCall:
    """A call that ended before its caller meant to, or did not come about: `reason` says how."""

    call: int
    at_s: float
    kind: Literal["ended", "refused", "unreachable"]
    reason: str


Happened = LoadTurn | PacedReply | BrokenCall


class TimedCaller(TwilioCaller):
    """A carrier that notes when each piece of audio came, and when the agent took back what was not played."""

    def __init__(self, clock: Clock, caller: str | None = None, called: str | None = None) -> None:
        super().__init__(caller, called)
        self._clock = clock
        self.arrivals: list[Arrival] = []
        self.cleared_ms: list[float] = []
        """Times of the clock."""

    def receive(self, message: str | bytes) -> Sequence[FromAgent]:
        events = super().receive(message)
        for event in events:
            if isinstance(event, Heard):
                self.arrivals.append(Arrival(self._clock.now_ms(), len(event.samples) * 1000.0 / self.rate))
            elif isinstance(event, Cleared):
                self.cleared_ms.append(self._clock.now_ms())
        return events

    def take_arrivals(self) -> list[Arrival]:
        """What came since the last call."""
        taken, self.arrivals = self.arrivals, []
        return taken


class Load:
    """A changing number of calls to `url`. `run` owns every call; `want` says how many there shall be.

    Each call says `lines`, by id, in order: the next `every_s` after the last began, though not before the agent has
    finished. After the last it hangs up, and is placed again. `on` is told what happened.
    """

    def __init__(
        self,
        url: str,
        lines: Sequence[tuple[str, Spoken]],
        clock: Clock,
        on: Callable[[Happened], None],
        *,
        every_s: float = 10.0,
        seed: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._url = url
        self._lines = lines
        self._clock = clock
        self._on = on
        self._every_ms = every_s * 1000.0
        self._seed = seed
        self._headers = headers
        self._began_ms = clock.now_ms()
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._up: set[int] = set()
        self._open: dict[int, float] = {}

    @property
    def up(self) -> int:
        """Calls that are connected now."""
        return len(self._up)

    def open_before(self, at_s: float) -> bool:
        """Whether a line that ended before `at_s` may still be answered."""
        return any(ended < at_s for ended in self._open.values())

    def seconds(self) -> float:
        """Seconds since the load began."""
        return (self._clock.now_ms() - self._began_ms) / 1000.0

    def want(self, calls: int, group: asyncio.TaskGroup) -> None:
        """Place calls until there are `calls`; the new ones start within one `every_s` and go on until `end`."""
        new = range(len(self._calls), calls)
        for place, number in enumerate(new):
            delay_ms = self._every_ms * place / max(1, len(new))
            self._calls[number] = group.create_task(self._caller(number, delay_ms), name=f"load-{number}")

    def end(self) -> None:
        """Hang up everywhere."""
        for task in self._calls.values():
            task.cancel()

    async def _caller(self, number: int, delay_ms: float) -> None:
        chance = random.Random(f"{self._seed}/{number}")
        await self._clock.sleep_until(self._clock.now_ms() + delay_ms)
        while True:
            try:
                await self._call(number, chance)
            except LineError as error:
                kind: Literal["refused", "unreachable"] = "unreachable" if isinstance(error, Unreachable) else "refused"
                self._on(BrokenCall(number, self.seconds(), kind, str(error)))
                await self._clock.sleep_until(self._clock.now_ms() + self._every_ms)
            await self._clock.sleep_until(self._clock.now_ms() + REDIAL_S * 1000.0)

    async def _call(self, number: int, chance: random.Random) -> None:
        caller = TimedCaller(self._clock, "+15555550143", "+15555550100")
        life_s = (len(self._lines) + 1) * (self._every_ms / 1000.0 + ANSWER_S + REPLY_S)
        line = CallerLine(self._url, caller, self._clock, life_s=life_s, headers=self._headers)
        async with line:
            self._up.add(number)
            try:
                await line.until(lambda: bool(line.ear.spans) and line.ear.silent_ms() >= SETTLED_MS, REPLY_S * 1000.0)
                caller.take_arrivals()
                for name, words in self._lines:
                    await self._say(line, caller, number, name, words, chance)
                    if line.ended is not None:
                        self._on(BrokenCall(number, self.seconds(), "ended", line.ended))
                        return
            finally:
                self._up.discard(number)
                self._open.pop(number, None)

    async def _say(
        self, line: CallerLine, caller: TimedCaller, number: int, name: str, words: Spoken, chance: random.Random
    ) -> None:
        started = line.say(words.samples)
        following = started + self._every_ms * chance.uniform(1.0 - SPREAD, 1.0 + SPREAD)
        end = started + words.end * 1000.0 / RATE
        clears = len(caller.cleared_ms)
        if not await line.until(lambda: line.now_ms >= end, 2.0 * (end - started) + SLACK_MS):
            return
        at_s = self._open[number] = self.seconds()
        if await line.until(lambda: line.ear.heard_since(end), ANSWER_S * 1000.0):
            await line.until(lambda: line.ear.silent_ms() >= SETTLED_MS, REPLY_S * 1000.0)
        # The clock runs ahead of line time by the line's age at its start and by what it is late now.
        ahead = self._clock.now_ms() - line.now_ms
        taken_back = [at - ahead for at in caller.cleared_ms[clears:]]
        turn = turn_of(number, name, at_s, started, end, line.ear.spans, taken_back)
        if line.ended is None or turn.answered_ms is not None:
            self._on(turn)
        self._open.pop(number, None)
        paced = pacing(caller.take_arrivals(), caller.cleared_ms)
        if paced is not None:
            self._on(PacedReply(number, self.seconds(), paced))
        await line.until(lambda: line.now_ms >= following, max(0.0, following - line.now_ms) + SLACK_MS)


def turn_of(
    call: int, name: str, at_s: float, started: float, end: float, spans: Sequence[Span], taken_back: Sequence[float]
) -> LoadTurn:
    """The turn of a line said from `started` to `end`, ms of line time, before the caller speaks again.

    taken_back: when the agent broke off what it was saying; the reply that counts as settled began after the last time.
    """
    after = [span.start_ms for span in spans if span.start_ms >= end]
    cut = any(started < span.start_ms < end for span in spans)
    last = max(taken_back, default=float("-inf"))
    settled = [start for start in after if start >= last] or after[-1:]
    answered = after[0] - end if after else None
    return LoadTurn(call, name, at_s, answered, settled[0] - end if settled else None, cut)
