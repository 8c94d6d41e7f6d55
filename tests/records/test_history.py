"""Earlier calls of a caller, and how calls ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.clock import RealClock
from agent.records.contracts import CallFinished, CallOpened, TurnRecord
from agent.records.history import VERDICT, calls_of, verdicts
from agent.records.writer import SqlRecords

NOON = datetime.fromisoformat("2031-05-01T12:00:00+00:00")


class DayClock(RealClock):
    day = 0

    def wall(self) -> datetime:
        return NOON + timedelta(days=self.day)


async def call(
    records: SqlRecords, call_id: str, caller: str, intents: tuple[str, ...], domain: str = "shop", verdict: Any = None
) -> None:
    record = await records.open_call(CallOpened(call_id, "twilio", "CA1", domain, caller))
    for n, intent in enumerate(intents, 1):
        record.turn(TurnRecord(n, "caller", "words", n * 1000.0, n * 1000.0 + 500, intent=intent))
        record.turn(TurnRecord(n, "agent", "words", n * 1000.0 + 600, n * 1000.0 + 900, heard="words"))
    if verdict is not None:
        record.event(VERDICT, 5000.0, verdict)
    await record.finish(CallFinished("completed", "goodbye", 6000.0))


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[SqlRecords]:
    clock = DayClock()
    async with SqlRecords.open(f"sqlite:///{tmp_path}/records.db", tmp_path / "recordings", clock) as records:
        mine, theirs = "+12065550103", "+12065550104"
        await call(records, "a", mine, ("track", "thanks"), verdict={"topic": "track", "negative": False})
        clock.day = 1
        await call(records, "b", theirs, ("return",), verdict={"topic": "return", "negative": True})
        clock.day = 2
        await call(records, "c", mine, ("cancel", "return"), verdict={"topic": 7})
        clock.day = 3
        await call(records, "d", mine, ("balance",), domain="bank", verdict={"topic": "balance", "negative": True})
        clock.day = 4
        await call(records, "e", mine, (), verdict={"topic": "none", "negative": True})
        await records.open_call(CallOpened("open", "twilio", "CA1", "shop", mine))
        yield records


async def test_the_last_calls_of_a_number(records: SqlRecords) -> None:
    found = await calls_of(records.database, "+12065550103", "shop", NOON + timedelta(days=9))
    assert [(row["opened_at"][:10], row["outcome"], row["intents"]) for row in found] == [
        ("2031-05-05", "completed", []),
        ("2031-05-03", "completed", ["cancel", "return"]),
        ("2031-05-01", "completed", ["track", "thanks"]),
    ]
    assert len(await calls_of(records.database, "+12065550103", "shop", NOON + timedelta(days=9), limit=1)) == 1
    assert len(await calls_of(records.database, "+12065550103", "shop", NOON + timedelta(days=1))) == 1
    assert await calls_of(records.database, "+12065550199", "shop", NOON + timedelta(days=9)) == []


@pytest.mark.parametrize("limit", [0, 21])
async def test_limits(records: SqlRecords, limit: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        await calls_of(records.database, "+12065550103", "shop", NOON, limit)


async def test_verdicts_of_a_domain_oldest_first(records: SqlRecords) -> None:
    found = await verdicts(records.database, "shop", NOON)
    assert [(ended.day, topic, negative) for ended, topic, negative in found] == [
        (1, "track", False),
        (2, "return", True),
        (5, "none", True),
    ]
    assert [topic for _, topic, _ in await verdicts(records.database, "shop", NOON + timedelta(days=2))] == ["none"]
