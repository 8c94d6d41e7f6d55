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
from urllib.parse import parse_qsl, urlsplit

from fastapi import FastAPI, HTTPException, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from agent import logs
from agent.call.session import Session
from agent.call.transport import GOING_AWAY, Disconnected
from agent.clock import Clock
from agent.config import Settings
from agent.gateways.auth import PathTokens, TokenError, check_twilio_signature
from agent.gateways.base import GatewayProtocol
from agent.gateways.plain import PlainProtocol
from agent.gateways.twilio import TwilioProtocol
from agent.gateways.twiml import TwimlError, busy, connect_stream, dial, hang_up
from agent.loading import Loaded, load
from agent.records.queries import CallNotFound, list_calls, list_handoffs, load_call
from agent.watch import KEPT_S, Watch

CLOSE_S = 2.0
"""How long a peer may take to accept a close frame before its socket is dropped."""
MAX_FORM = 16_384
"""Bytes of a webhook's form; Twilio's have about 1,000."""
MAX_FIELDS = 200
"""Fields of a webhook's form; Twilio's have about 30."""
NO_STATUS, ABNORMAL = 1005, 1006
"""Close codes that only an end itself uses: no code was in the close frame, there was no close frame. RFC 6455."""

log = logging.getLogger(__name__)


class SocketTransport:
    """A Starlette websocket as `agent.call.transport.Transport`."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def receive(self) -> str | bytes:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            code = int(message.get("code") or ABNORMAL)
            # uvicorn says 1005, with no reason, of a connection that broke without a closing handshake as well.
            raise Disconnected(ABNORMAL if code == NO_STATUS and "reason" not in message else code)
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

    def __init__(self, settings: Settings, insecure: bool = False, clock: Clock | None = None) -> None:
        """`clock`: another than the machine's."""
        self.settings = settings
        self._clock = clock
        self.insecure = insecure
        self.sessions: dict[str, Session] = {}
        self.loaded: Loaded | None = None
        self.draining = False
        self._waiting = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._tokens: PathTokens | None = None
        self.watch: Watch | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Load everything, warm the voice, take calls inside; on leaving, end what still runs and close in order.

        Raises:
            Exception: whatever `agent.loading.load` raises.
        """
        async with load(self.settings, self._clock) as loaded:
            key = self.settings.secrets.token_key
            if key is not None:
                self._tokens = PathTokens(key.get_secret_value(), loaded.services.clock)
            rendered = await loaded.warm()
            log.info("voice is warm: %d phrases, %d rendered now", len(loaded.phrases), rendered)
            self.watch = Watch(loaded.services.metrics, loaded.pool)
            self.loaded = loaded
            watching = [asyncio.create_task(self.watch.run(), name="watch")]
            if loaded.services.alerts is not None:
                watching.append(asyncio.create_task(loaded.services.alerts.run(), name="alerts"))
            if loaded.versions is not None:
                watching.append(asyncio.create_task(loaded.versions.run(), name="versions"))
            watching += [asyncio.create_task(one.run(), name="knowledge") for one in loaded.knowledge.values()]
            try:
                yield
            finally:
                self.end_calls()
                await self._empty.wait()
                self.loaded = None
                for task in watching:
                    task.cancel()
                await asyncio.gather(*watching, return_exceptions=True)

    @property
    def ready(self) -> bool:
        """Whether a new call would be taken."""
        return self.loaded is not None and self._unready() is None

    def _unready(self) -> str | None:
        """Why a new call is not taken, as a code; None where it is."""
        if self.draining:
            return "draining"
        if len(self.sessions) + self._waiting >= self.settings.server.max_calls:
            return "full"
        return "overloaded" if self.sessions and self.watch is not None and self.watch.overloaded() else None

    async def drain(self) -> None:
        """Refuse new calls, let running ones end, then end them."""
        self.draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.server.drain_s):
                await self._empty.wait()
        self.end_calls()
        await self._empty.wait()

    def end_calls(self) -> None:
        """Take no call any more and end those that run."""
        self.draining = True
        for session in list(self.sessions.values()):
            session.stop("server_stopping")

    async def take(self, socket: WebSocket, protocol: GatewayProtocol, call_id: str) -> None:
        """Run one call on an authorised socket; a full or draining server refuses it with 503."""
        loaded = self.loaded
        if loaded is None or not self.ready:
            code = self.refusal()
            log.warning("a call was refused: %s", code, extra={"code": code})
            await socket.send_denial_response(Response(status_code=503, headers={"Retry-After": "5"}))
            return
        self._waiting += 1
        try:
            await socket.accept()
        except (RuntimeError, WebSocketDisconnect):
            log.info("a caller was gone before the handshake was over", extra={"code": "gone"})
            return
        finally:
            self._waiting -= 1
        if self.draining:
            await socket.close(GOING_AWAY, "server_stopping")
            return
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

    def refusal(self) -> str:
        """Count a call that is not taken; returns why not."""
        code = self._unready() or "full"
        self.refuse(code)
        return code

    def refuse(self, code: str) -> None:
        """Count something that was not let in."""
        if self.loaded is not None:
            self.loaded.services.metrics.refused.labels(code).inc()

    def admit(self, asking: HTTPConnection) -> bool:
        """Whether an API request or a plain socket may pass: the token key as bearer, or `local`."""
        key, bearer = self.settings.secrets.token_key, asking.headers.get("authorization")
        if key is not None and bearer is not None:
            scheme, _, given = bearer.partition(" ")
            if scheme.lower() == "bearer" and hmac.compare_digest(given.encode(), key.get_secret_value().encode()):
                return True
        return self.local(asking)

    def local(self, asking: HTTPConnection) -> bool:
        """Whether --insecure lets this in: it comes from this machine, not through a proxy and not from a web page.

        A proxy here speaks for callers elsewhere, and a page shown by a browser here for whoever wrote it.
        """
        if not self.insecure or asking.client is None or not is_loopback(asking.client.host):
            return False
        if any(name in asking.headers for name in ("forwarded", "x-forwarded-for")):
            return False
        origin = asking.headers.get("origin")
        hosts = [asking.headers.get("host", "")] + ([] if origin is None else [origin.partition("://")[2]])
        return all(is_loopback(_host(host)) for host in hosts)

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

    def metrics(self) -> bytes:
        """Prometheus text of everything counted."""
        if self.loaded is None or self.watch is None:
            return b""
        self.watch.publish()
        return generate_latest(self.loaded.services.metrics.registry)

    def load(self, last_s: float) -> dict[str, Any]:
        """How hard the server is working, JSON-ready: see `agent.watch.Watch.report`. Empty before it is loaded."""
        if self.watch is None:
            return {}
        calls = {"now": len(self.sessions), "most": self.settings.server.max_calls}
        return {"calls": calls, "ready": self.ready, **self.watch.report(last_s)}


def new_call_id() -> str:
    """A fresh call id."""
    return f"c-{secrets.token_hex(8)}"


def is_loopback(host: str | None) -> bool:
    """Whether `host` is an address of this machine only."""
    try:
        return host is not None and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host(netloc: str) -> str | None:
    try:
        return urlsplit(f"//{netloc}").hostname
    except ValueError:
        return None


def create_app(server: CallServer) -> FastAPI:
    """The application that serves `server`."""
    app = FastAPI(title="callagent", docs_url=None, redoc_url=None)
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
        state: dict[str, Any] = {
            "ready": server.ready,
            "calls": len(server.sessions),
            "draining": server.draining,
        }
        if server.loaded is not None and server.loaded.versions is not None:
            state["understanding"] = server.loaded.versions.report()
            state["knowledge"] = {name: one.report() for name, one in server.loaded.knowledge.items()}
        return JSONResponse(state, status_code=200 if server.ready else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(server.metrics(), media_type=CONTENT_TYPE_LATEST)


def _add_api(app: FastAPI, server: CallServer) -> None:
    def database(request: Request) -> Any:
        if not server.admit(request):
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

    @app.get("/api/load")
    async def load(request: Request, last_s: float = KEPT_S) -> Any:
        database(request)
        if not 0 < last_s <= KEPT_S:
            raise HTTPException(422, f"last_s is {last_s:g}; give more than 0 and at most {KEPT_S:g} seconds")
        return server.load(last_s)

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

    async def signed_form(request: Request) -> dict[str, str]:
        form = await _form(request)
        signature = request.headers.get("x-twilio-signature")
        if not server.local(request) and not server.signed(request.url.path, "https", form, signature):
            server.refuse("bad_signature")
            log.warning("a request to %s was not signed by Twilio", request.url.path, extra={"code": "bad_signature"})
            raise HTTPException(403, "X-Twilio-Signature does not fit; check server.public_url and the auth token")
        return form

    @app.post("/twilio/after")
    async def after(request: Request) -> Response:
        call_sid = (await signed_form(request)).get("CallSid", "")
        target = server.loaded.services.transfers.take(call_sid) if server.loaded is not None else None
        try:
            return Response(dial(target) if target else hang_up(), media_type="application/xml")
        except TwimlError as error:
            log.error("call %s cannot be transferred: %s", call_sid, error, extra={"code": "transfer_failed"})
            return Response(hang_up(), media_type="application/xml")

    @app.post("/twilio/voice")
    async def voice(request: Request) -> Response:
        form = await signed_form(request)
        if not server.ready:
            log.warning("Twilio was told that we are busy", extra={"code": server.refusal()})
            return Response(busy(), media_type="application/xml")
        token = server.issue(new_call_id())
        stream = server.public(f"{path}/{token}" if token else path, "wss")
        if stream is None:
            raise HTTPException(409, "server.public_url is not configured; Twilio cannot reach the stream")
        parameters = {**server.settings.twilio.greeting_parameters}
        parameters |= {ours: form[theirs] for ours, theirs in (("caller", "From"), ("called", "To")) if theirs in form}
        try:
            after_url = server.public("/twilio/after", "https")
            return Response(connect_stream(stream, parameters, action=after_url), media_type="application/xml")
        except TwimlError as error:
            raise HTTPException(409, str(error)) from error

    @app.websocket(path)
    async def signed_stream(socket: WebSocket) -> None:
        signature = socket.headers.get("x-twilio-signature")
        allowed = server.signed(path, "wss", {}, signature) or server.local(socket)
        await _enter(server, socket, TwilioProtocol, new_call_id() if allowed else None)

    @app.websocket(path + "/{token}")
    async def token_stream(socket: WebSocket, token: str) -> None:
        await _enter(server, socket, TwilioProtocol, server.redeem(token))


def _add_plain(app: FastAPI, server: CallServer) -> None:
    @app.websocket("/gateways/plain")
    async def plain(socket: WebSocket) -> None:
        call_id = new_call_id()
        await _enter(server, socket, lambda: PlainProtocol(call_id), call_id if server.admit(socket) else None)

    @app.websocket("/gateways/plain/{token}")
    async def token_plain(socket: WebSocket, token: str) -> None:
        call_id = server.redeem(token)
        await _enter(server, socket, lambda: PlainProtocol(call_id or ""), call_id)


async def _enter(
    server: CallServer, socket: WebSocket, protocol: Callable[[], GatewayProtocol], call_id: str | None
) -> None:
    if call_id is None:
        server.refuse("unauthorized")
        log.warning("a socket was refused: not authorised", extra={"code": "unauthorized"})
        await socket.send_denial_response(Response(status_code=401))
        return
    await server.take(socket, protocol(), call_id)


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form of at most `MAX_FORM` bytes, however it is sent."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM:
            raise HTTPException(413, f"the form has more than {MAX_FORM} bytes, the most that is taken")
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise HTTPException(413, f"the form has more than {MAX_FIELDS} fields, the most that is taken") from error
