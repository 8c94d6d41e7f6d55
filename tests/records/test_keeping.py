"""Dialogues of dropped calls in a database: taken once, by the same caller of the same business, for five minutes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from agent.clock import RealClock
from agent.dialogue.saving import RESUME_S
from agent.records.database import Database, OpenDialogue, migrate
from agent.records.keeping import SqlKeeper

JOE = "+12065550142"


class WallClock(RealClock):
    later = 0.0

    def wall(self) -> datetime:
        return datetime(2031, 5, 1, 12, tzinfo=UTC) + timedelta(seconds=self.later)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path}/records.db"
    await migrate(url)
    async with Database.open(url) as database:
        yield database


@pytest.fixture
def clock() -> WallClock:
    return WallClock()


@pytest.fixture
def keeper(database: Database, clock: WallClock) -> SqlKeeper:
    return SqlKeeper(database, clock)


async def rows(database: Database) -> int:
    async with database.engine.connect() as connection:
        return int((await connection.execute(select(func.count()).select_from(OpenDialogue))).scalar_one())


async def test_what_is_kept_is_taken_once_by_any_server(database: Database, clock: WallClock) -> None:
    await SqlKeeper(database, clock).keep("shop", JOE, "state")
    other = SqlKeeper(database, clock)
    assert await other.take("shop", JOE) == "state"
    assert await other.take("shop", JOE) is None


@pytest.mark.parametrize(("domain", "caller"), [("bank", JOE), ("shop", "+12065550143"), ("shop", "")])
async def test_it_is_nobody_elses(keeper: SqlKeeper, domain: str, caller: str) -> None:
    await keeper.keep("shop", JOE, "state")
    assert await keeper.take(domain, caller) is None
    assert await keeper.take("shop", JOE) == "state"


async def test_the_last_of_a_caller_counts(keeper: SqlKeeper, database: Database) -> None:
    await keeper.keep("shop", JOE, "first")
    await keeper.keep("shop", JOE, "second")
    assert await rows(database) == 1
    assert await keeper.take("shop", JOE) == "second"


async def test_two_who_take_at_once(database: Database, clock: WallClock) -> None:
    keepers = [SqlKeeper(database, clock) for _ in range(4)]
    await keepers[0].keep("shop", JOE, "state")
    taken = await asyncio.gather(*(keeper.take("shop", JOE) for keeper in keepers))
    assert sorted(taken, key=str) == [None, None, None, "state"]


@pytest.mark.parametrize(("s", "there"), [(RESUME_S - 1, True), (RESUME_S + 1, False)])
async def test_it_lasts_some_minutes(keeper: SqlKeeper, clock: WallClock, s: float, there: bool) -> None:
    await keeper.keep("shop", JOE, "state")
    clock.later = s
    assert (await keeper.take("shop", JOE) is not None) is there


async def test_old_ones_of_others_are_deleted(keeper: SqlKeeper, clock: WallClock, database: Database) -> None:
    for n in range(5):
        await keeper.keep("shop", f"+1206555010{n}", "state")
    clock.later = RESUME_S + 1
    await keeper.keep("bank", JOE, "state")
    assert await rows(database) == 1
