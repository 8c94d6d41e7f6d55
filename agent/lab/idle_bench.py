"""Idle media streams: many calls at a time in which nobody speaks, sent to a server that has one core."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import os
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from websockets import Subprotocol
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from agent.clock import Clock
from agent.frames import BINARY, TEXT
from agent.lab.bench import server_load
from agent.lab.callers.catalogue import GatewayCaller, Who
from agent.lab.line import FRAME_MS, Cleared, Heard, Left, Marked, Messages, Respond, Wrong
from agent.lab.measuring.machine import MeasureFailed, memory_of
from agent.lab.measuring.report import Progress, Report, Table, figure, spread
from agent.lab.measuring.server import MeasuredServer, measured_server
from audio.codec import Pcm16

try:
    from websockets.speedups import apply_mask
except ImportError:  # its wheel for this platform has no compiled part
    from websockets.utils import apply_mask

LAG_MS = 10.0
"""p95 lag of the server's event loop up to which the streams are held; audio is due every 20 ms."""
QUIET_S = 2.0
"""How long all agents have been silent before measuring begins."""
GREETING_S = 30.0
"""Longest wait for that."""
REPROMPT_MS = 3_600_000.0
"""Nobody is asked whether he is still there."""
NOISE_FRAMES = 64
"""Different frames of line noise, over and over."""
POLL_S = 0.1
_WHO = Who("+15555550143", "+15555550100")
_MOST_WHYS = 5


@dataclass(frozen=True, slots=True)
class IdlePlan:
    """streams: calls at a time, begun `per_s` a second. seconds: measured, with all of them up and silent.

    noise_dbfs: level of the line's noise; None for digital silence, which is what most carriers send.
    """

    gateway: str = "twilio"
    streams: int = 200
    seconds: float = 20.0
    per_s: float = 5.0
    noise_dbfs: float | None = None
    seed: int = 0

    @property
    def line(self) -> str:
        """What the callers send."""
        return "silence" if self.noise_dbfs is None else f"noise {self.noise_dbfs:g} dBFS"


@dataclass(frozen=True)
class IdleFound:
    """What was seen. up: calls at the end of it. late_ms: how late the callers themselves sent, a spread.

    server: as `agent.lab.bench.server_load` gives it. rss_per_call_mb: resident memory of the server that one more
    stream took. wrongs: how calls ended or broke the protocol, each once.
    """

    plan: IdlePlan
    up: int
    late_ms: Mapping[str, float]
    caller_cpu: float
    server: Mapping[str, Any] | None
    rss_per_call_mb: float
    load_average: float
    wrongs: tuple[str, ...] = field(default=())

    @property
    def held(self) -> bool:
        """Whether all streams are up and the server's loop is in time."""
        lag = self.server["loop_lag_ms"].get("p95", float("inf")) if self.server is not None else float("inf")
        return self.up == self.plan.streams and lag <= LAG_MS


def client_frame(message: str | bytes) -> bytes:
    """A whole websocket frame of a client, masked; of a message shorter than 65,536 bytes."""
    opcode, payload = (TEXT, message.encode()) if isinstance(message, str) else (BINARY, message)
    mask, length = secrets.token_bytes(4), len(payload)
    short = length < 126
    head = bytes((0x80 | opcode, 0x80 | (length if short else 126))) + (b"" if short else length.to_bytes(2, "big"))
    return head + mask + apply_mask(payload, mask)


def line_noise(rate: int, dbfs: float, seed: int) -> list[Pcm16]:
    """Frames of 20 ms of white noise of that RMS level below full scale."""
    level = 32768.0 * 10 ** (dbfs / 20)
    samples = np.random.default_rng(seed).normal(0.0, level, NOISE_FRAMES * rate * FRAME_MS // 1000)
    return list(np.rint(samples).clip(-32768, 32767).astype(np.int16).reshape(NOISE_FRAMES, -1))


class IdleCaller:
    """One silent caller: sends what its gateway sends of `frames`, in turn, and returns marks when they were played."""

    def __init__(self, simulated: GatewayCaller, frames: Sequence[Pcm16], clock: Clock) -> None:
        self._protocol = simulated.new(_WHO)
        self._frames = frames
        self._clock = clock
        self._sent = 0
        self._socket: ClientConnection | None = None
        self._marks: deque[tuple[float, str]] = deque()
        self.plays_until_ms = clock.now_ms()
        """When what came so far will have been played, in ms of the clock."""
        self.greeted = False
        self.ended: str | None = None
        self.wrongs: list[str] = []

    @property
    def quiet(self) -> bool:
        """Whether the agent has greeted and been silent since, for `QUIET_S`."""
        return self.greeted and self._clock.now_ms() - self.plays_until_ms > QUIET_S * 1000.0

    async def run(self, url: str, subprotocols: Sequence[str], headers: Mapping[str, str]) -> None:
        """Call, and listen until the call is over."""
        try:
            async with connect(
                url,
                subprotocols=[Subprotocol(name) for name in subprotocols] or None,
                additional_headers=headers,
                compression=None,
                ping_interval=None,
                proxy=None,
                open_timeout=10.0,
                close_timeout=1.0,
            ) as socket:
                self._socket = socket
                self._write(self._protocol.opening())
                async for message in socket:
                    self._take(message)
        except (OSError, InvalidHandshake, TimeoutError, ConnectionClosed) as error:
            self.ended = self.ended or f"{type(error).__name__}: {error}"
        finally:
            self.ended = self.ended or "closed"

    @property
    def up(self) -> bool:
        """Whether it can send now."""
        return self._socket is not None and self.ended is None

    def send(self) -> None:
        """Send the next 20 ms, and the marks that were played by now."""
        self._write(self._protocol.voice(self._frames[self._sent % len(self._frames)]))
        self._sent += 1
        while self._marks and self._marks[0][0] <= self._clock.now_ms():
            self._write(self._protocol.played(self._marks.popleft()[1]))

    def hang_up(self) -> None:
        """Say goodbye in the gateway's way."""
        if self.up:
            self._write(self._protocol.closing())
            self.ended = "hung_up"

    def _write(self, messages: Messages) -> None:
        if self._socket is not None:
            for message in messages:
                self._socket.transport.write(client_frame(message))

    def _take(self, message: str | bytes) -> None:
        for event in self._protocol.receive(message):
            match event:
                case Heard(samples):
                    from_ms = max(self._clock.now_ms(), self.plays_until_ms)
                    self.plays_until_ms = from_ms + len(samples) * 1000.0 / self._protocol.rate
                    self.greeted = True
                case Marked(name):
                    self._marks.append((self.plays_until_ms, name))
                case Cleared():
                    while self._marks:
                        self._write(self._protocol.cleared(self._marks.popleft()[1]))
                    self.plays_until_ms = self._clock.now_ms()
                case Respond(messages):
                    self._write(messages)
                case Left(reason):
                    self.ended = f"agent:{reason}"
                case Wrong(detail):
                    self.wrongs.append(detail)
                case _:
                    pass


class IdleLoad:
    """The callers of a plan. `run` begins them one after the other and sends for all, until it is cancelled."""

    def __init__(self, simulated: GatewayCaller, url: str, plan: IdlePlan, clock: Clock) -> None:
        rate = simulated.new(_WHO).rate
        silence = [np.zeros(rate * FRAME_MS // 1000, dtype=np.int16)]
        frames = silence if plan.noise_dbfs is None else line_noise(rate, plan.noise_dbfs, plan.seed)
        self._simulated = simulated
        self._url = url
        self._plan = plan
        self._clock = clock
        self.callers = [IdleCaller(simulated, frames, clock) for _ in range(plan.streams)]
        self.late_ms: list[float] = []
        """How late each message since the last `clear` left, in ms."""

    @property
    def up(self) -> int:
        """Calls that are up."""
        return sum(caller.up for caller in self.callers)

    @property
    def quiet(self) -> bool:
        """Whether every call that is not over has been greeted and is silent."""
        return all(caller.quiet or caller.ended is not None for caller in self.callers)

    async def run(self) -> None:
        """Call and send; the sockets end with it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._call(group), name="idle-calls")
            group.create_task(self._send(), name="idle-send")

    async def _call(self, group: asyncio.TaskGroup) -> None:
        began = self._clock.now_ms()
        for n, caller in enumerate(self.callers):
            await self._clock.sleep_until(began + n * 1000.0 / self._plan.per_s)
            simulated = self._simulated
            group.create_task(caller.run(self._url, simulated.subprotocols, simulated.headers), name=f"idle-{n}")

    async def _send(self) -> None:
        """One task sends for all: each stream every 20 ms, the streams spread evenly over them."""
        clock, began = self._clock, self._clock.now_ms()
        due = [(began + n * FRAME_MS / len(self.callers), n) for n in range(len(self.callers))]
        while True:
            at, n = due[0]
            now = clock.now_ms()
            if now < at:
                await clock.sleep_until(at)
                continue
            caller = self.callers[n]
            if caller.up:
                caller.send()
                self.late_ms.append(now - at)
            heapq.heapreplace(due, (at + FRAME_MS, n))


async def idle_bench(
    server: MeasuredServer, simulated: GatewayCaller, plan: IdlePlan, clock: Clock, progress: Progress
) -> IdleFound:
    """Hold the streams of `plan` against `server`, and say how it fared.

    Raises:
        MeasureFailed: no call came about.
    """
    query = f"?{simulated.query}" if simulated.query else ""
    url = f"{server.url.replace('http', 'ws', 1)}/gateways/{plan.gateway}{query}"
    load = IdleLoad(simulated, url, plan, clock)
    rss = memory_of(server.pid).now_mb
    running = asyncio.create_task(load.run(), name="idle-load")
    whole_s = plan.streams / plan.per_s + plan.seconds
    began = clock.now_ms()

    async def pass_time(until_ms: float, what: str) -> None:
        while (now := clock.now_ms()) < until_ms:
            progress(min(whole_s, (now - began) / 1000.0), whole_s, what)
            if running.done():
                running.result()
            await clock.sleep_until(min(until_ms, now + POLL_S * 1000.0))

    try:
        await pass_time(began + plan.streams * 1000.0 / plan.per_s, "calling")
        until = clock.now_ms() + GREETING_S * 1000.0
        while not load.quiet and clock.now_ms() < until:
            await pass_time(clock.now_ms() + POLL_S * 1000.0, "greetings")
        if not load.up:
            raise MeasureFailed(f"no call could be held: {'; '.join(_whys(load))}")
        before, cpu_s, from_ms = await _asked(server.http, 1.0), time.process_time(), clock.now_ms()
        load.late_ms.clear()
        await pass_time(from_ms + plan.seconds * 1000.0, f"{load.up} silent calls")
        after, cpu_s = await _asked(server.http, plan.seconds), time.process_time() - cpu_s
        up, late, seconds = load.up, spread(load.late_ms), (clock.now_ms() - from_ms) / 1000.0
        grown = memory_of(server.pid).now_mb - rss
        found = IdleFound(
            plan,
            up,
            late,
            round(cpu_s / seconds, 2),
            server_load(before, after),
            round(grown / max(1, up), 2),
            round(os.getloadavg()[0], 2),
            tuple(_whys(load)),
        )
        for caller in load.callers:
            caller.hang_up()
        await clock.sleep_until(clock.now_ms() + 500.0)
        return found
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@contextlib.asynccontextmanager
async def server_on_one_core(
    folder: Path, clock: Clock, config: Path | None, plan: IdlePlan
) -> AsyncIterator[MeasuredServer]:
    """A server for `plan` on the last core this process may use, and this process on the others while it runs."""
    changes: dict[str, Any] = {
        "floor": {"reprompt_ms": REPROMPT_MS},
        "server": {"new_calls_per_minute": max(600, 2 * plan.streams)},
    }
    with own_cores() as core:
        async with measured_server(folder, clock, config, changes, calls=plan.streams, core=core) as server:
            yield server


@contextlib.contextmanager
def own_cores() -> Iterator[int | None]:
    """Gives the core set aside for the server and keeps this thread off it; None where cores cannot be chosen."""
    if not hasattr(os, "sched_getaffinity"):
        yield None
        return
    allowed = os.sched_getaffinity(0)
    core = max(allowed)
    others = allowed - {core}
    if others:
        os.sched_setaffinity(0, others)
    try:
        yield core
    finally:
        os.sched_setaffinity(0, allowed)


async def _asked(http: httpx.AsyncClient, last_s: float) -> Mapping[str, Any] | None:
    try:
        answer = await http.get("/api/load", params={"last_s": min(60.0, last_s)})
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise MeasureFailed(f"the server does not tell its load: {error}; see its log") from error
    found: Mapping[str, Any] = answer.json()
    return found


def _whys(load: IdleLoad) -> list[str]:
    ended = [caller.ended for caller in load.callers if caller.ended is not None]
    wrong = [wrong for caller in load.callers for wrong in caller.wrongs]
    return list(dict.fromkeys([*ended, *wrong]))[:_MOST_WHYS]


def report(found: Sequence[IdleFound], command: str) -> Report:
    """The report on some runs."""
    columns = (
        "streams",
        "line",
        "up",
        "loop lag p50",
        "p95",
        "most",
        "server cores",
        "MB a call",
        "sent late p95",
        "caller cores",
        f"lag p95 <= {LAG_MS:.0f} ms",
    )
    rows = tuple(_row(one) for one in found)
    table = Table("Idle streams on one core; times in ms", columns, rows)
    notes = [f"{one.plan.streams} streams: {'; '.join(one.wrongs)}" for one in found if one.wrongs]
    loads = ", ".join(f"{one.load_average:g}" for one in found)
    notes.append(f"Load average of the machine at the end, the bench itself included: {loads}.")
    figures = {"runs": [_document(one) for one in found]}
    return Report("idle", command, (table,), figures, tuple(notes))


def _row(found: IdleFound) -> tuple[str, ...]:
    plan, server = found.plan, found.server
    lag = server["loop_lag_ms"] if server is not None else {}
    return (
        str(plan.streams),
        plan.line,
        str(found.up),
        *(f"{lag[name]:.1f}" if name in lag else "-" for name in ("p50", "p95", "most")),
        "-" if server is None else f"{server['cpu']:.2f}",
        f"{found.rss_per_call_mb:.2f}",
        figure(found.late_ms, "p95"),
        f"{found.caller_cpu:.2f}",
        "yes" if found.held else "no",
    )


def _document(found: IdleFound) -> dict[str, Any]:
    plan = found.plan
    return {
        "gateway": plan.gateway,
        "streams": plan.streams,
        "seconds": plan.seconds,
        "noise_dbfs": plan.noise_dbfs,
        "seed": plan.seed,
        "up": found.up,
        "held": found.held,
        "late_ms": dict(found.late_ms),
        "caller_cpu": found.caller_cpu,
        "rss_per_call_mb": found.rss_per_call_mb,
        "load_average": found.load_average,
        "server": None if found.server is None else dict(found.server),
        "wrongs": list(found.wrongs),
    }
