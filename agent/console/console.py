"""Puts the console together and mounts it at /console."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from fastapi import APIRouter, FastAPI, HTTPException, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from agent.call.control import CallControl
from agent.clock import Clock, RealClock
from agent.config import Settings
from agent.console.answers import code_of, sentence
from agent.console.api import add_accounts
from agent.console.audio import Audio
from agent.console.backend import Backend, QueueDesk
from agent.console.callbacks import Callbacks, add_callbacks
from agent.console.calls import Calls, add_calls
from agent.console.facts import Facts
from agent.console.feed import Feed
from agent.console.guard import Guard
from agent.console.parts import Parts
from agent.console.passwords import Passwords
from agent.console.pictures import Pictures
from agent.console.presence import Presence
from agent.console.sessions import ConsoleSettings
from agent.console.shell import HEADERS, NO_STORE, Shell
from agent.console.sockets import Sockets
from agent.records.audit import AuditTrail
from agent.records.database import Database

STATIC = Path(__file__).parent / "static"
"""The page."""
TYPES: Mapping[str, str] = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
"""What browsers insist on, whatever this machine's own table of types says."""

log = logging.getLogger(__name__)

Extra = Callable[[APIRouter, Guard], object]
"""Adds more to the console's interface; see `add_console`."""


class ServerLike(Protocol):
    """What `agent.server.CallServer` offers the console."""

    settings: Settings

    @property
    def sessions(self) -> Mapping[str, Any]:
        """Calls that run, by their ids."""
        ...

    @property
    def loaded(self) -> Any:
        """What it has loaded; None before."""
        ...

    def control(self, call_id: str) -> CallControl | None:
        """The control of a call that runs."""
        ...


class ServerBackend:
    """A server as `agent.console.backend.Backend`."""

    def __init__(self, server: ServerLike, clock: Clock | None = None) -> None:
        self._server = server
        self._clock = clock or getattr(server, "_clock", None) or RealClock()
        self._feed = Feed(self._clock)

    @property
    def clock(self) -> Clock:
        return self._clock

    @property
    def settings(self) -> Settings:
        return self._server.settings

    @property
    def database(self) -> Database | None:
        loaded = self._server.loaded
        return None if loaded is None else loaded.database

    @property
    def trail(self) -> AuditTrail | None:
        return cast("AuditTrail | None", getattr(self._server.loaded, "audit", None))

    @property
    def feed(self) -> Feed:
        """The feed of the loaded server; before that one that says nothing."""
        services = getattr(self._server.loaded, "services", None)
        return getattr(services, "feed", None) or self._feed

    @property
    def desk(self) -> QueueDesk | None:
        desk = getattr(getattr(self._server.loaded, "services", None), "desk", None)
        return cast(QueueDesk, desk) if hasattr(desk, "snapshot") else None

    @property
    def intents(self) -> Collection[str]:
        domain = getattr(self._server.loaded, "domain", None)
        return tuple(getattr(domain, "intents", None) or ())

    @property
    def topics(self) -> Collection[str]:
        domain = getattr(self._server.loaded, "domain", None)
        return [] if domain is None else [name for name in self.intents if domain.flow_of(name) is not None]

    def calls(self) -> Collection[str]:
        return list(self._server.sessions)

    def control(self, call_id: str) -> CallControl | None:
        return self._server.control(call_id)

    def picture(self, call_id: str, picture_id: str) -> bytes | None:
        desk = getattr(self._server, "pictures", None)
        return None if desk is None else cast("bytes | None", desk.shelf.get(call_id, picture_id))


class Console:
    """The console of one server."""

    def __init__(
        self, backend: Backend, settings: ConsoleSettings | None = None, passwords: Passwords | None = None
    ) -> None:
        self.settings = settings or ConsoleSettings()
        self.backend = backend
        self.parts = Parts()
        self.presence = Presence(backend, self.parts, self.settings.lost_s)
        self.guard = Guard(backend, self.parts, self.settings, passwords)
        self.pictures = Pictures()
        self.calls = Calls(backend, self.guard, self.parts, self.presence, self.pictures)
        self.sockets = Sockets(backend, self.guard, self.parts, self.presence)
        self.audio = Audio(backend, self.guard, self.parts, self.presence)
        self.callbacks = Callbacks(backend, self.guard)
        self.facts = Facts(backend, self.presence)
        self._followed: Feed | None = None

    def follow(self) -> None:
        """Follow the server's feed, where that is not so yet: who has which call is read off it."""
        feed = self.backend.feed
        if feed is not self._followed:
            self._followed = feed
            self.parts.listen(feed)
            feed.subscribe(wanted=self.presence.follow)
            feed.subscribe(wanted=self.pictures.learn)
            feed.subscribe(wanted=self.callbacks.follow)
            feed.subscribe(wanted=self.facts.follow)
            desk = self.backend.desk
            for row in () if desk is None else desk.snapshot()["queue"]:
                self.parts.moved(row["call"], row["id"], row["state"], row.get("human"))

    def app(self, extras: Collection[Extra] = ()) -> FastAPI:
        """The application that is mounted."""
        app = FastAPI(title="console", docs_url=None, redoc_url=None, openapi_url=None)
        router = APIRouter(prefix="/api")
        add_accounts(router, self.guard)
        add_calls(router, self.guard, self.calls)
        add_callbacks(router, self.guard, self.callbacks)
        for extra in extras:
            extra(router, self.guard)
        app.include_router(router)
        _add_errors(app)

        @app.websocket("/feed")
        async def feed(socket: WebSocket, call: str | None = None) -> None:
            self.follow()
            await self.sockets.feed(socket, call)

        @app.websocket("/audio/{call_id}")
        async def audio(socket: WebSocket, call_id: str, mode: str = "listen") -> None:
            self.follow()
            await self.audio.serve(socket, call_id, mode)

        app.add_api_route("/", page, methods=["GET"], include_in_schema=False)
        app.mount("/static", Static(directory=STATIC, check_dir=False))
        return app


class Static(StaticFiles):
    """The page's files, with types that do not depend on the machine; browsers ask each time whether they changed."""

    def file_response(self, full_path: Any, *given: Any, **named: Any) -> Response:
        response = super().file_response(full_path, *given, **named)
        kind = TYPES.get(Path(full_path).suffix)
        if kind is not None and "content-type" in response.headers:
            response.headers["content-type"] = f"{kind}; charset=utf-8"
        response.headers["cache-control"] = "no-cache"
        return response

    def lookup_path(self, path: str) -> Any:
        """Nothing hidden, nothing through links."""
        return ("", None) if any(part.startswith(".") for part in Path(path).parts) else super().lookup_path(path)


async def page() -> Response:
    """The page itself; it shows nothing before somebody signs in."""
    headers, file = {**HEADERS, **NO_STORE}, STATIC / "index.html"
    if not file.is_file():
        said = {"code": "not_found", "detail": "the page's files are not installed; install the package again"}
        return JSONResponse(said, 404, headers)
    return FileResponse(file, media_type="text/html; charset=utf-8", headers=headers)


def add_console(
    app: FastAPI,
    server: ServerLike,
    settings: ConsoleSettings | None = None,
    extras: Collection[Extra] = (),
    clock: Clock | None = None,
) -> Console:
    """Serve the console at /console. Before `add_gateways`, which answers every other websocket.

    `extras` add to its interface: each is given the router of /console/api and the guard.
    """
    return mount(app, Console(ServerBackend(server, clock), settings), extras)


def mount(app: FastAPI, console: Console, extras: Collection[Extra] = ()) -> Console:
    """Serve `console` at /console."""

    async def slashless(request: Request) -> Response:
        return await page()

    app.router.routes.append(Route("/console", slashless, methods=["GET"]))
    app.router.routes.append(Mount("/console", Shell(_Following(console, console.app(extras)))))
    return console


class _Following:
    """Follows the feed from the first request on."""

    def __init__(self, console: Console, app: FastAPI) -> None:
        self._console = console
        self._app = app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        self._console.follow()
        await self._app(scope, receive, send)


def _add_errors(app: FastAPI) -> None:
    """Every error is {code, detail}."""

    async def told(_: Request, error: Exception) -> Response:
        assert isinstance(error, StarletteHTTPException)
        shown = code_of(cast(HTTPException, error))
        return JSONResponse({"code": shown, "detail": error.detail}, error.status_code, error.headers)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return JSONResponse({"code": "invalid", "detail": sentence(error)}, 422)

    async def broken(_: Request, error: Exception) -> Response:
        log.error("the records database failed: %s: %s", type(error).__name__, error, extra={"code": "no_database"})
        return JSONResponse({"code": "no_database", "detail": "the records cannot be reached; try again"}, 503)

    app.add_exception_handler(StarletteHTTPException, told)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(SQLAlchemyError, broken)
