"""The audit trail: a chain that shows a row changed, put in, moved, taken out or cut off the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from agent.clock import RealClock
from agent.records.audit import BATCH, AuditEntry, AuditTrail, Broken, Head, caller_mark
from agent.records.database import Database


class FixedClock(RealClock):
    def wall(self) -> datetime:
        return datetime(2031, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database.open(f"sqlite:///{tmp_path}/records.db") as database:
        yield database


@pytest.fixture
def trail(database: Database) -> AuditTrail:
    return AuditTrail(database, FixedClock())


async def run(database: Database, statement: str) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(sa.text(statement))


async def fill(trail: AuditTrail, rows: int = 5) -> None:
    for number in range(rows):
        await trail.append("jane", "recording_played", f"call-{number}", {"from_ms": number})


async def test_what_is_appended_is_read_newest_first(trail: AuditTrail) -> None:
    assert await trail.verify() is None
    assert await trail.head() == Head(0, "0" * 64)
    await trail.append("jane", "recording_played", "call-1", {"words": "card 4111 1111 1111 1111", "at": 1.5})
    await trail.append("records", "erased", caller_mark("+12065550142"))
    second, first = await trail.entries()
    assert first.plain() == {
        "sequence": 1,
        "at": "2031-05-01T12:00:00.250000+00:00",
        "who": "jane",
        "what": "recording_played",
        "about": "call-1",
        "data": {"at": 1.5, "words": "card [card]"},
    }
    assert (second.sequence, second.data) == (2, {})
    assert "0142" not in second.about
    assert await trail.verify() is None
    assert [entry.sequence for entry in await trail.entries(limit=1, before=2)] == [1]
    assert [entry.sequence for entry in await trail.entries(who="records")] == [2]
    assert await trail.entries(what="erased", about="call-1") == []
    assert await trail.count() == 2


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("update audit_trail set who = 'joe' where sequence = 3", 3),
        ("update audit_trail set at = '2031-05-01 12:00:00.250001' where sequence = 2", 2),
        ("update audit_trail set data = '{}' where sequence = 5", 5),
        ("update audit_trail set data = 'x' where sequence = 5", 5),
        ("update audit_trail set digest = previous where sequence = 1", 1),
        ("update audit_trail set previous = digest where sequence = 4", 4),
        ("delete from audit_trail where sequence = 1", 1),
        ("delete from audit_trail where sequence = 3", 3),
        ("update audit_trail set sequence = 7 where sequence = 4", 4),
        ("insert into audit_trail select 0, at, who, what, about, data, previous, digest from audit_trail limit 1", 0),
        ("insert into audit_trail select 6, at, who, what, about, data, digest, digest from audit_trail limit 1", 6),
    ],
)
async def test_tampering_shows_where_it_begins(
    database: Database, trail: AuditTrail, statement: str, broken: int
) -> None:
    await fill(trail)
    assert await trail.verify() is None
    await run(database, statement)
    found = await trail.verify()
    assert found is not None
    assert found.sequence == broken
    await trail.entries()


async def test_ids_stay_whole(trail: AuditTrail) -> None:
    ours = {"handoff": "h-42061547989a49a2", "picture": "p-4206154798934982"}
    await trail.append("jane", "call_taken", "c-1", ours)
    others = {"handoff": "4111 1111 1111 1111", "text": "h-4206154798934982"}
    await trail.append("jane", "call_taken", "c-1", others)
    second, first = await trail.entries()
    assert dict(first.data) == ours
    assert dict(second.data) == {"handoff": "[card]", "text": "h-[digits]"}


async def test_rows_cut_off_the_end_show_against_a_noted_head(database: Database, trail: AuditTrail) -> None:
    await fill(trail)
    noted = await trail.head()
    await fill(trail, 2)
    assert await trail.verify(noted) is None
    await run(database, "delete from audit_trail where sequence >= 5")
    assert await trail.verify() is None
    assert await trail.verify(noted) == Broken(5, "the trail ends with row 4; row 5 was noted")
    await fill(trail, 1)
    assert await trail.verify(noted) == Broken(5, "row 5 is not the one that was noted")
    assert Head.parse(str(noted)) == noted
    with pytest.raises(ValueError, match="give SEQUENCE:DIGEST"):
        Head.parse("five")


async def test_a_chain_made_anew_without_the_key_shows(database: Database) -> None:
    keyed, other = (AuditTrail(database, FixedClock(), key) for key in (b"kept elsewhere", b""))
    await fill(keyed)
    assert await keyed.verify() is None
    await run(database, "delete from audit_trail")
    await fill(other)
    assert await other.verify() is None
    assert await keyed.verify() == Broken(1, "row 1 was changed, or written with another key")


async def test_many_append_at_once_from_two_processes(database: Database, tmp_path: Path) -> None:
    async with Database.open(f"sqlite:///{tmp_path}/records.db") as second:
        trails = [AuditTrail(opened, RealClock()) for opened in (database, second)]
        await asyncio.gather(*(fill(trail, 10) for trail in trails for _ in range(2)))
        assert await trails[0].verify() is None
        assert await trails[0].count() == 40


async def test_a_long_trail_is_read_in_batches(database: Database, trail: AuditTrail) -> None:
    previous, rows = "0" * 64, []
    at = FixedClock().wall()
    for sequence in range(1, BATCH + 3):
        digest = trail._digest(sequence, at, "jane", "looked", "", "{}", previous)
        rows.append(
            {"sequence": sequence, "at": at, "who": "jane", "what": "looked", "about": "", "data": "{}"}
            | {"previous": previous, "digest": digest}
        )
        previous = digest
    async with database.engine.begin() as connection:
        await connection.execute(sa.insert(AuditEntry), rows)
    assert await trail.verify() is None
    await run(database, f"delete from audit_trail where sequence = {BATCH + 1}")
    assert await trail.verify() == Broken(BATCH + 1, f"row {BATCH + 1} is missing")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("", "looked", "call"), "audit who ''"),
        (("jane", "", "call"), "audit what ''"),
        (("jane", "x" * 65, "call"), "to 64 characters"),
        (("jane\nroot", "looked", "call"), "printable"),
        (("jane", "looked", "x" * 129), "to 128 characters"),
    ],
)
async def test_bad_fields_are_refused(trail: AuditTrail, fields: tuple[str, str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        await trail.append(*fields, {})
    with pytest.raises(ValueError, match="give 16000 at most"):
        await trail.append("jane", "looked", "call", {"text": "x" * 20_000})
    with pytest.raises(ValueError, match="give 1 to"):
        await trail.entries(limit=0)
    assert await trail.count() == 0
