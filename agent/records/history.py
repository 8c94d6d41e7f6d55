"""What the records know of earlier calls: of one caller, for personalisation, and how calls ended, for alerts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from agent.records.database import Call, Database, Event, Turn
from agent.records.queries import Row

MOST_CALLS = 20
"""Earlier calls of one caller that are read at most."""
MOST_VERDICTS = 100_000
VERDICT = "verdict"
"""The event that a call leaves at its end: {topic, negative}."""


async def calls_of(database: Database, caller: str, domain: str, before: datetime, limit: int = 3) -> list[Row]:
    """The last calls from the number `caller` that ended before `before`, the latest first.

    Each has opened_at (ISO 8601), outcome, reason and intents: those of its caller's turns, in order. Reads only.

    Raises:
        ValueError: `limit` is not 1 to `MOST_CALLS`.
    """
    if not 1 <= limit <= MOST_CALLS:
        raise ValueError(f"limit {limit} is out of range; give 1 to {MOST_CALLS}")
    query = (
        select(Call.id, Call.opened_at, Call.outcome, Call.reason)
        .where(Call.caller == caller, Call.domain == domain, Call.finished_at < before)
        .order_by(Call.opened_at.desc(), Call.id)
        .limit(limit)
    )
    async with database.engine.connect() as connection:
        calls = (await connection.execute(query)).all()
        turns = select(Turn.call_id, Turn.intent).where(
            Turn.call_id.in_([call.id for call in calls]), Turn.speaker == "caller", Turn.intent.is_not(None)
        )
        intents: dict[str, list[str]] = {call.id: [] for call in calls}
        for call_id, intent in (await connection.execute(turns.order_by(Turn.call_id, Turn.number))).all():
            intents[call_id].append(str(intent))
    return [
        {
            "opened_at": call.opened_at.isoformat(),
            "outcome": call.outcome,
            "reason": call.reason,
            "intents": intents[call.id],
        }
        for call in calls
    ]


async def verdicts(database: Database, domain: str, since: datetime) -> Sequence[tuple[datetime, str, bool]]:
    """How the calls of `domain` that ended since `since` went: (end, topic, negative), oldest first; the last
    `MOST_VERDICTS` where there are more. Verdicts that cannot be read are left out.
    """
    query = (
        select(Call.finished_at, Event.data)
        .join(Call, Call.id == Event.call_id)
        .where(Event.kind == VERDICT, Call.domain == domain, Call.finished_at >= since)
        .order_by(Call.finished_at.desc(), Call.id)
        .limit(MOST_VERDICTS)
    )
    async with database.engine.connect() as connection:
        rows = (await connection.execute(query)).all()
    found: list[tuple[datetime, str, bool]] = []
    for ended, data in reversed(rows):
        topic, negative = (data.get(name) for name in ("topic", "negative")) if isinstance(data, dict) else (None, None)
        if isinstance(topic, str) and isinstance(negative, bool) and ended is not None:
            found.append((ended, topic, negative))
    return found
