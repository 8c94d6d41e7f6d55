"""Tells hooks of the steps of handoffs beside the calls, each in order; what cannot be told becomes a dead letter."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent.clock import Clock
from agent.handoff.hooks.events import HandoffEvent, Hook
from agent.handoff.hooks.letters import DeadLetter, DeadLetters, LetterError
from agent.outbound import OutboundError

log = logging.getLogger(__name__)

MOST_WAITING = 1000
"""Events that wait for one hook; a further one becomes a dead letter at once, with the code `overflow`. While as many
of those wait for the disk, it is lost, logged and counted."""
AT_ONCE = 8
"""Handoffs that one hook is told of at the same time; the steps of one handoff come one after the other."""


@dataclass(slots=True)
class _Lane:
    hook: Hook
    queue: deque[HandoffEvent] = field(default_factory=deque)
    running: dict[str, HandoffEvent] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self) -> HandoffEvent | None:
        """The first event of a handoff that is not being told of; it is now."""
        for index, event in enumerate(self.queue):
            handoff_id = event.request.handoff_id
            if handoff_id not in self.running:
                del self.queue[index]
                self.running[handoff_id] = event
                return event
        return None


class Hooks:
    """All hooks. Each has its own queue and tasks, so that a slow one holds up nobody.

    `tell` never waits for a hook and never raises. `start` begins; `aclose` waits a little, and makes dead letters of
    the rest. counters: NAME_delivered, NAME_dead, and lost (not even the dead letter could be kept).
    """

    def __init__(self, hooks: Sequence[Hook], letters: DeadLetters, clock: Clock, most: int = MOST_WAITING) -> None:
        """Raises ValueError where two hooks have one name."""
        names = [hook.name for hook in hooks]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"hook name {name!r} appears twice; each needs its own")
        self._lanes = [_Lane(hook) for hook in hooks]
        self._letters = letters
        self._clock = clock
        self._most = most
        self._overflow: deque[tuple[Hook, HandoffEvent]] = deque()
        self._overflowing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False
        self.counters: Counter[str] = Counter()

    def start(self) -> None:
        """Begin, where that has not happened."""
        if not self._tasks and not self._closed:
            self._tasks = [
                asyncio.create_task(self._work(lane), name=f"hook-{lane.hook.name}-{number}")
                for lane in self._lanes
                for number in range(AT_ONCE)
            ]
            self._tasks.append(asyncio.create_task(self._bury_overflow(), name="hook-overflow"))

    async def tell(self, event: HandoffEvent) -> None:
        """Queue `event` for the hooks that want it; returns at once."""
        self.tell_now(event)

    def tell_now(self, event: HandoffEvent) -> None:
        """As `tell`, where nothing can be awaited."""
        for lane in self._lanes:
            if self._closed or not lane.hook.wants(event):
                continue
            if len(lane.queue) < self._most:
                lane.queue.append(event)
                lane.wake.set()
            elif len(self._overflow) < MOST_WAITING:
                self._overflow.append((lane.hook, event))
                self._overflowing.set()
            else:
                self._lose(lane.hook, event, "too many events wait")
        if not self._closed:
            self.start()

    async def aclose(self, grace_s: float = 5.0) -> None:
        """Wait up to `grace_s` for what is on its way, then make dead letters of the rest."""
        self._closed = True
        until = self._clock.now_ms() + grace_s * 1000.0
        while self._tasks and any(lane.queue or lane.running for lane in self._lanes) and self._clock.now_ms() < until:
            await self._clock.sleep_until(min(self._clock.now_ms() + 20.0, until))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for lane in self._lanes:
            for event in (*lane.running.values(), *lane.queue):
                await self._bury(lane.hook, event, "stopped", "the server stopped")
            lane.running.clear()
            lane.queue.clear()
        while self._overflow:
            await self._bury(*self._overflow[0], "overflow", f"{self._most} events wait")
            self._overflow.popleft()

    async def _work(self, lane: _Lane) -> None:
        while True:
            event = lane.take()
            if event is None:
                lane.wake.clear()
                await lane.wake.wait()
                continue
            await self._deliver(lane.hook, event)
            del lane.running[event.request.handoff_id]
            lane.wake.set()

    async def _deliver(self, hook: Hook, event: HandoffEvent) -> None:
        try:
            await hook.deliver(event)
        except OutboundError as error:
            await self._bury(hook, event, error.code, str(error))
        except Exception as error:  # a hook's mistake must not stop the others' events
            log.exception("hook %s: %s", hook.name, event.event_id)
            await self._bury(hook, event, "error", f"{type(error).__name__}: {error}"[:500])
        else:
            self.counters[f"{hook.name}_delivered"] += 1

    async def _bury_overflow(self) -> None:
        while True:
            await self._overflowing.wait()
            self._overflowing.clear()
            while self._overflow:
                await self._bury(*self._overflow[0], "overflow", f"{self._most} events wait")
                self._overflow.popleft()

    async def _bury(self, hook: Hook, event: HandoffEvent, code: str, why: str) -> None:
        try:
            letter = await asyncio.to_thread(self._letters.add, hook.name, event, code, why, self._clock.wall())
        except (OSError, ValueError, LetterError) as error:
            self._lose(hook, event, f"{why}; and the dead letter: {error}")
            return
        self.counters[f"{hook.name}_dead"] += 1
        log.error(
            "hook %s: %s could not be told (%s: %s); dead letter %s", hook.name, event.event_id, code, why, letter
        )

    def _lose(self, hook: Hook, event: HandoffEvent, why: str) -> None:
        self.counters["lost"] += 1
        log.error("hook %s: %s is lost: %s", hook.name, event.event_id, why)


async def retry(letter: DeadLetter, hooks: Mapping[str, Hook], letters: DeadLetters) -> None:
    """Try one dead letter again; it is removed where that works.

    Raises:
        LetterError: there is no such hook.
        OutboundError: it failed again, which is written down.
    """
    hook = hooks.get(letter.hook)
    if hook is None:
        raise LetterError(f"dead letter {letter.id} is for hook {letter.hook!r}, which the file does not name")
    try:
        await hook.deliver(letter.event)
    except OutboundError as error:
        await asyncio.to_thread(letters.failed_again, letter, error.code, str(error))
        raise
    await asyncio.to_thread(letters.remove, letter.id)
