"""Pickups of bulky waste, and appointments at the city's offices."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from pydantic import BaseModel, Field
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.government.store import Pickup, Visit
from agent.domains.money import Money
from agent.domains.noted import put_once

PICKUP_DAYS = (1, 3)
"""Weekdays on which bulky waste is picked up: Tuesday and Thursday."""
PICKUPS_A_DAY = 12
PICKUP_FEE = 3500
"""For every pickup at an address after the first of a year; the knowledge files say the same."""
HOURS = {
    "city clerk": ("09:00", "10:30", "13:00", "15:00"),
    "permit desk": ("09:30", "11:00", "14:00"),
    "tax office": ("10:00", "13:30"),
    "housing office": ("09:00", "13:00"),
}
"""Times at which appointments begin, Monday to Friday."""
CLOSED = {"housing office": (4,), "tax office": (2,)}
"""Weekdays on which an office sees nobody."""
LOOK_AHEAD_DAYS = 28
NOON = "12:00"


class Where(BaseModel):
    """Where and from which day on something should be picked up."""

    address: str = Field(min_length=5, max_length=200)
    day: date


class PickupDay(BaseModel):
    """The next day with room. outcome: same_day or other_day; `free` tells whether it costs nothing."""

    outcome: str
    day: date
    free: bool
    fee: Money


class NewPickup(BaseModel):
    """What is picked up, where and when."""

    address: str = Field(min_length=5, max_length=200)
    item: str = Field(min_length=1, max_length=200)
    day: date


class PickupMade(BaseModel):
    """outcome: booked or full."""

    outcome: str
    day: date
    fee: Money


class Wanted(BaseModel):
    """Which office, from which day on, and in which part of it."""

    office: str
    day: date
    part: str | None = None


class Offered(BaseModel):
    """A free time, and another one if there is. outcome: same_day, other_day, none or unknown (no such office)."""

    outcome: str
    office: str = ""
    place: str = ""
    day: date | None = None
    time: str = ""
    second: bool = False
    other_place: str = ""
    other_day: date | None = None
    other_time: str = ""


class NewVisit(BaseModel):
    """A time that was offered, and who comes."""

    place: str
    name: str = Field(min_length=1, max_length=200)
    phone: str = Field(pattern=r"^\+\d{8,15}$")


class VisitMade(BaseModel):
    """outcome: booked, or taken (somebody was quicker)."""

    outcome: str
    office: str = ""
    day: date | None = None
    time: str = ""


async def find_pickup_day(city: Backend, arguments: Where, context: ActionContext) -> PickupDay:
    """Find the next pickup day with room, and say what it costs there."""
    today = context.clock.wall().date()
    day = max(arguments.day, today + timedelta(days=1))
    async with city.session() as session:
        while day.weekday() not in PICKUP_DAYS or await _full(city, day):
            day += timedelta(days=1)
        year = select(func.count()).where(
            func.lower(Pickup.address).startswith(_street(arguments.address)), Pickup.day >= date(day.year, 1, 1)
        )
        free = not await session.scalar(year)
    outcome = "same_day" if day == arguments.day else "other_day"
    return PickupDay(outcome=outcome, day=day, free=free, fee=Money(minor=0 if free else PICKUP_FEE))


async def book_pickup(city: Backend, arguments: NewPickup, context: ActionContext) -> PickupMade:
    """Book a pickup on a pickup day with room."""
    quote = await find_pickup_day(city, Where(address=arguments.address, day=arguments.day), context)
    async with city.session() as session:
        made = (await session.scalars(select(Pickup).where(Pickup.key == context.key))).first()
        if made is not None:
            return PickupMade(outcome="booked", day=made.day, fee=Money(minor=made.fee))
        if quote.day != arguments.day:
            return PickupMade(outcome="full", day=quote.day, fee=quote.fee)
        row = Pickup(
            address=arguments.address.lower(),
            item=arguments.item,
            day=arguments.day,
            fee=quote.fee.minor,
            key=context.key,
        )
        await put_once(session, row, Pickup.key == context.key)
    return PickupMade(outcome="booked", day=arguments.day, fee=quote.fee)


async def find_visits(city: Backend, arguments: Wanted, context: ActionContext) -> Offered:
    """Find a free time at an office on a day or soon after it, and a second one."""
    if arguments.office not in HOURS:
        return Offered(outcome="unknown")
    now = context.clock.wall().replace(tzinfo=None)
    async with city.session() as session:
        taken = set((await session.scalars(select(Visit.place).where(Visit.office == arguments.office))).all())
    free: list[tuple[date, str]] = []
    for ahead in range(LOOK_AHEAD_DAYS + 1):
        day = arguments.day + timedelta(days=ahead)
        if day.weekday() >= 5 or day.weekday() in CLOSED.get(arguments.office, ()):
            continue
        for at in HOURS[arguments.office]:
            wanted = arguments.part not in ("morning", "afternoon") or (at < NOON) == (arguments.part == "morning")
            later = datetime.combine(day, time.fromisoformat(at)) > now
            if wanted and later and f"{arguments.office}|{day}|{at}" not in taken:
                free.append((day, at))
    if not free:
        return Offered(outcome="none", office=arguments.office)
    first, second = free[0], free[1] if len(free) > 1 else None
    return Offered(
        outcome="same_day" if first[0] == arguments.day else "other_day",
        office=arguments.office,
        place=f"{arguments.office}|{first[0]}|{first[1]}",
        day=first[0],
        time=first[1],
        second=second is not None,
        other_place=f"{arguments.office}|{second[0]}|{second[1]}" if second else "",
        other_day=second[0] if second else None,
        other_time=second[1] if second else "",
    )


async def book_visit(city: Backend, arguments: NewVisit, context: ActionContext) -> VisitMade:
    """Book an offered time at an office."""
    office, _, rest = arguments.place.partition("|")
    day, _, at = rest.partition("|")
    if at not in HOURS.get(office, ()):
        return VisitMade(outcome="taken")
    made = VisitMade(outcome="booked", office=office, day=date.fromisoformat(day), time=at)
    async with city.session() as session:
        row = Visit(
            office=office,
            day=made.day,
            time=at,
            name=arguments.name,
            phone=arguments.phone,
            place=arguments.place,
            key=context.key,
        )
        try:
            await put_once(session, row, Visit.key == context.key)
        except IntegrityError:
            return made.model_copy(update={"outcome": "taken"})
    return made


async def _full(city: Backend, day: date) -> bool:
    async with city.session() as session:
        return (await session.scalar(select(func.count()).where(Pickup.day == day)) or 0) >= PICKUPS_A_DAY


def _street(address: str) -> str:
    """House number and street of an address, in lower case: what names it in every spelling."""
    return address.split(",")[0].strip().lower()
