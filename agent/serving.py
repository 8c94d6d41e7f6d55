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
from collections.abc import Callable, Iterator
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from agent.clock import Clock
from agent.config import Settings
from agent.server import CallServer, create_app, is_loopback

LARGEST = 1 << 20
"""Bytes of a websocket message beyond which the library itself closes with 1009; protocols refuse far smaller ones."""
LINGER_S = 10.0
"""How long a socket whose call is over may take to read what was sent before it is cut."""
SWITCH_S = 0.001
"""How long a model thread may keep the event loop from the interpreter; Python's own 5 ms is a quarter of a frame."""

log = logging.getLogger(__name__)


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
        super().__init__(_configured(calls))
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


def _configured(calls: CallServer) -> uvicorn.Config:
    chosen = calls.settings.server
    config = uvicorn.Config(
        create_app(calls),
        http=_http(chosen.handshake_s, lambda: calls.refuse("silent_connection")),
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


class CallSocket(WebSocketsSansIOProtocol):
    """A websocket that is cut when its peer does not take the rest: closing alone waits for a peer that never reads."""

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # refused, as far as it goes; uvicorn would call that an error

    async def run_asgi(self) -> None:
        await super().run_asgi()
        self.loop.call_later(LINGER_S, self.transport.abort)


def _http(patience_s: float, on_silent: Callable[[], None]) -> type[Any]:
    class ImpatientProtocol(H11Protocol):
        """HTTP that drops a connection whose request is not complete within `patience_s`, or that sends none."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._deadline = self.loop.call_later(patience_s, self._give_up)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            upgraded = self.transport.get_protocol() is not self
            if upgraded or self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
                self._deadline.cancel()
            elif self._deadline.cancelled():
                self._deadline = self.loop.call_later(patience_s, self._give_up)

        def connection_lost(self, exc: Exception | None) -> None:
            self._deadline.cancel()
            super().connection_lost(exc)

        def _give_up(self) -> None:
            on_silent()
            log.info("a connection sent no whole request within %s s", patience_s, extra={"code": "silent_connection"})
            self.transport.abort()

    return ImpatientProtocol
