"""Running the server: the socket, uvicorn, and signals."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import ssl
import sys
from asyncio.transports import BaseTransport
from collections import deque
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from uvicorn._types import ASGIReceiveEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request

from agent.clock import Clock
from agent.config import Settings
from agent.frames import BINARY, CLOSE, NO_CODE, PING, PONG, TEXT, FrameError, FrameReader, close_reason, frame
from agent.server import CallServer, create_app, is_loopback
from agent.sockets import DIRECT
from agent.upgrades import BadRequest, StrictConnection

LARGEST = 1 << 18
"""Bytes of a websocket message beyond which the socket itself is closed with 1009; most protocols take less."""
QUEUED = 64
"""Messages that may wait for their call before no more is read: over a second of 20 ms audio."""
HIGH_WATER = 1 << 16
"""Bytes that may wait for a peer that reads slowly before writing waits."""
READ = 1 << 14
"""Bytes that are read from a socket at once; asyncio's own 256 kB cost time to set aside for each small message."""
BARE_FRAMES = 1000
"""Frames within a second that end no message, such as pings, before the socket is closed."""
FAILED_S = 1.0
"""How long a peer that was told of its fault may take to close."""
LINGER_S = 10.0
"""How long a socket whose call is over may take to read what was sent before it is cut."""
SWITCH_S = 0.001
"""How long a model thread may keep the event loop from the interpreter; Python's own 5 ms is a quarter of a frame."""

log = logging.getLogger(__name__)
# uvicorn warns of every request it cannot read: whoever knocks at a public port would fill the log.
_HTTP_LOG = logging.getLogger("uvicorn.error.requests")
_HTTP_LOG.setLevel(logging.ERROR)


class ServeError(Exception):
    """The server cannot be started as asked; the message says why and what to do."""


def bind(settings: Settings, insecure: bool) -> socket.socket:
    """Bind the listening socket, before anything slow is loaded.

    Raises:
        ServeError: the address is taken or not ours, or `--insecure` was asked for on an address others can reach.
    """
    host, port = settings.server.host, settings.server.port
    if insecure and not is_loopback(host):
        raise ServeError(f"--insecure works on loopback only, and server.host is {host}; use 127.0.0.1, or set secrets")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise ServeError(f"cannot listen on {host} port {port}: {error}; choose another with --port") from error
    listening.setblocking(False)
    return listening


def serve(
    settings: Settings,
    listening: socket.socket,
    insecure: bool,
    on_ready: Callable[[str], None],
    clock: Clock | None = None,
) -> None:
    """Serve until a signal. `on_ready` is told the address once calls are taken; `clock`: another than the machine's.

    Raises:
        ServeError: the TLS certificate or key cannot be used.
        Exception: whatever `agent.loading.load` raises.
    """

    def ready(address: str) -> None:
        # What is loaded stays: looking through it for garbage, 200,000 objects, would stop every call for 100 ms.
        gc.collect()
        gc.freeze()
        on_ready(address)

    sys.setswitchinterval(SWITCH_S)
    asyncio.run(Server(CallServer(settings, insecure, clock), ready).run(listening))


class Server(uvicorn.Server):
    """uvicorn with our way to start and stop: loaded before the first connection; the first signal drains, the second
    ends every call at once."""

    def __init__(self, calls: CallServer, on_ready: Callable[[str], None]) -> None:
        """Serve `calls`.

        Raises:
            ServeError: the TLS certificate or key cannot be used.
        """
        super().__init__(configured(calls))
        self._calls = calls
        self._on_ready = on_ready
        self._draining: asyncio.Task[None] | None = None

    async def run(self, listening: socket.socket) -> None:  # type: ignore[override]
        """Load, take calls on the bound socket until `stop`, then close in order."""
        host, port = listening.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        self._address = f"{'https' if self.config.is_ssl else 'http'}://{name}:{port}"
        try:
            async with self._calls.open():
                await self.serve(sockets=[listening])
        finally:
            listening.close()
            if self._draining is not None:
                self._draining.cancel()
                await asyncio.gather(self._draining, return_exceptions=True)

    def stop(self) -> None:
        """Drain; called again, end every call now."""
        if self._draining is None:
            self._draining = asyncio.get_running_loop().create_task(self._drain(), name="drain")
        else:
            self._calls.end_calls()
            self.force_exit = self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started and not self.should_exit:
            self._on_ready(self._address)

    async def _drain(self) -> None:
        await self._calls.drain()
        self.should_exit = True


def configured(calls: CallServer) -> uvicorn.Config:
    """uvicorn as it serves our application.

    Raises:
        ServeError: the TLS certificate or key cannot be used.
    """
    chosen = calls.settings.server
    config = uvicorn.Config(
        create_app(calls),
        http=_http(chosen.handshake_s, calls.refuse),
        ws=CallSocket,
        ws_max_size=LARGEST,
        ws_per_message_deflate=False,  # audio does not compress, and its windows cost more memory than a call
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=bool(chosen.trusted_proxies),
        forwarded_allow_ips=list(chosen.trusted_proxies),
        ssl_certfile=str(chosen.tls_cert) if chosen.tls_cert else None,
        ssl_keyfile=str(chosen.tls_key) if chosen.tls_key else None,
        timeout_graceful_shutdown=5,
        server_header=False,
    )
    try:
        config.load()
    except (ssl.SSLError, OSError) as error:
        raise ServeError(
            f"the certificate {chosen.tls_cert} with the key {chosen.tls_key} cannot be used: {error}; "
            "give a PEM certificate (chain) and its unencrypted PEM key"
        ) from error
    return config


class Inbox:
    """Messages that wait for the application: what uvicorn uses of an `asyncio.Queue`, for one reader, and cheaper."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: deque[ASGIReceiveEvent] = deque()
        self._reader: asyncio.Future[None] | None = None

    def put_nowait(self, message: ASGIReceiveEvent) -> None:
        self._queue.append(message)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    @property
    def awaited(self) -> bool:
        """Whether the reader waits: it has nothing of what was put, and there is nothing more for it."""
        return self._reader is not None and not self._reader.done()

    async def get(self) -> ASGIReceiveEvent:
        while not self._queue:
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._queue.popleft()

    def qsize(self) -> int:
        return len(self._queue)

    def empty(self) -> bool:
        return not self._queue


class CallSocket(WebSocketsSansIOProtocol, asyncio.BufferedProtocol):
    """uvicorn's websocket with our own reading and writing of frames: bounded whatever the peer does, and cheaper.

    Kept of a peer: at most QUEUED messages, or HIGH_WATER bytes and one message; one in the making; what was read from
    the socket last. While those wait nothing more is read. Kept for a peer that does not read: HIGH_WATER bytes and one
    message; `send` waits, and of its pings only the last is answered. A peer that breaks the protocol is told the code
    and then heard no more; one that does not take the rest is cut, since closing alone waits for one that never reads.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._inbox = Inbox(self.loop)
        self.queue = self._inbox  # type: ignore[assignment]
        self._direct: dict[str, Any] = {"take": None}
        self._frames = FrameReader(LARGEST)
        self._received = bytearray(READ)
        self._queued = 0  # bytes, roughly, in the queue
        self._failed = False
        self._pong: bytes | None = None
        self._bare = 0
        self._bare_since = 0.0

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._received

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(memoryview(self._received)[:nbytes]))

    def data_received(self, data: bytes) -> None:
        if not self.handshake_initiated:
            self._open(data)
        elif not self._failed:
            self._frames.feed(data)
            if self.handshake_complete:
                self._read()
            elif self._frames.unread > HIGH_WATER:
                self._pause()

    def _open(self, data: bytes) -> None:
        """Read the request, which comes as a whole from the HTTP side."""
        self.conn.receive_data(data)
        for event in self.conn.events_received():
            if isinstance(event, Request):
                self.handle_connect(event)
                return
        # What our own checks took and the library does not.
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        self.transport.write(BadRequest(HTTPStatus.BAD_REQUEST, "bad_request").response())
        self.transport.close()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][DIRECT] = self._direct  # type: ignore[assignment]

    def _pause(self) -> None:
        self.read_paused = True
        self.transport.pause_reading()

    def _read(self) -> None:
        """Take what was fed, as far as there is room for it."""
        try:
            while not self.read_paused and not self._failed and (got := self._frames.next()) is not None:
                opcode, payload = got
                if opcode in (TEXT, BINARY) and self._taken(payload):
                    continue
                if isinstance(payload, str):
                    self._deliver({"type": "websocket.receive", "text": payload}, len(payload))
                elif opcode == BINARY:
                    self._deliver({"type": "websocket.receive", "bytes": payload}, len(payload))
                else:
                    self._control(opcode, payload)
        except FrameError as error:
            self._fail(error.code, error.reason)

    def _taken(self, payload: str | bytes) -> bool:
        """Whether a message went where the reader of messages wants it at once: nothing came before it that waits."""
        take = self._direct["take"]
        return take is not None and self._inbox.awaited and not self.close_sent and take(payload)

    def _deliver(self, message: ASGIReceiveEvent, size: int) -> None:
        if self.close_sent:
            return
        self.queue.put_nowait(message)
        self._queued += size
        if self._queued >= HIGH_WATER or self.queue.qsize() >= QUEUED:
            self._pause()

    def _control(self, opcode: int, payload: bytes) -> None:
        self._bare += 1
        if self._bare > BARE_FRAMES:
            now = self.loop.time()
            if now - self._bare_since < 1.0:
                raise FrameError(1008, "too many frames without a message")
            self._bare, self._bare_since = 0, now
        if opcode == PING:
            self._answer(payload)
        elif opcode == PONG:
            self.handle_pong(Frame(Opcode.PONG, payload))
        elif opcode == CLOSE:
            self._closed(payload)
            self._failed = True  # nothing counts after a close frame

    def _answer(self, payload: bytes) -> None:
        if self.close_sent:
            return
        if self.writable.is_set():
            self.transport.write(frame(PONG, payload))
        else:
            self._pong = payload

    def resume_writing(self) -> None:
        super().resume_writing()
        pong, self._pong = self._pong, None
        if pong is not None:
            self._answer(pong)

    def _closed(self, payload: bytes) -> None:
        """The peer's close frame: the answer to ours, or to be answered."""
        code, reason = close_reason(payload)
        if self.close_sent:
            if self.close_timer is not None:
                self.close_timer.cancel()
                self.close_timer = None
            self.transport.close()
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(None if code == NO_CODE else code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()

    def _fail(self, code: int, reason: str) -> None:
        """Close for the peer's fault. What it still sends is thrown away: closing with it unread would reset the
        connection, and the peer might never see why."""
        self._failed = True
        self.stop_keepalive()
        log.info("a websocket was closed with %d: %s", code, reason, extra={"code": "bad_frame"})
        if self.close_sent:
            self.transport.close()
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.close_timer = self.loop.call_later(FAILED_S, self.transport.abort)

    async def receive(self) -> ASGIReceiveEvent:
        message = await self.queue.get()
        if self.queue.empty():
            self._queued = 0
            if self.read_paused and self.handshake_complete:
                self._resume()
        return message

    def _resume(self) -> None:
        self.read_paused = False
        self._read()
        if not self.read_paused:
            self.transport.resume_reading()

    async def send(self, message: Any) -> None:
        kind = message["type"]
        if kind == "websocket.send" and self.handshake_complete and self.initial_response is None:
            if not self.writable.is_set():
                await self.writable.wait()
            if self.disconnected or self.close_sent or self.transport.is_closing():
                raise ClientDisconnected
            data = message.get("bytes")
            whole = frame(BINARY, data) if data is not None else frame(TEXT, message["text"].encode())
            self.transport.write(whole)
            return
        if kind == "websocket.close" and self.close_sent:
            return  # both sides close at once
        await super().send(message)
        if kind == "websocket.accept":
            self._resume()
        elif kind == "websocket.close":
            self._read()  # on to its answer, past what waited
        elif kind == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # refused, as far as it goes; uvicorn would call that an error

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self.loop.call_later(LINGER_S, self.transport.abort)


def _http(patience_s: float, refuse: Callable[[str], None]) -> type[Any]:
    class ImpatientProtocol(H11Protocol):
        """HTTP that drops a connection whose request is not complete within `patience_s`, or that sends none, and
        answers what `agent.upgrades` does not take without a word in the log above info."""

        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self.conn = self._strict = StrictConnection()
            self.logger = _HTTP_LOG
            self._refused = False

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._deadline = self.loop.call_later(patience_s, self._give_up)

        def data_received(self, data: bytes) -> None:
            if self._refused:
                return
            super().data_received(data)
            if self._refused:
                return
            upgraded = self.transport.get_protocol() is not self
            if upgraded or self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
                self._deadline.cancel()
            elif self._deadline.cancelled():
                self._deadline = self.loop.call_later(patience_s, self._give_up)

        def connection_lost(self, exc: Exception | None) -> None:
            self._deadline.cancel()
            super().connection_lost(exc)

        def handle_websocket_upgrade(self, event: h11.Request) -> None:
            super().handle_websocket_upgrade(event)
            early = self.conn.trailing_data[0]  # frames sent without waiting for our answer
            upgraded = self.transport.get_protocol()
            if early and isinstance(upgraded, CallSocket) and not self.transport.is_closing():
                upgraded.data_received(early)

        def send_400_response(self, msg: str) -> None:
            """Answer with what was wrong, and read on without looking, so that the answer arrives."""
            refused = self._strict.refused or BadRequest(HTTPStatus.BAD_REQUEST, "bad_request")
            refuse(refused.code)
            log.info("a request was refused: %s", refused.code, extra={"code": refused.code})
            self._refused = True
            self._deadline.cancel()
            if self.cycle is not None and not self.cycle.response_complete:
                # The body of a request that is being answered is wrong.
                self.cycle.disconnected = True
                self.cycle.message_event.set()
                self.transport.abort()
                return
            self.transport.write(refused.response())
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self._deadline = self.loop.call_later(FAILED_S, self.transport.abort)

        def shutdown(self) -> None:
            if self._refused:
                self.transport.close()
            else:
                super().shutdown()

        def _unsupported_upgrade_warning(self) -> None:
            log.debug("an upgrade to something else was asked for and is ignored")

        def _give_up(self) -> None:
            if not self._refused:
                refuse("silent_connection")
                log.info(
                    "a connection sent no whole request within %s s", patience_s, extra={"code": "silent_connection"}
                )
            self.transport.abort()

    return ImpatientProtocol
