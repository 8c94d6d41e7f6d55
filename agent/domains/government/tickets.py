"""Parking tickets and permits, by their numbers: neither tells who somebody is."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, Field
from sqlalchemy import select, update

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.government.store import Permit, Request, Ticket
from agent.domains.money import Money
from agent.domains.requests import put_request

LATE_FEE = 2500
"""Added to a ticket that is not paid in time; the knowledge files say the same."""
OPEN = ("open", "overdue")


class TicketNumber(BaseModel):
    """Names a parking ticket."""

    number: str = Field(pattern=r"^\d{7}$")


class TicketView(BaseModel):
    """A ticket as the agent speaks of it. state: open, overdue, paid, disputed or dismissed.

    `due` is what is owed, with the late fee of an overdue ticket.
    """

    found: bool
    number: str = ""
    offence: str = ""
    state: str = ""
    amount: Money = Money(minor=0)
    due: Money = Money(minor=0)
    late_fee: Money = Money(minor=LATE_FEE)
    issued_on: date | None = None
    due_on: date | None = None


class PayLink(BaseModel):
    """Where the link for paying a ticket goes."""

    number: str = Field(pattern=r"^\d{7}$")
    phone: str = Field(pattern=r"^\+\d{8,15}$")


class LinkSent(BaseModel):
    """outcome: sent, or closed (there is nothing to pay any more)."""

    outcome: str
    phone_end: str = ""


class Dispute(BaseModel):
    """Why a ticket should not stand, in the caller's own words."""

    number: str = Field(pattern=r"^\d{7}$")
    reason: str = Field(min_length=1, max_length=1000)


class Disputed(BaseModel):
    """outcome: filed, already, or closed (paid, dismissed or too late)."""

    outcome: str


class PermitNumber(BaseModel):
    """Names a permit."""

    number: str = Field(pattern=r"^\d{8}$")


class PermitView(BaseModel):
    """A permit as the agent speaks of it. state: review, approved, missing, inspection, denied or expired."""

    found: bool
    number: str = ""
    kind: str = ""
    state: str = ""
    missing: str = ""
    changed_on: date | None = None


async def find_ticket(city: Backend, arguments: TicketNumber, context: ActionContext) -> TicketView:
    """Look a parking ticket up."""
    async with city.session() as session:
        row = await session.get(Ticket, arguments.number)
    if row is None:
        return TicketView(found=False)
    fee = LATE_FEE if row.state == "overdue" else 0
    return TicketView(
        found=True,
        number=row.number,
        offence=row.offence,
        state=row.state,
        amount=Money(minor=row.amount),
        due=Money(minor=row.amount + fee),
        issued_on=row.issued_on,
        due_on=row.due_on,
    )


async def send_pay_link(city: Backend, arguments: PayLink, context: ActionContext) -> LinkSent:
    """Send a link for paying a ticket as a text message."""
    async with city.session() as session:
        row = await session.get(Ticket, arguments.number)
    if row is None or row.state not in OPEN:
        return LinkSent(outcome="closed")
    await put_request(city, Request, context, "pay_link", f"ticket {row.number}", phone=arguments.phone)
    return LinkSent(outcome="sent", phone_end=arguments.phone[-4:])


async def dispute_ticket(city: Backend, arguments: Dispute, context: ActionContext) -> Disputed:
    """File a dispute of an open ticket."""
    async with city.session() as session, session.begin():
        changed = await session.execute(
            update(Ticket)
            .where(Ticket.number == arguments.number, Ticket.state == "open")
            .values(state="disputed", reason=arguments.reason, key=context.key)
            .returning(Ticket.number)
        )
        if changed.first() is not None:
            return Disputed(outcome="filed")
        row = (await session.scalars(select(Ticket).where(Ticket.number == arguments.number))).first()
        if row is not None and row.key == context.key:
            return Disputed(outcome="filed")
        return Disputed(outcome="already" if row is not None and row.state == "disputed" else "closed")


async def find_permit(city: Backend, arguments: PermitNumber, context: ActionContext) -> PermitView:
    """Look a permit up."""
    async with city.session() as session:
        row = await session.get(Permit, arguments.number)
    if row is None:
        return PermitView(found=False)
    return PermitView(
        found=True, number=row.number, kind=row.kind, state=row.state, missing=row.missing, changed_on=row.changed_on
    )
