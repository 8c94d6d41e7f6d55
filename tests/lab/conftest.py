"""A clock that runs faster than the wall's, and servers on loopback."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime

import pytest
from websockets.asyncio.server import serve


class FastClock:
    """Real time, `speed` times as fast."""

    def __init__(self, speed: float = 8.0) -> None:
        self.speed = speed

    def now_ms(self) -> float:
        return time.monotonic() * 1000.0 * self.speed

    def wall(self) -> datetime:
        return datetime.now(UTC)

    async def sleep_until(self, at_ms: float) -> None:
        await asyncio.sleep(max(0.0, (at_ms - self.now_ms()) / 1000.0 / self.speed))

    async def wait(self, event: asyncio.Event, until_ms: float | None) -> None:
        seconds = None if until_ms is None else max(0.0, until_ms - self.now_ms()) / 1000.0 / self.speed
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
        event.clear()


@pytest.fixture
def clock() -> FastClock:
    return FastClock()


@pytest.fixture
async def serving():
    """Start a websocket server with a handler; gives its ws:// address."""
    servers = []

    async def start(handler, **options) -> str:
        server = await serve(handler, "127.0.0.1", 0, **options)
        servers.append(server)
        return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()
