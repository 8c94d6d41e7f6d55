"""The audit trail: who did what with which call, in a chain of hashes that shows what was changed or taken out."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import random
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, String, Text, func, insert, select
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Mapped, mapped_column

from agent.clock import Clock
from agent.records.database import Base, Database, UtcDateTime
from agent.records.redaction import redact_json

FIRST = "0" * 64
"""What stands for the row before the first."""
KEY = "CALLAGENT_AUDIT_KEY"
TRIES = 20
"""How often a row is tried where other processes append at the same time."""
BATCH = 1000
"""Rows read at a time."""
MOST_DATA = 16_000
"""Characters of a row's data."""
IDS = ("handoff", "picture")
"""Fields of a row's data that are ids."""
_ID = re.compile(r"[a-z]-[0-9a-f]{16}")
_LENGTHS = {"who": 128, "what": 64, "about": 128}


class AuditEntry(Base):
    """One row of the trail. `data` is JSON text and not a JSON column: the hash needs the very characters."""

    __tablename__ = "audit_trail"

    sequence: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    who: Mapped[str] = mapped_column(String(128), index=True)
    what: Mapped[str] = mapped_column(String(64), index=True)
    about: Mapped[str] = mapped_column(String(128), index=True)
    data: Mapped[str] = mapped_column(Text)
    previous: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the trail as it is read; `data` is JSON-ready."""

    sequence: int
    at: datetime
    who: str
    what: str
    about: str
    data: Mapping[str, Any]

    def plain(self) -> dict[str, Any]:
        """JSON-ready, the time as ISO 8601."""
        return {
            "sequence": self.sequence,
            "at": self.at.isoformat(),
            "who": self.who,
            "what": self.what,
            "about": self.about,
            "data": dict(self.data),
        }


@dataclass(frozen=True, slots=True)
class Broken:
    """The first place where the trail is not what was written. `why` is a plain sentence."""

    sequence: int
    why: str


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the trail: its last row and that row's digest. Kept elsewhere, it shows rows cut off the end."""

    sequence: int
    digest: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Read `SEQUENCE:DIGEST`, as `str` writes it.

        Raises:
            ValueError: it is not of that form.
        """
        sequence, _, digest = text.strip().partition(":")
        if not (sequence.isascii() and sequence.isdigit() and len(digest) == 64):
            raise ValueError(f"{text!r} is no end of a trail; give SEQUENCE:DIGEST as `audit verify` printed it")
        return cls(int(sequence), digest.lower())


class AuditTrail:
    """Appends to the trail and checks it. Several processes may append to one database.

    Every digest covers its row and the digest before (HMAC-SHA256), so a row changed, put in, moved or taken out
    breaks the chain there. Who can write to the database and knows `key` can make the whole chain anew; without a key
    that is everybody who can write to it: keep the key, or the trail's `head`, where he cannot reach it. The key cannot
    be changed later.
    """

    def __init__(self, database: Database, clock: Clock, key: bytes | None = None) -> None:
        """`key`: by default what the environment variable `KEY` holds, the same for server and command line."""
        self._database = database
        self._clock = clock
        self._key = os.environ.get(KEY, "").encode() if key is None else key
        self._lock = asyncio.Lock()

    async def append(self, who: str, what: str, about: str, data: Mapping[str, Any] | None = None) -> None:
        """Write that `who` did `what`; returns once it is committed.

        Args:
            who: the account, or the part of the program.
            what: a short code, as `recording_played`.
            about: the id of a call, an account or the like; never a caller's number (see `caller_mark`).
            data: what else there is to know; its texts are redacted, ids of ours under `IDS` stay.

        Raises:
            ValueError: a field is empty or too long, or `data` is too large.
            sqlalchemy.exc.SQLAlchemyError: it is not written; what it tells of must not be done then.
        """
        for name, value in (("who", who), ("what", what), ("about", about)):
            if not (value or name == "about") or len(value) > _LENGTHS[name] or not value.isprintable():
                raise ValueError(
                    f"audit {name} {value[:80]!r} must be printable, of {0 if name == 'about' else 1} to "
                    f"{_LENGTHS[name]} characters; shorten it"
                )
        text = json.dumps(_redacted(data or {}), sort_keys=True, separators=(",", ":"))
        if len(text) > MOST_DATA:
            raise ValueError(f"audit data of {what!r} has {len(text)} characters; give {MOST_DATA} at most")
        async with self._lock:
            for attempt in range(TRIES):
                try:
                    await self._append(who, what, about, text)
                    return
                except (IntegrityError, OperationalError):  # another process was first, or holds the database
                    if attempt == TRIES - 1:
                        raise
                    wait_ms = random.uniform(1.0, 10.0 * (attempt + 1))
                    await self._clock.sleep_until(self._clock.now_ms() + wait_ms)

    async def head(self) -> Head:
        """The end of the trail as it is now; sequence 0 where it is empty."""
        query = select(AuditEntry.sequence, AuditEntry.digest).order_by(AuditEntry.sequence.desc()).limit(1)
        async with self._database.engine.connect() as connection:
            row = (await connection.execute(query)).first()
        return Head(0, FIRST) if row is None else Head(row.sequence, row.digest)

    async def verify(self, expected: Head | None = None) -> Broken | None:
        """The first row that is not what was written; None where the trail is whole.

        `expected` is an earlier `head`: the trail must still hold that row, so that rows cut off its end show.
        """
        last = Head(0, FIRST)
        met = expected is None or expected == last
        async for row in self._rows():
            broken = self._check(row, last)
            if broken is not None:
                return broken
            last = Head(row.sequence, row.digest)
            if expected is not None and row.sequence == expected.sequence:
                if not hmac.compare_digest(row.digest, expected.digest):
                    return Broken(row.sequence, f"row {row.sequence} is not the one that was noted")
                met = True
        if not met:
            assert expected is not None
            gone = last.sequence + 1
            return Broken(gone, f"the trail ends with row {last.sequence}; row {expected.sequence} was noted")
        return None

    async def count(self) -> int:
        """How many rows there are."""
        async with self._database.engine.connect() as connection:
            return int((await connection.execute(select(func.count()).select_from(AuditEntry))).scalar_one())

    async def entries(
        self,
        limit: int = 100,
        before: int | None = None,
        who: str | None = None,
        what: str | None = None,
        about: str | None = None,
    ) -> list[Entry]:
        """The latest rows, newest first; `before` is the sequence of the last row of the page before.

        Raises:
            ValueError: `limit` is not 1 to `BATCH`.
        """
        if not 1 <= limit <= BATCH:
            raise ValueError(f"limit {limit} is out of range; give 1 to {BATCH}")
        query = select(AuditEntry.__table__).order_by(AuditEntry.sequence.desc()).limit(limit)
        if before is not None:
            query = query.where(AuditEntry.sequence < before)
        for column, value in ((AuditEntry.who, who), (AuditEntry.what, what), (AuditEntry.about, about)):
            if value is not None:
                query = query.where(column == value)
        async with self._database.engine.connect() as connection:
            rows = (await connection.execute(query)).all()
        return [Entry(row.sequence, row.at, row.who, row.what, row.about, _loaded(row.data)) for row in rows]

    async def _append(self, who: str, what: str, about: str, data: str) -> None:
        async with self._database.engine.begin() as connection:
            query = select(AuditEntry.sequence, AuditEntry.digest).order_by(AuditEntry.sequence.desc()).limit(1)
            last = (await connection.execute(query)).first()
            sequence, previous = (1, FIRST) if last is None else (last.sequence + 1, last.digest)
            at = self._clock.wall()
            values = {"sequence": sequence, "at": at, "who": who, "what": what, "about": about, "data": data}
            digest = self._digest(sequence, at, who, what, about, data, previous)
            await connection.execute(insert(AuditEntry).values(values | {"previous": previous, "digest": digest}))

    async def _rows(self) -> AsyncIterator[Any]:
        """All rows in order, read in batches: sequence -1 and 0 come too, since they do not belong there."""
        last: int | None = None
        while True:
            query = select(AuditEntry.__table__).order_by(AuditEntry.sequence).limit(BATCH)
            if last is not None:
                query = query.where(AuditEntry.sequence > last)
            async with self._database.engine.connect() as connection:
                rows = (await connection.execute(query)).all()
            for row in rows:
                yield row
            if len(rows) < BATCH:
                return
            last = rows[-1].sequence

    def _check(self, row: Any, last: Head) -> Broken | None:
        if row.sequence != last.sequence + 1:
            if row.sequence <= last.sequence:
                return Broken(row.sequence, f"row {row.sequence} was put in before the first")
            return Broken(last.sequence + 1, f"row {last.sequence + 1} is missing")
        if not hmac.compare_digest(row.previous.encode(), last.digest.encode()):
            return Broken(row.sequence, f"row {row.sequence} does not follow the row before it")
        digest = self._digest(row.sequence, row.at, row.who, row.what, row.about, row.data, row.previous)
        if not hmac.compare_digest(row.digest.encode(), digest.encode()):
            return Broken(row.sequence, f"row {row.sequence} was changed, or written with another key")
        return None

    def _digest(self, sequence: int, at: datetime, who: str, what: str, about: str, data: str, previous: str) -> str:
        covered = json.dumps([sequence, at.isoformat(timespec="microseconds"), who, what, about, data, previous])
        return hmac.new(self._key, covered.encode(), hashlib.sha256).hexdigest()


def _redacted(data: Mapping[str, Any]) -> dict[str, Any]:
    """`data` redacted, but for ids of ours: digits in a row in one of them are nobody's number."""
    ids = {name: data[name] for name in IDS if isinstance(data.get(name), str) and _ID.fullmatch(data[name])}
    redacted: dict[str, Any] = redact_json(dict(data))
    return redacted | ids


def caller_mark(caller: str) -> str:
    """What stands for a caller's number in the trail: the same for the same number, and not readable at a glance.

    A number can be found from it by trying all numbers, so it hides a caller from readers, not from attackers.
    """
    return "caller-" + hashlib.sha256(b"callagent caller\x00" + caller.encode()).hexdigest()[:16]


def _loaded(text: str) -> Mapping[str, Any]:
    """The data of a row; where somebody has made it unreadable, that."""
    try:
        data = json.loads(text)
    except ValueError:
        return {"unreadable": True}
    return data if isinstance(data, dict) else {"unreadable": True}
