import asyncio
import threading
from typing import Any

from callfakes import FakeCall
from virtual_time import run_virtual

from agent.clock import LoopClock
from agent.learning import shadow as shadow_module
from agent.learning.shadow import MOST_WAITING, SettledTurn, Shadow, reports
from agent.metrics import Metrics
from models.contracts import UnderstandingContext, Understood
from models.errors import Overloaded
from models.pool import Pool, Priority


class Candidate:
    """Understands the first word in capitals, unless `error` is set."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.error: Exception | None = None

    def understand(self, text: str, context: UnderstandingContext = UnderstandingContext()) -> Understood:  # noqa: B008
        self.read.append(text)
        if self.error is not None:
            raise self.error
        word = text.split()[0]
        return Understood("other" if word == "cancel" else word, 0.7)


class Shadowed:
    def __init__(self, pool: Any, settle_ms: float = 0.0) -> None:
        self.metrics = Metrics()
        self.shadow = Shadow(pool, self.metrics, LoopClock(), settle_ms)
        self.candidate = Candidate()
        self.shadow.start(self.candidate, "v2")
        self.notes: list[dict[str, Any]] = []
        self.stands = True

    def turn(self, text: str, number: int = 1) -> SettledTurn:
        understood = Understood(text.split()[0] if text.strip() else "", 0.91234, model="v1")
        return SettledTurn(
            number,
            text,
            UnderstandingContext(),
            understood,
            lambda: self.stands,
            lambda note: self.notes.append({**note}),
        )

    def counted(self, outcome: str) -> float:
        return self.metrics.shadow.labels(outcome)._value.get()

    async def settled(self) -> None:
        async with asyncio.timeout(10):
            await asyncio.gather(*self.shadow._tasks)


class Refusing:
    async def run(self, priority: Priority, work: Any, *, within_ms: float | None = None) -> Any:
        raise Overloaded("busy")


async def test_agreement_and_disagreement_are_noted_with_both_readings() -> None:
    pool = Pool(1)
    try:
        both = Shadowed(pool)
        both.shadow.read(both.turn("where is it", 1))
        await both.settled()
        both.shadow.read(both.turn("cancel it", 2))
        await both.settled()
    finally:
        pool.close()
    live = {"version": "v1", "confidence": 0.912}
    candidate = {"version": "v2", "confidence": 0.7}
    assert both.notes == [
        {"turn": 1, "agree": True, "live": live | {"intent": "where"}, "candidate": candidate | {"intent": "where"}},
        {
            "turn": 2,
            "agree": False,
            "live": live | {"intent": "cancel"},
            "candidate": candidate | {"intent": "other"},
            "text": "cancel it",
        },
    ]
    assert (both.counted("agreed"), both.counted("disagreed")) == (1, 1)


async def test_a_busy_pool_drops_the_reading_and_urgent_work_never_waits_for_it(monkeypatch) -> None:
    monkeypatch.setattr(shadow_module, "PATIENCE_MS", 1.0)
    pool = Pool(1)
    try:
        both = Shadowed(pool)
        release = threading.Event()
        held = asyncio.create_task(pool.run(Priority.FINAL_RECOGNITION, lambda: release.wait(10)))
        await asyncio.sleep(0.01)
        both.shadow.read(both.turn("where is it"))
        await asyncio.sleep(0.01)
        order: list[str] = []
        urgent = asyncio.create_task(pool.run(Priority.UNDERSTANDING, lambda: order.append("urgent")))
        await asyncio.sleep(0.01)
        release.set()
        await asyncio.gather(held, urgent)
        await both.settled()
    finally:
        pool.close()
    assert order == ["urgent"]
    assert both.candidate.read == []
    assert both.counted("dropped") == 1
    assert both.notes == []


async def test_a_pool_that_refuses_drops_the_reading() -> None:
    both = Shadowed(Refusing())
    both.shadow.read(both.turn("where is it"))
    await both.settled()
    assert both.counted("dropped") == 1


async def test_reading_never_blocks_and_the_waiting_turns_are_bounded() -> None:
    both = Shadowed(Refusing(), settle_ms=60_000)
    for number in range(MOST_WAITING + 5):
        both.shadow.read(both.turn("where is it", number))
    assert len(both.shadow._tasks) == MOST_WAITING
    assert both.counted("dropped") == 5
    await both.shadow.aclose()
    assert not both.shadow._tasks
    both.shadow.read(both.turn("where is it"))
    assert not both.shadow._tasks


async def test_a_turn_that_was_taken_back_or_empty_is_not_read() -> None:
    pool = Pool(1)
    try:
        both = Shadowed(pool)
        both.stands = False
        both.shadow.read(both.turn("where is it"))
        both.shadow.read(both.turn(" "))
        await both.settled()
    finally:
        pool.close()
    assert both.candidate.read == []


async def test_a_candidate_that_fails_is_counted_and_logged_once(caplog) -> None:
    pool = Pool(1)
    try:
        both = Shadowed(pool)
        both.candidate.error = RuntimeError("shapes differ")
        for number in range(3):
            both.shadow.read(both.turn("where is it", number))
        await both.settled()
    finally:
        pool.close()
    assert both.counted("failed") == 3
    assert caplog.messages == ["version v2 fails in the shadow: RuntimeError: shapes differ"]


def test_the_turns_of_a_call_are_read_after_they_were_settled() -> None:
    async def main() -> None:
        call = FakeCall()
        shadow = Shadow(call.services.pool, call.metrics, call.services.clock)
        candidate = Candidate()
        shadow.start(candidate, "v2")
        object.__setattr__(call.services, "shadow", shadow)
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("cancel it", 600)
        await phone.wait_for_agent()
        phone.press("12#")
        await phone.wait_for_agent()
        await phone.say("goodness me", 600)
        await phone.wait_for_agent()
        phone.hang_up()
        await call.ended()
        await shadow.aclose()
        assert candidate.read == ["cancel it", "goodness me"]
        found = [data for kind, data in call.record.events if kind == "shadow"]
        assert [(data["turn"], data["agree"]) for data in found] == [(1, False), (3, True)]

    run_virtual(main())


def test_the_report_counts_pairs_of_versions_apart() -> None:
    def event(live: str, candidate: str, a: str, b: str, text: str = "") -> dict[str, Any]:
        sides = {"live": {"version": live, "intent": a}, "candidate": {"version": candidate, "intent": b}}
        return {"agree": a == b, **sides, **({"text": text} if text else {})}

    found = reports(
        [
            event("v1", "v2", "x", "x"),
            event("v1", "v2", "x", "y", "one"),
            event("v1", "v2", "x", "y", "two"),
            event("v1", "v2", "z", "y", "three"),
            event("v2", "v3", "x", "x"),
        ]
    )
    assert [(report.live, report.candidate, report.turns, report.agreed) for report in found] == [
        ("v1", "v2", 4, 1),
        ("v2", "v3", 1, 1),
    ]
    assert found[0].disagreements == (("x", "y", 2, ("one", "two")), ("z", "y", 1, ("three",)))
    assert reports([]) == []
