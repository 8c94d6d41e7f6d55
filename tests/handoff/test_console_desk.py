"""The desk with people of our own, over a real database, by a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from handoff_receiver import KEY, Answer, receiver
from llmfakes import ManualClock

from agent.handoff.callbacks import list_callbacks
from agent.handoff.console_desk import CALLBACK, ConsoleDesk
from agent.handoff.contracts import HandoffDesk, HandoffRequest, HandoffResult
from agent.handoff.hours import working_hours
from agent.handoff.line import QueueSettings
from agent.handoff.people import NoCapacity, TooLate, UnknownHandoff
from agent.handoff.waiting import Announce
from agent.handoff.webhook import Webhook
from agent.records.database import Database
from agent.records.queries import list_handoffs

ROWS = [
    {"speaker": "agent", "text": "Hello, how can I help?", "at_ms": 0, "turn": 0},
    {"speaker": "caller", "text": "Cancel order 54321 please, my card is 4111 1111 1111 1111", "at_ms": 900, "turn": 1},
]


class Told:
    """A feed that keeps what it is told."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str | None, dict[str, Any]]] = []

    def publish(self, kind: str, call_id: str | None, data: Mapping[str, Any]) -> None:
        self.all.append((kind, call_id, dict(data)))

    def states(self, handoff_id: str = "h") -> list[str]:
        found = [data["state"] for kind, _, data in self.all if kind == "handoff" and data["id"] == handoff_id]
        return [state for n, state in enumerate(found) if not n or state != found[n - 1]]


class House:
    """A desk, its clock, its database and its feed."""

    def __init__(self, database: Database, **more: Any) -> None:
        self.clock, self.feed, self.database = ManualClock(), Told(), database
        self.said: list[Announce] = []
        fields: dict[str, Any] = {"webhook": None, "default_transfer": None}
        self.desk = ConsoleDesk(database, clock=self.clock, feed=self.feed, **(fields | more))

    def ask(self, handoff_id: str = "h", **more: Any) -> asyncio.Task[HandoffResult]:
        fields: dict[str, Any] = {"caller": "+12125550123", "transcript": ROWS, "intent": "cancel_order"}
        request = HandoffRequest(handoff_id, f"c-{handoff_id}", "plain", "g", "asked", "asked", **(fields | more))
        self.desk.listen(handoff_id, self.said.append)
        return asyncio.create_task(self.desk.request(request))

    async def until(self, what: Any) -> None:
        async with asyncio.timeout(5):
            while not what():  # noqa: ASYNC110 - the database works in its thread
                await asyncio.sleep(0.001)

    async def waits(self, handoff_id: str = "h") -> None:
        await self.until(lambda: any(one["id"] == handoff_id for one in self.desk.snapshot()["queue"]))

    async def row(self, handoff_id: str = "h") -> dict[str, Any]:
        await self.desk._flush()
        return next(one for one in await list_handoffs(self.database) if one["id"] == handoff_id)

    async def steps(self, handoff_id: str = "h") -> list[str]:
        return [step["state"] for step in (await self.row(handoff_id))["steps"]]


@asynccontextmanager
async def house(database: Database, **more: Any) -> AsyncIterator[House]:
    found = House(database, **more)
    try:
        yield found
    finally:
        await found.desk.aclose()
        left = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith(("handoff", "brief"))]
        assert not left


async def test_whole_way_through_the_database_and_the_feed(database: Database) -> None:
    async with house(database) as here:
        desk: HandoffDesk = here.desk
        here.desk.on_duty("sam", ["cards"], [], 1)
        result = here.ask()
        await here.waits()
        shown = here.desk.snapshot()
        assert (shown["queue"][0]["rings"], shown["people"][0]["busy"]) == ("sam", ["h"])
        assert shown["people"][0]["state"] == "ringing"
        here.desk.accept("sam", "h")
        assert await result == HandoffResult("accepted", detail="sam", human="sam")
        assert [one.kind for one in here.said] == ["coming"]
        await desk.finished("h", "bridged")
        assert here.desk.snapshot()["people"][0]["state"] == "busy"
        here.desk.wrapped_up("sam", "h", "resolved", "card 4111 1111 1111 1111")
        await desk.finished("h", "ended")
        expected = ["offered", "queued", "ringing", "briefing", "bridged", "ended", "wrapped_up"]
        assert await here.steps() == expected
        found = await here.row()
        assert (found["outcome"], found["detail"]) == ("accepted", "taken by sam")
        assert found["steps"][-1]["detail"] == "sam: resolved. card [card]"
        assert here.feed.states() == ["ringing", "briefing", "bridged", "ended"]
        assert "4111" not in str(here.feed.all)
        assert (here.desk.snapshot()["people"][0]["busy"], here.desk.snapshot()["people"][0]["state"]) == ([], "free")
        assert (await desk.request(HandoffRequest("h", "c-h", "plain", "g", "asked", "asked"))).human == "sam"


async def test_two_consoles_race_and_one_is_told_by_whom(database: Database) -> None:
    async with house(database) as here:
        here.desk.on_duty("sam", [], [])
        here.desk.on_duty("bo", [], [])
        result = here.ask()
        await here.waits()
        here.desk.accept("bo", "h")
        with pytest.raises(TooLate) as caught:
            here.desk.accept("sam", "h")
        assert caught.value.by == "bo"
        assert (await result).human == "bo"
        with pytest.raises(UnknownHandoff):
            here.desk.accept("sam", "x")
        with pytest.raises(TooLate):
            here.desk.wrapped_up("sam", "h", "resolved")
        other = here.ask("h2")
        await here.waits("h2")
        with pytest.raises(NoCapacity):
            here.desk.accept("bo", "h2")
        await here.desk.caller_left("h2")
        assert (await other).outcome == "unavailable"
        assert (await here.steps("h2"))[-1] == "caller_left"


async def test_time_passes_by_the_clock(database: Database) -> None:
    async with house(database, settings=QueueSettings(ring_s=20, most_wait_s=60)) as here:
        here.desk.on_duty("sam", [], [])
        result = here.ask()
        await here.waits()
        start = here.clock.ms
        for due in (8, 20, 40, 53, 60):
            await here.clock.next(start + due * 1000)
            here.clock.advance(start + due * 1000 - here.clock.ms)
        assert await result == HandoffResult("unavailable", detail="nobody answered in time")
        assert [one.kind for one in here.said] == ["position", "position", "nobody"]
        rings = ["ringing", "queued", "ringing", "queued", "ringing"]
        assert await here.steps() == ["offered", "queued", *rings, "queued", "timed_out", "callback"]


async def test_chosen_call_back_keeps_the_context(database: Database) -> None:
    async with house(database) as here:
        here.desk.on_duty("sam", [], [])
        here.desk.engaged("sam", "c-9")
        result = here.ask(slots={"order": {"value": "54321", "verified": True}})
        await here.waits()
        here.desk.choose_callback("h")
        assert await result == HandoffResult("unavailable", detail=CALLBACK)
        assert await here.steps() == ["offered", "queued", "callback"]
        told = [(call, data) for kind, call, data in here.feed.all if kind == "callbacks"]
        assert told == [(None, {"waiting": 1})]
        (kept,) = await list_callbacks(here.database)
        assert (kept["caller"], kept["by"], kept["tries"]) == ("+12125550123", None, 0)
        assert (await here.row())["context"]["slots"]["order"]["value"] == "54321"
        assert {"text": "Given: order 54321 (verified).", "turns": [1]} in kept["briefing"]


async def test_lost_person_and_the_next_takes_over_at_once(database: Database) -> None:
    async with house(database) as here:
        here.desk.on_duty("sam", [], [])
        result = here.ask()
        await here.waits()
        here.desk.accept("sam", "h")
        assert (await result).human == "sam"
        await here.desk.finished("h", "bridged")
        assert (await here.desk.human_lost("bo", "h")).outcome == "failed"
        here.desk.on_duty("bo", [], [])
        again = asyncio.create_task(here.desk.human_lost("sam", "h"))
        await asyncio.sleep(0)
        assert here.desk.snapshot()["queue"][0]["rings"] == "bo"
        here.desk.accept("bo", "h")
        assert (await again).human == "bo"
        await here.desk.finished("h", "bridged")
        await here.desk.finished("h", "handed_back")
        assert {one["who"]: one["state"] for one in here.desk.snapshot()["people"]}["bo"] == "wrap_up"
        first = ["offered", "queued", "ringing", "briefing", "bridged", "human_dropped", "queued"]
        assert await here.steps() == [*first, "ringing", "briefing", "bridged", "handed_back"]
        assert (await here.row())["detail"] == "taken by bo"


async def test_lost_person_and_nobody_else_ends_after_the_grace(database: Database) -> None:
    async with house(database) as here:
        here.desk.on_duty("sam", [], [])
        result = here.ask()
        await here.waits()
        here.desk.accept("sam", "h")
        await result
        again = asyncio.create_task(here.desk.human_lost("sam", "h"))
        await asyncio.sleep(0)
        here.desk.off_duty("sam")
        await here.clock.next(here.clock.ms + 8_000)
        here.clock.advance(8_000)
        await here.clock.next(here.clock.ms + 12_000)
        here.clock.advance(12_000)
        assert (await again).detail == "nobody is on duty"
        assert (await here.steps())[-2:] == ["unavailable", "callback"]


@pytest.mark.parametrize("people", [0, 1])
async def test_where_nobody_of_ours_comes_the_webhook_decides(database: Database, people: int) -> None:
    async with receiver(ManualClock().wall(), Answer(body=b'{"outcome":"accepted","detail":"Robin"}')) as outside:
        webhook = Webhook(outside.url, KEY, ManualClock(), allow_private=True)
        async with house(database, webhook=webhook, default_transfer="+12125550100") as here:
            if people:
                here.desk.on_duty("sam", [], [])
            result = here.ask()
            if people:
                await here.waits()
                here.desk.decline("sam", "h")
            assert await result == HandoffResult("accepted", "+12125550100", "Robin")
            assert here.said == []
            assert (await here.steps())[-1] == "briefing"


async def test_outside_working_hours_the_caller_is_told_when_they_begin(database: Database) -> None:
    hours = working_hours({"zone": "UTC", "tuesday": "09:00-17:00"})
    async with house(database, settings=QueueSettings(hours=hours)) as here:
        here.desk.on_duty("sam", [], [])
        assert (await here.ask()).detail == "outside working hours"
        assert here.said[0].values == {"reason": "closed", "opens_at": "2026-05-05T09:00:00+00:00"}
        assert await here.steps() == ["offered", "queued", "unavailable", "callback"]


async def test_a_caller_who_leaves_before_he_is_written_down_does_not_haunt_the_queue(database: Database) -> None:
    async with house(database) as here:
        here.desk.on_duty("sam", [], [])
        result = here.ask()
        await asyncio.sleep(0)
        await here.desk.caller_left("h")
        assert (await result).outcome == "unavailable"
        assert here.desk.snapshot()["queue"] == []
        assert await here.steps() == ["offered", "queued", "caller_left"]


async def test_a_broken_database_costs_the_rows_never_the_call(database: Database) -> None:
    async with house(database) as here:
        async with here.database.engine.begin() as connection:
            await connection.execute(sa.text("drop table handoff_steps"))
            await connection.execute(sa.text("drop table handoffs"))
        here.desk.on_duty("sam", [], [])
        result = here.ask()
        await here.waits()
        here.desk.accept("sam", "h")
        assert (await result).human == "sam"
        assert here.desk.counters["failed_writes"] > 0


async def test_stopping_sends_waiting_callers_back(database: Database) -> None:
    async with house(database, default_transfer="+12125550100") as here:
        here.desk.on_duty("sam", [], [])
        result = here.ask()
        await here.waits()
        await here.desk.aclose()
        assert await result == HandoffResult("unavailable", detail="the server stops")
        assert (await here.steps())[-1] == "callback"


async def test_what_is_noted_while_the_end_is_written_is_not_lost(database: Database) -> None:
    async with house(database) as here:
        here.desk.on_duty("sam", [], [])
        result = here.ask()
        await here.waits()
        here.desk.accept("sam", "h")
        await result
        await here.desk.finished("h", "bridged")
        ending = asyncio.create_task(here.desk.finished("h", "handed_back"))
        await asyncio.sleep(0)
        here.desk.wrapped_up("sam", "h", "follow_up")
        await ending
        assert (await here.steps())[-2:] == ["handed_back", "wrapped_up"]
        here.desk.wrapped_up("sam", "h", "follow_up")
        assert (await here.steps())[-2:] == ["handed_back", "wrapped_up"]


async def test_a_note_on_a_call_that_nobody_of_ours_had_changes_nothing(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with house(database) as here:
        await here.ask()
        here.desk.wrapped_up("sam", "h", "resolved")
        assert (await here.steps())[-1] == "callback"
        assert not caplog.records


async def test_listeners_that_fail_and_cancelled_calls_do_no_harm(database: Database) -> None:
    async with house(database) as here:
        here.desk.on_duty("sam", [], [])
        first = here.ask()
        await here.waits()

        def broken(_: Announce) -> None:
            raise RuntimeError("no voice")

        here.desk.listen("h", broken)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        here.desk.accept("sam", "h")
        await here.desk.caller_left("h")
        assert here.desk.snapshot()["queue"] == []


async def test_lists_stay_bounded_and_what_is_lost_is_counted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.handoff.console_desk.REMEMBERED", 2)
    monkeypatch.setattr("agent.handoff.console_desk.MOST_WRITES", 2)
    async with house(database) as here:
        for n in range(4):
            await here.ask(f"h{n}")
            await here.desk.caller_left(f"x{n}")
            here.desk.listen(f"y{n}", here.said.append)
        assert len(here.desk._gone) == len(here.desk._listeners) == 2
        for n in range(4):
            here.desk.wrapped_up("sam", f"h{n}", "spam")
        assert here.desk.counters["failed_writes"] == 2
        with pytest.raises(ValueError, match="disposition is empty"):
            here.desk.wrapped_up("sam", "h0", " ")
        await here.desk.finished("h0", "sideways")
        here.desk.released("sam", "c-9")


async def test_a_handoff_after_the_end_is_refused(database: Database) -> None:
    async with house(database, default_transfer="+12125550100") as here:
        await here.desk.aclose()
        here.desk.on_duty("sam", [], [])
        assert (await here.ask()).detail == "the server stops"


async def test_the_queue_goes_on_after_a_fault_of_its_own(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with house(database, settings=QueueSettings(ring_s=20, first_words_s=60)) as here:
        here.desk.on_duty("sam", [], [])
        here.ask()
        await here.waits()
        start = here.clock.ms
        await here.clock.next(start + 20_000)
        with monkeypatch.context() as patch:
            patch.setattr("agent.handoff.console_desk.step", lambda *_: 1 / 0)
            here.clock.advance(20_000)
            await here.clock.next(start + 21_000)
        assert "tries again" in caplog.text
        here.clock.advance(1_000)
        await here.until(lambda: here.desk.snapshot()["queue"][0]["rings"] == "sam")
        here.desk.accept("sam", "h")


class Wording:
    """A writer that says what it is told to."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.facts: Sequence[str] = ()

    def does(self, use: str) -> bool:
        return use == "summary"

    async def summary(self, facts: Sequence[str], paragraph: str, **_: Any) -> str:
        self.facts = facts
        return self.text


async def test_a_model_words_the_briefing_while_it_rings(database: Database) -> None:
    writer = Wording("The caller wants to cancel order 54321.")
    async with house(database, writer=writer) as here:
        here.desk.on_duty("sam", [], [])
        result = here.ask()
        await here.waits()
        await here.until(lambda: (known := here.desk.briefing("h")) is not None and known.by == "model")
        assert here.desk.snapshot()["queue"][0]["summary"] == [{"text": writer.text, "turns": [1]}]
        assert here.feed.all[-1][2]["summary"][0]["text"] == writer.text
        here.desk.accept("sam", "h")
        await result
