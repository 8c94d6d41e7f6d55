"""The ASGI application: gateway sockets, API, health and metrics; who may come in, and what happens at the end."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

from fastapi import FastAPI, HTTPException, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from agent import audiosocket, logs
from agent.call.control import CallControl
from agent.call.monitoring import MonitorSession
from agent.call.services import Feed
from agent.call.session import Admission, Session
from agent.call.transport import GOING_AWAY, Transport
from agent.chat.desk import PictureDesk
from agent.chat.opening import open_chat
from agent.chat.pages import add_chat
from agent.clock import Clock, RealClock
from agent.config import Settings
from agent.console.console import add_console
from agent.dialing import DialError, dial
from agent.door import Door, Token, new_call_id, report
from agent.entrances import add_gateways, chosen_subprotocol, refuse_by_message
from agent.gateways.base import GatewayProtocol
from agent.gateways.catalogue import gateways
from agent.gateways.gateway import Gateway, Opening
from agent.handoff.console_desk import ConsoleDesk
from agent.jambonz import JambonzApps
from agent.loading import QUALITY, Loaded, load
from agent.quality.api import add_quality
from agent.quality.rubric import Rubrics
from agent.records.api import add_recordings
from agent.records.queries import CallNotFound, list_calls, list_handoffs, load_call
from agent.sockets import SocketTransport
from agent.watch import KEPT_S, Watch

MOST_ANNOUNCED, ANNOUNCED_S = 10_000, 60.0
"""Calls of AudioSocket that were announced and have not come, and for how long they may."""
MOST_CALL_ID = 200
"""Characters of a gateway's call id that a token is bound to."""

_PROXIED = frozenset(("forwarded", "via", "x-real-ip"))
"""Headers that only proxies add, besides X-Forwarded-..."""

log = logging.getLogger(__name__)


class CallServer:
    """The calls of one process, and the door to them."""

    def __init__(self, settings: Settings, insecure: bool = False, clock: Clock | None = None) -> None:
        """`clock`: another than the machine's."""
        self.settings = settings
        self._clock = clock
        self.insecure = insecure
        self.sessions: dict[str, Session | MonitorSession] = {}
        self.loaded: Loaded | None = None
        self.draining = False
        self._waiting = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._scoring: set[asyncio.Task[Any]] = set()
        self.pictures: PictureDesk | None = None
        self._dialled: set[asyncio.Task[None]] = set()
        self._keys: dict[str, str] = {}
        shown = None if settings.secrets.token_key is not None else settings.secrets.key_of("jambonz")
        self.jambonz = JambonzApps(
            self._jambonz_media,
            lambda: self.ready,
            lambda call_sid: self._earlier("jambonz", call_sid) is not None,
            None if shown is None else _user_and_password(shown),
        )
        self._announced: dict[str, tuple[Opening, float]] = {}
        self.refusing = 0
        """Connections that are being turned away by a message."""
        self.door = Door(settings, clock or RealClock())
        self.watch: Watch | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Load everything, warm the voice, take calls inside; on leaving, end what still runs and close in order.

        Raises:
            Exception: whatever `agent.loading.load` raises.
        """
        async with load(self.settings, self._clock) as loaded:
            rendered = await loaded.warm()
            log.info("voice is warm: %d phrases, %d rendered now", len(loaded.phrases), rendered)
            self.watch = Watch(loaded.services.metrics, loaded.pool)
            carriers = {**loaded.services.carriers, "jambonz": self.jambonz}
            self.loaded = replace(loaded, services=replace(loaded.services, carriers=carriers))
            watching = [asyncio.create_task(self.watch.run(), name="watch")]
            if loaded.services.alerts is not None:
                watching.append(asyncio.create_task(loaded.services.alerts.run(), name="alerts"))
            if loaded.versions is not None:
                watching.append(asyncio.create_task(loaded.versions.run(), name="versions"))
            watching += [asyncio.create_task(one.run(), name="knowledge") for one in loaded.knowledge.values()]
            if isinstance(loaded.services.desk, ConsoleDesk):
                loaded.services.desk.start()
            if loaded.keeping is not None:
                watching.append(asyncio.create_task(loaded.keeping.run(), name="retention"))
            try:
                async with self._listening():
                    yield
            finally:
                self.end_calls()
                await self._empty.wait()
                await self.jambonz.close()
                if self.pictures is not None:
                    await self.pictures.aclose()
                await asyncio.gather(*self._scoring, return_exceptions=True)
                self.loaded = None
                for task in watching:
                    task.cancel()
                await asyncio.gather(*watching, return_exceptions=True)

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        """Take calls by AudioSocket, where that is configured."""
        chosen = self.settings.audiosocket
        if not chosen.port:
            yield
            return
        listening = audiosocket.AudioSocketSettings(chosen.host, chosen.port, self.settings.server.handshake_s)
        new = gateways()["audiosocket"].new
        listener = audiosocket.AudioSocketListener(
            listening, new, self._announced_call, self._take_announced, self.refuse
        )
        await listener.start()
        try:
            yield
        finally:
            await listener.stop()

    def _jambonz_media(self, call_sid: str) -> str:
        """Where jambonz connects the sound of a call; once, where a token key is configured."""
        path = "/gateways/jambonz"
        token = self.issue(Token(new_call_id(), "jambonz", call_sid))
        return self.public(f"{path}/{token}" if token else path, "wss") or path

    def _announced_call(self, uuid: str) -> Opening | None:
        """The call that was announced by this UUID; it comes in once."""
        opening, until_s = self._announced.pop(uuid, (None, 0.0))
        if opening is None or until_s < self.wall_s():
            self.refuse("unsigned")
            return None
        if not self.ready:
            self.refusal()
            return None
        return opening

    async def _take_announced(self, protocol: GatewayProtocol, transport: Transport, call_id: str) -> None:
        admission = Admission("audiosocket:announced")
        crowded = self.door.enter(admission.key)
        if crowded is not None:
            self.refuse(crowded.code)
            report(crowded, "audiosocket", "an announced call")
            return
        try:
            if self.ready:  # asked again: others came in while it said at which rate it speaks
                await self.run(protocol, transport, call_id, admission)
            else:
                log.warning("an announced call was refused: %s", code := self.refusal(), extra={"code": code})
        finally:
            self.door.leave(admission.key)

    @property
    def ready(self) -> bool:
        """Whether a new call would be taken."""
        return self.loaded is not None and self._unready() is None

    def _unready(self) -> str | None:
        """Why a new call is not taken, as a code; None where it is."""
        if self.draining:
            return "draining"
        if sum(map(_counts, self.sessions.values())) + self._waiting >= self.settings.server.max_calls:
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

    async def take(self, socket: WebSocket, gateway: Gateway, opening: Opening, admission: Admission) -> None:
        """Run one call on an authorised socket; a full or draining server refuses it, as its gateway does."""
        if self.loaded is None or not self.ready:
            code = self.refusal()
            log.warning("a call was refused: %s", code, extra={"code": code})
            if gateway.refuses == "message" and self.loaded is not None:
                await refuse_by_message(self, socket, gateway, opening, "draining" if code == "draining" else "busy")
            else:
                await socket.send_denial_response(Response(status_code=503, headers={"Retry-After": "5"}))
            return
        self._waiting += 1
        try:
            await socket.accept(chosen_subprotocol(gateway, socket))
        except (RuntimeError, WebSocketDisconnect):
            log.info("a caller was gone before the handshake was over", extra={"code": "gone"})
            return
        finally:
            self._waiting -= 1
        if self.draining:
            self.refuse("draining")
            await socket.close(GOING_AWAY, "server_stopping")
            return
        await self.run(gateway.new(opening), SocketTransport(socket), opening.call_id, admission)

    async def run(self, protocol: GatewayProtocol, transport: Transport, call_id: str, admission: Admission) -> None:
        """Run one call until it ends."""
        if self.loaded is None:
            return
        logs.call_id.set(call_id)
        services = self.loaded.services
        session: Session | MonitorSession
        if protocol.capabilities.monitor:
            session = MonitorSession(services, protocol, transport, call_id, admission)
        else:
            session = Session(
                services, protocol, transport, call_id, admission, partial(self._earlier, key=admission.key)
            )
        self.sessions[call_id] = session
        self._keys[call_id] = admission.key
        self._empty.clear()
        try:
            ended = await session.run()
        finally:
            del self.sessions[call_id], self._keys[call_id]
            if not self.sessions:
                self._empty.set()
        if ended.outcome not in ("refused", "continued"):  # those left no record of their own
            self._score(call_id)

    async def dial(self, gateway: Gateway, url: str) -> str:
        """Open the media socket of a call that waits at the gateway; returns our id of the call, which then runs.

        Raises:
            DialError: the address may not be dialled, or nobody takes the connection there.
        """
        opening = Opening(new_call_id(), query=dict(parse_qsl(urlsplit(url).query)))
        subprotocol = next(iter(gateway.subprotocols), None)
        protocol = gateway.new(opening)
        self._waiting += 1
        try:
            transport = await dial(url, subprotocol, prefixes=self.settings.gateway(gateway.name).dial)
        finally:
            self._waiting -= 1
        running = asyncio.create_task(
            self.run(protocol, transport, opening.call_id, Admission(f"{gateway.name}:dialled")),
            name=f"dialled-{opening.call_id}",
        )
        self._dialled.add(running)
        running.add_done_callback(self._dialled.discard)
        return opening.call_id

    @property
    def own_clock(self) -> Clock | None:
        """Another clock than the machine's, where there is one."""
        return self._clock

    def feed(self) -> Feed | None:
        """What consoles are told; None while nothing is loaded."""
        return None if self.loaded is None else self.loaded.services.feed

    def _score(self, call_id: str) -> None:
        """Judge a call that is over, in the background; `agent quality score` does those of a server that ended."""
        quality = None if self.loaded is None else self.loaded.quality
        if quality is not None and not self.draining:
            scoring = asyncio.create_task(quality.score(call_id), name=f"score-{call_id}")
            self._scoring.add(scoring)
            scoring.add_done_callback(self._scoring.discard)

    def control(self, call_id: str) -> CallControl | None:
        """How people at the console see and steer a call that runs."""
        return getattr(self.sessions.get(call_id), "control", None)

    def _earlier(self, gateway: str, gateway_call_id: str, key: str | None = None) -> Session | None:
        """The session of this call; one that came in by `key`, where that is given."""
        for call_id, session in self.sessions.items():
            same = key is None or self._keys[call_id] == key
            if same and isinstance(session, Session) and session.answers_to(gateway, gateway_call_id):
                return session
        return None

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
        """Whether an API request may pass: the token key as bearer, or `local`."""
        return self.door.bears_token_key(asking.headers) or self.local(asking)

    def local(self, asking: HTTPConnection) -> bool:
        """Whether --insecure lets this in: it comes from this machine, not through a proxy and not from a web page.

        A proxy here speaks for callers elsewhere, and a page shown by a browser here for whoever wrote it.
        """
        if not self.insecure or asking.client is None or not is_loopback(asking.client.host):
            return False
        if any(name in _PROXIED or name.startswith("x-forwarded-") for name in asking.headers):
            return False
        origin = asking.headers.get("origin")
        if origin is None and asking.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return False  # a page's image or link: these come without an origin
        hosts = [asking.headers.get("host", "")] + ([] if origin is None else [origin.partition("://")[2]])
        return all(is_loopback(_host(host)) for host in hosts)

    def issue(self, token: Token) -> str | None:
        """A one-use path token; None where no token key is configured."""
        return self.door.issue(token)

    def announce(self, call_id: str, gateway: str, bound: str, numbers: Mapping[str, str]) -> str | None:
        """What lets the next connection of `gateway` in, once and for a minute: a path token, None without a token key.

        For AudioSocket, whose connections carry nothing but their id, it is that id; `numbers`, of caller and called,
        are kept for it.

        Raises:
            ValueError: that id is no UUID, or too many calls are announced.
        """
        if gateway != "audiosocket":
            return self.issue(Token(call_id, gateway, bound or None))
        now_s = self.wall_s()
        self._announced = {name: kept for name, kept in self._announced.items() if kept[1] >= now_s}
        uuid = str(UUID(bound))
        if len(self._announced) >= MOST_ANNOUNCED:
            raise ValueError(f"{MOST_ANNOUNCED} calls are announced and have not come; try again in a minute")
        given = {name: number for name, number in numbers.items() if number}
        self._announced[uuid] = Opening(call_id, query=given), now_s + ANNOUNCED_S
        return uuid

    def public(self, path: str, scheme: str) -> str | None:
        """The address under which a gateway reaches `path`."""
        return self.door.url(path, scheme)

    def wall_s(self) -> float:
        """Now, in seconds since 1970."""
        return (self._clock or RealClock()).wall().timestamp()

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


def _counts(session: Session | MonitorSession) -> bool:
    return session.counts if isinstance(session, Session) else True


def _user_and_password(key: str) -> tuple[str, str]:
    user, _, password = key.partition(":")
    return user, password


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
    app = FastAPI(title="callagent", docs_url=None, redoc_url=None, openapi_url=None)
    _add_health(app, server)
    _add_api(app, server)
    if server.settings.console.enabled:
        rubrics = Rubrics(QUALITY)
        add_console(app, server, extras=(add_recordings, lambda router, guard: add_quality(router, guard, rubrics)))
    if server.settings.chat.enabled:
        key = server.settings.secrets.vision_key
        chat = open_chat(
            server,
            server.settings.chat,
            server.own_clock,
            key=None if key is None else key.get_secret_value(),
            feed=server.feed,
        )
        server.pictures = chat.desk
        add_chat(app, chat)
    add_gateways(app, server)
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
    async def tokens(
        request: Request,
        gateway: str = "plain",
        call_id: str = "",
        caller: str = "",
        called: str = "",
        form: str = "json",
    ) -> Any:
        database(request)
        if gateway not in gateways() or not server.settings.gateway(gateway).enabled:
            raise HTTPException(422, f"gateway is {gateway[:40]!r}; give one of {', '.join(gateways())}")
        for name, value in (("call_id", call_id), ("caller", caller), ("called", called)):
            if len(value) > MOST_CALL_ID or not value.isprintable():
                raise HTTPException(422, f"{name} is {value[:40]!r}; give at most {MOST_CALL_ID} printable characters")
        ours = new_call_id()
        try:
            token = server.announce(ours, gateway, call_id, {"caller": caller, "called": called})
        except ValueError as error:
            raise HTTPException(422, f"call_id is {call_id[:40]!r}: {error}") from error
        if token is None:
            raise HTTPException(409, "no token key is configured; set CALLAGENT_TOKEN_KEY")
        if form == "text":  # what a dialplan can read
            return PlainTextResponse(token)
        path = None if gateway == "audiosocket" else f"/gateways/{gateway}/{token}"
        url = None if path is None else server.public(path, "wss")
        return {"call_id": ours, "token": token, "path": path, "url": url}

    @app.post("/api/calls", status_code=202)
    async def dial_out(request: Request, gateway: str, url: str) -> Any:
        database(request)
        chosen = gateways().get(gateway)
        if chosen is None or not server.settings.gateway(gateway).enabled or not server.settings.gateway(gateway).dial:
            raise HTTPException(422, f"gateway is {gateway[:40]!r}; set gateways.NAME.dial for those that are dialled")
        if not server.ready:
            raise HTTPException(503, server.refusal())
        try:
            return {"call_id": await server.dial(chosen, url)}
        except DialError as error:
            raise HTTPException(422 if error.code == "refused_url" else 502, str(error)) from error

    @app.get("/api/transfers/{call_id}")
    async def transfer(request: Request, call_id: str) -> PlainTextResponse:
        database(request)
        target = server.loaded.services.transfers.take_of_any(call_id) if server.loaded is not None else None
        return PlainTextResponse(target or "")
