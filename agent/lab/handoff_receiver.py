"""A receiver of handoff webhooks on loopback: checks each signature and accepts the call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from agent.clock import Clock
from agent.handoff.webhook import SignatureError, verify_signature

_MAX_BODY = 1_000_000
_MAX_REQUESTS = 100
_READ_S = 10.0
_BAD_REQUEST = (TimeoutError, ValueError, KeyError, TypeError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


class HandoffReceiver:
    """An HTTP server for one run; an async context manager. Keeps the first `_MAX_REQUESTS` handoffs it accepted.

    `POST /handoffs` with a right signature is answered {"outcome": "accepted"}; a wrong one 401, anything else 404.
    """

    def __init__(self, key: str, clock: Clock, on_handoff: Callable[[Mapping[str, Any]], None] | None = None) -> None:
        """`key` signs the webhooks; `on_handoff` gets each handoff."""
        self.accepted: list[Mapping[str, Any]] = []
        self.refused = 0
        self._key = key.encode()
        self._clock = clock
        self._on_handoff = on_handoff
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where webhooks go."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/handoffs"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_READ_S):
                request, headers, body = await _request(reader)
            status, answer = self._answer(request, headers, body)
        except (
            TimeoutError,
            ValueError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            KeyError,
            TypeError,
        ) as error:
            status, answer = "400 Bad Request", {"detail": str(error)}
        data = json.dumps(answer).encode()
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
        )
        try:
            writer.write(head.encode("ascii") + data)
            await writer.drain()
        finally:
            writer.close()

    def _answer(self, request: str, headers: Mapping[str, str], body: bytes) -> tuple[str, Mapping[str, Any]]:
        if request.split()[:2] != ["POST", "/handoffs"]:
            return "404 Not Found", {"detail": "POST /handoffs is all there is"}
        try:
            verify_signature(self._key, headers, body, self._clock.wall())
        except SignatureError as error:
            self.refused += 1
            return "401 Unauthorized", {"detail": str(error)}
        handoff = json.loads(body)["handoff"]
        if len(self.accepted) < _MAX_REQUESTS:
            self.accepted.append(handoff)
        if self._on_handoff is not None:
            self._on_handoff(handoff)
        return "200 OK", {"outcome": "accepted"}


async def _request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    """Read one request: its first line, headers by lower-case name, and the body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= _MAX_BODY:
        raise ValueError(f"content-length is {length}; at most {_MAX_BODY} bytes are read")
    return head[0], headers, await reader.readexactly(length)
