"""Who is at the console: connections that are open, and what happens to calls and queue when somebody drops out."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from agent.call.control import CallControl, Seat
from agent.console.backend import Backend
from agent.console.feed import Message
from agent.console.parts import Parts

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Who, and the id of a call."""


class Presence:
    """Connections of people. One that breaks has `lost_s` to come back before its caller or the queue is told."""

    def __init__(self, backend: Backend, parts: Parts, lost_s: float) -> None:
        self._backend = backend
        self._parts = parts
        self._lost_s = lost_s
        self._pages: Counter[str] = Counter()
        self._speaking: Counter[Key] = Counter()
        self._seats: dict[Key, Seat] = {}
        self._engaged: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def watched(self) -> bool:
        """Whether any page is connected."""
        return bool(self._pages)

    def keep(self, who: str, call_id: str, seat: Seat) -> None:
        """Keep the seat of a call taken over until its sound is connected."""
        self._seats[who, call_id] = seat

    def kept(self, who: str, call_id: str) -> Seat | None:
        """The seat that waits for its sound; it is given once."""
        return self._seats.pop((who, call_id), None)

    def engage(self, who: str, call_id: str) -> None:
        """`who` took over a call that did not wait: it counts as one of those he has."""
        self._engaged[call_id] = who
        if self._backend.desk is not None:
            self._backend.desk.engaged(who, call_id)

    def release(self, call_id: str) -> None:
        """A call is over, or no longer its person's."""
        for key in [key for key in self._seats if key[1] == call_id]:
            del self._seats[key]
        who = self._engaged.pop(call_id, None)
        if who is not None and self._backend.desk is not None:
            self._backend.desk.released(who, call_id)

    def follow(self, message: Message) -> bool:
        """Learn from the feed which calls are over. It wants no message for itself."""
        if message.call_id is not None and message.kind == "call_ended":
            # Not within the call's own telling of it.
            asyncio.get_running_loop().call_soon(self.release, message.call_id)
        return False

    def page_opened(self, who: str) -> None:
        """A page of `who` is connected."""
        self._pages[who] += 1

    def page_closed(self, who: str) -> None:
        """A page of `who` is gone. With the last, so is he, unless he comes back or speaks with somebody."""
        self._pages[who] -= 1
        if self._pages[who] <= 0:
            del self._pages[who]
            self._later(lambda: self._page_lost(who))

    def sound_opened(self, who: str, call_id: str) -> None:
        """`who` speaks with a caller."""
        self._speaking[who, call_id] += 1

    def sound_closed(self, who: str, call_id: str, broken: bool) -> None:
        """That connection is over. `broken`: it broke, or its page went away; who closed it may go on by typing."""
        self._speaking[who, call_id] -= 1
        if self._speaking[who, call_id] <= 0:
            del self._speaking[who, call_id]
            self._later(lambda: self._sound_lost(who, call_id, broken))

    async def close(self) -> None:
        """End what still waits."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _later(self, then: Callable[[], None]) -> None:
        async def wait() -> None:
            clock = self._backend.clock
            await clock.sleep_until(clock.now_ms() + self._lost_s * 1000.0)
            then()

        task = asyncio.create_task(wait(), name="console-lost")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _page_lost(self, who: str) -> None:
        if self._pages[who]:
            return
        if self._backend.desk is not None:
            self._backend.desk.off_duty(who)
        for call_id in set(self._parts.calls_of(who)) | {call for name, call in self._seats if name == who}:
            if not self._speaking[who, call_id]:
                self._lose(who, call_id)

    def _sound_lost(self, who: str, call_id: str, broken: bool) -> None:
        if not self._speaking[who, call_id] and (broken or not self._pages[who]):
            self._lose(who, call_id)

    def _lose(self, who: str, call_id: str) -> None:
        self._seats.pop((who, call_id), None)
        control = self._backend.control(call_id)
        if control is not None and has(control, who):
            log.warning("%s was lost in a call", who, extra={"code": "human_lost", "call": call_id})
            control.human_lost(who)


def has(control: CallControl, who: str) -> bool:
    """Whether `who` has this call now."""
    return control.state().get("human") == who
