"""AudioSocket over TCP: listens, has each call admitted by its UUID, and hands admitted ones on.

The protocol of the frames is `agent.gateways.audiosocket`. A connection has `handshake_s` to name a call that was
announced; only so many may be under way in that at once. Who sends nothing, garbage or an unknown UUID costs no more
than a line in the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from agent.call.transport import INTERNAL, NORMAL, Disconnected, Transport
from agent.gateways.audiosocket import (
    AUDIO,
    FAREWELL,
    HEADER,
    RATES,
    UUID,
    UUID_BYTES,
    audio_rate,
    call_uuid,
    frame,
)
from agent.gateways.base import GatewayProtocol
from agent.gateways.gateway import Opening

log = logging.getLogger(__name__)

HIGH_WATER = 65_536
"""Bytes written and not yet taken by the network; more wait. 4 s of audio at 8 kHz."""
READ_AHEAD = 65_536
"""Bytes received and not yet read; the other side is held back at twice as many."""
SEND_S = 5.0
"""How long the other side may take nothing before it counts as gone."""
CLOSE_S = 1.0
FIRST_AUDIO_S = 1.0
"""How long to wait for the audio that tells the line's rate; without any it is 8 kHz. Asterisk gives up after 2 s."""
MAX_HANDSHAKES = 100
"""Connections that have not named their call yet; more are closed at once."""

_UUID_HEADER = frame(UUID, bytes(UUID_BYTES))[:HEADER]


@dataclass(frozen=True, slots=True)
class AudioSocketSettings:
    """Where to listen. port: 0 takes any free one, see `AudioSocketListener.port`."""

    host: str = "127.0.0.1"
    port: int = 0
    handshake_s: float = 5.0


Admit = Callable[[str], Opening | None]
"""Whether the call of this UUID (lower-case, with hyphens) was announced: once, lately. `Opening.query` may hold
`caller` and `called`."""
Take = Callable[[GatewayProtocol, Transport, str], Awaitable[None]]
"""Takes the call of our id; returns when it is over."""


class _NotOursError(Exception):
    """The connection is turned away; `code` says why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class TcpTransport:
    """A TCP connection of AudioSocket as `agent.call.transport.Transport`; a message is one frame.

    An end between two frames is how Asterisk hangs up: `Disconnected` with code 1000; any other has 1006.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._again: list[bytes] = []
        self._header = b""
        self._closed = False
        self.peer = str((writer.get_extra_info("peername") or ("somebody",))[0])
        writer.transport.set_write_buffer_limits(high=HIGH_WATER)

    def unread(self, *messages: bytes) -> None:
        """Give these messages to the next calls of `receive`."""
        self._again.extend(messages)

    async def receive(self) -> bytes:
        if self._again:
            return self._again.pop(0)
        await self.next_kind()
        length = int.from_bytes(self._header[1:], "big")
        payload = await self.read(length, inside=True) if length else b""
        header, self._header = self._header, b""
        return header + payload

    async def next_kind(self) -> int:
        """The kind of the frame that comes next from the network; it stays to be received.

        Raises:
            Disconnected: there will be none.
        """
        self._header = self._header or await self.read(HEADER)
        return self._header[0]

    async def read(self, count: int, inside: bool = False) -> bytes:
        """Read exactly `count` bytes; `inside` a frame.

        Raises:
            Disconnected: there are not as many.
        """
        try:
            return await self._reader.readexactly(count)
        except asyncio.IncompleteReadError as error:
            raise Disconnected(1006 if error.partial or inside else NORMAL) from error
        except OSError as error:
            raise Disconnected from error

    async def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            raise TypeError("AudioSocket has no text")
        if self._closed or self._writer.is_closing():
            raise Disconnected
        try:
            self._writer.write(message)
            async with asyncio.timeout(SEND_S):
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            self._writer.transport.abort()
            raise Disconnected from error

    async def close(self, code: int, reason: str) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if not self._writer.is_closing():
                self._writer.write(FAREWELL)
            self._writer.close()
            async with asyncio.timeout(CLOSE_S):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()

    def drop(self) -> None:
        """Close the connection without a word."""
        self._closed = True
        self._writer.transport.abort()


class AudioSocketListener:
    """Listens for AudioSocket connections from `start` to `stop`."""

    def __init__(
        self,
        settings: AudioSocketSettings,
        new: Callable[[Opening], GatewayProtocol],
        admit: Admit,
        take: Take,
        on_refused: Callable[[str], None] = lambda code: None,
    ) -> None:
        """`new` makes the protocol of an admitted call, see `Gateway.new`.

        on_refused: told of each connection turned away for another reason than that `admit` gave None:
        handshake_timeout, no_uuid, unsupported_media or busy.
        """
        self._settings = settings
        self._new = new
        self._admit = admit
        self._take = take
        self._on_refused = on_refused
        self._server: asyncio.Server | None = None
        self._handshakes: set[asyncio.Task[Opening | None]] = set()

    @property
    def port(self) -> int:
        """Where it listens; 0 while it does not."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server and self._server.sockets else 0

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            OSError: the address cannot be listened on.
        """
        host, port = self._settings.host, self._settings.port
        self._server = await asyncio.start_server(self._connected, host, port, limit=READ_AHEAD)
        log.info("listening for AudioSocket on %s port %d", host, self.port)

    async def stop(self) -> None:
        """Listen no more and drop who has not named a call; calls under way go on until they are ended."""
        if self._server is not None:
            self._server.close()
            self._server = None
        waiting = list(self._handshakes)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transport = TcpTransport(reader, writer)
        if len(self._handshakes) >= MAX_HANDSHAKES:
            self._on_refused("busy")
            transport.drop()
            return
        handshake = asyncio.create_task(self._handshake(transport), name="audiosocket-handshake")
        self._handshakes.add(handshake)
        try:
            # its outcome is looked at, not raised: whoever stops us cancels it, which is no fault of this task
            await asyncio.wait([handshake])
        finally:
            handshake.cancel()
            self._handshakes.discard(handshake)
        try:
            opening = None if handshake.cancelled() else handshake.result()
            if opening is not None:
                await self._take(self._new(opening), transport, opening.call_id)
        except Exception:
            log.exception("an AudioSocket call failed", extra={"code": "call_failed"})
        finally:
            await transport.close(INTERNAL, "over")

    async def _handshake(self, transport: TcpTransport) -> Opening | None:
        """What is known of the call, its rate too; None where there will be no call."""
        try:
            return await self._admitted(transport)
        except Disconnected:
            return None  # a port scan or a probe
        except _NotOursError as refused:
            log.warning("an AudioSocket connection was turned away: %s", refused, extra={"code": refused.code})
            if refused.code != "unauthorized":
                self._on_refused(refused.code)
            return None

    async def _admitted(self, transport: TcpTransport) -> Opening:
        try:
            async with asyncio.timeout(self._settings.handshake_s):
                if await transport.read(HEADER) != _UUID_HEADER:
                    raise _NotOursError("no_uuid", f"{transport.peer} did not begin with a UUID")
                first = _UUID_HEADER + await transport.read(UUID_BYTES, inside=True)
        except TimeoutError:
            limit = self._settings.handshake_s
            raise _NotOursError("handshake_timeout", f"{transport.peer} named no call within {limit:g} s") from None
        named = call_uuid(first)
        opening = self._admit(named) if named is not None else None
        if opening is None:
            raise _NotOursError("unauthorized", f"call {named} of {transport.peer} was not announced, or long ago")
        try:
            async with asyncio.timeout(FIRST_AUDIO_S):
                kind = await transport.next_kind()
        except TimeoutError:
            kind = AUDIO
        rate = audio_rate(kind) if kind >= AUDIO else RATES[AUDIO]
        if rate is None:
            raise _NotOursError(
                "unsupported_media", f"call {named} has audio of kind 0x{kind:02x}; dial with c(slin16)"
            )
        transport.unread(first)
        return replace(opening, query={**opening.query, "rate": str(rate)})
