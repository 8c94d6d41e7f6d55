"""Callers that stop reading: what waits for them at the server, and what memory that takes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.clock import Clock
from agent.lab.idle_bench import client_frame
from agent.lab.measuring.machine import MeasureFailed, memory_of
from agent.lab.measuring.report import Progress, Report, Table
from agent.lab.measuring.server import MeasuredServer
from agent.lab.plain_client import PlainClient

AIM_MB = 2.0
"""Memory that one of them may take."""
CALLERS = 10
READ_BYTES = 4096
"""Receive buffer of such a caller; what the kernel queues for him is seen in /proc/net/tcp."""
ASKS_EVERY_S = 2.0
QUESTIONS = ("where is my order", "what does shipping cost", "how can I return something")
WARM_S = 12.0
"""How long the calls are read before they are not, so that what every call takes has been taken."""
SAMPLE_S = 0.1
_PROC_TCP = Path("/proc/net/tcp")


@dataclass(frozen=True, slots=True)
class SlowFound:
    """What was seen. grown_mb: resident memory that the server took on at most, by call. kernel_kb: the most bytes that
    the kernel had queued for one of them. ended: how many calls the server had ended by the end of it.
    """

    callers: int
    seconds: float
    grown_mb: float
    kernel_kb: float
    ended: int


async def slow_readers(
    server: MeasuredServer, clock: Clock, progress: Progress, callers: int = CALLERS, seconds: float = 30.0
) -> SlowFound:
    """Have `callers` ask at 16 kHz without reading the answers, and watch the server for so many seconds.

    Raises:
        MeasureFailed: they cannot call.
    """
    host, port = server.url.removeprefix("http://").rsplit(":", 1)
    lines = [await _call(host, int(port)) for _ in range(callers)]
    try:
        reading = [asyncio.create_task(_read(line)) for line in lines]
        await _ask(lines, clock, WARM_S, lambda done: progress(done, WARM_S + seconds, "reading"))
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        before = memory_of(server.pid).now_mb
        most, queued = before, 0

        def watch(done: float) -> None:
            nonlocal most, queued
            progress(WARM_S + done, WARM_S + seconds, "not reading")
            most = max(most, memory_of(server.pid).now_mb)
            queued = max(queued, queued_bytes(int(port)))

        await _ask(lines, clock, seconds, watch)
        ended = callers - int((await server.http.get("/ready")).json()["calls"])
    finally:
        for line in lines:
            line.close()
    return SlowFound(callers, seconds, round((most - before) / callers, 2), round(queued / 1000.0, 1), ended)


async def _call(host: str, port: int) -> socket.socket:
    """An upgraded connection whose call has begun."""
    loop = asyncio.get_running_loop()
    line = socket.socket()
    line.setblocking(False)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_BYTES)
    await loop.sock_connect(line, (host, port))
    request = (
        f"GET /gateways/plain HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await loop.sock_sendall(line, request.encode())
    answer = await loop.sock_recv(line, READ_BYTES)
    if b" 101 " not in answer.split(b"\r\n", 1)[0]:
        line.close()
        raise MeasureFailed(f"the server does not take the call: {answer[:60]!r}; see its log")
    client = PlainClient(16_000, mode="text", call=f"slow-{secrets.token_hex(4)}")
    for message in client.opening():
        await loop.sock_sendall(line, client_frame(message))
    return line


async def _read(line: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while await loop.sock_recv(line, 1 << 16):
        pass


async def _ask(lines: Sequence[socket.socket], clock: Clock, seconds: float, watch: Callable[[float], None]) -> None:
    """Ask every `ASKS_EVERY_S`, one question after the other, and `watch` meanwhile."""
    began, asked = clock.now_ms(), 0
    while (done := (clock.now_ms() - began) / 1000.0) < seconds:
        if done >= asked * ASKS_EVERY_S:
            question = client_frame(json.dumps({"type": "text", "text": QUESTIONS[asked % len(QUESTIONS)]}))
            for line in lines:
                _try_to_send(line, question)
            asked += 1
        watch(done)
        await clock.sleep_until(clock.now_ms() + SAMPLE_S * 1000.0)


def _try_to_send(line: socket.socket, data: bytes) -> None:
    """Send a short message; a caller whose connection is over, or full, says nothing."""
    with contextlib.suppress(OSError):
        line.send(data)


def queued_bytes(port: int, table: str | None = None) -> int:
    """The most bytes that wait in the kernel for one peer of local `port`, from /proc/net/tcp; 0 without one."""
    if table is None:
        table = _PROC_TCP.read_text(encoding="ascii") if _PROC_TCP.exists() else ""
    found = [0]
    for row in table.splitlines()[1:]:
        fields = row.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            found.append(int(fields[4].partition(":")[0], 16))
    return max(found)


def report(found: SlowFound, command: str) -> Report:
    """The report on them."""
    row = (
        str(found.callers),
        f"{found.seconds:g}",
        f"{found.grown_mb:.2f}",
        f"{found.kernel_kb:.0f}",
        str(found.ended),
    )
    columns = ("calls that are not read", "seconds", "server MB a call", "kernel kB a call", "ended by the server")
    verdict = "within" if found.grown_mb <= AIM_MB else "over"
    notes = (f"A slow reader took {found.grown_mb:.2f} MB, {verdict} {AIM_MB:g} MB.",)
    return Report("slow", command, (Table("Calls that are not read", columns, (row,)),), asdict(found), notes)
