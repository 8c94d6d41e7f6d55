import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from handoff_receiver import KEY, Answer, VirtualClock, receiver

from agent.handoff.contracts import HandoffDesk, HandoffRequest, HandoffResult
from agent.handoff.queue import Desk
from agent.handoff.webhook import Webhook
from agent.records.database import Database
from agent.records.queries import list_handoffs


def request(handoff_id: str = "h-1", **more: Any) -> HandoffRequest:
    fields: dict[str, Any] = {
        "summary": "card 4111 1111 1111 1111, order 54321",
        "transcript": [{"speaker": "caller", "text": "mail jane@example.com", "at_ms": 0}],
        "caller": "+12125550123",
    }
    return HandoffRequest(handoff_id, "c-1", "twilio", "CA1", "asked", "asked", **(fields | more))


async def row(database: Database, handoff_id: str = "h-1") -> dict[str, Any]:
    return next(found for found in await list_handoffs(database) if found["id"] == handoff_id)


def states(found: dict[str, Any]) -> list[str]:
    return [step["state"] for step in found["steps"]]


async def test_without_webhook_the_default_transfer_takes_it(database: Database, clock: VirtualClock) -> None:
    desk: HandoffDesk = Desk(database, None, "+12125550100", clock)
    assert await desk.request(request()) == HandoffResult("accepted", "+12125550100")
    await desk.finished("h-1", "bridged")
    found = await row(database)
    assert states(found) == ["offered", "queued", "ringing", "briefing", "bridged"]
    assert (found["outcome"], found["transfer_to"], found["caller"]) == ("accepted", "+12125550100", "+12125550123")
    assert found["summary"] == "card [card], order 54321"
    assert found["context"]["transcript"][0]["text"] == "mail [email]"


async def test_with_nothing_configured_the_row_is_kept_for_a_call_back(database: Database, clock: VirtualClock) -> None:
    result = await Desk(database, None, None, clock).request(request())
    assert result.outcome == "unavailable"
    assert [found["id"] for found in await list_handoffs(database, state="callback")] == ["h-1"]


@pytest.mark.parametrize(
    ("answer", "result", "last"),
    [
        (Answer(), HandoffResult("accepted", "+12125550100"), "briefing"),
        (
            Answer(body=b'{"outcome":"accepted","transfer_to":"+12125550111","detail":"Robin"}'),
            HandoffResult("accepted", "+12125550111", "Robin"),
            "briefing",
        ),
        (Answer(body=b'{"outcome":"declined"}'), HandoffResult("declined"), "declined"),
        (Answer(body=b'{"outcome":"unavailable"}'), HandoffResult("unavailable"), "callback"),
        (Answer(404), HandoffResult("failed", detail="webhook status_404"), "callback"),
        (Answer(500), HandoffResult("failed", detail="webhook status_500"), "callback"),
    ],
)
async def test_webhook_decides(
    database: Database, clock: VirtualClock, answer: Answer, result: HandoffResult, last: str
) -> None:
    async with receiver(clock.wall(), answer) as outside:
        desk = Desk(database, Webhook(outside.url, KEY, clock, allow_private=True), "+12125550100", clock)
        assert await desk.request(request()) == result
    found = await row(database)
    assert states(found)[:3] == ["offered", "queued", "ringing"]
    assert found["state"] == states(found)[-1] == last
    assert found["outcome"] == result.outcome
    assert desk.counters == {result.outcome: 1}


async def test_same_id_asks_once_at_once_later_and_after_a_restart(database: Database, clock: VirtualClock) -> None:
    answer = Answer(body=b'{"outcome":"accepted","transfer_to":"+12125550111"}', delay_s=0.1)
    async with receiver(clock.wall(), answer, Answer(body=b'{"outcome":"declined"}')) as outside:
        webhook = Webhook(outside.url, KEY, clock, allow_private=True)
        desk = Desk(database, webhook, None, clock)
        results = await asyncio.gather(*(desk.request(request()) for _ in range(5)))
        results.append(await desk.request(request()))
        results.append(await Desk(database, webhook, None, clock).request(request()))
    assert results == [HandoffResult("accepted", "+12125550111")] * 7
    assert len(outside.seen) == 1
    assert not desk._requests


async def test_a_run_that_died_while_ringing_is_asked_again(database: Database, clock: VirtualClock) -> None:
    await Desk(database, None, None, clock).request(request())
    async with database.engine.begin() as connection:
        await connection.execute(sa.text("update handoffs set outcome = null, state = 'ringing'"))
    assert (await Desk(database, None, "+12125550100", clock).request(request())).outcome == "accepted"
    assert (await row(database))["state"] == "briefing"


async def test_caller_who_left_stays_gone(database: Database, clock: VirtualClock) -> None:
    async with receiver(clock.wall(), Answer(delay_s=0.3)) as outside:
        desk = Desk(database, Webhook(outside.url, KEY, clock, allow_private=True), None, clock)
        waiting = asyncio.create_task(desk.request(request()))
        while not outside.seen:  # noqa: ASYNC110 - the server's side of the wait
            await asyncio.sleep(0.01)
        await desk.caller_left("h-1")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await desk.aclose()
    found = await row(database)
    assert states(found) == ["offered", "queued", "ringing", "caller_left"]
    assert found["state"] == "caller_left"
    await desk.caller_left("h-1")
    assert states(await row(database)) == ["offered", "queued", "ringing", "caller_left"]


async def test_a_caller_who_leaves_before_the_handoff_is_written_down_has_left_it_all_the_same(
    database: Database, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiver(clock.wall(), Answer(delay_s=0.1)) as outside:
        desk = Desk(database, Webhook(outside.url, KEY, clock, allow_private=True), None, clock)
        waiting = asyncio.create_task(desk.request(request()))
        await asyncio.sleep(0)
        await desk.caller_left("h-1")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await desk.aclose()
    assert "caller_left" in states(await row(database))
    assert not [record for record in caplog.records if "not in the database" in record.getMessage()]


async def test_transfer_that_failed_becomes_a_call_back(database: Database, clock: VirtualClock) -> None:
    desk = Desk(database, None, "+12125550100", clock)
    await desk.request(request())
    await desk.finished("h-1", "transfer_failed")
    found = await row(database)
    assert states(found)[-2:] == ["unavailable", "callback"]
    assert found["steps"][-1]["detail"] == "the transfer failed"


async def test_moves_out_of_turn_are_logged_and_change_nothing(
    database: Database, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(database, None, None, clock)
    await desk.request(request())
    await desk.finished("h-1", "bridged")
    await desk.finished("h-1", "sideways")
    await desk.finished("h-2", "bridged")
    assert (await row(database))["state"] == "callback"
    assert "cannot go from callback to bridged" in caplog.text
    assert "sideways" in caplog.text
    assert "h-2 is not in the database" in caplog.text


async def test_failing_database_does_not_cost_the_transfer(database: Database, clock: VirtualClock) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(sa.text("drop table handoff_steps"))
        await connection.execute(sa.text("drop table handoffs"))
    async with receiver(clock.wall(), Answer(), Answer(body=b'{"outcome":"declined"}')) as outside:
        desk = Desk(database, Webhook(outside.url, KEY, clock, allow_private=True), "+12125550100", clock)
        for _ in range(2):
            assert await desk.request(request()) == HandoffResult("accepted", "+12125550100")
    assert len(outside.seen) == 1
    assert desk.counters["failed_writes"] > 0


async def test_most_urgent_first(database: Database, clock: VirtualClock) -> None:
    desk = Desk(database, None, None, clock)
    for handoff_id, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5)):
        await clock.sleep_until(clock.ms + 1000)
        await desk.request(request(handoff_id, priority=priority))
    assert [found["id"] for found in await list_handoffs(database)] == ["b", "d", "a", "c"]
    assert [found["id"] for found in await list_handoffs(database, limit=1)] == ["b"]
    assert await list_handoffs(database, state="bridged") == []
