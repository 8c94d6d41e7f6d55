"""A real HTTP server on loopback that answers as it is told and checks signatures, and a clock that never waits."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from agent.handoff.webhook import verify_signature

KEY = "a-key-for-tests-0123456789"


class VirtualClock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.ms = 0.0
        self.sleeps: list[float] = []

    def now_ms(self) -> float:
        return self.ms

    def wall(self) -> datetime:
        return datetime(2031, 5, 1, 12, tzinfo=UTC) + timedelta(milliseconds=self.ms)

    async def sleep_until(self, at_ms: float) -> None:
        self.sleeps.append(at_ms - self.ms)
        self.ms = max(self.ms, at_ms)
        await asyncio.sleep(0)


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    hang_up: bool = False


@dataclass
class Receiver:
    answers: Sequence[Answer]
    now: datetime
    url: str = ""
    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers["content-length"]))
            verify_signature(KEY.encode(), headers, body, self.now)
            answer = self.answers[min(len(self.seen), len(self.answers) - 1)]
            self.seen.append((headers, body))
            await asyncio.sleep(answer.delay_s)
            if not answer.hang_up:
                lines = [f"HTTP/1.1 {answer.status} X", f"Content-Length: {len(answer.body)}", "Connection: close"]
                lines += [f"{name}: {value}" for name, value in answer.headers.items()]
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client gave up, as some tests want it to
        finally:
            writer.close()


@asynccontextmanager
async def receiver(
    now: datetime, *answers: Answer, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Receiver]:
    serving = Receiver(answers or [Answer()], now)
    server = await asyncio.start_server(serving.serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    serving.url = f"{'https' if tls else 'http'}://{host}:{port}/calls?desk=1"
    try:
        yield serving
    finally:
        server.close()
