import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from handoff_receiver import VirtualClock
from sqlalchemy import insert

from agent.handoff.callbacks import done, list_callbacks, recover, take
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
