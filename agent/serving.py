"""Running the server: the socket, uvicorn, and signals."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from agent.config import Settings
from agent.server import CallServer, create_app, is_loopback

LARGEST = 1 << 20
"""Bytes of a websocket message beyond which the library itself closes with 1009; protocols refuse far smaller ones."""


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
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise ServeError(f"cannot listen on {host} port {port}: {error}; choose another with --port") from error
    listening.setblocking(False)
    return listening


def serve(settings: Settings, listening: socket.socket, insecure: bool, on_ready: Callable[[str], None]) -> bool:
    """Serve until a signal; returns whether it came up. `on_ready` is told the address once calls are taken."""
    calls = CallServer(settings, insecure)
    tls = settings.server
    config = uvicorn.Config(
        create_app(calls),
        http=_protocol(settings.server.handshake_s),
        ws="websockets-sansio",
        ws_max_size=LARGEST,
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=bool(settings.server.trusted_proxies),
        forwarded_allow_ips=list(settings.server.trusted_proxies),
        ssl_certfile=str(tls.tls_cert) if tls.tls_cert else None,
        ssl_keyfile=str(tls.tls_key) if tls.tls_key else None,
        timeout_graceful_shutdown=5,
        server_header=False,
    )
    host, port = listening.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    address = f"{'https' if tls.tls_cert else 'http'}://{name}:{port}"
    server = _Server(config, calls, lambda: on_ready(address))
    asyncio.run(server.serve(sockets=[listening]))
    return bool(server.started)


class _Server(uvicorn.Server):
    """uvicorn with our way to stop: the first signal drains, the second forces."""

    def __init__(self, config: uvicorn.Config, calls: CallServer, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._calls = calls
        self._on_ready = on_ready
        self._draining: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started and not self.should_exit:
            self._on_ready()

    def _stop(self) -> None:
        if self._draining is not None:
            self.force_exit = self.should_exit = True
            return
        self._draining = asyncio.get_running_loop().create_task(self._drain(), name="drain")

    async def _drain(self) -> None:
        await self._calls.drain()
        self.should_exit = True


def _protocol(patience_s: float) -> type[Any]:
    class ImpatientProtocol(H11Protocol):
        """HTTP that drops connections which send nothing."""

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.timeout_keep_alive_task = self.loop.call_later(patience_s, self.timeout_keep_alive_handler)

    return ImpatientProtocol
