"""Opens the websocket of a call where the gateway waits for us to connect, as Asterisk's `WebSocket/INCOMING` does."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from websockets import Subprotocol
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from agent.call.transport import Disconnected

OPEN_S = 5.0
"""For connecting and the handshake together."""
SEND_S = 5.0
"""How long the other side may take nothing before it counts as gone."""
CLOSE_S = 1.0
MAX_MESSAGE = 65_536
MAX_WAITING = 64
"""Messages received and not read yet; then the other side is held back. 1.3 s of audio in 20 ms pieces."""
HIGH_WATER = 65_536
"""Bytes written and not yet taken by the network; more wait."""
MAX_URL = 2048

_PORTS = {"ws": 80, "wss": 443}
# What no address of ours needs, and what parsers read differently: blanks, control characters, anything beyond ASCII,
# backslashes; `@` (another host follows), `%` (a slash or a dot in disguise), `#`, and what is no URL character at all.
_URL = re.compile(r"[A-Za-z0-9\-._~:/\[\]!$&'()*+,;=?]+")


class DialError(Exception):
    """The socket could not be opened.

    `code`: refused_url, unreachable, refused (the other side answered by another status) or no_subprotocol.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Address:
    scheme: str
    host: str
    port: int
    path: str


def allowed(url: str, prefixes: Sequence[str]) -> bool:
    """Whether `url` begins with one of `prefixes`: the same scheme (ws or wss), host and port, and a path below theirs.

    Below means whole segments: `ws://a/media` allows `ws://a/media/7` and not `ws://a/mediator`. A URL with user
    information, escapes, dot segments, empty segments or a fragment is never allowed; a prefix with any of these, or
    with a query, allows nothing.
    """
    asked = _address(url)
    if asked is None:
        return False
    for prefix in prefixes:
        ours = _address(prefix) if "?" not in prefix else None
        if ours is None or (ours.scheme, ours.host, ours.port) != (asked.scheme, asked.host, asked.port):
            continue
        if asked.path == ours.path or asked.path.startswith(ours.path.rstrip("/") + "/"):
            return True
    return False


def _address(url: str) -> _Address | None:
    if len(url) > MAX_URL or not _URL.fullmatch(url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname
    if parts.scheme not in _PORTS or not host or port == 0:
        return None
    path = parts.path or "/"
    segments = path.split("/")[1:]
    if any(segment in (".", "..") for segment in segments) or "" in segments[:-1]:
        return None
    return _Address(parts.scheme, host, port or _PORTS[parts.scheme], path)


class _ConnectOnce(connect):
    """Follows no redirect: it would lead where nobody allowed it."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class DialledTransport:
    """A websocket that we opened, as `agent.call.transport.Transport`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def receive(self) -> str | bytes:
        try:
            return await self._socket.recv()
        except ConnectionClosed as closed:
            raise Disconnected(closed.rcvd.code if closed.rcvd is not None else 1006) from closed

    async def send(self, message: str | bytes) -> None:
        try:
            async with asyncio.timeout(SEND_S):
                await self._socket.send(message)
        except ConnectionClosed as closed:
            raise Disconnected(closed.rcvd.code if closed.rcvd is not None else 1006) from closed
        except TimeoutError as error:
            self._socket.transport.abort()
            raise Disconnected from error

    async def close(self, code: int, reason: str) -> None:
        await self._socket.close(code, reason.encode()[:120].decode("utf-8", "ignore"))


async def dial(
    url: str,
    subprotocol: str | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    prefixes: Sequence[str],
    open_s: float = OPEN_S,
) -> DialledTransport:
    """Open the websocket at `url`, which must be `allowed` by `prefixes`. `headers` go with the handshake.

    No proxy, no compression, no redirect; messages of at most `MAX_MESSAGE` bytes.

    Raises:
        DialError: the URL is not allowed, or nobody there takes the call within `open_s`.
    """
    if not allowed(url, prefixes):
        raise DialError("refused_url", f"{url[:200]!a} is below none of the addresses that may be dialled")
    try:
        async with asyncio.timeout(open_s):
            socket = await _ConnectOnce(
                url,
                additional_headers=dict(headers or {}),
                subprotocols=[Subprotocol(subprotocol)] if subprotocol else None,
                compression=None,
                proxy=None,
                open_timeout=None,
                close_timeout=CLOSE_S,
                ping_interval=10.0,
                ping_timeout=10.0,
                max_size=MAX_MESSAGE,
                max_queue=MAX_WAITING,
                write_limit=HIGH_WATER,
            )
    except InvalidStatus as error:
        raise DialError("refused", f"{url} answered HTTP {error.response.status_code}") from error
    except (OSError, InvalidHandshake, InvalidURI, EOFError) as error:
        said = f"{type(error).__name__} {error}".rstrip()
        raise DialError("unreachable", f"{url} cannot be reached: {said}"[:400]) from error
    if socket.subprotocol != subprotocol:
        await socket.close()
        raise DialError("no_subprotocol", f"{url} did not choose the subprotocol {subprotocol}")
    return DialledTransport(socket)
