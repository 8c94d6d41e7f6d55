"""A small scripted console server: speaks the console's HTTP and websocket interface to the page under test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

import agent

STATIC = Path(agent.__file__).parent / "console" / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CSRF = "token-of-the-session"
FRAME = 640
RATE = 8000
AT = "2026-11-22T14:00:00+00:00"


def tone(hertz: float, frame: int) -> bytes:
    """20 ms of a tone, the n-th frame."""
    at = (np.arange(320) + 320 * frame) / 16000
    return (np.sin(2 * np.pi * hertz * at) * 8000).astype("<i2").tobytes()


def recording(seconds: float = 6.0) -> bytes:
    """A stereo WAV file: the caller's tone in the first half, the agent's in the second."""
    at = np.arange(int(seconds * RATE)) / RATE
    caller = np.where(at < seconds / 2, np.sin(2 * np.pi * 300 * at), 0)
    both = (np.stack([caller, np.sin(2 * np.pi * 200 * at) - caller], axis=1) * 6000).astype("<i2").tobytes()
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(both), b"WAVE", b"fmt ", 16, 1, 2, RATE, RATE * 4, 4, 16,
                       b"data", len(both))  # fmt: skip
    return head + both


def call_state(call_id: str, **more: Any) -> dict[str, Any]:
    """What `CallControl.state()` gives."""
    state = {
        "call_id": call_id, "gateway": "twilio", "caller": "+1 503 555 0142", "called": "+1 503 555 0100",
        "language": "en", "phase": "listening", "with": "agent", "human": None, "started_at": AT, "duration_s": 42.0,
        "waiting_s": None, "intent": "order_status", "slots": {"order_number": {"value": "42719", "verified": True}},
        "emotion": [{"turn": 1, "words": "neutral", "both": "neutral", "both_angry": 0.1}],
        "summary": "", "reply": None,
    }  # fmt: skip
    return state | more


def whole(call_id: str, **more: Any) -> dict[str, Any]:
    """What GET calls/ID gives."""
    row = {
        "id": call_id, "gateway": "twilio", "caller": "+1 503 555 0142", "called": None, "opened_at": AT,
        "finished_at": None, "outcome": None, "reason": None, "duration_ms": None, "recording": None, "domain": "shop",
    }  # fmt: skip
    answer = {
        "live": True, "state": call_state(call_id), "call": row, "turns": [], "actions": [], "handoffs": [],
        "notes": [], "history": [], "runnable": [], "pictures": [], "wrap_up": None,
        "intents": ["order_status", "cancel_order", "complaint"], "dispositions": ["resolved", "follow_up", "other"],
    }  # fmt: skip
    return answer | more


class _Headers:
    """Every answer with the headers of the real server, so that the page is tested under its policy."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def headed(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        await self.app(scope, receive, headed)


class FakeConsole:
    """What the server would know. Change it, `push` messages to open pages, and look at what the page sent."""

    def __init__(self, role: str = "supervisor", signed_in: bool = True) -> None:
        self.me = {"name": "ana", "role": role, "language": "en", "csrf": CSRF, "skills": [], "languages": ["en"]}
        self.signed_in = signed_in
        self.calls: dict[str, dict[str, Any]] = {}
        self.whole: dict[str, dict[str, Any]] = {}
        self.queue: list[dict[str, Any]] = []
        self.people: list[dict[str, Any]] = []
        self.queue_takes_s = 0.0
        """How long the queue, as it was when it was asked for, is on its way."""
        self.waiting = 0
        """Callers to be called back."""
        self.answers: dict[str, Any] = {}
        """What GET of other paths below /console/api gives."""
        self.refusals: dict[str, tuple[int, dict[str, Any]]] = {}
        """What POST to a path is refused with."""
        self.on_post: Callable[[str], None] = lambda path: None
        self.posted: list[tuple[str, Any]] = []
        self.sent: list[dict[str, Any]] = []
        """What came up the feed."""
        self.controls: list[dict[str, Any]] = []
        """What came up an audio socket as text."""
        self.heard: list[bytes] = []
        """What came up an audio socket as sound."""
        self.modes: list[str] = []
        self.jitter: Callable[[int], float] = lambda frame: 0.0
        self.bad_requests: list[str] = []
        self.address = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._feeds: dict[WebSocket, str | None] = {}
        self._audio: set[WebSocket] = set()

    # What a test does

    def push(self, kind: str, call: str | None = None, **data: Any) -> None:
        """Publish a message to the pages that listen."""
        message = {"type": kind, "call": call, "at": AT, **data}
        for socket, only in list(self._feeds.items()):
            if only is None or only == call:
                self._run(socket.send_text(json.dumps(message)))

    def cut(self) -> None:
        """Break every feed connection."""
        for socket in list(self._feeds):
            self._run(socket.close(1012))

    def end_seat(self, reason: str, code: int = 1000) -> None:
        """Close the audio sockets."""
        for socket in list(self._audio):
            self._run(socket.close(code, reason))

    def posts(self, path: str) -> list[Any]:
        """What was posted to a path."""
        return [body for asked, body in self.posted if asked == path]

    def _run(self, work: Any) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            asyncio.run_coroutine_threadsafe(work, self._loop).result(5)

    # What the page asks

    async def _get(self, request: Request) -> Response:
        path = request.path_params["path"]
        if not self.signed_in:
            return JSONResponse({"code": "signed_out", "detail": "sign in first"}, 401)
        if path == "me":
            return JSONResponse(self.me)
        if path == "calls":
            return JSONResponse({"calls": list(self.calls.values())})
        if path in ("queue", "people"):
            answer = JSONResponse({"queue": self.queue, "people": self.people, "callbacks": self.waiting})
            await asyncio.sleep(self.queue_takes_s)
            return answer
        if path.startswith("calls/"):
            found = self.whole.get(path.removeprefix("calls/"))
            return JSONResponse(found) if found else JSONResponse({"code": "not_found", "detail": "no such call"}, 404)
        found = self.answers.get(path)
        if isinstance(found, bytes):
            return _ranged(request, found, "image/png" if found.startswith(b"\x89PNG") else "audio/wav")
        if found is not None:
            return JSONResponse(found)
        return JSONResponse({"code": "not_found", "detail": f"nothing at {path}"}, 404)

    async def _post(self, request: Request) -> Response:
        path = request.path_params["path"]
        body = json.loads(await request.body() or b"null")
        if request.headers.get("origin") != self.address:
            self.bad_requests.append(f"{path}: origin")
        if path != "sign-in" and request.headers.get("x-csrf-token") != CSRF:
            self.bad_requests.append(f"{path}: csrf")
        self.posted.append((path, body))
        self.on_post(path)
        if path in self.refusals:
            status, answer = self.refusals[path]
            return JSONResponse(answer, status, {"Retry-After": "7"} if status == 429 else None)
        if path in ("sign-in", "sign-out"):
            self.signed_in = path == "sign-in"
        if path.endswith("/take-over"):
            call_id = path.split("/")[1]
            for known in (self.whole[call_id]["state"], self.calls.get(call_id, {})):
                known |= {"with": "human", "human": self.me["name"]}
        return JSONResponse(self.answers.get(f"POST {path}", {"done": True}))

    async def _feed(self, socket: WebSocket) -> None:
        if not self.signed_in:
            await socket.close(4401)
            return
        await socket.accept()
        self._feeds[socket] = socket.query_params.get("call")
        try:
            while True:
                message = await socket.receive_json()
                self.sent.append(message)
        except (WebSocketDisconnect, RuntimeError):
            pass
        finally:
            self._feeds.pop(socket, None)

    async def _sound(self, socket: WebSocket) -> None:
        await socket.accept()
        self._audio.add(socket)
        self.modes.append(socket.query_params["mode"])
        speaking = asyncio.create_task(self._speak(socket))
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                if message.get("bytes") is not None:
                    self.heard.append(message["bytes"])
                else:
                    self.controls.append(json.loads(message["text"]))
        finally:
            self._audio.discard(socket)
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)

    async def _speak(self, socket: WebSocket) -> None:
        began = asyncio.get_running_loop().time()
        frame = 0
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            while True:
                await socket.send_bytes(tone(440, frame))
                frame += 1
                due = began + 0.02 * frame + self.jitter(frame)
                await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))

    def app(self) -> ASGIApp:
        """The ASGI app."""
        page = FileResponse(STATIC / "index.html")
        routes = [
            Route("/console", lambda request: page),
            Mount("/console/static", StaticFiles(directory=STATIC)),
            Route("/console/api/{path:path}", self._get, methods=["GET"]),
            Route("/console/api/{path:path}", self._post, methods=["POST"]),
            WebSocketRoute("/console/feed", self._feed),
            WebSocketRoute("/console/audio/{call_id}", self._sound),
        ]
        return _Headers(Starlette(routes=routes))

    @contextlib.contextmanager
    def serving(self) -> Iterator[FakeConsole]:
        """Serve on a free port of this machine, in a thread."""
        server = uvicorn.Server(uvicorn.Config(self.app(), "127.0.0.1", 0, log_level="error", lifespan="off"))
        ready = threading.Event()

        async def run() -> None:
            self._loop = asyncio.get_running_loop()
            serving = asyncio.create_task(server.serve())
            while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            ready.set()
            await serving

        thread = threading.Thread(target=lambda: asyncio.run(run()), name="fake-console", daemon=True)
        thread.start()
        assert ready.wait(10)
        port = server.servers[0].sockets[0].getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        try:
            yield self
        finally:
            server.should_exit = True
            server.force_exit = True
            thread.join(10)


def _ranged(request: Request, body: bytes, kind: str) -> Response:
    wanted = request.headers.get("range", "")
    if not wanted.startswith("bytes="):
        return Response(body, media_type=kind, headers={"Accept-Ranges": "bytes"})
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    begin, end = int(first), min(len(body) - 1, int(last or len(body) - 1))
    headers = {"Content-Range": f"bytes {begin}-{end}/{len(body)}", "Accept-Ranges": "bytes"}
    return Response(body[begin : end + 1], 206, headers, kind)


def eventually(true: Callable[[], Any], within_s: float = 5.0) -> Any:
    """Wait until `true()` gives something."""
    until = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
    return found
