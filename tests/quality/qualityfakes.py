"""Recorded calls for tests of quality: `turns` reads short lines, `keep` puts a call into the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from agent.clock import RealClock
from agent.quality.evidence import CallEvidence, DomainFacts
from agent.records.contracts import ActionRecord, CallFinished, CallOpened, TurnRecord
from agent.records.writer import SqlRecords

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "quality"
NOON = datetime.fromisoformat("2031-05-01T12:00:00+00:00")
HELLO = "Thanks for calling Harbor & Pine. I'm an automated assistant, and this call is recorded. How can I help you?"
DISCLOSURE = "I'm an automated assistant, and this call is recorded."
FACTS = DomainFacts("shop", ((DISCLOSURE,),))
ANGRY = {"words": "angry", "both": "angry", "both_angry": 0.9}


class DayClock(RealClock):
    """Noon of a day that the test sets."""

    day = 0.0

    def wall(self) -> datetime:
        return NOON + timedelta(days=self.day)


def greeting(heard: str | None = None) -> TurnRecord:
    text = HELLO if heard is None else heard
    return TurnRecord(0, "agent", HELLO, 20.0, 5000.0, text, must_hear=True, reasons={"rule": "greeting"})


def caller(number: int, text: str, start: float, end: float, **more: Any) -> TurnRecord:
    given: dict[str, Any] = {"intent": "order_status", "confidence": 0.9, "emotion": {"both": "neutral"}} | more
    return TurnRecord(number, "caller", text, start, end, **given)


def agent(number: int, text: str, start: float, end: float, heard: str | None = None, **reasons: Any) -> TurnRecord:
    sounded = text if heard is None else heard
    given = {"decision": "flow order_status", "actions": ["find_order"]} | reasons
    return TurnRecord(number, "agent", text, start, end, sounded, interrupted=sounded != text, reasons=given)


def good() -> list[TurnRecord]:
    """A call in which all goes well."""
    return [
        greeting(),
        caller(1, "Where is my order 42719?", 5500.0, 7500.0),
        agent(1, "It is out for delivery. Is there anything else?", 8000.0, 11_000.0),
        caller(2, "No thanks, bye.", 11_500.0, 12_500.0, intent="goodbye"),
        agent(2, "Thanks for calling. Goodbye.", 13_000.0, 15_000.0, decision="goodbye", actions=[]),
    ]


def loaded(
    turns: Sequence[TurnRecord],
    outcome: str = "completed",
    reason: str = "goodbye",
    duration: float | None = None,
    actions: Sequence[Mapping[str, Any]] = (),
    events: Sequence[Mapping[str, Any]] = (),
    handoffs: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """A call as `agent.records.queries.load_call` gives it."""
    rows = [{name: getattr(turn, name) for name in TurnRecord.__slots__} for turn in turns]
    ended = max((turn.ended_ms for turn in turns), default=0.0)
    call = {"id": "c-1", "domain": "shop", "outcome": outcome, "reason": reason}
    call["duration_ms"] = ended if duration is None else duration
    every = {"turn": 1, "ok": True, "result": {}}
    return {
        "call": call,
        "turns": rows,
        "actions": [every | dict(action) for action in actions],
        "events": list(events),
        "handoffs": [{"outcome": None, "state": "queued", "rule": "r", "reason": "", "intent": None} | dict(row)
                     for row in handoffs],
    }  # fmt: skip


def evidence(turns: Sequence[TurnRecord], facts: DomainFacts | None = FACTS, **more: Any) -> CallEvidence:
    return CallEvidence.of(loaded(turns, **more), facts)


async def keep(
    records: SqlRecords,
    call_id: str,
    turns: Sequence[TurnRecord] | None = None,
    outcome: str = "completed",
    number: str | None = "+12065550103",
    domain: str = "shop",
    topic: str = "order_status",
    actions: Sequence[ActionRecord] = (),
) -> None:
    """Record a finished call."""
    turns = good() if turns is None else turns
    record = await records.open_call(CallOpened(call_id, "twilio", "CA1", domain, number))
    for turn in turns:
        record.turn(turn)
    for action in actions:
        record.action(action)
    record.event("verdict", 1.0, {"topic": topic, "negative": False})
    ended = max(turn.ended_ms for turn in turns)
    await record.finish(CallFinished(outcome, "goodbye", ended))
