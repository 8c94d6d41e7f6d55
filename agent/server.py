"""The ASGI application: gateway sockets, API, health and metrics; who may come in, and what happens at the end."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, HTTPException, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from agent import logs
from agent.call.session import Session
from agent.call.transport import Disconnected
from agent.config import Settings
from agent.gateways.auth import PathTokens, TokenError, check_twilio_signature
from agent.gateways.base import GatewayProtocol
from agent.gateways.plain import PlainProtocol
from agent.gateways.twilio import TwilioProtocol
from agent.gateways.twiml import TwimlError, connect_stream
from agent.loading import Loaded, load
from agent.records.queries import CallNotFound, list_calls, list_handoffs, load_call

LAG_EVERY_S = 0.5
CLOSE_S = 2.0
"""How long a peer may take to accept a close frame before its socket is dropped."""
MAX_FORM = 16_384
"""Bytes of a webhook's form; Twilio's have about 1,000."""

log = logging.getLogger(__name__)


class SocketTransport:
    """A Starlette websocket as `agent.call.transport.Transport`."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def receive(self) -> str | bytes:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise Disconnected(int(message.get("code") or 1006))
        text = message.get("text")
        return text if text is not None else message.get("bytes") or b""

    async def send(self, message: str | bytes) -> None:
        try:
            if isinstance(message, str):
                await self._socket.send_text(message)
            else:
                await self._socket.send_bytes(message)
        except (RuntimeError, WebSocketDisconnect) as error:
            raise Disconnected from error

    async def close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close(code, reason[:120])
        except (RuntimeError, WebSocketDisconnect, TimeoutError):
            log.debug("the socket was closed already")


class CallServer:
    """The calls of one process, and the door to them."""

    def __init__(self, settings: Settings, insecure: bool = False) -> None:
        self.settings = settings
        self.insecure = insecure
        self.sessions: dict[str, Session] = {}
        self.loaded: Loaded | None = None
        self.draining = False
        self._waiting = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._tokens: PathTokens | None = None

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Load everything, warm the voice, serve, and close in order."""
        async with load(self.settings) as loaded:
            key = self.settings.secrets.token_key
            if key is not None:
                self._tokens = PathTokens(key.get_secret_value(), loaded.services.clock)
            rendered = await loaded.warm()
            log.info("voice is warm: %d phrases, %d rendered now", len(loaded.phrases), rendered)
            self.loaded = loaded
            lag = asyncio.create_task(self._watch_lag(loaded), name="loop-lag")
            try:
                yield
            finally:
                self.loaded = None
                lag.cancel()
                await asyncio.gather(lag, return_exceptions=True)

    @property
    def ready(self) -> bool:
        """Whether a new call would be taken."""
        full = len(self.sessions) + self._waiting >= self.settings.server.max_calls
        return self.loaded is not None and not self.draining and not full

    async def drain(self) -> None:
        """Refuse new calls, let running ones end, then end them."""
        self.draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.server.drain_s):
                await self._empty.wait()
        for session in list(self.sessions.values()):
            session.stop("server_stopping")
        await self._empty.wait()

    async def take(self, socket: WebSocket, protocol: GatewayProtocol, call_id: str) -> None:
        """Run one call on an authorised socket; a full or draining server refuses it with 503."""
        loaded = self.loaded
        if loaded is None or not self.ready:
            code = "draining" if self.draining else "full"
            if loaded is not None:
                loaded.services.metrics.refused.labels(code).inc()
            log.warning("a call was refused: %s", code, extra={"code": code})
            await socket.send_denial_response(Response(status_code=503, headers={"Retry-After": "5"}))
            return
        self._waiting += 1
        try:
            await socket.accept()
        finally:
            self._waiting -= 1
        logs.call_id.set(call_id)
        session = Session(loaded.services, protocol, SocketTransport(socket), call_id)
        self.sessions[call_id] = session
        self._empty.clear()
        try:
            await session.run()
        finally:
            del self.sessions[call_id]
            if not self.sessions:
                self._empty.set()

    def admit(self, client: str | None, bearer: str | None) -> bool:
        """Whether an API request or a plain socket may pass: the token key as bearer, or loopback with --insecure."""
        key = self.settings.secrets.token_key
        if key is not None and bearer is not None:
            scheme, _, given = bearer.partition(" ")
            if scheme.lower() == "bearer" and hmac.compare_digest(given.encode(), key.get_secret_value().encode()):
                return True
        return self.insecure and is_loopback(client)

    def redeem(self, token: str) -> str | None:
        """The call id of a one-use path token, or None where it is not good."""
        if self._tokens is None:
            return None
        try:
            return self._tokens.redeem(token)
        except TokenError as error:
            log.warning("a path token was refused: %s", error.code, extra={"code": f"token_{error.code}"})
            return None

    def issue(self, call_id: str) -> str | None:
        """A one-use path token for `call_id`; None where no token key is configured."""
        return self._tokens.issue(call_id) if self._tokens is not None else None

    def public(self, path: str, scheme: str) -> str | None:
        """The address under which a carrier reaches `path`."""
        base = self.settings.server.public_url
        if base is None:
            return None
        parts = urlsplit(base)
        return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}{path}"

    def signed(self, path: str, scheme: str, form: Mapping[str, str], signature: str | None) -> bool:
        """Whether Twilio signed this request to our public address."""
        secret, url = self.settings.secrets.twilio_auth_token, self.public(path, scheme)
        if secret is None or url is None:
            return False
        return check_twilio_signature(secret.get_secret_value(), url, form, signature)

    async def _watch_lag(self, loaded: Loaded) -> None:
        loop, gauge = asyncio.get_running_loop(), loaded.services.metrics.loop_lag
        while True:
            asked = loop.time() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            gauge.set(max(0.0, loop.time() - asked))

    def metrics(self) -> bytes:
        """Prometheus text of everything counted."""
        if self.loaded is None:
            return b""
        metrics, gauges = self.loaded.services.metrics, self.loaded.pool.gauges()
        metrics.pool_waiting.set(gauges.waiting)
        metrics.pool_oldest.set(gauges.oldest_ms / 1000.0)
        metrics.pool_dropped.set(gauges.dropped)
        return generate_latest(metrics.registry)


def new_call_id() -> str:
    """A fresh call id."""
    return f"c-{secrets.token_hex(8)}"


def is_loopback(host: str | None) -> bool:
    """Whether `host` is an address of this machine only."""
    try:
        return host is not None and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def create_app(server: CallServer) -> FastAPI:
    """The application that serves `server`."""
    app = FastAPI(title="callagent", lifespan=server.lifespan, docs_url=None, redoc_url=None)
    _add_health(app, server)
    _add_api(app, server)
    if server.settings.twilio.enabled:
        _add_twilio(app, server)
    if server.settings.plain.enabled:
        _add_plain(app, server)
    return app


def _add_health(app: FastAPI, server: CallServer) -> None:
    @app.get("/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/ready")
    async def ready() -> Response:
        state = {"ready": server.ready, "calls": len(server.sessions), "draining": server.draining}
        return JSONResponse(state, status_code=200 if server.ready else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(server.metrics(), media_type=CONTENT_TYPE_LATEST)


def _add_api(app: FastAPI, server: CallServer) -> None:
    def database(request: Request) -> Any:
        client = request.client.host if request.client else None
        if not server.admit(client, request.headers.get("authorization")):
            raise HTTPException(401, "send 'Authorization: Bearer' with the token key (CALLAGENT_TOKEN_KEY)")
        if server.loaded is None:
            raise HTTPException(503, "the server is not ready")
        return server.loaded.database

    @app.get("/api/calls")
    async def calls(request: Request, limit: int = 50) -> Any:
        if not 1 <= limit <= 200:
            raise HTTPException(422, f"limit is {limit}; give 1 to 200")
        running = [{"id": name, "phase": session.phase} for name, session in server.sessions.items()]
        return {"running": running, "calls": await list_calls(database(request), limit)}

    @app.get("/api/calls/{call_id}")
    async def call(request: Request, call_id: str) -> Any:
        try:
            return await load_call(database(request), call_id)
        except CallNotFound as error:
            raise HTTPException(404, str(error)) from error

    @app.get("/api/handoffs")
    async def handoffs(request: Request, state: str | None = None) -> Any:
        return {"handoffs": await list_handoffs(database(request), state)}

    @app.post("/api/tokens")
    async def tokens(request: Request) -> Any:
        database(request)
        call_id = new_call_id()
        token = server.issue(call_id)
        if token is None:
            raise HTTPException(409, "no token key is configured; set CALLAGENT_TOKEN_KEY")
        return {"call_id": call_id, "token": token}


def _add_twilio(app: FastAPI, server: CallServer) -> None:
    path = "/gateways/twilio/stream"

    @app.post("/twilio/voice")
    async def voice(request: Request) -> Response:
        body = await _body(request)
        form = {name: str(value) for name, value in (await request.form()).items()} if body else {}
        signature = request.headers.get("x-twilio-signature")
        client = request.client.host if request.client else None
        loopback = server.insecure and is_loopback(client)
        if not loopback and not server.signed("/twilio/voice", "https", form, signature):
            log.warning("a request to /twilio/voice was not signed by Twilio", extra={"code": "bad_signature"})
            raise HTTPException(403, "X-Twilio-Signature does not fit; check server.public_url and the auth token")
        token = server.issue(new_call_id())
        stream = server.public(f"{path}/{token}" if token else path, "wss")
        if stream is None:
            raise HTTPException(409, "server.public_url is not configured; Twilio cannot reach the stream")
        parameters = {**server.settings.twilio.greeting_parameters}
        parameters |= {ours: form[theirs] for ours, theirs in (("caller", "From"), ("called", "To")) if theirs in form}
        try:
            return Response(connect_stream(stream, parameters), media_type="application/xml")
        except TwimlError as error:
            raise HTTPException(409, str(error)) from error

    @app.websocket(path)
    async def signed_stream(socket: WebSocket) -> None:
        signature = socket.headers.get("x-twilio-signature")
        allowed = server.signed(path, "wss", {}, signature) or _local(server, socket)
        await _enter(server, socket, TwilioProtocol, new_call_id() if allowed else None)

    @app.websocket(path + "/{token}")
    async def token_stream(socket: WebSocket, token: str) -> None:
        await _enter(server, socket, TwilioProtocol, server.redeem(token))


def _add_plain(app: FastAPI, server: CallServer) -> None:
    @app.websocket("/gateways/plain")
    async def plain(socket: WebSocket) -> None:
        client = socket.client.host if socket.client else None
        call_id = new_call_id()
        allowed = server.admit(client, socket.headers.get("authorization"))
        await _enter(server, socket, lambda: PlainProtocol(call_id), call_id if allowed else None)

    @app.websocket("/gateways/plain/{token}")
    async def token_plain(socket: WebSocket, token: str) -> None:
        call_id = server.redeem(token)
        await _enter(server, socket, lambda: PlainProtocol(call_id or ""), call_id)


async def _enter(
    server: CallServer, socket: WebSocket, protocol: Callable[[], GatewayProtocol], call_id: str | None
) -> None:
    if call_id is None:
        if server.loaded is not None:
            server.loaded.services.metrics.refused.labels("unauthorized").inc()
        log.warning("a socket was refused: not authorised", extra={"code": "unauthorized"})
        await socket.send_denial_response(Response(status_code=401))
        return
    await server.take(socket, protocol(), call_id)


def _local(server: CallServer, socket: WebSocket) -> bool:
    return server.insecure and is_loopback(socket.client.host if socket.client else None)


async def _body(request: Request) -> bytes:
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MAX_FORM:
        raise HTTPException(413, f"the form has {length[:20]} bytes; at most {MAX_FORM} are taken")
    return await request.body()
