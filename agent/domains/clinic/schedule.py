"""When doctors see patients: working hours less absences and what is booked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from agent.domains.clinic.store import Absence, Appointment

HOURS: Mapping[str, Mapping[int, tuple[str, ...]]] = {
    "Dr. Novak": dict.fromkeys(range(5), ("08:30", "09:30", "10:30", "13:30", "14:30", "15:30")),
    "Dr. Brandt": dict.fromkeys(range(5), ("08:30", "09:30", "10:30", "13:30", "16:30")),
    "Dr. Serrano": dict.fromkeys((0, 1, 3, 4), ("09:00", "10:00", "11:00", "14:00")),
    "Nurse Moran": dict.fromkeys(range(5), ("09:00", "11:00", "14:00", "16:00")),
}
"""Times of day at which an appointment begins, by weekday (0 is Monday)."""
LOOK_AHEAD_DAYS = 28
NOON = "12:00"

Opening = tuple[str, date, str]
"""A time that is free: doctor, day and "HH:MM"."""


def place_of(opening: Opening) -> str:
    """The text that names an opening, unique among booked appointments."""
    doctor, day, at = opening
    return f"{doctor}|{day}|{at}"


def opening_at(place: str) -> Opening | None:
    """The opening that `place` names; None where no doctor works then."""
    doctor, _, rest = place.partition("|")
    day, _, at = rest.partition("|")
    try:
        opening = doctor, date.fromisoformat(day), at
    except ValueError:
        return None
    return opening if at in HOURS.get(doctor, {}).get(opening[1].weekday(), ()) else None


def hours_until(day: date, at: str, now: datetime) -> float:
    """Hours from `now` to "HH:MM" on `day`, in the clinic's own time."""
    return (datetime.combine(day, time.fromisoformat(at)) - now.replace(tzinfo=None)) / timedelta(hours=1)


def in_part(at: str, part: str | None) -> bool:
    """Whether a time is in the part of the day that was asked for: morning, afternoon or any."""
    return part not in ("morning", "afternoon") or (at < NOON) == (part == "morning")


async def openings(
    session: AsyncSession, doctor: str, first: date, now: datetime, part: str | None = None
) -> list[Opening]:
    """The free times of `doctor` from `first` on, the earliest first, for four weeks."""
    last = first + timedelta(days=LOOK_AHEAD_DAYS)
    booked = select(Appointment.place).where(Appointment.doctor == doctor, Appointment.place.is_not(None))
    taken = set((await session.scalars(booked)).all())
    away = (await session.scalars(select(Absence).where(Absence.doctor == doctor))).all()
    return [
        opening
        for opening in _hours(doctor, first, last)
        if place_of(opening) not in taken
        and in_part(opening[2], part)
        and hours_until(opening[1], opening[2], now) > 0
        and not any(one.first <= opening[1] <= one.last for one in away)
    ]


def _hours(doctor: str, first: date, last: date) -> Iterator[Opening]:
    day = first
    while day <= last:
        for at in HOURS[doctor].get(day.weekday(), ()):
            yield doctor, day, at
        day += timedelta(days=1)
