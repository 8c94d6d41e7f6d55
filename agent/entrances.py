"""The gateways' addresses: their websockets, and their questions what to do with a call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from fastapi import FastAPI, HTTPException, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection

from agent.call.session import Admission
from agent.call.transport import POLICY
from agent.door import Token, new_call_id, report
from agent.echo import echo
from agent.gateways.base import Answer, CallEnded, GatewayProtocol, Refuse
from agent.gateways.catalogue import gateways
from agent.gateways.gateway import Gateway, HookRequest, Opening, VoiceHook
from agent.gateways.ways import Admitted, Asking, Refused
from agent.sockets import SocketTransport

if TYPE_CHECKING:
    from agent.server import CallServer

MAX_FORM = 12_288
"""Bytes of a webhook; Twilio's have about 1,000, Telnyx's 3,000. Whoever asks, they are read before the signature."""
MAX_FIELDS = 200
"""Fields of a webhook; Twilio's have about 30."""
REFUSAL_S = 5.0
"""How long a gateway that is refused by a message may take to send what that needs."""
MOST_REFUSALS = 50
"""Refusals by message at a time; more are turned away before the upgrade."""
MOST_SAID, MOST_SAID_BYTES = 20, 16_384
"""Messages that a refused gateway may send, and bytes or characters in all; what they need has 2,000."""
TOO_MANY = frozenset({"rate_limited", "too_many_calls"})
JAMBONZ_APP = "ws.jambonz.org"
"""Subprotocol of jambonz's application socket."""
ALIASES = {"/v1/realtime": "openai", "/ws": "rtvi"}
"""Addresses that clients of other products build by themselves."""

log = logging.getLogger(__name__)


def add_gateways(app: FastAPI, server: CallServer) -> None:
    """Serve every gateway that is enabled: `/gateways/NAME`, with or without a path token."""

    def found(name: str) -> Gateway | None:
        gateway = gateways().get(name)
        return gateway if gateway is not None and server.settings.gateway(name).enabled else None

    @app.websocket("/gateways/jambonz-app")
    async def jambonz_application(socket: WebSocket) -> None:
        await _enter_application(server, socket, found("jambonz"))

    @app.websocket("/gateways/{name}")
    async def by_proof(socket: WebSocket, name: str) -> None:
        await _enter(server, socket, found(name), None)

    @app.websocket("/gateways/{name}/{token}")
    async def by_token(socket: WebSocket, name: str, token: str) -> None:
        await _enter(server, socket, found(name), token)

    for path, name in ALIASES.items():
        app.add_api_websocket_route(path, _alias(server, found, name))
    if server.settings.server.echo and server.insecure:
        app.add_api_websocket_route("/echo", echo)

    @app.websocket("/{path:path}")
    async def elsewhere(socket: WebSocket, path: str) -> None:
        await _unknown(server, socket)

    @app.api_route("/gateways/{name}/voice", methods=["GET", "POST"])
    async def voice(request: Request, name: str) -> Response:
        gateway, hook, asked = await _asked(server, found(name), request)
        if not server.ready:
            log.warning("%s was told that we are busy", gateway.title, extra={"code": server.refusal()})
            return Response(hook.busy(), media_type=hook.media_type)
        path = f"/gateways/{name}"
        try:
            token = server.issue(Token(new_call_id(), name, hook.call_id(asked)))
        except ValueError as error:
            raise HTTPException(409, f"the call's id cannot be used: {error}") from error
        stream = server.public(f"{path}/{token}" if token else path, "wss")
        after = server.public(f"{path}/after", "https")
        if stream is None or after is None:
            raise HTTPException(409, f"server.public_url is not configured; {gateway.title} cannot reach the stream")
        try:
            answer = hook.connect(asked, stream, after, server.settings.gateway(name).parameters)
        except ValueError as error:
            raise HTTPException(409, str(error)) from error
        return Response(answer, media_type=hook.media_type)

    @app.api_route("/gateways/{name}/after", methods=["GET", "POST"])
    async def after(request: Request, name: str) -> Response:
        gateway, hook, asked = await _asked(server, found(name), request)
        call_id = hook.call_id(asked) or ""
        target = server.loaded.services.transfers.take(name, call_id) if server.loaded is not None else None
        try:
            return Response(hook.after(target), media_type=hook.media_type)
        except ValueError as error:
            log.error("call %s of %s cannot be transferred: %s", call_id, gateway.name, error, extra=_FAILED)
            return Response(hook.after(None), media_type=hook.media_type)


_FAILED = {"code": "transfer_failed"}


def _alias(server: CallServer, found: Callable[[str], Gateway | None], name: str) -> Callable[[WebSocket], object]:
    async def enter(socket: WebSocket) -> None:
        await _enter(server, socket, found(name), None)

    return enter


async def _enter(server: CallServer, socket: WebSocket, gateway: Gateway | None, token: str | None) -> None:
    if gateway is None:
        await _unknown(server, socket)
        return
    headers = headers_of(socket)
    call_id, verdict = _checked(server, socket, gateway, token, headers)
    opening = Opening(call_id, headers, dict(socket.query_params))
    if isinstance(verdict, Admission):
        limited = f"{gateway.name}:token" if token is not None else verdict.key
        crowded = server.door.enter(limited)
        if crowded is None:
            try:
                await server.take(socket, gateway, opening, verdict)
            finally:
                server.door.leave(limited)
            return
        verdict = crowded
    server.refuse(verdict.code)
    report(verdict, gateway.name, socket.client.host if socket.client is not None else "nowhere")
    if gateway.refuses == "message":
        await refuse_by_message(server, socket, gateway, opening, "unauthorized")
    else:
        await socket.send_denial_response(Response(status_code=429 if verdict.code in TOO_MANY else 401))


async def _enter_application(server: CallServer, socket: WebSocket, gateway: Gateway | None) -> None:
    """jambonz's application socket: it controls a call whose sound has a connection of its own."""
    if gateway is None:
        await _unknown(server, socket)
        return
    _, verdict = _checked(server, socket, gateway, None, headers_of(socket))
    if isinstance(verdict, Admission):
        limited = f"{verdict.key}:app"
        crowded = server.door.enter(limited)
        if crowded is None:
            try:
                await _serve_application(server, socket)
            finally:
                server.door.leave(limited)
            return
        verdict = crowded
    server.refuse(verdict.code)
    report(verdict, "jambonz-app", socket.client.host if socket.client is not None else "nowhere")
    await socket.send_denial_response(Response(status_code=429 if verdict.code in TOO_MANY else 401))


async def _serve_application(server: CallServer, socket: WebSocket) -> None:
    if server.loaded is None or (server.settings.server.public_url is None and not server.insecure):
        server.refuse("no_public_url")
        log.error("jambonz needs server.public_url: it connects the sound there", extra={"code": "no_public_url"})
        await socket.send_denial_response(Response(status_code=503))
        return
    offered = socket.scope.get("subprotocols", ())
    try:
        await socket.accept(JAMBONZ_APP if JAMBONZ_APP in offered else None)
    except (RuntimeError, WebSocketDisconnect):
        log.info("jambonz was gone before the handshake was over", extra={"code": "gone"})
        return
    await server.jambonz.run(SocketTransport(socket))


async def _unknown(server: CallServer, socket: WebSocket) -> None:
    server.refuse("unknown_gateway")
    await socket.send_denial_response(Response(status_code=404))


def _checked(
    server: CallServer, socket: WebSocket, gateway: Gateway, token: str | None, headers: Mapping[str, str]
) -> tuple[str, Admission | Refused]:
    """Our id of the call, and whether it comes in."""
    if token is not None:
        redeemed = server.door.redeem(token, gateway.name)
        if isinstance(redeemed, Refused):
            return new_call_id(), redeemed
        # Good for no certain call, it proves nothing of a call that is there already, whatever the start names.
        own = "" if redeemed.bound is not None else f":{redeemed.call_id}"
        return redeemed.call_id, Admission(f"{gateway.name}:token{own}", redeemed.bound)
    query = socket.scope.get("query_string", b"").decode("latin-1")
    target = socket.scope.get("path", "") + (f"?{query}" if query else "")
    asking = Asking(
        gateway=gateway.name,
        path=socket.scope.get("path", ""),
        headers=headers,
        query=dict(socket.query_params),
        target=target,
        url=server.public(target, "wss"),
        authority=server.door.authority,
    )
    verdict = server.door.check(gateway, asking)
    if isinstance(verdict, Admitted):
        return new_call_id(), Admission(verdict.key, verdict.call_id)
    if server.local(socket):
        return new_call_id(), Admission("local")
    return new_call_id(), verdict


def headers_of(asking: HTTPConnection) -> dict[str, str]:
    """Headers by lower-case name; one that came more than once is joined by ", "."""
    found: dict[str, str] = {}
    for name, value in asking.headers.items():
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def chosen_subprotocol(gateway: Gateway, socket: WebSocket) -> str | None:
    """The first subprotocol the other side offers that the gateway speaks."""
    return next((name for name in socket.scope.get("subprotocols", ()) if name in gateway.subprotocols), None)


async def refuse_by_message(
    server: CallServer, socket: WebSocket, gateway: Gateway, opening: Opening, code: str
) -> None:
    """Turn a connection away in its protocol's own way, for vendors that show no HTTP error."""
    if server.refusing >= MOST_REFUSALS:
        await socket.send_denial_response(Response(status_code=503))
        return
    server.refusing += 1
    try:
        await socket.accept(chosen_subprotocol(gateway, socket))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REFUSAL_S):
                await _say_no(socket, gateway.new(opening), code)
        await socket.close(POLICY, code)
    except (RuntimeError, WebSocketDisconnect):
        log.debug("a refused gateway did not wait for the end of it")
    finally:
        server.refusing -= 1


async def _say_no(socket: WebSocket, protocol: GatewayProtocol, code: str) -> None:
    messages = protocol.send(Refuse(code))
    for message in messages:
        await _send(socket, message)
    if messages:
        return
    left = MOST_SAID_BYTES
    for _ in range(MOST_SAID):
        received = await socket.receive()
        if received["type"] == "websocket.disconnect":
            return
        text = received.get("text")
        message = text if text is not None else received.get("bytes") or b""
        left -= len(message)
        if left < 0:
            return
        for event in protocol.receive(message):
            if isinstance(event, Answer):
                await _send(socket, event.message)
            elif isinstance(event, CallEnded):
                return


async def _send(socket: WebSocket, message: str | bytes) -> None:
    if isinstance(message, str):
        await socket.send_text(message)
    else:
        await socket.send_bytes(message)


async def _asked(
    server: CallServer, gateway: Gateway | None, request: Request
) -> tuple[Gateway, VoiceHook, HookRequest]:
    """A vendor's question what to do with a call, its signature checked.

    Raises:
        HTTPException: 404 no such gateway, 413 too large, 403 not signed by the vendor.
    """
    if gateway is None or gateway.hook is None:
        raise HTTPException(404, "no gateway asks here; see docs/gateways.md")
    body = await _body(request)
    query = request.url.query
    url = server.public(request.url.path + (f"?{query}" if query else ""), "https") or ""
    asked = HookRequest(url, request.method, headers_of(request), _fields(request, body), body)
    key = server.door.key_of(gateway)
    wall_s = server.wall_s()
    if not server.local(request) and not (key and url and gateway.hook.signed(asked, key, wall_s)):
        server.refuse("bad_signature")
        log.warning("a request to %s was not signed by %s", request.url.path, gateway.title, extra=_UNSIGNED)
        raise HTTPException(403, f"the signature does not fit; check server.public_url and the key of {gateway.name}")
    return gateway, gateway.hook, asked


_UNSIGNED = {"code": "bad_signature"}


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM:
            raise HTTPException(413, f"the form has more than {MAX_FORM} bytes, the most that is taken")
    return bytes(body)


def _fields(request: Request, body: bytes) -> dict[str, str]:
    """The fields of a form; of a JSON object those that are texts or numbers; of a request without a body, the query's.

    Never both: vendors sign the one or the other.
    """
    text = body.decode("utf-8", "replace")
    try:
        if request.headers.get("content-type", "").partition(";")[0].strip() == "application/json":
            value = json.loads(text) if text else {}
            items = value.items() if isinstance(value, dict) else ()
            form = {name: str(item) for name, item in items if isinstance(item, str | int | float)}
            if len(form) > MAX_FIELDS:
                raise ValueError
            return form
        form = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except (ValueError, RecursionError) as error:
        raise HTTPException(413, f"the form has more than {MAX_FIELDS} fields, or cannot be read") from error
    return form if request.method == "POST" else dict(request.query_params)
