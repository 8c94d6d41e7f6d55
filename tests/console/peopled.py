"""What a real server loads, with scripted models, and people at consoles who may take its calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from server.live import scripted

from agent.clock import Clock
from agent.config import Settings
from agent.console.feed import Feed
from agent.handoff.console_desk import ConsoleDesk
from agent.loading import Loaded


@asynccontextmanager
async def with_people(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Loaded]:
    """In place of `agent.loading.load`."""
    async with scripted(settings, clock) as loaded:
        feed = Feed(loaded.services.clock)
        desk = ConsoleDesk(loaded.database, None, None, loaded.services.clock, feed=feed)
        try:
            yield replace(loaded, services=replace(loaded.services, feed=feed, desk=desk))
        finally:
            await desk.aclose()
