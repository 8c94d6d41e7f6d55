"""What it costs the server to turn a connection away: the check of its proof, and the whole of a refused handshake."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import numpy as np
import uvicorn

from agent.clock import Clock, RealClock
from agent.config import Settings
from agent.door import Door, Token
from agent.gateways.auth import PathTokens
from agent.gateways.catalogue import gateways
from agent.gateways.ways import Asking, Refused
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.report import Report, Table
from agent.server import CallServer
from agent.serving import configured

AIM_US = 1000.0
"""CPU time that a refusal may take."""
CHECKS = 400
HANDSHAKES = 200
_WARM = 20
_KEY = "a-key-of-the-bench-0123456789"
_HOST = "calls.example.com"
_LIFE_S = 60.0
_LATER_S = 3600.0
_READY_S = 10.0
_UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True)
class RefusalCost:
    """CPU time of one refusal in us, median and 95th percentile. code: what it was refused with. check_us: of the proof
    alone; handshake_us: of a whole connection over a loopback socket, from its acceptance to its end."""

    what: str
    gateway: str
    code: str
    check_us: tuple[float, float]
    handshake_us: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A kind of connection that must not come in. `make` gives the path's last segment and the headers of one."""

    what: str
    gateway: str
    make: Callable[[], tuple[str, Mapping[str, str]]]


def settings_to_refuse() -> Settings:
    """A server to which nobody at all has the keys."""
    names = ("plain", "twilio", "bandwidth", "vonage", "plivo")
    keys = {name: f"user:{_KEY}" if name == "bandwidth" else _KEY for name in names}
    return Settings.model_validate(
        {
            "server": {"public_url": f"https://{_HOST}", "new_calls_per_minute": 1_000_000},
            "secrets": {"token_key": _KEY, "keys": keys},
        }
    )


def attempts(door: Door, clock: Clock) -> list[Attempt]:
    """Connections that are refused, of each kind of proof: none, wrong, expired and used before."""
    now_s = clock.wall().timestamp()
    used_jwt = _jwt(now_s, _KEY)
    used = door.issue(Token("c-bench", "plain", None)) or ""
    door.redeem(used, "plain")
    old = PathTokens(_KEY, _Earlier()).issue("c-bench\nplain\n")
    foreign = PathTokens(_KEY[::-1], clock).issue("c-bench\nplain\n")
    nonce = {"x-plivo-signature-v3-nonce": "1", "x-plivo-signature-v3": base64.b64encode(bytes(32)).decode()}
    basic = base64.b64encode(b"user:wrong").decode()

    def bears(scheme: str, text: str) -> Callable[[], tuple[str, Mapping[str, str]]]:
        return lambda: ("", {"authorization": f"{scheme} {text}"})

    return [
        Attempt("no proof", "twilio", lambda: ("", {})),
        Attempt("wrong bearer token", "plain", bears("Bearer", "wrong")),
        Attempt("wrong password", "bandwidth", bears("Basic", basic)),
        Attempt(
            "wrong signature", "twilio", lambda: ("", {"x-twilio-signature": base64.b64encode(bytes(20)).decode()})
        ),
        Attempt("wrong V3 signature", "plivo", lambda: ("", nonce)),
        Attempt("JWT of another key", "vonage", lambda: ("", _bearer(_jwt(now_s, _KEY[::-1])))),
        Attempt("expired JWT", "vonage", lambda: ("", _bearer(_jwt(now_s - _LATER_S, _KEY)))),
        Attempt("JWT used before", "vonage", bears("Bearer", used_jwt)),
        Attempt("path token of another key", "plain", lambda: (foreign, {})),
        Attempt("expired path token", "plain", lambda: (old, {})),
        Attempt("path token used before", "plain", lambda: (used, {})),
    ]


class _Earlier(RealClock):
    """The machine's clock, an hour slow."""

    def wall(self) -> datetime:
        return super().wall() - timedelta(seconds=_LATER_S)


def refusal_costs(clock: Clock, checks: int = CHECKS, handshakes: int = HANDSHAKES) -> list[RefusalCost]:
    """Have each kind of `attempts` refused so many times, by the door alone and over a loopback socket.

    Raises:
        MeasureFailed: one was let in, or the server does not answer.
    """
    calls = CallServer(settings_to_refuse(), clock=clock)
    logs = logging.getLogger("agent")
    before, logs.level = logs.level, logging.CRITICAL
    try:
        with _served(calls) as (port, thread):
            return [_cost(calls.door, port, thread, one, checks, handshakes) for one in attempts(calls.door, clock)]
    finally:
        logs.level = before


def _cost(
    door: Door, port: int, thread: threading.Thread, attempt: Attempt, checks: int, handshakes: int
) -> RefusalCost:
    took: list[float] = []
    code = ""
    for n in range(checks + _WARM):
        token, headers = attempt.make()
        began = time.thread_time_ns()
        code = _checked(door, attempt.gateway, token, headers)
        if n >= _WARM:
            took.append((time.thread_time_ns() - began) / 1000.0)
    if not code:
        raise MeasureFailed(f"a connection with {attempt.what} was let in by gateway {attempt.gateway}")
    spent: list[float] = []
    for n in range(handshakes + _WARM):
        token, headers = attempt.make()
        began_s = time.clock_gettime(time.pthread_getcpuclockid(thread.ident or 0))
        status = _handshake(port, attempt.gateway, token, headers)
        if n >= _WARM:
            spent.append((time.clock_gettime(time.pthread_getcpuclockid(thread.ident or 0)) - began_s) * 1e6)
            if status != _UNAUTHORIZED:
                raise MeasureFailed(f"a connection with {attempt.what} was answered with {status}")
    return RefusalCost(attempt.what, attempt.gateway, code, _spread(took), _spread(spent))


def _checked(door: Door, name: str, token: str, headers: Mapping[str, str]) -> str:
    """The code it is refused with; empty where it is let in."""
    if token:
        redeemed = door.redeem(token, name)
        return redeemed.code if isinstance(redeemed, Refused) else ""
    path = f"/gateways/{name}"
    verdict = door.check(gateways()[name], Asking(name, path, headers, {}, path, door.url(path, "wss"), door.authority))
    return verdict.code if isinstance(verdict, Refused) else ""


def _handshake(port: int, name: str, token: str, headers: Mapping[str, str]) -> int:
    """Ask for a websocket and read the answer to its end; its status."""
    lines = [
        f"GET /gateways/{name}{'/' if token else ''}{token} HTTP/1.1",
        f"Host: {_HOST}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(secrets.token_bytes(16)).decode()}",
        "Sec-WebSocket-Version: 13",
        *(f"{header}: {value}" for header, value in headers.items()),
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=_READY_S) as line:
        line.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = b""
        while part := line.recv(4096):
            answer += part
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


@contextmanager
def _served(calls: CallServer) -> Iterator[tuple[int, threading.Thread]]:
    """The application of `calls`, without models, on a loopback port, in a thread of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    server = uvicorn.Server(configured(calls))
    thread = threading.Thread(target=lambda: server.run(sockets=[listening]), name="refusing", daemon=True)
    thread.start()
    try:
        until = time.monotonic() + _READY_S
        while not server.started:
            if time.monotonic() > until or not thread.is_alive():
                raise MeasureFailed("the server that is to refuse did not start")
            time.sleep(0.01)
        yield listening.getsockname()[1], thread
    finally:
        server.should_exit = True
        thread.join(timeout=_READY_S)
        listening.close()


def _jwt(issued_s: float, key: str) -> str:
    claims = {"iat": int(issued_s), "exp": int(issued_s + _LIFE_S), "jti": secrets.token_hex(8)}
    signed = ".".join(_written(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{signed}.{_written(hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest())}"


def _bearer(token: str) -> Mapping[str, str]:
    return {"authorization": f"Bearer {token}"}


def _written(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _spread(values: Sequence[float]) -> tuple[float, float]:
    median, p95 = np.percentile(values, (50, 95))
    return round(float(median), 1), round(float(p95), 1)


def report(costs: Sequence[RefusalCost], command: str) -> Report:
    """The report on what was refused."""
    columns = ("proof", "gateway", "refused with", "check", "p95", "whole handshake", "p95")
    rows = tuple(
        (
            cost.what,
            cost.gateway,
            cost.code,
            *(f"{value:.0f}" for pair in (cost.check_us, cost.handshake_us) for value in pair),
        )
        for cost in costs
    )
    worst = max(costs, key=lambda cost: cost.handshake_us[0])
    verdict = "under" if worst.handshake_us[0] < AIM_US else "over"
    notes = (
        f"The dearest is '{worst.what}': {worst.handshake_us[0]:.0f} us, {verdict} {AIM_US:.0f} us.",
        "CPU time of the server's thread, from the accepted connection to its end.",
    )
    table = Table("CPU time of a refusal, us", columns, rows)
    return Report("refusal", command, (table,), {"refusals": [asdict(cost) for cost in costs]}, notes)
