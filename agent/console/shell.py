"""What surrounds every answer of the console: headers that browsers obey, and a bound on what is sent."""

from __future__ import annotations

import json
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BODY = 65_536
"""Bytes of a request."""
HEADERS: dict[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "permissions-policy": "microphone=(self), camera=(), geolocation=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
NO_STORE = {"cache-control": "no-store"}
_ENCODED = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_STORED = (b"cache-control", b"etag")


class TooLarge(Exception):
    """The request has more than `MOST_BODY` bytes."""


class Shell:
    """An ASGI application with the headers, whose requests are bounded."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        secure = scope.get("scheme") == "https"
        began = False

        async def headed(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                message = {**message, "headers": _headed(list(message.get("headers", [])), secure)}
            await send(message)

        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MOST_BODY:
                raise TooLarge
            return message

        try:
            if _announced(scope) > MOST_BODY:
                raise TooLarge
            await self._app(scope, bounded, headed)
        except TooLarge:
            if not began:
                await _refuse(headed)


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _headed(headers: list[tuple[bytes, bytes]], secure: bool) -> list[tuple[bytes, bytes]]:
    given = {name.lower() for name, _ in headers}
    headers += [(name, value) for name, value in _ENCODED if name not in given]
    if not given.intersection(_STORED):
        headers.append((b"cache-control", b"no-store"))
    if secure:
        headers.append((b"strict-transport-security", b"max-age=31536000"))
    return headers


async def _refuse(send: Send) -> None:
    said: dict[str, Any] = {"code": "too_large", "detail": f"the request has more than {MOST_BODY} bytes"}
    body = json.dumps(said).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
