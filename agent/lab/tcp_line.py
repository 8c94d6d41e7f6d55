"""A caller's line over plain TCP: AudioSocket's frames as messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosedError

from agent.lab.line import Dial, LineError, LineSocket, Unreachable

_OPEN_S = 5.0
_GRACE_S = 2.0
_CLEAN, _BROKEN = 1000, 1006


class TcpLineSocket:
    """A TCP connection as a `LineSocket`; each message is one frame: kind, length (2 bytes, big-endian), payload."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._code: int | None = None

    @property
    def close_code(self) -> int | None:
        """1000 where it ended between two frames or by us, 1006 where it broke, None while it is open."""
        return self._code

    async def send(self, message: str | bytes) -> None:
        if self._code is not None:
            raise ConnectionClosedError(None, None)
        try:
            self._writer.write(message.encode() if isinstance(message, str) else message)
            await self._writer.drain()
        except OSError as error:
            self._code = _BROKEN
            raise ConnectionClosedError(None, None) from error

    async def close(self) -> None:
        if self._code is None:
            self._code = _CLEAN
        self._writer.close()
        try:
            async with asyncio.timeout(_GRACE_S):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        try:
            while True:
                header = await self._reader.readexactly(3)
                yield header + await self._reader.readexactly(int.from_bytes(header[1:], "big"))
        except asyncio.IncompleteReadError as error:
            self._ended(_BROKEN if error.partial else _CLEAN)
        except OSError:
            self._ended(_BROKEN)

    def _ended(self, code: int) -> None:
        if self._code is None:
            self._code = code


def audiosocket_dial(url: str) -> Dial:
    """How `CallerLine` reaches `url`, as `tcp://host:port`.

    Raises:
        LineError: `url` is not such an address.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or port is None or parts.scheme != "tcp":
        raise LineError(f"{url} is no address of an AudioSocket listener; give it as tcp://host:port")

    async def dial() -> LineSocket:
        try:
            async with asyncio.timeout(_OPEN_S):
                reader, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"{url} cannot be reached: {error}; is the server running there?") from error
        return TcpLineSocket(reader, writer)

    return dial
