"""Appointments: finding free times, booking, moving and cancelling. Every change checks the state it starts from."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, Field
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.clinic.identity import patient_of
from agent.domains.clinic.schedule import NOON, Opening, hours_until, opening_at, openings, place_of
from agent.domains.clinic.store import Appointment, Patient
from agent.domains.forms import Nothing
from agent.domains.money import Money
from agent.domains.noted import put_once

NOTICE_HOURS = 24.0
"""Below this notice a cancelled appointment costs the fee; the knowledge files say the same."""
LATE_FEE = 2500
FLU_DOCTORS = ("Dr. Novak", "Dr. Brandt")
"""Doctors of grown-ups, with whose visits a flu shot is offered."""


class Which(BaseModel):
    """One of the patient's appointments: an option of `my_appointments`, or None for the next one."""

    which: str | None = None


class Day(BaseModel):
    """A day that the caller named, if he did."""

    day: date | None = None


class Mine(BaseModel):
    """A patient's coming appointments. outcome: none, one, several, or picked (the day names one of them)."""

    outcome: str
    count: int = 0
    options: list[str] = []
    picked: str = ""


class AppointmentView(BaseModel):
    """An appointment as the agent speaks of it; everything but `found` is empty where there is none.

    `title` names it in a sentence: "your check-up with Dr. Novak".
    """

    found: bool
    number: int = 0
    title: str = ""
    doctor: str = ""
    visit: str = ""
    day: date | None = None
    time: str = ""
    short_notice: bool = False
    today: bool = False
    fee: Money = Money(minor=LATE_FEE)
    offer_flu: bool = False


class Wanted(BaseModel):
    """What kind of time is looked for. part: morning, afternoon or any; doctor None is the patient's own."""

    day: date
    part: str | None = None
    doctor: str | None = None


class Offered(BaseModel):
    """A free time, and another one if there is. outcome: same_day, other_day or none.

    `place` and `other_place` name them for booking; `second` tells whether there is another one.
    """

    outcome: str
    place: str = ""
    doctor: str = ""
    day: date | None = None
    time: str = ""
    second: bool = False
    other_place: str = ""
    other_doctor: str = ""
    other_day: date | None = None
    other_time: str = ""


class Booking(BaseModel):
    """A time that was offered, and what for."""

    place: str
    visit: str = Field(min_length=1, max_length=60)


class Booked(BaseModel):
    """outcome: booked, or taken (somebody was quicker)."""

    outcome: str
    doctor: str = ""
    day: date | None = None
    time: str = ""
    visit: str = ""
    offer_flu: bool = False


class Move(BaseModel):
    """The appointment by its number, and the offered time that it moves to."""

    number: int
    place: str


class Number(BaseModel):
    """An appointment by its number."""

    number: int


class Cancelled(BaseModel):
    """outcome: cancelled, already or unknown. `fee` is 0 with notice enough."""

    outcome: str
    fee: Money = Money(minor=0)


class Told(BaseModel):
    """outcome: told, or none (no appointment today)."""

    outcome: str
    doctor: str = ""
    time: str = ""


async def my_appointments(clinic: Backend, arguments: Day, context: ActionContext) -> Mine:
    """List the patient's coming appointments, and see whether a day that was named is the day of one."""
    async with clinic.session() as session:
        rows = await _coming(session, context)
    options = [_option(row) for row in rows]
    picked = next((_option(row) for row in rows if row.day == arguments.day), "")
    outcome = "none" if not rows else "picked" if picked else "one" if len(rows) == 1 else "several"
    return Mine(outcome=outcome, count=len(rows), options=options, picked=picked)


async def find_appointment(clinic: Backend, arguments: Which, context: ActionContext) -> AppointmentView:
    """Look one of the patient's appointments up."""
    async with clinic.session() as session:
        rows = await _coming(session, context)
        row = next((one for one in rows if arguments.which in (None, _option(one))), None)
        if row is None:
            return AppointmentView(found=False)
        now = context.clock.wall()
        shots = {one.visit for one in rows}
        return AppointmentView(
            found=True,
            number=row.id,
            title=f"your {row.visit.removeprefix('a ')} with {row.doctor}",
            doctor=row.doctor,
            visit=row.visit,
            day=row.day,
            time=row.time,
            short_notice=hours_until(row.day, row.time, now) < NOTICE_HOURS,
            today=row.day == now.date(),
            offer_flu=row.doctor in FLU_DOCTORS and "a flu shot" not in shots,
        )


async def find_openings(clinic: Backend, arguments: Wanted, context: ActionContext) -> Offered:
    """Find a free time on a day or soon after it, and a second one: another time or, that day, another doctor."""
    now = context.clock.wall()
    async with clinic.session() as session:
        patient = await _patient(session, context)
        doctor = arguments.doctor or patient.doctor
        free = await openings(session, doctor, arguments.day, now, arguments.part)
        others: list[Opening] = []
        if arguments.doctor is None and doctor != "Nurse Moran" and (not free or free[0][1] != arguments.day):
            for name in ("Dr. Novak", "Dr. Serrano", "Dr. Brandt"):
                if name != doctor:
                    others += [
                        one
                        for one in await openings(session, name, arguments.day, now, arguments.part)
                        if one[1] == arguments.day
                    ]
    if not free and not others:
        return Offered(outcome="none")
    first = free[0] if free else others.pop(0)
    second = others[0] if others else _contrast(first, free)
    return Offered(
        outcome="same_day" if first[1] == arguments.day else "other_day",
        place=place_of(first),
        doctor=first[0],
        day=first[1],
        time=first[2],
        second=second is not None,
        other_place=place_of(second) if second else "",
        other_doctor=second[0] if second else "",
        other_day=second[1] if second else None,
        other_time=second[2] if second else "",
    )


async def book(clinic: Backend, arguments: Booking, context: ActionContext) -> Booked:
    """Book an offered time for the patient."""
    opening = opening_at(arguments.place)
    if opening is None:
        return Booked(outcome="taken")
    doctor, day, at = opening
    async with clinic.session() as session:
        row = Appointment(
            patient_id=patient_of(context), doctor=doctor, visit=arguments.visit, day=day, time=at, status="booked",
            note="", place=arguments.place, key=context.key,
        )  # fmt: skip
        try:
            await put_once(session, row, Appointment.key == context.key)
        except IntegrityError:
            return Booked(outcome="taken", doctor=doctor, day=day, time=at)
        shots = {one.visit for one in await _coming(session, context)}
    offer_flu = doctor in FLU_DOCTORS and "a flu shot" not in shots
    return Booked(outcome="booked", doctor=doctor, day=day, time=at, visit=arguments.visit, offer_flu=offer_flu)


async def move(clinic: Backend, arguments: Move, context: ActionContext) -> Booked:
    """Move the patient's own booked appointment to an offered time."""
    opening = opening_at(arguments.place)
    if opening is None:
        return Booked(outcome="taken")
    doctor, day, at = opening
    async with clinic.session() as session:
        try:
            changed = await session.execute(
                update(Appointment)
                .where(
                    Appointment.id == arguments.number,
                    Appointment.patient_id == patient_of(context),
                    Appointment.status == "booked",
                )
                .values(doctor=doctor, day=day, time=at, place=arguments.place)
                .returning(Appointment.visit)
            )
            visit = changed.scalar()
            await session.commit()
        except IntegrityError:
            await session.rollback()
            visit = None
    if visit is None:
        return Booked(outcome="taken", doctor=doctor, day=day, time=at)
    return Booked(outcome="booked", doctor=doctor, day=day, time=at, visit=visit)


async def cancel(clinic: Backend, arguments: Number, context: ActionContext) -> Cancelled:
    """Cancel the patient's own appointment; short notice costs the fee."""
    async with clinic.session() as session, session.begin():
        row = await session.get(Appointment, arguments.number)
        if row is None or row.patient_id != patient_of(context):
            return Cancelled(outcome="unknown")
        late = hours_until(row.day, row.time, context.clock.wall()) < NOTICE_HOURS
        fee = Money(minor=LATE_FEE if late else 0)
        changed = await session.execute(
            update(Appointment)
            .where(Appointment.id == row.id, Appointment.status == "booked")
            .values(status="cancelled", place=None)
            .returning(Appointment.id)
        )
        if changed.first() is None:
            return Cancelled(outcome="already", fee=fee)
        if late:
            patient = await _patient(session, context)
            patient.balance += LATE_FEE
            patient.bill_state = "due" if patient.bill_state == "none" else patient.bill_state
        return Cancelled(outcome="cancelled", fee=fee)


async def running_late(clinic: Backend, arguments: Nothing, context: ActionContext) -> Told:
    """Tell the desk that the patient of today's appointment comes late."""
    async with clinic.session() as session, session.begin():
        today = [row for row in await _coming(session, context) if row.day == context.clock.wall().date()]
        if not today:
            return Told(outcome="none")
        today[0].note = "the patient called and is running late"
        return Told(outcome="told", doctor=today[0].doctor, time=today[0].time)


def _contrast(first: Opening, free: list[Opening]) -> Opening | None:
    """A second time to offer: on the same day in the other half of it, or else the next one later on."""
    rest = [one for one in free if one != first]
    half = [one for one in rest if one[1] == first[1] and (one[2] < NOON) != (first[2] < NOON)]
    return next(iter(half or rest), None)


def _option(row: Appointment) -> str:
    return f"{row.visit} with {row.doctor} on {row.day:%B} {row.day.day}"


async def _coming(session: AsyncSession, context: ActionContext) -> list[Appointment]:
    query = select(Appointment).where(
        Appointment.patient_id == patient_of(context),
        Appointment.status == "booked",
        Appointment.day >= context.clock.wall().date(),
    )
    return list((await session.scalars(query.order_by(Appointment.day, Appointment.time))).all())


async def _patient(session: AsyncSession, context: ActionContext) -> Patient:
    return await session.get_one(Patient, patient_of(context))
