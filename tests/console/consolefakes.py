"""A console on a real database and, where asked, a real socket; only the calls and the queue behind it are scripted."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from sqlalchemy import insert
from websockets.asyncio.client import connect

from agent.call.control import Gone, NotYours, Taken
from agent.call.seats import LiveSeat
from agent.call.talk import Stand
from agent.clock import RealClock
from agent.config import Settings
from agent.console.console import Console, mount
from agent.console.feed import Feed
from agent.console.passwords import Passwords
from agent.console.sessions import ConsoleSettings
from agent.handoff.people import TooLate, UnknownHandoff
from agent.records.database import Call, Database, Handoff, Turn, create_engine
from agent.serving import CallSocket

PASSWORD = "correct horse battery"
ORIGIN = "http://127.0.0.1"


class LateClock(RealClock):
    """The machine's clock, put forward by the test."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now_ms(self) -> float:
        return super().now_ms() + self.ahead_s * 1000.0

    def wall(self) -> datetime:
        return super().wall() + timedelta(seconds=self.ahead_s)


class ScriptedCall:
    """A call as `agent.call.control.CallControl`; it notes what was asked of it."""

    def __init__(self, call_id: str, feed: Feed) -> None:
        self.call_id = call_id
        self.feed = feed
        self.human: str | None = None
        self.queued = False
        self.over = False
        self.asked: list[tuple[Any, ...]] = []
        self.seats: dict[str, LiveSeat] = {}

    def state(self) -> dict[str, Any]:
        party = "human" if self.human else "queue" if self.queued else "agent"
        return {"call_id": self.call_id, "with": party, "human": self.human, "started_at": "2031-05-01T12:00:00+00:00"}

    def tell(self) -> None:
        self.feed.publish("state", self.call_id, self.state())

    def join(self, who: str, mode: Any) -> LiveSeat:
        if mode == "talk" and self.human != who:
            raise PermissionError("only who has the call can talk")
        self.asked.append(("join", who, mode))
        older = self.seats.get(who)
        if older is not None:
            older.close("replaced")
        self.seats[who] = LiveSeat(who, Stand(mode), lambda seat, stand: None, lambda seat: None)
        return self.seats[who]

    async def take_over(self, who: str, handoff_id: str | None = None) -> LiveSeat:
        await asyncio.sleep(0.001)
        if self.human not in (None, who):
            raise Taken(self.human or "")
        self.human, self.queued = who, False
        self.tell()
        return self.join(who, "talk")

    async def hand_back(self, who: str, note: str = "") -> None:
        self._has(who)
        self.human = None
        self.asked.append(("hand_back", who, note))
        self.tell()

    def instruct(self, who: str, text: str) -> None:
        if text == "nonsense":
            raise ValueError("the instruction is not understood; try 'apologise'")
        self.asked.append(("instruct", who, text))

    def say(self, who: str, text: str) -> None:
        self._has(who)
        self.asked.append(("say", who, text))

    def press(self, keys: str) -> None:
        self.asked.append(("press", keys))

    def pause(self, who: str, on: bool) -> None:
        self._has(who)
        self.asked.append(("pause", who, on))

    async def transfer(self, who: str, target: str) -> None:
        self._has(who)
        self.asked.append(("transfer", who, target))

    async def hang_up(self, who: str) -> None:
        self._has(who)
        self.over = True

    def human_lost(self, who: str) -> None:
        self.asked.append(("lost", who))
        self.human, self.queued = None, True
        self.tell()

    def note(self, who: str, text: str) -> None:
        self.asked.append(("note", who, text))

    def actions(self) -> list[dict[str, Any]]:
        return [{"name": "cancel_order", "description": "Cancel it", "arguments": {}}]

    async def act(self, who: str, name: str, arguments: Any) -> dict[str, Any]:
        self.asked.append(("act", who, name, dict(arguments)))
        return {"ok": True, "result": {}}

    def _has(self, who: str) -> None:
        if self.over:
            raise Gone("the call is over")
        if self.human != who:
            raise NotYours("only who has the call can do that; take it over first")


class ScriptedQueue:
    """A queue as `agent.console.backend.QueueDesk`."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.waiting: dict[str, str] = {}
        self.takers: dict[str, str] = {}
        self.asked: list[tuple[Any, ...]] = []

    def offer(self, handoff_id: str, call_id: str) -> None:
        self.waiting[handoff_id] = call_id
        row = {"id": handoff_id, "call": call_id, "state": "ringing", "human": None}
        self.feed.publish("handoff", call_id, row)

    def on_duty(self, who: str, skills: Any, languages: Any, capacity: int = 1) -> None:
        self.asked.append(("on", who, tuple(skills), tuple(languages), capacity))

    def off_duty(self, who: str) -> None:
        self.asked.append(("off", who))

    def accept(self, who: str, handoff_id: str) -> None:
        if handoff_id in self.takers:
            raise TooLate(handoff_id, self.takers[handoff_id])
        if handoff_id not in self.waiting:
            raise UnknownHandoff(handoff_id)
        self.takers[handoff_id] = who
        call_id = self.waiting[handoff_id]
        row = {"id": handoff_id, "call": call_id, "state": "briefing", "human": who}
        self.feed.publish("handoff", call_id, row)

    def decline(self, who: str, handoff_id: str) -> None:
        self.asked.append(("decline", who, handoff_id))

    def wrapped_up(self, who: str, handoff_id: str, disposition: str, note: str = "") -> None:
        self.asked.append(("wrapped_up", who, handoff_id, disposition))

    def engaged(self, who: str, call_id: str) -> None:
        self.asked.append(("engaged", who, call_id))

    def released(self, who: str, call_id: str) -> None:
        self.asked.append(("released", who, call_id))

    def snapshot(self) -> dict[str, Any]:
        rows = [
            {"id": name, "call": call, "state": "ringing", "human": self.takers.get(name)}
            for name, call in self.waiting.items()
        ]
        return {"queue": rows, "people": []}


class World:
    """The server behind a console; see `agent.console.backend.Backend`."""

    trail = None
    extras: tuple[Any, ...] = ()
    intents = ("cancel_order", "track_order")
    topics = ("track_order",)

    def __init__(self, database: Database) -> None:
        self.clock = LateClock()
        self.settings = Settings()
        self.database: Database | None = database
        self.feed = Feed(self.clock)
        self.desk = ScriptedQueue(self.feed)
        self.running: dict[str, ScriptedCall] = {}
        limits = ConsoleSettings(lost_s=0.05, check_s=0.05)
        self.console = Console(self, limits, Passwords(memory_kib=8, rounds=1))

    @cached_property
    def app(self) -> FastAPI:
        """The application; making it takes longer than most tests."""
        app = FastAPI()
        mount(app, self.console, self.extras)
        return app

    def calls(self) -> list[str]:
        return list(self.running)

    def control(self, call_id: str) -> ScriptedCall | None:
        return self.running.get(call_id)

    async def handoff(self, handoff_id: str, call_id: str, state: str) -> None:
        """A row of the queue in the records."""
        assert self.database is not None
        row = {"id": handoff_id, "call_id": call_id, "gateway": "plain", "gateway_call_id": call_id, "state": state}
        row |= {"priority": 0, "reason": "", "rule": "", "language": "en", "summary": "", "context": {}, "detail": ""}
        row |= {"caller": "+12125550100", "created_at": self.clock.wall(), "updated_at": self.clock.wall()}
        async with self.database.engine.begin() as connection:
            await connection.execute(insert(Handoff), [row])

    def picture(self, call_id: str, picture_id: str) -> bytes | None:
        return b"jpeg" if (call_id, picture_id) == ("c-1", "p-1") else None

    async def call(self, call_id: str, caller: str | None = "+12125550100") -> ScriptedCall:
        """A call that runs and that the records know, with one caller turn."""
        assert self.database is not None
        self.running[call_id] = ScriptedCall(call_id, self.feed)
        row = {"id": call_id, "owner": "o", "gateway": "plain", "gateway_call_id": call_id, "domain": "shop"}
        row |= {"caller": caller, "opened_at": self.clock.wall(), "parameters": {}, "models": {}}
        turn = {"call_id": call_id, "number": 1, "speaker": "caller", "text": "cancel it", "intent": "track_order"}
        turn |= {"started_ms": 0.0, "ended_ms": 1.0, "interrupted": False, "must_hear": False, "slots": {}}
        turn |= {"emotion": {}, "latency": {}, "reasons": {}}
        async with self.database.engine.begin() as connection:
            await connection.execute(insert(Call), [row])
            await connection.execute(insert(Turn), [turn])
        return self.running[call_id]

    async def add(self, name: str, role: str = "agent", **more: Any) -> None:
        await self.console.guard.accounts.add(name, role, PASSWORD, **more)

    async def signed_in(self, name: str, role: str = "agent", base: str = ORIGIN) -> Browser:
        """Somebody new, signed in."""
        await self.add(name, role)
        browser = Browser(self, base)
        await browser.sign_in(name)
        return browser

    async def audited(self) -> list[tuple[str, str, str]]:
        rows = await self.console.guard.trail.entries(500)
        return [(row.who, row.what, row.about) for row in reversed(rows)]


class Browser:
    """A browser: cookies, the page's token, its origin."""

    def __init__(self, world: World, base: str = ORIGIN) -> None:
        transport = httpx.ASGITransport(app=world.app) if base == ORIGIN else None
        self.http = httpx.AsyncClient(base_url=base, transport=transport, headers={"Origin": base}, trust_env=False)
        self.base = base

    async def sign_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        answer = await self.http.post("/console/api/sign-in", json={"name": name, "password": password})
        if answer.status_code == 200:
            self.http.headers["X-CSRF-Token"] = (await self.get("me")).json()["csrf"]
        return answer

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.http.get(f"/console/api/{path}", **options)

    async def post(self, path: str, **body: Any) -> httpx.Response:
        return await self.http.post(f"/console/api/{path}", json=body)

    def socket(self, path: str, **options: Any) -> connect:
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.http.cookies.jar)
        headers = {"Cookie": cookies}
        url = self.base.replace("http", "ws", 1) + path
        return connect(url, proxy=None, origin=options.pop("origin", self.base), additional_headers=headers, **options)


@asynccontextmanager
async def serving(world: World) -> AsyncIterator[str]:
    """The console on a real socket, read and written as in production; its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    config = uvicorn.Config(
        world.app, ws=CallSocket, lifespan="off", log_config=None, access_log=False, ws_per_message_deflate=False
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    running = asyncio.create_task(server._serve([listening]))
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        await running
        await world.console.presence.close()


async def told(page: Any, kind: str, within_s: float = 3.0) -> dict[str, Any]:
    """The next message of `kind` on a page's feed."""
    async with asyncio.timeout(within_s):
        while (message := json.loads(await page.recv()))["type"] != kind:
            pass
        return message


@asynccontextmanager
async def a_world(file: Path) -> AsyncIterator[World]:
    """A world on a migrated database."""
    database = Database(create_engine(f"sqlite:///{file}"))
    try:
        yield World(database)
    finally:
        await database.engine.dispose()
