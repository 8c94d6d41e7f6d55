import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from handoff_receiver import VirtualClock
from sqlalchemy import insert

from agent.handoff.callbacks import count_callbacks, done, list_callbacks, recover, release, take
from agent.handoff.contracts import HandoffRequest
from agent.handoff.people import TooLate, UnknownHandoff
from agent.handoff.queue import Desk
from agent.records.database import Call, Database, Handoff
from agent.records.queries import list_handoffs

NOW = datetime(2031, 5, 2, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
async def waiting(database: Database, clock: VirtualClock) -> None:
    """Two to be called back; "b" is the more urgent."""
    desk = Desk(database, None, None, clock)
    for handoff_id, priority in (("a", 0), ("b", 5)):
        rows = [{"speaker": "caller", "text": "Where is my parcel, please?", "at_ms": 0}]
        more = {"caller": "+12125550123", "transcript": rows, "priority": priority}
        await desk.request(HandoffRequest(handoff_id, "c", "plain", "g", "asked", "asked", **more))  # type: ignore[arg-type]


async def states(database: Database, handoff_id: str) -> list[str]:
    found = next(row for row in await list_handoffs(database) if row["id"] == handoff_id)
    return [step["state"] for step in found["steps"]][3:]


async def test_taken_tried_given_back_and_done(database: Database) -> None:
    assert [row["id"] for row in await list_callbacks(database)] == ["b", "a"]
    taken = await take(database, "b", "sam", NOW)
    assert (taken["by"], taken["caller"]) == ("sam", "+12125550123")
    assert taken["briefing"][0] == {"text": "The caller's wish: “Where is my parcel, please?”.", "turns": [0]}
    await done(database, "b", "sam", "not_reached", NOW + timedelta(minutes=1))
    (first, _) = await list_callbacks(database)
    assert (first["id"], first["by"], first["tries"]) == ("b", None, 1)
    assert (first["tried_at"], first["due_at"]) == ((NOW + timedelta(minutes=1)).isoformat(), None)
    await take(database, "b", "bo", NOW + timedelta(hours=1))
    await done(database, "b", "bo", "reached", NOW + timedelta(hours=1))
    assert [row["id"] for row in await list_callbacks(database)] == ["a"]
    assert await states(database, "b") == ["callback", "calling_back", "callback", "calling_back", "ended"]


async def test_of_two_who_take_one_gets_it(database: Database) -> None:
    results = await asyncio.gather(
        *(take(database, "a", who, NOW) for who in ("sam", "bo", "kim")), return_exceptions=True
    )
    late = [one for one in results if isinstance(one, TooLate)]
    (row,) = [one for one in results if isinstance(one, dict)]
    assert [one.by for one in late] == [row["by"]] * 2


async def test_agreed_for_later_comes_last_until_then(database: Database) -> None:
    await take(database, "b", "sam", NOW)
    assert await count_callbacks(database) == 1
    at = NOW + timedelta(hours=3)
    await done(database, "b", "sam", "not_reached", NOW, at)
    rows = await list_callbacks(database, now=NOW + timedelta(hours=2))
    assert [(row["id"], row["due_at"]) for row in rows] == [("a", None), ("b", at.isoformat())]
    assert [row["id"] for row in await list_callbacks(database, now=at)] == ["b", "a"]
    await take(database, "b", "bo", at)
    for wrong in (at, at + timedelta(days=61)):
        with pytest.raises(ValueError, match="within 60 days"):
            await done(database, "b", "bo", "not_reached", at, wrong)
    with pytest.raises(ValueError, match="after not_reached only"):
        await done(database, "b", "bo", "reached", at, at + timedelta(hours=1))
    await done(database, "b", "bo", "not_reached", at)
    assert [row["due_at"] for row in await list_callbacks(database, now=at)] == [None, None]


async def test_given_back_untried(database: Database) -> None:
    await take(database, "a", "sam", NOW)
    with pytest.raises(TooLate, match="sam"):
        await release(database, "a", "bo", NOW)
    await release(database, "a", "sam", NOW)
    await take(database, "a", "bo", NOW)
    await release(database, "a", None, NOW)
    assert [(row["by"], row["tries"]) for row in await list_callbacks(database)] == [(None, 0), (None, 0)]
    with pytest.raises(TooLate):
        await release(database, "a", None, NOW)
    assert await count_callbacks(database) == 2


async def test_what_is_refused(database: Database) -> None:
    with pytest.raises(UnknownHandoff):
        await take(database, "x", "sam", NOW)
    with pytest.raises(UnknownHandoff):
        await done(database, "x", "sam", "reached", NOW)
    with pytest.raises(TooLate):
        await done(database, "a", "sam", "reached", NOW)
    await take(database, "a", "sam", NOW)
    with pytest.raises(TooLate, match="sam"):
        await done(database, "a", "bo", "reached", NOW)
    with pytest.raises(ValueError, match="outcome is 'lunch'"):
        await done(database, "a", "sam", "lunch", NOW)  # type: ignore[arg-type]
    assert await states(database, "a") == ["callback", "calling_back"]


async def test_who_waited_when_the_server_died_is_called_back(database: Database) -> None:
    async with database.engine.begin() as connection:
        row = {"id": "c", "owner": "o", "gateway": "plain", "gateway_call_id": "g", "domain": "d", "parameters": {}}
        ended = NOW - timedelta(hours=1)
        await connection.execute(insert(Call), [row | {"models": {}, "opened_at": ended, "finished_at": ended}])
        await connection.execute(sa.update(Handoff).where(Handoff.id == "a").values(state="ringing"))
        await connection.execute(sa.update(Handoff).where(Handoff.id == "b").values(state="bridged"))
    assert await recover(database, NOW - timedelta(days=1)) == 0
    assert await recover(database, NOW) == 1
    assert [row["id"] for row in await list_callbacks(database)] == ["a"]
    assert await states(database, "b") == ["callback", "ended"]
    assert await recover(database, NOW + timedelta(days=1)) == 0
