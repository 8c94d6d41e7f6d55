"""Quality for supervisors over HTTP: scored calls, one call, calls side by side, ratings, trends, measures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from agent.clock import Clock
from agent.config import CONFIGS
from agent.quality.measures import (
    MOST_DAYS,
    OneCall,
    Period,
    as_csv,
    by_day,
    measures,
    scored_calls,
    trends,
    unscored_in,
)
from agent.quality.plots import SCALES
from agent.quality.plots import by_day as plot
from agent.quality.rubric import Rubrics
from agent.quality.searching import Range, SearchError, Wanted, load_quality, search_calls, side_by_side, unscored_calls
from agent.quality.service import LONGEST_NOTE, BadRating, NotFinished, Quality, QualityError, Rating
from agent.records.database import Database
from agent.records.queries import CallNotFound

LEAST = "supervisor"
"""The role from which quality is seen."""


class Person(Protocol):
    """Who asks."""

    @property
    def name(self) -> str: ...


class Guard(Protocol):
    """What of `agent.console.guard.Guard` is used here."""

    @property
    def database(self) -> Database: ...

    @property
    def clock(self) -> Clock: ...

    def role(self, least: Any) -> Callable[[Request], Awaitable[Any]]:
        """A dependency that lets in who has at least this role."""
        ...

    async def audit(self, who: str, what: str, about: str, data: Mapping[str, Any] | None = None) -> None:
        """Write into the audit trail, before it is done."""
        ...


class RatingBody(BaseModel):
    """What a supervisor says of a call."""

    model_config = ConfigDict(extra="forbid")

    score: int = Field(ge=0, le=100)
    items: dict[str, bool] = Field(default={}, max_length=100)
    note: str = Field(default="", max_length=LONGEST_NOTE)


CallId = Annotated[str, Path(max_length=64)]
Days = Annotated[int, Query(ge=1, le=MOST_DAYS)]
Text = Annotated[str | None, Query(max_length=128)]


def add_quality(router: APIRouter, guard: Guard, rubrics: Rubrics | None = None) -> None:
    """Put quality/* and measures* on the console's router, for supervisors.

    rubrics: what calls are scored by; without them those of `configs/quality`.

    Raises:
        FileError: one of those is wrong.
    """
    _add(router, guard, rubrics or Rubrics(CONFIGS / "quality"))


def _add(router: APIRouter, guard: Guard, rubrics: Rubrics) -> None:
    allowed = Depends(guard.role(LEAST))

    def service() -> Quality:
        return Quality(guard.database, rubrics, guard.clock, lambda _: None)

    async def calls_of(period: Period, domain: str | None) -> list[OneCall]:
        return await scored_calls(
            guard.database,
            period,
            guard.clock.wall(),
            lambda name: rubrics.of(name).prices,
            lambda name: rubrics.of(name).repeat_days,
            domain,
        )

    @router.get("/quality/calls", dependencies=[allowed])
    async def quality_calls(
        text: Annotated[str, Query(max_length=500)] = "",
        intent: Text = None,
        emotion: Text = None,
        score: Text = None,
        below: Annotated[float | None, Query(ge=0, le=100)] = None,
        satisfaction: Text = None,
        domain: Text = None,
        outcome: Text = None,
        failed: Text = None,
        rated: bool | None = None,
        since: Annotated[date | None, Query(alias="from")] = None,
        until: Annotated[date | None, Query(alias="to")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> dict[str, Any]:
        """Calls that fit, the latest first. `below` is short for score=<N; `to` is the last day."""
        try:
            scores = Range(high=below, below=True) if below is not None else Range.read(score) if score else None
            given = Range.read(satisfaction) if satisfaction else None
            first = _midnight(since) if since is not None else None
            last = _midnight(until) + timedelta(days=1) if until is not None else None
            wanted = Wanted(
                text, emotion or None, scores, given, domain or None, intent or None, outcome or None, failed or None,
                rated, first, last, limit,
            )  # fmt: skip
            calls = await search_calls(guard.database, wanted)
        except (SearchError, OverflowError) as error:
            raise HTTPException(422, str(error)) from error
        return {"calls": calls, "unscored": await unscored_calls(guard.database)}

    @router.get("/quality/compare", dependencies=[allowed])
    async def quality_compare(call: Annotated[list[str], Query(max_length=4)]) -> dict[str, Any]:
        """Two to four calls side by side."""
        try:
            return await side_by_side(guard.database, call)
        except SearchError as error:
            raise HTTPException(422, str(error)) from error
        except CallNotFound as error:
            raise HTTPException(404, str(error.args[0])) from error

    @router.get("/quality/trends", dependencies=[allowed])
    async def quality_trends(days: Days = 30, domain: Text = None) -> dict[str, Any]:
        """How scores and criteria went, by day, beside the same length of time before."""
        period = Period.last(days, guard.clock.wall())
        return trends(await calls_of(period, domain), await calls_of(period.before, domain), period)

    @router.get("/quality/calibration", dependencies=[allowed])
    async def quality_calibration(rubric: Text = None) -> dict[str, Any]:
        """How near the rubric is to people."""
        try:
            return (await service().calibration(rubric)).data()
        except QualityError as error:
            raise HTTPException(422, str(error)) from error

    @router.get("/quality/calls/{call_id}", dependencies=[allowed])
    async def quality_call(call_id: CallId) -> dict[str, Any]:
        """One call's score with evidence, and its ratings."""
        try:
            return await load_quality(guard.database, call_id)
        except CallNotFound as error:
            raise HTTPException(404, str(error.args[0])) from error

    @router.post("/quality/calls/{call_id}/rating")
    async def rate(call_id: CallId, body: RatingBody, person: Any = allowed) -> dict[str, Any]:
        """Keep what the supervisor says of a call; what they said before is replaced."""
        rating = Rating(call_id, person.name, body.score, body.items, body.note)
        quality = service()
        try:
            await quality.check_rating(rating)
            await guard.audit(person.name, "quality.rated", call_id, {"score": body.score})
            await quality.rate(rating)
            return await load_quality(guard.database, call_id)
        except CallNotFound as error:
            raise HTTPException(404, str(error.args[0])) from error
        except NotFinished as error:
            raise HTTPException(409, str(error)) from error
        except BadRating as error:
            raise HTTPException(422, str(error)) from error

    @router.get("/measures", dependencies=[allowed])
    async def business_measures(days: Days = 30, domain: Text = None) -> dict[str, Any]:
        """Business measures of the last days: by intent, reason of transfer, and day."""
        period = Period.last(days, guard.clock.wall())
        found = measures(await calls_of(period, domain), period)
        return found | {
            "currency": rubrics.of(domain or "").prices.currency,
            "repeat_days": rubrics.of(domain or "").repeat_days,
            "unscored": await unscored_in(guard.database, period, domain),
        }

    @router.get("/measures.csv", dependencies=[allowed])
    async def measures_csv(
        days: Days = 30, domain: Text = None, by: Annotated[str, Query(pattern="^(intent|day)$")] = "intent"
    ) -> Response:
        """The same as CSV, a row an intent or a day."""
        period = Period.last(days, guard.clock.wall())
        found = measures(await calls_of(period, domain), period)
        rows = found["days"] if by == "day" else [*found["intents"], {"intent": "(all)", **found["all"]}]
        name = f"measures-by-{by}-{days}-days.csv"
        head = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response("\ufeff" + as_csv(rows), media_type="text/csv; charset=utf-8", headers=head)

    @router.get("/measures/plot.svg", dependencies=[allowed])
    async def measures_plot(
        of: Annotated[str, Query()] = "contained", days: Days = 30, domain: Text = None
    ) -> Response:
        """A measure by day, as an image."""
        named = {"containment": "contained"}.get(of, of)
        if named not in SCALES:
            raise HTTPException(422, f"'{of}' is no measure; use one of {', '.join(SCALES)}")
        period = Period.last(days, guard.clock.wall())
        drawn = plot(named, by_day(await calls_of(period, domain), period))
        return Response(drawn, media_type="image/svg+xml")


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
