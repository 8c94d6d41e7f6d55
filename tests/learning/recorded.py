"""Calls written into a real records database, turn by turn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.clock import RealClock
from agent.records.contracts import CallFinished, CallOpened, TurnRecord
from agent.records.database import Database
from agent.records.writer import SqlRecords


@dataclass(frozen=True)
class Said:
    """A caller turn and the agent's answer."""

    text: str
    intent: str = "order_status"
    ranking: tuple[tuple[str, float], ...] = ()
    decision: str = "flow order_status"
    answer: str = "All right."
    reasons: dict[str, Any] = field(default_factory=dict)
    candidate: str | None = None


def url_of(folder: Path) -> str:
    return f"sqlite:///{folder}/records.db"


@asynccontextmanager
async def recorded(
    folder: Path, calls: dict[str, Sequence[Said]], outcome: str = "completed", domain: str = "shop"
) -> AsyncIterator[Database]:
    """A database that holds `calls`; all end in `outcome`."""
    async with SqlRecords.open(url_of(folder), folder / "recordings", RealClock(), record_audio=False) as records:
        for call_id, turns in calls.items():
            call = await records.open_call(CallOpened(call_id, "plain", f"g-{call_id}", domain))
            call.turn(TurnRecord(0, "agent", "How can I help?", 0, 900, heard="How can I help?"))
            for number, said in enumerate(turns, start=1):
                ranking = said.ranking or ((said.intent, 0.95), ("wait", 0.02))
                call.turn(
                    TurnRecord(
                        number,
                        "caller",
                        said.text,
                        number * 1000.0,
                        number * 1000.0 + 500,
                        intent=said.intent,
                        confidence=ranking[0][1],
                        reasons={"ranking": [list(row) for row in ranking], **said.reasons},
                        model="head",
                    )
                )
                reasons = {"decision": said.decision}
                call.turn(
                    TurnRecord(
                        number, "agent", said.answer, number * 1000.0 + 600, 0, heard=said.answer, reasons=reasons
                    )
                )
                if said.candidate is not None:
                    sides = {"live": {"version": "head", "intent": said.intent, "confidence": 0.9}}
                    sides["candidate"] = {"version": "v0001-00000000", "intent": said.candidate, "confidence": 0.9}
                    agree = said.candidate == said.intent
                    call.event("shadow", 0.0, {"turn": number, "agree": agree, **sides})
            await call.finish(CallFinished(outcome, "test", 5000.0))
        yield records.database
