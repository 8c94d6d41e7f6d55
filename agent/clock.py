"""Time as the rest of the agent sees it; nothing else reads a clock."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A source of time: monotonic milliseconds, wall time, and sleep."""

    def now_ms(self) -> float:
        """Monotonic time in ms; only differences mean anything."""
        ...

    def wall(self) -> datetime:
        """The time of day, UTC and timezone-aware."""
        ...

    async def sleep_until(self, at_ms: float) -> None:
        """Sleep until `now_ms()` is at least `at_ms`; yields to the loop once even when that is past."""
        ...

    async def wait(self, event: asyncio.Event, until_ms: float | None) -> None:
        """Wait until `event` is set, or the time is `until_ms` (which sets it too); clears it again."""
        ...


class RealClock:
    """The machine's clock."""

    def now_ms(self) -> float:
        return time.monotonic() * 1000.0

    def wall(self) -> datetime:
        return datetime.now(UTC)

    async def sleep_until(self, at_ms: float) -> None:
        await asyncio.sleep(max(0.0, (at_ms - self.now_ms()) / 1000.0))

    async def wait(self, event: asyncio.Event, until_ms: float | None) -> None:
        if until_ms is None:
            await event.wait()
        else:
            delay = max(0.0, (until_ms - self.now_ms()) / 1000.0)
            timer = asyncio.get_running_loop().call_later(delay, event.set)
            try:
                await event.wait()
            finally:
                timer.cancel()
        event.clear()


class LoopClock(RealClock):
    """The time of the running event loop; virtual where the loop's time is."""

    def now_ms(self) -> float:
        return asyncio.get_running_loop().time() * 1000.0
