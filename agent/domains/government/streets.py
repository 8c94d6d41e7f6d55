"""Reports of what is out of order in the streets, noise and complaints."""

from __future__ import annotations

from datetime import date, timedelta

from pydantic import BaseModel, Field
from sqlalchemy import func, select, update

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.forms import ComplaintLogged, Done, NewComplaint
from agent.domains.government.identity import resident_of
from agent.domains.government.store import Report, Request
from agent.domains.noted import put_once
from agent.domains.requests import put_request

DAYS = {
    "pothole": 7,
    "broken streetlight": 10,
    "graffiti": 5,
    "fallen tree": 1,
    "blocked drain": 3,
    "missed trash": 1,
    "missed recycling": 1,
    "missed yard waste": 2,
}
"""Days within which a kind of problem is seen to; the knowledge files say the same."""
OTHER_DAYS = 10
QUIET = (22, 7)
"""Hours from and to which noise is seen to at once: the quiet hours of the knowledge files."""


class NewReport(BaseModel):
    """What is out of order, and where."""

    problem: str = Field(min_length=1, max_length=40)
    place: str = Field(min_length=3, max_length=200)


class Missed(BaseModel):
    """Which bin was not picked up: trash, recycling or yard waste; and where."""

    bin: str
    place: str = Field(min_length=3, max_length=200)


class Reported(BaseModel):
    """outcome: created, or known (the same was reported before, and still is open)."""

    outcome: str
    number: str
    due_on: date


class ReportNumber(BaseModel):
    """Names a report."""

    number: str = Field(pattern=r"^\d{6}$")


class ReportView(BaseModel):
    """A report as the agent speaks of it. state: received, scheduled, in_progress, done or declined."""

    found: bool
    number: str = ""
    problem: str = ""
    place: str = ""
    state: str = ""
    due_on: date | None = None


class Follow(BaseModel):
    """Who wants text messages about a report."""

    number: str = Field(pattern=r"^\d{6}$")
    phone: str = Field(pattern=r"^\+\d{8,15}$")


class Noise(BaseModel):
    """What kind of noise, and where."""

    noise: str = Field(min_length=1, max_length=40)
    place: str = Field(min_length=3, max_length=200)


class NoiseLogged(BaseModel):
    """`at_once`: whether it is in the quiet hours, when a patrol is sent."""

    number: int
    at_once: bool


async def report_problem(city: Backend, arguments: NewReport, context: ActionContext) -> Reported:
    """Record a problem; one that is open at the same place gives that report again."""
    today = context.clock.wall().date()
    async with city.session() as session:
        same = select(Report).where(
            Report.problem == arguments.problem,
            func.lower(Report.place) == arguments.place.lower(),
            Report.state.in_(("received", "scheduled", "in_progress")),
        )
        known = (await session.scalars(same)).first()
        if known is not None:
            outcome = "created" if known.key == context.key else "known"
            return Reported(outcome=outcome, number=known.number, due_on=known.due_on)
        highest = await session.scalar(select(func.max(Report.number)))
        row = Report(
            number=str(int(highest or "310000") + 1),
            problem=arguments.problem,
            place=arguments.place,
            state="received",
            due_on=today + timedelta(days=DAYS.get(arguments.problem, OTHER_DAYS)),
            key=context.key,
        )
        row = await put_once(session, row, Report.key == context.key)
        return Reported(outcome="created", number=row.number, due_on=row.due_on)


async def report_missed(city: Backend, arguments: Missed, context: ActionContext) -> Reported:
    """Record a pickup that was missed."""
    return await report_problem(city, NewReport(problem=f"missed {arguments.bin}", place=arguments.place), context)


async def find_report(city: Backend, arguments: ReportNumber, context: ActionContext) -> ReportView:
    """Look a report up."""
    async with city.session() as session:
        row = (await session.scalars(select(Report).where(Report.number == arguments.number))).first()
    if row is None:
        return ReportView(found=False)
    return ReportView(
        found=True, number=row.number, problem=row.problem, place=row.place, state=row.state, due_on=row.due_on
    )


async def follow_report(city: Backend, arguments: Follow, context: ActionContext) -> Done:
    """Send text messages about a report to a number."""
    async with city.session() as session, session.begin():
        changed = await session.execute(
            update(Report).where(Report.number == arguments.number).values(phone=arguments.phone).returning(Report.id)
        )
        return Done(done=changed.first() is not None)


async def log_noise(city: Backend, arguments: Noise, context: ActionContext) -> NoiseLogged:
    """Record noise; in the quiet hours a patrol is sent."""
    hour = context.clock.wall().hour
    text = f"{arguments.noise} at {arguments.place}"
    number = await put_request(city, Request, context, "noise", text, phone=context.caller)
    return NoiseLogged(number=number, at_once=hour >= QUIET[0] or hour < QUIET[1])


async def log_complaint(city: Backend, arguments: NewComplaint, context: ActionContext) -> ComplaintLogged:
    """Record a complaint, of the resident if one is proven."""
    resident = None if context.customer is None else resident_of(context)
    number = await put_request(
        city, Request, context, "complaint", arguments.text, resident_id=resident, phone=context.caller
    )
    return ComplaintLogged(number=number)
