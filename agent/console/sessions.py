"""Who is signed in: sessions in the database, and the limits that keep passwords from being guessed."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, insert, select, update

from agent.clock import Clock
from agent.console.accounts import Person, Role
from agent.console.tables import Account, SignIn
from agent.records.database import Database
from agent.records.rows import fit

TOKEN_BYTES = 32
LONGEST_TOKEN = 64
KNOWN_MS = 3_000.0
"""How long an answer of the database is believed: within that, whoever is signed out elsewhere is out here."""
TOUCH_S = 60.0
"""A session's last use is written down this often at most."""
KEPT_DAYS = 30
"""Sessions that are over are kept this long."""
MOST_KNOWN = 5_000
MOST_SESSIONS = 10
"""Sessions of one account at a time; one more ends the oldest."""


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """How long one stays signed in, and what may be tried.

    idle_s: without use; day_s: in any case. A wrong password counts for its name and address together, for its
    address, and for its name; at `tries`, `address_tries` or `name_tries` within `window_s`, nothing more is looked at
    until that time is over. per_minute: requests of one session. lost_s: how long a broken connection of somebody who
    talks to a caller may take to come back before the caller is told. check_s: how often it is asked whether whoever
    opened a socket is still signed in. sockets: connections of one account.
    """

    idle_s: float = 3600.0
    day_s: float = 43_200.0
    tries: int = 5
    address_tries: int = 30
    name_tries: int = 50
    window_s: float = 900.0
    per_minute: int = 600
    lost_s: float = 2.0
    check_s: float = 5.0
    sockets: int = 20


@dataclass(frozen=True, slots=True)
class Signed:
    """Somebody who is signed in. csrf: what his requests that change something carry."""

    name: str
    role: Role
    language: str
    skills: tuple[str, ...]
    languages: tuple[str, ...]
    session: str
    csrf: str


class Sessions:
    """Sessions of accounts. The cookie's value is known to the browser only: the database has its SHA-256."""

    def __init__(self, database: Database, clock: Clock, settings: ConsoleSettings) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._known: OrderedDict[str, tuple[Signed, float, float]] = OrderedDict()

    async def open(self, person: Person, address: str) -> str:
        """Begin a session; the value of its cookie. Older ones beyond `MOST_SESSIONS` of the account end."""
        token, now = secrets.token_urlsafe(TOKEN_BYTES), self._clock.wall()
        row = {"id": _digest(token), "account": person.name, "address": address, "opened_at": now, "used_at": now}
        mine = (SignIn.account == person.name) & SignIn.ended_at.is_(None)
        async with self._database.engine.begin() as connection:
            await connection.execute(insert(SignIn), [fit(SignIn, row)])
            old = select(SignIn.id).where(mine).order_by(SignIn.opened_at.desc(), SignIn.id).offset(MOST_SESSIONS)
            ended = list((await connection.execute(old.limit(MOST_KNOWN))).scalars())
            await connection.execute(update(SignIn).where(SignIn.id.in_(ended)).values(ended_at=now))
            await connection.execute(delete(SignIn).where(SignIn.used_at < now - timedelta(days=KEPT_DAYS)))
        return token

    async def find(self, token: str, used: bool = True) -> Signed | None:
        """Whose cookie this is; None where it is nobody's, expired or ended. `used` puts its expiry off."""
        if not token or len(token) > LONGEST_TOKEN or not token.isascii():
            return None
        name, now_ms = _digest(token), self._clock.now_ms()
        signed, read_ms, touched_ms = self._known.get(name, (None, 0.0, float("-inf")))
        due = used and now_ms - touched_ms > TOUCH_S * 1000.0
        if signed is None or now_ms - read_ms > KNOWN_MS or due:
            signed = await self._read(name, token)
            if signed is None:
                self._known.pop(name, None)
                return None
            if due:
                await self._touch(name)
                touched_ms = now_ms
            self._known[name] = signed, now_ms, touched_ms
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        return signed

    def knows(self, token: str) -> bool:
        """Whether this cookie was somebody's a moment ago."""
        return len(token) <= LONGEST_TOKEN and token.isascii() and _digest(token) in self._known

    async def end(self, session: str) -> None:
        """End a session."""
        self._known.pop(session, None)
        mine = (SignIn.id == session) & SignIn.ended_at.is_(None)
        async with self._database.engine.begin() as connection:
            await connection.execute(update(SignIn).where(mine).values(ended_at=self._clock.wall()))

    def forget(self, account: str) -> None:
        """Ask the database again about the sessions of `account`."""
        for name in [name for name, (signed, _, _) in self._known.items() if signed.name == account]:
            del self._known[name]

    async def _read(self, name: str, token: str) -> Signed | None:
        now = self._clock.wall()
        query = (
            select(Account.name, Account.role, Account.language, Account.skills, Account.languages)
            .join(SignIn, SignIn.account == Account.name)
            .where(SignIn.id == name, SignIn.ended_at.is_(None), Account.disabled.is_(False))
            .where(SignIn.used_at > now - timedelta(seconds=self._settings.idle_s))
            .where(SignIn.opened_at > now - timedelta(seconds=self._settings.day_s))
        )
        async with self._database.engine.connect() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        csrf = hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest()
        return Signed(row.name, row.role, row.language, tuple(row.skills), tuple(row.languages), name, csrf)

    async def _touch(self, name: str) -> None:
        async with self._database.engine.begin() as connection:
            await connection.execute(update(SignIn).where(SignIn.id == name).values(used_at=self._clock.wall()))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Limit:
    """So many events a key within a time; the least recently used keys are forgotten first."""

    def __init__(self, most: int, window_s: float, clock: Clock, keys: int = 10_000) -> None:
        self._most, self._window_ms = most, window_s * 1000.0
        self._clock = clock
        self._keys = keys
        self._counted: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait_s(self, key: str) -> float:
        """How long until `key` may again; 0 where it may now."""
        since_ms, count = self._counted.get(key, (0.0, 0))
        left_ms = since_ms + self._window_ms - self._clock.now_ms()
        return left_ms / 1000.0 if count >= self._most and left_ms > 0 else 0.0

    def count(self, key: str) -> None:
        """One more event of `key`; the time runs from its first one."""
        now = self._clock.now_ms()
        since_ms, count = self._counted.pop(key, (now, 0))
        if now >= since_ms + self._window_ms:
            since_ms, count = now, 0
        self._counted[key] = since_ms, count + 1
        while len(self._counted) > self._keys:
            self._counted.popitem(last=False)

    def clear(self, key: str) -> None:
        """Forget the events of `key`."""
        self._counted.pop(key, None)


class Lockout:
    """How many wrong passwords there may be."""

    def __init__(self, settings: ConsoleSettings, clock: Clock) -> None:
        def limit(most: int) -> Limit:
            return Limit(most, settings.window_s, clock)

        self._both, self._address = limit(settings.tries), limit(settings.address_tries)
        self._name = limit(settings.name_tries)

    def wait_s(self, name: str, address: str) -> float:
        """How long until `address` may try a password of `name`; 0 where it may now."""
        both = self._both.wait_s(f"{name}\n{address}")
        return max(both, self._address.wait_s(address), self._name.wait_s(name))

    def wrong(self, name: str, address: str) -> None:
        """A password was tried. Count it before it is checked: many at once must not all pass."""
        self._both.count(f"{name}\n{address}")
        self._address.count(address)
        self._name.count(name)

    def right(self, name: str, address: str) -> None:
        """It was the right one."""
        self._both.clear(f"{name}\n{address}")
