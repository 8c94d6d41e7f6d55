"""The public addresses: the pages /chat and /call, visits and their sockets, and pictures."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from agent.call.gatewayed import Admission
from agent.call.transport import NORMAL
from agent.chat.desk import PictureDesk, told
from agent.chat.headers import PictureError
from agent.chat.settings import ChatSettings
from agent.chat.socket import WebProtocol
from agent.chat.visits import Kind, Refusal, Visit, Visits
from agent.door import new_call_id
from agent.gateways import plain
from agent.gateways.gateway import Gateway, Opening

STATIC = Path(__file__).resolve().parent / "static"
MOST_BODY = 2_048
"""Bytes of a JSON request."""
UPLOAD_S = 60.0
"""Longest time for one upload; 8 MB at 1 Mbit/s."""
MOST_UPLOADS = 8
"""Uploads at a time; more are refused with 503, so that slow ones cannot fill the memory."""
LANGUAGES = frozenset({"", "en", "zh"})

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PAGES = {"chat": "chat.html", "call": "call.html", "picture": "picture.html"}
_BUSY = frozenset({"busy"})

log = logging.getLogger(__name__)


class Ends(Protocol):
    """A call that can be ended."""

    def end(self, outcome: str, reason: str, code: int) -> None:
        """End the call."""


class Host(Protocol):
    """The server that takes the calls: `agent.server.CallServer`."""

    @property
    def sessions(self) -> Mapping[str, Ends]:
        """The calls that are going on, by our id of them."""
        ...

    @property
    def ready(self) -> bool:
        """Whether a new call would be taken."""
        ...

    async def take(self, socket: WebSocket, gateway: Gateway, opening: Opening, admission: Admission) -> None:
        """Run one call on an authorised socket."""

    def public(self, path: str, scheme: str) -> str | None:
        """The address under which the outside reaches `path`."""
        ...

    def refuse(self, code: str) -> None:
        """Count something that was not let in."""


class Chat:
    """What the public addresses need. desk: where pictures go; None takes none."""

    def __init__(self, settings: ChatSettings, host: Host, visits: Visits, desk: PictureDesk | None) -> None:
        self.settings = settings
        self.host = host
        self.visits = visits
        self.desk = desk
        self.uploads = 0


def add_chat(app: FastAPI, chat: Chat) -> None:
    """Serve the public pages; before `add_gateways`, which answers for every other websocket."""
    files = {path.name: (path.read_bytes(), _TYPES[path.suffix]) for path in STATIC.iterdir() if path.suffix in _TYPES}
    kinds: tuple[Kind, ...] = ("chat", "call") if chat.settings.calls else ("chat",)

    def page(name: str) -> Response:
        body, media_type = files[_PAGES[name]]
        return Response(body, media_type=media_type, headers=security_headers(microphone=name == "call"))

    @app.get("/chat")
    async def typed() -> Response:
        return page("chat")

    if chat.settings.calls:

        @app.get("/call")
        async def spoken() -> Response:
            return page("call")

    @app.get("/chat/static/{name}")
    async def static(name: str) -> Response:
        found = files.get(name)
        if found is None or name.endswith(".html"):
            return _error(404, "not_found", "there is no such file")
        headers = {**security_headers(), "Cache-Control": "no-cache"}
        return Response(found[0], media_type=found[1], headers=headers)

    @app.get("/chat/about")
    async def about() -> Response:
        return _json(_about(chat, kinds))

    @app.post("/chat/visits")
    async def begin(request: Request) -> Response:
        try:
            _same_origin(request, chat.host)
            asked = await _object(request)
            kind, language = asked.get("kind"), asked.get("language", "")
            if kind not in kinds:
                raise Refusal("bad_field", 422, f"kind is {str(kind)[:40]!r}; give {' or '.join(kinds)}")
            if not isinstance(language, str) or language not in LANGUAGES:
                raise Refusal("bad_field", 422, f"language is {str(language)[:40]!r}; give en, zh or nothing")
            if not chat.host.ready:
                raise Refusal("full", 503, "all places are taken; try again in a few minutes")
            visit, secret = chat.visits.open(kind, _peer(request), language)
            return _json({"visit": visit.id, "secret": secret, **_way_in(chat, visit)}, 201)
        except Refusal as refusal:
            return _refused(chat, refusal)

    @app.post("/chat/visits/{visit_id}/ticket")
    async def again(request: Request, visit_id: str) -> Response:
        try:
            visit = await _visit(request, chat, visit_id)
            _check_alive(chat, visit)
            return _json(_way_in(chat, visit))
        except Refusal as refusal:
            return _refused(chat, refusal)

    @app.websocket("/chat/socket/{ticket}")
    async def enter(socket: WebSocket, ticket: str) -> None:
        try:
            _same_origin(socket, chat.host)
            visit = chat.visits.redeem(ticket)
            _check_alive(chat, visit)
        except Refusal as refusal:
            chat.host.refuse(refusal.code)
            log.warning("a visitor was refused: %s", refusal.code, extra={"code": refusal.code})
            await socket.send_denial_response(Response(status_code=refusal.status))
            return
        # The first connection is the call; one that returns is another until that carries it on.
        opening = Opening(new_call_id() if visit.ever else visit.id)
        gateway = _gateway(chat, visit)
        chat.visits.enter(visit)
        watch = asyncio.create_task(_end_idle(chat, visit), name=f"{visit.id}:idle")
        try:
            await chat.host.take(socket, gateway, opening, Admission(f"web:{visit.id}", visit.id))
        finally:
            chat.visits.leave(visit)
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    if chat.desk is not None:
        _add_pictures(app, chat, chat.desk, page)


def _add_pictures(app: FastAPI, chat: Chat, desk: PictureDesk, page: Any) -> None:
    @app.post("/chat/visits/{visit_id}/picture")
    async def ask(request: Request, visit_id: str) -> Response:
        try:
            token = chat.visits.picture_ticket(await _visit(request, chat, visit_id))
            return _json({"path": f"/pictures/{token}"})
        except Refusal as refusal:
            return _refused(chat, refusal)

    @app.get("/pictures/{token}")
    async def link(token: str) -> Response:
        return page("picture")  # type: ignore[no-any-return]

    @app.post("/pictures/{token}")
    async def send(request: Request, token: str) -> Response:
        try:
            _same_origin(request, chat.host)
            if chat.uploads >= MOST_UPLOADS:
                raise Refusal("busy", 503, "too many pictures are on their way; try again in a moment")
            most = _announced(request, chat.settings)
            call_id = chat.visits.redeem_picture(token)
        except Refusal as refusal:
            return _refused(chat, refusal)
        chat.uploads += 1
        try:
            data = await _upload(request, most)
            language = request.headers.get("content-language", "")[:8]
            read = await desk.take(call_id, data, language if language in LANGUAGES and language else "en")
        except (Refusal, PictureError) as error:
            return _not_taken(chat, call_id, error)
        finally:
            chat.uploads -= 1
        return _json({**told(read), "next": _next(chat, call_id)})


def _not_taken(chat: Chat, call_id: str, error: Refusal | PictureError) -> Response:
    """Say why a picture was not taken; the next try needs a token of its own, which comes along."""
    status = error.status if isinstance(error, Refusal) else 503 if error.code in _BUSY else 422
    log.info("a picture was not taken: %s", error.code, extra={"code": f"picture_{error.code}"})
    return _json({"error": error.code, "detail": str(error), "next": _next(chat, call_id)}, status)


def _next(chat: Chat, call_id: str) -> str | None:
    try:
        return f"/pictures/{chat.visits.picture_link(call_id)}"
    except Refusal:
        return None


async def _end_idle(chat: Chat, visit: Visit) -> None:
    """End a chat in which nothing is typed any more; who calls by voice may be silent."""
    if visit.kind == "chat":
        await chat.visits.until_idle(visit)
        session = chat.host.sessions.get(visit.id)
        if session is not None:
            session.end("caller_left", "visitor_idle", NORMAL)


def _gateway(chat: Chat, visit: Visit) -> Gateway:
    base = plain.GATEWAYS[0]
    return Gateway(
        name=base.name,
        title="Web page",
        new=lambda opening: WebProtocol(visit.id, visit.kind, visit.language, lambda: chat.visits.said(visit)),
        capabilities=base.capabilities,
        ways=(),
    )


def _about(chat: Chat, kinds: tuple[Kind, ...]) -> dict[str, Any]:
    return {
        "kinds": kinds,
        "pictures": chat.desk is not None,
        "picture_bytes": round(chat.settings.picture_mb * 1e6),
        "sure": chat.settings.sure,
    }


def _check_alive(chat: Chat, visit: Visit) -> None:
    """Let a visit return to its call only while that is there.

    Raises:
        Refusal: it is over.
    """
    if visit.ever and visit.id not in chat.host.sessions:
        raise Refusal("call_over", 410, "this conversation is over; start a new one")


def _way_in(chat: Chat, visit: Visit) -> dict[str, Any]:
    return {"path": f"/chat/socket/{chat.visits.ticket(visit)}"}


async def _visit(request: Request, chat: Chat, visit_id: str) -> Visit:
    _same_origin(request, chat.host)
    secret = request.headers.get("x-visit-secret", "")
    return chat.visits.find(visit_id, secret[:200])


def _same_origin(asking: HTTPConnection, host: Host) -> None:
    """Refuse what another site's page asks for.

    Raises:
        Refusal: the origin is neither the public address nor the host that was asked.
    """
    origin = asking.headers.get("origin")
    if origin is None:
        if asking.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none"):
            return  # no browser, or a page of ours
        raise Refusal("other_origin", 403, "this address is for the pages of this server")
    public = host.public("", "https")
    given = urlsplit(origin).netloc.lower()
    allowed = {urlsplit(public).netloc.lower()} if public else {asking.headers.get("host", "").lower()}
    if not given or given.removesuffix(":443") not in {one.removesuffix(":443") for one in allowed}:
        raise Refusal("other_origin", 403, "this address is for the pages of this server")


def _peer(asking: HTTPConnection) -> str:
    return asking.client.host if asking.client is not None else "nowhere"


async def _object(request: Request) -> Mapping[str, Any]:
    body = bytearray()
    try:
        async with asyncio.timeout(10):
            async for piece in request.stream():
                body += piece
                if len(body) > MOST_BODY:
                    raise Refusal("too_large", 413, f"the request has more than {MOST_BODY} bytes")
        value = json.loads(bytes(body) or b"{}")
    except ClientDisconnect as error:
        raise Refusal("cut_off", 400, "the request did not come whole") from error
    except TimeoutError as error:
        raise Refusal("too_slow", 408, "the request did not come within 10 s") from error
    except (ValueError, RecursionError) as error:
        raise Refusal("not_json", 400, "send a JSON object") from error
    if not isinstance(value, dict):
        raise Refusal("not_json", 400, "send a JSON object")
    return value


def _announced(request: Request, settings: ChatSettings) -> int:
    """The most bytes that are read; what is announced as more is refused before anything is read, the token kept.

    Raises:
        Refusal: it is announced as too large, or as no picture.
    """
    most = round(settings.picture_mb * 1e6)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("image/jpeg", "image/png", "image/webp"):
        raise Refusal("unknown_format", 415, "this is no picture that can be read; send a JPEG, PNG or WebP")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > most:
        raise Refusal("too_large", 413, _too_large(most))
    return most


async def _upload(request: Request, most: int) -> bytes:
    data = bytearray()
    try:
        async with asyncio.timeout(UPLOAD_S):
            async for piece in request.stream():
                data += piece
                if len(data) > most:
                    raise Refusal("too_large", 413, _too_large(most))
    except ClientDisconnect as error:
        raise Refusal("cut_off", 400, "the picture did not come whole") from error
    except TimeoutError as error:
        raise Refusal("too_slow", 408, f"the picture did not come within {UPLOAD_S:g} s; send a smaller one") from error
    return bytes(data)


def _too_large(most: int) -> str:
    return f"the picture has more than {most / 1e6:g} MB; send a smaller one"


def _refused(chat: Chat, refusal: Refusal) -> Response:
    chat.host.refuse(refusal.code)
    log.info("a visitor was refused: %s", refusal.code, extra={"code": refusal.code})
    return _error(refusal.status, refusal.code, str(refusal))


def _error(status: int, code: str, detail: str) -> Response:
    return _json({"error": code, "detail": detail}, status)


def _json(value: Mapping[str, Any], status: int = 200) -> Response:
    return JSONResponse(dict(value), status, headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})


def security_headers(microphone: bool = False) -> dict[str, str]:
    """Headers of a page: nothing from elsewhere, no inline script or style, shown in no frame."""
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; "
        "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": f"microphone={'(self)' if microphone else '()'}, camera=(), geolocation=()",
        "Cache-Control": "no-store",
    }
