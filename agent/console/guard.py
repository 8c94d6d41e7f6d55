"""Who may do what at the console: sessions, roles, origins, tokens against forged requests, and rates. Fails closed."""

from __future__ import annotations

import hmac
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from fastapi.requests import HTTPConnection
from sqlalchemy.exc import SQLAlchemyError

from agent.clock import Clock
from agent.config import Settings
from agent.console.accounts import ROLES, Accounts, Role
from agent.console.backend import Backend
from agent.console.parts import Parts
from agent.console.passwords import Passwords
from agent.console.sessions import ConsoleSettings, Limit, Lockout, Sessions, Signed
from agent.records.audit import AuditTrail
from agent.records.database import Database

COOKIE = "callagent_session"
CSRF = "X-CSRF-Token"
SAFE = frozenset({"GET", "HEAD"})
STRANGERS = 120
"""Requests of one address within a minute whose cookie is nobody's."""
TRIES = 120
"""Passwords that are checked within a minute, whoever asks: an eighth of one core, the rest is for calls."""
TAKEN = "call_taken"
"""What the audit trail says of somebody who got a call."""

log = logging.getLogger(__name__)


class Refused(HTTPException):
    """A request that is not let through; `code` is for programs."""

    def __init__(self, status: int, code: str, detail: str, wait_s: float | None = None) -> None:
        headers = {} if wait_s is None else {"Retry-After": str(max(1, round(wait_s + 0.5)))}
        super().__init__(status, detail, headers)
        self.code = code


class Guard:
    """Lets requests and sockets of the console in, or raises `Refused`."""

    def __init__(
        self, backend: Backend, parts: Parts, settings: ConsoleSettings, passwords: Passwords | None = None
    ) -> None:
        self._backend = backend
        self._parts = parts
        self.limits = settings
        self.clock: Clock = backend.clock
        self._passwords = passwords or Passwords()
        self.lockout = Lockout(settings, self.clock)
        self._rate = Limit(settings.per_minute, 60.0, self.clock)
        self._strangers = Limit(STRANGERS, 60.0, self.clock)
        self.tries = Limit(TRIES, 60.0, self.clock)
        """Passwords that are looked at, of all together, under one key."""
        self._made: tuple[Database, Accounts, Sessions, AuditTrail] | None = None
        self._sockets: dict[str, int] = {}

    @property
    def settings(self) -> Settings:
        """The server's settings."""
        return self._backend.settings

    @property
    def database(self) -> Database:
        """The records database.

        Raises:
            Refused: the server is not ready.
        """
        return self._parts_of()[0]

    @property
    def accounts(self) -> Accounts:
        """Who may sign in. Raises as `database`."""
        return self._parts_of()[1]

    @property
    def sessions(self) -> Sessions:
        """Who is signed in. Raises as `database`."""
        return self._parts_of()[2]

    @property
    def trail(self) -> AuditTrail:
        """Who did what. Raises as `database`."""
        return self._parts_of()[3]

    def role(self, least: Role) -> Callable[[Request], Awaitable[Signed]]:
        """A dependency for FastAPI: who asks, if he is signed in and at least a `least`."""

        async def asks(request: Request) -> Signed:
            return await self.let_in(request, least, changing=request.method not in SAFE)

        return asks

    async def let_in(self, asking: HTTPConnection, least: Role, changing: bool) -> Signed:
        """Who asks. `changing`: it is a request that changes something, and carries the proof that our page made it.

        Raises:
            Refused: 401 nobody is signed in, 403 not his to do or not our page, 429 too often.
        """
        if changing:
            self.check_origin(asking)
        elif asking.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Refused(403, "origin", "this is answered to the console's own page only")
        signed = await self._signed(asking)
        if changing and not hmac.compare_digest(asking.headers.get(CSRF, "").encode(), signed.csrf.encode()):
            raise Refused(403, "csrf", f"send the header {CSRF} with the value that /console/api/me gives")
        self._count(signed)
        require(signed, least)
        return signed

    async def let_in_socket(self, asking: HTTPConnection) -> Signed:
        """Who opens a websocket; only our page may. Call `leave_socket` when it is over.

        Raises:
            Refused: as `let_in`; 429 where he has too many open.
        """
        self.check_origin(asking)
        signed = await self._signed(asking)
        self._count(signed)
        if self._sockets.get(signed.name, 0) >= self.limits.sockets:
            raise Refused(429, "too_many_sockets", f"{self.limits.sockets} connections are open; close a page", 5.0)
        self._sockets[signed.name] = self._sockets.get(signed.name, 0) + 1
        return signed

    def leave_socket(self, signed: Signed) -> None:
        """A websocket is over."""
        left = self._sockets.get(signed.name, 0) - 1
        if left > 0:
            self._sockets[signed.name] = left
        else:
            self._sockets.pop(signed.name, None)

    async def still(self, asking: HTTPConnection, used: bool) -> Signed | None:
        """Who the session of an open socket belongs to by now; None where it is over or the server is stopping."""
        try:
            return await self.sessions.find(asking.cookies.get(COOKIE, ""), used)
        except (Refused, SQLAlchemyError, OSError):
            return None

    async def may_see(self, signed: Signed, call_id: str) -> bool:
        """Whether a call is his to see: supervisors see all, agents those that wait and those they have or had."""
        if at_least(signed.role, "supervisor") or self._parts.may_see(signed.name, call_id):
            return True
        control = self._backend.control(call_id)
        if control is not None and free_for(control.state(), signed.name):
            return True
        return bool(await self.trail.entries(1, who=signed.name, what=TAKEN, about=call_id[:128]))

    async def audit(self, who: str, what: str, about: str, data: Mapping[str, Any] | None = None) -> None:
        """Write into the audit trail, before it is done.

        Raises:
            Refused: 503 it could not be written; it must not be done then.
        """
        try:
            await self.trail.append(who, what, about, data)
        except (SQLAlchemyError, OSError, ValueError) as error:
            log.error("the audit trail did not take %s: %s", what, type(error).__name__, extra={"code": "no_audit"})
            raise Refused(503, "no_audit", "the audit trail cannot be written, so this is not done") from error

    def check_origin(self, asking: HTTPConnection) -> None:
        """Only a page of ours may ask this.

        Raises:
            Refused: the request has no origin, or another's.
        """
        origin = asking.headers.get("origin", "")
        if not self.ours(origin, asking) or asking.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise Refused(403, "origin", "the request comes from another page; use the console's own address")

    def ours(self, origin: str, asking: HTTPConnection) -> bool:
        """Whether a page of `origin` is the console's."""
        scheme, separator, host = origin.lower().partition("://")
        if not separator or scheme not in ("http", "https"):
            return False
        if scheme == "https" and host == self._public_host():
            return True
        # A proxy in front may end TLS without saying so: a page over https is then one of ours over http here.
        secure = asking.url.scheme in ("https", "wss")
        return host == asking.headers.get("host", "").lower() != "" and (scheme == "https" or not secure)

    def secure(self, asking: HTTPConnection) -> bool:
        """Whether the browser came by TLS, so that its cookie must not go any other way."""
        return asking.url.scheme in ("https", "wss") or asking.headers.get("origin", "").startswith("https://")

    def check_transport(self, asking: HTTPConnection) -> None:
        """A password must not travel in the clear, except within this machine.

        Raises:
            Refused: it would.
        """
        if not self.secure(asking) and not _on_this_machine(address_of(asking)):
            raise Refused(403, "no_tls", "sign in over https: set server.tls_cert and tls_key, or a proxy with TLS")

    def _public_host(self) -> str | None:
        base = self.settings.server.public_url
        return None if base is None else urlsplit(base).netloc.lower().removesuffix(":443")

    async def _signed(self, asking: HTTPConnection) -> Signed:
        """Whose session it is. Addresses that send cookies of no session are looked up so often only."""
        token, address = asking.cookies.get(COOKIE, ""), address_of(asking)
        wait_s = self._strangers.wait_s(address)
        if token and wait_s and not self.sessions.knows(token):
            raise Refused(429, "too_often", "too many requests that are not signed in; wait", wait_s)
        signed = await self.sessions.find(token)
        if signed is None:
            if token:
                self._strangers.count(address)
            raise Refused(401, "signed_out", "sign in first")
        return signed

    def _count(self, signed: Signed) -> None:
        wait_s = self._rate.wait_s(signed.session)
        if wait_s:
            raise Refused(429, "too_often", f"more than {self.limits.per_minute} requests in a minute; wait", wait_s)
        self._rate.count(signed.session)

    def _parts_of(self) -> tuple[Database, Accounts, Sessions, AuditTrail]:
        database = self._backend.database
        if database is None:
            raise Refused(503, "not_ready", "the server is not ready; try again in a moment", 5.0)
        if self._made is None or self._made[0] is not database:
            accounts = Accounts(database, self._passwords, self.clock)
            sessions = Sessions(database, self.clock, self.limits)
            trail = self._backend.trail or AuditTrail(database, self.clock)
            self._made = database, accounts, sessions, trail
        return self._made


def at_least(role: Role, least: Role) -> bool:
    """Whether `role` may all that `least` may."""
    return ROLES.index(role) >= ROLES.index(least)


def free_for(state: Mapping[str, Any], who: str) -> bool:
    """Whether an agent may look at a call, by its state: it waits, or it is his."""
    return state.get("with") == "queue" or state.get("human") == who


def require(signed: Signed, least: Role) -> None:
    """Let through who is at least a `least`.

    Raises:
        Refused: `signed` is less.
    """
    if not at_least(signed.role, least):
        raise Refused(403, "role", f"this needs the role {least}; you are {signed.role}")


def address_of(asking: HTTPConnection) -> str:
    """The address that asks."""
    return asking.client.host if asking.client is not None else "nowhere"


def _on_this_machine(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
