"""Everything around the accounts: address, online access, appointments, complaints."""

from __future__ import annotations

from datetime import date, timedelta

from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from agent.dialogue.actioncontext import ActionContext
from agent.domains.backend import Backend
from agent.domains.bank.identity import owner
from agent.domains.bank.store import Appointment, Complaint, Customer
from agent.domains.bank.words import branch_words, phone_words
from agent.domains.calltime import now
from agent.domains.forms import NewComplaint, Nothing
from agent.domains.noted import put_once

_TIMES = {"morning": ("10:00", "11:00"), "afternoon": ("14:00", "15:30")}
_LOOK_AHEAD = 14
"""Days in which another free time is looked for."""


class NewAddress(BaseModel):
    """Where the customer lives now."""

    address: str = Field(min_length=5, max_length=200)


class AddressChanged(BaseModel):
    """outcome: changed."""

    outcome: str
    address: str


class OnlineAccess(BaseModel):
    """outcome: locked or open; `phone` are the last digits of the number that a link would go to."""

    outcome: str
    phone: str = ""


class LinkSent(BaseModel):
    """outcome: sent."""

    outcome: str
    phone: str = ""


class Wish(BaseModel):
    """When and where somebody would like to come in; `part` is morning or afternoon."""

    branch: str
    day: date
    part: str | None = None


class FreeTime(BaseModel):
    """outcome: free (as wished), other (the next one free) or none. `where` names the branch inside a sentence."""

    outcome: str
    where: str = ""
    day: date | None = None
    time: str = ""


class Booking(BaseModel):
    """A free time to take. `visitor` is the name of somebody who is no customer, or not verified."""

    branch: str
    day: date
    time: str
    topic: str
    visitor: str | None = Field(default=None, max_length=80)


class Booked(BaseModel):
    """outcome: booked or taken."""

    outcome: str


class AppointmentView(BaseModel):
    """The customer's next appointment, if there is one."""

    found: bool
    where: str = ""
    day: date | None = None
    time: str = ""


class ComplaintLogged(BaseModel):
    """The complaint's number."""

    reference: str


async def change_address(bank: Backend, arguments: NewAddress, context: ActionContext) -> AddressChanged:
    """Keep the customer's new address."""
    async with bank.session() as session, session.begin():
        customer = await session.get_one(Customer, owner(context))
        customer.address = arguments.address
        return AddressChanged(outcome="changed", address=customer.address)


async def find_online_access(bank: Backend, arguments: Nothing, context: ActionContext) -> OnlineAccess:
    """Tell whether online banking is locked."""
    async with bank.session() as session:
        customer = await session.get_one(Customer, owner(context))
        phone = phone_words(customer.phone, context.language)
        return OnlineAccess(outcome="locked" if customer.online_locked else "open", phone=phone)


async def send_reset_link(bank: Backend, arguments: Nothing, context: ActionContext) -> LinkSent:
    """Unlock online banking and send a link for a new password to the number on file."""
    async with bank.session() as session, session.begin():
        customer = await session.get_one(Customer, owner(context))
        customer.online_locked = False
        return LinkSent(outcome="sent", phone=phone_words(customer.phone, context.language))


async def find_time(bank: Backend, arguments: Wish, context: ActionContext) -> FreeTime:
    """Find a free time as wished, or the next one after it."""
    async with bank.session() as session:
        taken = await _taken(session, arguments.branch, arguments.day)
        where = branch_words(arguments.branch, context.language)
        for ahead in range(_LOOK_AHEAD):
            day = arguments.day + timedelta(days=ahead)
            for part, times in _TIMES.items():
                for time in times:
                    wished = ahead == 0 and arguments.part in (None, part)
                    later = ahead > 0 or (arguments.part == "morning" and part == "afternoon")
                    if (wished or later) and _open(arguments.branch, day, part) and (day, time) not in taken:
                        return FreeTime(outcome="free" if wished else "other", where=where, day=day, time=time)
        return FreeTime(outcome="none", where=where)


async def book_appointment(bank: Backend, arguments: Booking, context: ActionContext) -> Booked:
    """Take a free time, once per key."""
    async with bank.session() as session:
        made = (await session.scalars(select(Appointment).where(Appointment.key == context.key))).first()
        if made is not None:
            return Booked(outcome="booked")
        if (arguments.day, arguments.time) in await _taken(session, arguments.branch, arguments.day):
            return Booked(outcome="taken")
        customer = None if context.customer is None else owner(context)
        name = arguments.visitor or (str(context.customer["name"]) if context.customer else "")
        row = Appointment(
            customer=customer,
            name=name[:80],
            branch=arguments.branch,
            day=arguments.day,
            time=arguments.time,
            topic=arguments.topic,
            key=context.key,
        )
        await put_once(session, row, Appointment.key == context.key)
        return Booked(outcome="booked")


async def find_appointment(bank: Backend, arguments: Nothing, context: ActionContext) -> AppointmentView:
    """Look the customer's next appointment up."""
    async with bank.session() as session:
        row = await _next(session, context)
        if row is None:
            return AppointmentView(found=False)
        where = branch_words(row.branch, context.language)
        return AppointmentView(found=True, where=where, day=row.day, time=row.time)


async def cancel_appointment(bank: Backend, arguments: Nothing, context: ActionContext) -> Booked:
    """Cancel the customer's next appointment. outcome: cancelled or none."""
    async with bank.session() as session, session.begin():
        row = await _next(session, context)
        if row is None:
            return Booked(outcome="none")
        row.cancelled = True
        return Booked(outcome="cancelled")


async def log_complaint(bank: Backend, arguments: NewComplaint, context: ActionContext) -> ComplaintLogged:
    """Record a complaint."""
    async with bank.session() as session:
        row = Complaint(
            customer=None if context.customer is None else owner(context),
            text=arguments.text[:1000],
            created_at=now(context),
            key=context.key,
        )
        row = await put_once(session, row, Complaint.key == context.key)
        return ComplaintLogged(reference=str(700 + row.id))


async def _taken(session: AsyncSession, branch: str, day: date) -> set[tuple[date, str]]:
    until = day + timedelta(days=_LOOK_AHEAD)
    rows = await session.scalars(
        select(Appointment).where(
            Appointment.branch == branch,
            Appointment.day >= day,
            Appointment.day < until,
            Appointment.cancelled.is_(False),
        )
    )
    return {(row.day, row.time) for row in rows}


async def _next(session: AsyncSession, context: ActionContext) -> Appointment | None:
    mine = select(Appointment).where(
        Appointment.customer == owner(context),
        Appointment.cancelled.is_(False),
        Appointment.day >= context.clock.wall().date(),
    )
    return (await session.scalars(mine.order_by(Appointment.day, Appointment.time))).first()


def _open(branch: str, day: date, part: str) -> bool:
    """Advisers are there on weekdays, and on Saturday mornings but for the airport."""
    if day.weekday() == 5:
        return part == "morning" and branch != "airport"
    return day.weekday() < 5
