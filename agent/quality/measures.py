"""Business measures and trends of scored calls: pure sums over rows, and the query that gets the rows."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from agent.quality.rubric import Prices
from agent.quality.searching import SCORE
from agent.quality.tables import QualityScore
from agent.records.database import Call, Database
from agent.records.queries import Row

MOST_DAYS = 731
MOST_CALLS = 200_000
"""Calls of a period that are summed up; the latest of more."""
MEASURES = ("calls", "contained", "score", "satisfaction", "silence", "anger", "cost")
"""What there is by day."""


@dataclass(frozen=True, slots=True)
class OneCall:
    """What the measures look at. cost None: not priced. repeated: the caller called again within the days that count;
    None where the number is withheld. due: those days are over."""

    opened_at: datetime
    domain: str
    topic: str
    score: float | None
    anger: float
    contained: bool
    transferred: str | None
    silence: float
    duration_ms: float
    human_ms: float
    satisfaction: float | None
    surveyed: bool
    cost: float | None
    repeated: bool | None
    due: bool
    passed: Mapping[str, bool]
    titles: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Period:
    """Calls that opened in [since, until)."""

    since: datetime
    until: datetime

    @classmethod
    def last(cls, days: int, now: datetime) -> Period:
        """The last days, today included.

        Raises:
            ValueError: `days` is out of range.
        """
        if not 1 <= days <= MOST_DAYS:
            raise ValueError(f"days {days} is out of range; give 1 to {MOST_DAYS}")
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return cls(midnight - timedelta(days=days - 1), midnight + timedelta(days=1))

    @property
    def before(self) -> Period:
        """The period of the same length before it."""
        return Period(self.since - (self.until - self.since), self.since)


async def scored_calls(
    database: Database,
    period: Period,
    now: datetime,
    prices: Callable[[str], Prices],
    repeat_days: Callable[[str], int],
    domain: str | None = None,
) -> list[OneCall]:
    """The scored calls of a period, oldest first. prices, repeat_days: of a domain."""
    query = (
        select(
            Call.opened_at, Call.domain, Call.caller, Call.duration_ms, QualityScore.topic, SCORE.label("score"),
            QualityScore.anger, QualityScore.contained, QualityScore.transferred, QualityScore.silence,
            QualityScore.human_ms, QualityScore.satisfaction, QualityScore.surveyed, QualityScore.items,
        )
        .join(QualityScore, QualityScore.call_id == Call.id)
        .where(Call.opened_at >= period.since, Call.opened_at < period.until)
        .order_by(Call.opened_at.desc())
        .limit(MOST_CALLS)
    )  # fmt: skip
    later = select(Call.domain, Call.caller, Call.opened_at).where(
        Call.caller.is_not(None), Call.opened_at >= period.since
    )
    if domain is not None:
        query, later = query.where(Call.domain == domain), later.where(Call.domain == domain)
    async with database.engine.connect() as connection:
        rows = (await connection.execute(query)).all()
        times: dict[tuple[str, str], list[datetime]] = defaultdict(list)
        for of_domain, caller, at in (await connection.execute(later.order_by(Call.opened_at))).all():
            times[of_domain, caller or ""].append(at)
    found = []
    for row in reversed(rows):
        within = timedelta(days=repeat_days(row.domain))
        calls = times.get((row.domain, row.caller or ""), [])
        repeated = any(row.opened_at < at <= row.opened_at + within for at in calls) if row.caller else None
        duration = row.duration_ms or 0.0
        cost = prices(row.domain).cost(duration / 60_000, row.human_ms / 60_000, row.transferred is not None)
        passed = {item["name"]: item["passed"] for item in row.items if item["passed"] is not None}
        found.append(
            OneCall(
                opened_at=row.opened_at,
                domain=row.domain,
                topic=row.topic,
                score=row.score,
                anger=row.anger,
                contained=row.contained,
                transferred=row.transferred,
                silence=row.silence,
                duration_ms=duration,
                human_ms=row.human_ms,
                satisfaction=row.satisfaction,
                surveyed=row.surveyed,
                cost=cost,
                repeated=repeated,
                due=row.opened_at + within <= now,
                passed=passed,
                titles={item["name"]: item["title"] for item in row.items},
            )
        )
    return found


async def unscored_in(database: Database, period: Period, domain: str | None = None) -> int:
    """How many finished calls of a period have no score, and are in no measure."""
    query = select(func.count()).select_from(Call).outerjoin(QualityScore, QualityScore.call_id == Call.id)
    query = query.where(Call.finished_at.is_not(None), QualityScore.call_id.is_(None))
    query = query.where(Call.opened_at >= period.since, Call.opened_at < period.until)
    if domain is not None:
        query = query.where(Call.domain == domain)
    async with database.engine.connect() as connection:
        return int((await connection.execute(query)).scalar_one())


def measure(calls: Sequence[OneCall]) -> Row:
    """The measures of some calls: counts, and shares in [0, 1]; None where nothing can be said.

    contained, transferred: of all calls. repeat_7d: of calls with a number whose days are over. repeat_so_far: of all
    with a number. silence: of all time on the line. cost: of one call on average.
    """
    known = [call for call in calls if call.repeated is not None]
    due = [call for call in known if call.due]
    time = sum(call.duration_ms for call in calls)
    given = [call.satisfaction for call in calls if call.surveyed]
    return {
        "calls": len(calls),
        "contained": _mean(call.contained for call in calls),
        "transferred": _mean(call.transferred is not None for call in calls),
        "repeat_7d": _mean(bool(call.repeated) for call in due),
        "repeat_so_far": _mean(bool(call.repeated) for call in known),
        "silence": round(sum(call.silence * call.duration_ms for call in calls) / time, 4) if time else None,
        "minutes": round(time / 60_000, 1),
        "human_minutes": round(sum(call.human_ms for call in calls) / 60_000, 1),
        "cost": _mean((call.cost for call in calls), 4),
        "score": _mean((call.score for call in calls), 1),
        "anger": _mean((call.anger for call in calls), 3),
        "satisfaction": _mean((call.satisfaction for call in calls), 2),
        "satisfaction_given": _mean(given, 2),
        "surveys": len(given),
    }


def measures(calls: Sequence[OneCall], period: Period) -> Row:
    """All measures of a period: `all`, by intent (most calls first), by reason of transfer, by day."""
    by_topic: dict[str, list[OneCall]] = defaultdict(list)
    for call in calls:
        by_topic[call.topic].append(call)
    reasons = Counter(call.transferred for call in calls if call.transferred is not None)
    why: dict[str, Counter[str]] = {
        topic: Counter(call.transferred for call in of if call.transferred) for topic, of in by_topic.items()
    }
    intents = [
        {"intent": topic, **measure(of), "reason": next((name for name, _ in why[topic].most_common(1)), None)}
        for topic, of in sorted(by_topic.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    return {
        "since": period.since.isoformat(),
        "until": period.until.isoformat(),
        "all": measure(calls),
        "intents": intents,
        "reasons": [{"reason": reason, "calls": count} for reason, count in reasons.most_common()],
        "days": by_day(calls, period),
    }


def by_day(calls: Iterable[OneCall], period: Period) -> list[Row]:
    """The measures of each day of a period, UTC, days without calls included."""
    days: dict[str, list[OneCall]] = defaultdict(list)
    for call in calls:
        days[call.opened_at.date().isoformat()].append(call)
    count = (period.until - period.since).days
    dates = ((period.since + timedelta(days=n)).date().isoformat() for n in range(count))
    return [{"day": day, **measure(days[day])} for day in dates]


def trends(calls: Sequence[OneCall], before: Sequence[OneCall], period: Period) -> Row:
    """How scores went: by day, and how often each criterion was met, beside the same length of time before."""
    titles: dict[str, str] = {}
    for call in (*before, *calls):
        titles |= call.titles
    items = []
    for name, title in titles.items():
        judged = [call.passed[name] for call in calls if name in call.passed]
        earlier = [call.passed[name] for call in before if name in call.passed]
        items.append(
            {"name": name, "title": title, "calls": len(judged), "passed": _mean(judged), "before": _mean(earlier)}
        )
    days = [
        {key: day[key] for key in ("day", "calls", "score", "anger", "satisfaction")} for day in by_day(calls, period)
    ]
    return {
        "since": period.since.isoformat(),
        "until": period.until.isoformat(),
        "score": _mean((call.score for call in calls), 1),
        "score_before": _mean((call.score for call in before), 1),
        "days": days,
        "items": items,
    }


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV (RFC 4180). A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    out = io.StringIO()
    writer = csv.writer(out)
    columns = list(rows[0]) if rows else []
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip()[:1] in ("=", "+", "-", "@"):
        return "'" + value
    return "" if value is None else value


def _mean(values: Iterable[float | bool | None], digits: int = 4) -> float | None:
    known = [float(value) for value in values if value is not None]
    return round(sum(known) / len(known), digits) if known else None
