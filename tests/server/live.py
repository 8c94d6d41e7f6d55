"""A server in this process, on a real loopback socket and a real database; only the models are scripted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from callfakes import FakeCall, FakeDesk, FakeDialogue
from websockets.asyncio.client import ClientConnection, connect

from agent.clock import Clock, RealClock
from agent.config import Settings
from agent.loading import Loaded
from agent.metrics import Metrics
from agent.records.redaction import redact
from agent.records.writer import SqlRecords
from agent.server import CallServer
from agent.serving import Server, bind
from models.pool import Pool

PLAIN_START = {"type": "start", "version": 1, "rate": 8000, "mode": "voice"}
TYPED_START = {"type": "start", "version": 1, "rate": 8000, "mode": "text", "audio": False}
TOKEN_KEY = "a-token-key-of-the-tests"
FORMAT = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}


@asynccontextmanager
async def scripted(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Loaded]:
    """What `agent.loading.load` gives, with scripted models."""
    clock, pool = clock or RealClock(), Pool(1, 64)
    url, folder = settings.records.database_url, settings.records.recordings
    try:
        async with SqlRecords.open(url, folder, clock) as records:
            services = replace(
                FakeCall().services,
                settings=settings,
                clock=clock,
                pool=pool,
                new_dialogue=lambda call_id, caller: FakeDialogue(),
                records=records,
                desk=FakeDesk(),
                metrics=Metrics(),
                redact=redact,
            )
            yield Loaded(services, pool, None, records.database, [], _warm)  # type: ignore[arg-type]
    finally:
        pool.close()


async def _warm() -> int:
    return 0


class Live:
    """A running server and ways to reach it."""

    def __init__(self, calls: CallServer, server: Server, address: str) -> None:
        self.calls = calls
        self.server = server
        self.address = address
        self.port = int(address.rsplit(":", 1)[1])
        self.http = httpx.AsyncClient(base_url=address, timeout=10.0, trust_env=False)

    def socket(self, path: str, **options: Any) -> connect:
        url = path if "://" in path else self.address.replace("http", "ws", 1) + path
        return connect(url, proxy=None, ping_interval=None, **options)

    def plain(self, **options: Any) -> connect:
        return self.socket("/gateways/plain", **options)

    def twilio(self, **options: Any) -> connect:
        return self.socket("/gateways/twilio", **options)

    async def counter(self, name: str, **labels: str) -> float:
        """The value of one line of /metrics; 0 where it is not there."""
        inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
        wanted = f"{name}{{{inside}}} " if inside else f"{name} "
        for line in (await self.http.get("/metrics")).text.splitlines():
            if line.startswith(wanted):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    async def faults(self, code: str) -> float:
        return await self.counter("callagent_faults_total", code=code)

    async def refused(self, code: str) -> float:
        return await self.counter("callagent_calls_refused_total", code=code)

    async def record(self, gateway_call_id: str) -> Mapping[str, Any]:
        """The finished record of a call, as the API gives it."""
        async with asyncio.timeout(10):
            while True:
                for call in (await self.http.get("/api/calls", params={"limit": 200})).json()["calls"]:
                    if call["gateway_call_id"] == gateway_call_id and call["outcome"] is not None:
                        return (await self.http.get(f"/api/calls/{call['id']}")).json()
                await asyncio.sleep(0.02)

    async def no_record(self) -> bool:
        return (await self.http.get("/api/calls")).json()["calls"] == []

    async def empty(self) -> None:
        """Wait until no call is left."""
        await eventually(lambda: not self.calls.sessions)


@asynccontextmanager
async def live(folder: Path, insecure: bool = True, **sections: Mapping[str, Any]) -> AsyncIterator[Live]:
    """Serve with `sections` of settings; patch `agent.server.load` first."""
    given: dict[str, Any] = {name: dict(section) for name, section in sections.items()}
    given["server"] = {"port": 0, "return_s": 0.3, **given.get("server", {})}
    given["records"] = {
        "database_url": f"sqlite+aiosqlite:///{folder / 'records.db'}",
        "recordings": folder / "recordings",
        **given.get("records", {}),
    }
    settings = Settings.model_validate(given)
    calls = CallServer(settings, insecure)
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = Server(calls, ready.set_result)
    running = asyncio.create_task(server.run(bind(settings, insecure)), name="server")
    await asyncio.wait((running, ready), return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    up = Live(calls, server, ready.result())
    try:
        yield up
    finally:
        await up.http.aclose()
        if not running.done():
            server.stop()
            server.stop()
        async with asyncio.timeout(30):
            await running


class Typed:
    """A caller who types: the healthy call beside which others misbehave."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def type(self, text: str) -> None:
        await self.socket.send(json.dumps({"type": "text", "text": text}))

    async def answered(self, text: str, within_s: float = 5.0) -> None:
        """Type `text` and wait until the agent's answer to it is shown."""
        await self.type(text)
        await self.shown(f"You said {text}.", within_s)

    async def shown(self, text: str, within_s: float = 5.0) -> None:
        async with asyncio.timeout(within_s):
            async for message in self.socket:
                shown = json.loads(message)
                if shown["type"] == "caption" and shown["speaker"] == "agent" and text in shown["text"]:
                    return
        raise AssertionError(f"the call ended ({self.socket.close_code}) before {text!r} was shown")

    async def stop(self) -> None:
        await self.socket.send(json.dumps({"type": "stop"}))


@asynccontextmanager
async def healthy(up: Live, name: str = "healthy", **options: Any) -> AsyncIterator[Typed]:
    """A typed call that was greeted."""
    async with up.plain(**options) as socket_:
        await socket_.send(json.dumps({**TYPED_START, "call_id": name}))
        caller = Typed(socket_)
        await caller.shown("How can I help?")
        yield caller


def start(name: str, **more: Any) -> str:
    """The start message of a plain call by voice."""
    return json.dumps({**PLAIN_START, "call_id": name, **more})


def twilio_start(call: str, **more: Any) -> str:
    """The start message of a Twilio stream MZ1."""
    body = {"streamSid": "MZ1", "callSid": call, "accountSid": "AC1", "mediaFormat": FORMAT, **more}
    return json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": body})


def media(payload: str = "/////w==") -> str:
    return json.dumps({"event": "media", "streamSid": "MZ1", "media": {"track": "inbound", "payload": payload}})


async def closed(socket_: ClientConnection, within_s: float = 8.0) -> int | None:
    """Read until the server closes; its close code."""
    async with asyncio.timeout(within_s):
        with contextlib.suppress(Exception):
            while True:
                await socket_.recv()
        await socket_.wait_closed()
    return socket_.close_code


def cut(socket_: ClientConnection) -> None:
    """Break the connection as a crash does: a reset, no close frame."""
    raw = socket_.transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    socket_.transport.abort()


async def eventually(true: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait until `true()`."""
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110 - what is waited for is often a state of the system, with no event
            await asyncio.sleep(0.01)


def coded(records: list[logging.LogRecord], code: str) -> list[logging.LogRecord]:
    """Log lines that carry `code`."""
    return [record for record in records if getattr(record, "code", None) == code]
