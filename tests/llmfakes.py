"""A server of the OpenAI protocol that does what a test's script says, and a clock that a test moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any


class ManualClock:
    """A clock that stands still until `advance`."""

    def __init__(self) -> None:
        self.ms = 1000.0
        self._timers: list[tuple[float, asyncio.Event]] = []

    def now_ms(self) -> float:
        return self.ms

    def wall(self) -> datetime:
        return datetime(2026, 5, 4, 10, 0, tzinfo=UTC)

    async def sleep_until(self, at_ms: float) -> None:
        await self.wait(asyncio.Event(), at_ms)

    async def wait(self, event: asyncio.Event, until_ms: float | None) -> None:
        if until_ms is not None:
            if until_ms <= self.ms:
                event.set()
            timer = (until_ms, event)
            self._timers.append(timer)
        try:
            await event.wait()
        finally:
            if until_ms is not None:
                self._timers.remove(timer)
        event.clear()

    def advance(self, ms: float) -> None:
        self.ms += ms
        for until, event in self._timers:
            if until <= self.ms:
                event.set()

    async def next(self, at_ms: float) -> None:
        """Let others run until `at_ms` is the earliest time that somebody waits for."""
        while min((until for until, _ in self._timers), default=0.0) != at_ms:  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def waiting(self) -> None:
        """Let others run until somebody waits for a time."""
        while not self._timers:  # noqa: ASYNC110
            await asyncio.sleep(0)


class Exchange:
    """One request as the server sees it, and the means to answer it."""

    def __init__(self, head: str, body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        first, *lines = head.split("\r\n")
        self.method, self.path, _ = first.split(" ")
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.body = body
        self._reader, self._writer = reader, writer
        self.stalled = asyncio.Event()
        self.gone = asyncio.Event()

    async def begin(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        await self.raw_bytes(f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n{more}\r\n")

    async def raw_bytes(self, data: bytes | str) -> None:
        self._writer.write(data.encode() if isinstance(data, str) else data)
        await self._writer.drain()

    async def raw(self, data: bytes | str) -> None:
        """One HTTP chunk."""
        data = data.encode() if isinstance(data, str) else data
        await self.raw_bytes(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def chunk(self, delta: dict[str, Any] | None = None, finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
        await self.raw(f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n")

    async def text(self, *pieces: str) -> None:
        for piece in pieces:
            await self.chunk({"content": piece})

    async def end(self, finish: str | None = "stop", done: bool = True) -> None:
        if finish:
            await self.chunk({}, finish)
        if done:
            await self.raw("data: [DONE]\n\n")
        await self.raw_bytes("0\r\n\r\n")

    async def json(self, status: int, document: Any, **headers: str) -> None:
        await self.begin(status, "application/json", **headers)
        await self.raw(json.dumps(document))
        await self.raw_bytes("0\r\n\r\n")

    async def stall(self) -> None:
        """Send nothing more, until the client goes."""
        self.stalled.set()
        await self._reader.read()
        self.gone.set()

    def drop(self) -> None:
        """Break the connection."""
        self._writer.transport.abort()


Script = Callable[[Exchange], Awaitable[None]]


class ScriptedServer:
    """Answers the n-th request with the n-th script, the last one again and again."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.requests: list[Exchange] = []
        self.connections = 0
        self.base_url = ""
        self.close_after_each = False
        self._open: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def request(self, n: int = 0) -> Exchange:
        """The n-th request, once it came."""
        while len(self.requests) <= n:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        return self.requests[n]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().removesuffix("\r\n\r\n")
                length = next(
                    int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length")
                )
                exchange = Exchange(head, json.loads(await reader.readexactly(length)), reader, writer)
                script = self.scripts[min(len(self.requests), len(self.scripts) - 1)]
                self.requests.append(exchange)
                await script(exchange)
                if exchange.gone.is_set() or self.close_after_each:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            for exchange in self.requests[-1:]:
                exchange.gone.set()
        finally:
            writer.close()
            del self._open[task]

    async def close(self) -> None:
        """Break what is still open, and wait until all scripts are over."""
        for writer in self._open.values():
            writer.transport.abort()
        await asyncio.gather(*self._open)


@asynccontextmanager
async def scripted(*scripts: Script):
    """A running `ScriptedServer` on a free port of this machine."""
    server = ScriptedServer(*scripts)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.base_url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    try:
        yield server
    finally:
        listening.close()
        await server.close()
