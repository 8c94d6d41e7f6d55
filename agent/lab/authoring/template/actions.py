"""What the agent can do for a caller: visits in a database.

An action is `async def f(database, arguments, context)`; docs/actions.md tells what it may rely on. Change the tables
to those of your business, or call a system you have over HTTP instead.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel
from sqlalchemy import String, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from agent.clock import Clock
from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend, open_backend

TIMES = ("9 am", "11 am", "2 pm", "4 pm")
"""Visits of a day, in the order in which they are given out."""
SUNDAY = 6


class Table(DeclarativeBase):
    """Base of the tables."""


class Visit(Table):
    """A visit. `key` is the idempotency key of the request: the same request books once."""

    __tablename__ = "visits"
    id: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[str] = mapped_column(String(30), unique=True)
    day: Mapped[date] = mapped_column(index=True)
    time: Mapped[str] = mapped_column(String(10))
    phone: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[datetime]
    key: Mapped[str] = mapped_column(String(64), unique=True)


class Day(BaseModel):
    """Names a day."""

    day: date


class FreeDay(BaseModel):
    """Whether something is free on a day, and the first time."""

    open: bool
    day: date
    time: str = ""


class Booking(BaseModel):
    """What is to be booked."""

    day: date
    phone: str


class Booked(BaseModel):
    """What came of a booking."""

    outcome: Literal["booked", "full"]
    day: date
    time: str = ""


async def open_database(url: str, clock: Clock) -> Backend:
    """Open the visits at a SQLAlchemy `url`; tables that are missing are created."""
    return await open_backend(url, clock, Table.metadata, _no_seed)


async def find_day(database: Backend, arguments: Day, context: ActionContext) -> FreeDay:
    """The first free time of a day."""
    time = await _first_free(database, arguments.day)
    return FreeDay(open=time is not None, day=arguments.day, time=time or "")


async def book_visit(database: Backend, arguments: Booking, context: ActionContext) -> Booked:
    """Book the first free time of a day; the same request again gives what it gave."""
    async with database.session() as session:
        known = await session.scalar(select(Visit).where(Visit.key == context.key))
    if known is not None:
        return Booked(outcome="booked", day=known.day, time=known.time)
    time = await _first_free(database, arguments.day)
    if time is None:
        return Booked(outcome="full", day=arguments.day)
    visit = Visit(
        place=f"{arguments.day} {time}",
        day=arguments.day,
        time=time,
        phone=arguments.phone,
        created_at=context.clock.wall(),
        key=context.key,
    )
    try:
        async with database.session() as session, session.begin():
            session.add(visit)
    except IntegrityError:  # somebody else took it meanwhile
        return Booked(outcome="full", day=arguments.day)
    return Booked(outcome="booked", day=arguments.day, time=time)


async def _first_free(database: Backend, day: date) -> str | None:
    if day.weekday() == SUNDAY:
        return None
    async with database.session() as session:
        taken = await session.scalar(select(func.count()).select_from(Visit).where(Visit.day == day))
    return TIMES[taken] if taken is not None and taken < len(TIMES) else None


async def _no_seed(database: Backend) -> None:
    """A new database is empty; a demo would be filled here."""
