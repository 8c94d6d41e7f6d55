"""A real HTTP server on loopback that keeps what it is asked and answers by a function."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from agent.handoff.contracts import HandoffRequest
from agent.handoff.hooks.events import HandoffEvent, Step

AT = datetime(2031, 5, 1, 12, tzinfo=UTC)
REQUEST = HandoffRequest(
    "h-1", "c-1", "twilio", "CA1", "asked for a person", "asked", 8, "+12125550123", "+12125550199", "en",
    "Ms Doe wants to cancel order 54321.", "cancel_order", {"order": {"value": "54321", "verified": True}},
    [{"turn": 1, "label": "angry", "anger": 0.8, "activation": 0.9}],
    [
        {"speaker": "caller", "text": "I want a person", "at_ms": 41200},
        {"speaker": "agent", "text": "I will ask", "at_ms": 43000},
    ],
    [],
)  # fmt: skip


def event(step: Step = "queued", **more: Any) -> HandoffEvent:
    return HandoffEvent(step, AT, **({"request": REQUEST} | more))


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


Said = tuple[int, Any] | None
"""Status and JSON; None hangs up without a word."""


@dataclass
class Desk:
    answer: Callable[[Asked], Said]
    url: str = ""
    seen: list[Asked] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            method, path, _ = head[0].split(" ")
            asked = Asked(method, path, headers, body)
            self.seen.append(asked)
            said = self.answer(asked)
            if said is not None:
                out = b"" if said[1] is None else json.dumps(said[1]).encode()
                writer.write(
                    f"HTTP/1.1 {said[0]} X\r\nContent-Length: {len(out)}\r\nConnection: close\r\n\r\n".encode() + out
                )
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def desk(answer: Callable[[Asked], Said]) -> AsyncIterator[Desk]:
    serving = Desk(answer)
    server = await asyncio.start_server(serving.serve, "127.0.0.1", 0)
    serving.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield serving
    finally:
        server.close()


def in_turn(*said: Said) -> Callable[[Asked], Said]:
    left = list(said)
    return lambda asked: left.pop(0) if len(left) > 1 else left[0]
