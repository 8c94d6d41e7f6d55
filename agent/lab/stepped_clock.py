"""A clock that stands still until it is moved: time in calls that are played turn by turn."""

from __future__ import annotations

import asyncio
import heapq
from datetime import datetime, timedelta


class SteppedClock:
    """Implements `agent.clock.Clock`. `began` is the time of day at 0 ms; sleepers wake when `move` passes them."""

    def __init__(self, began: datetime) -> None:
        self._began = began
        self._ms = 0.0
        self._sleeping: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now_ms(self) -> float:
        return self._ms

    def wall(self) -> datetime:
        return self._began + timedelta(milliseconds=self._ms)

    async def sleep_until(self, at_ms: float) -> None:
        await asyncio.sleep(0)
        if at_ms > self._ms:
            woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._count += 1
            heapq.heappush(self._sleeping, (at_ms, self._count, woken))
            await woken

    async def wait(self, event: asyncio.Event, until_ms: float | None) -> None:
        if until_ms is None:
            await event.wait()
        else:
            timer = asyncio.ensure_future(self.sleep_until(until_ms))
            timer.add_done_callback(lambda _: event.set())
            try:
                await event.wait()
            finally:
                timer.cancel()
        event.clear()

    def move(self, ms: float) -> None:
        """Let `ms` pass."""
        self._ms += ms
        while self._sleeping and self._sleeping[0][0] <= self._ms:
            _, _, woken = heapq.heappop(self._sleeping)
            if not woken.done():
                woken.set_result(None)

    def skip(self) -> bool:
        """Move to when the next sleeper wakes; False where nobody sleeps."""
        while self._sleeping and self._sleeping[0][2].done():
            heapq.heappop(self._sleeping)
        if not self._sleeping:
            return False
        self.move(max(0.0, self._sleeping[0][0] - self._ms))
        return True
