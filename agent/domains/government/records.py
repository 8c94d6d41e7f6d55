"""What the city knows of a proven resident: taxes, benefits, library card, certificates and address."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, Field
from sqlalchemy import select

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.forms import Done, Nothing
from agent.domains.government.identity import resident_of
from agent.domains.government.store import Benefit, Request, Resident
from agent.domains.money import Money
from agent.domains.requests import put_request

CERTIFICATE_FEE = 2000
"""For a copy of a birth certificate; the knowledge files say the same."""


class Tax(BaseModel):
    """The property tax of this half-year. state: none, due, overdue, paid or plan."""

    state: str
    amount: Money
    due_on: date | None = None


class BenefitView(BaseModel):
    """The latest application for a benefit. state: none, received, review, missing, approved or denied."""

    state: str
    program: str = ""
    missing: str = ""
    changed_on: date | None = None


class Card(BaseModel):
    """A library card. state: none, active, expired or blocked."""

    state: str
    fines: Money = Money(minor=0)
    address: str = ""


class CardMade(BaseModel):
    """outcome: ordered (a new one comes by mail), renewed or refused."""

    outcome: str


class Certificate(BaseModel):
    """What a copy of a birth certificate costs and where it goes."""

    fee: Money = Money(minor=CERTIFICATE_FEE)
    address: str = ""


class NewAddress(BaseModel):
    """Where a resident moves, and from which day."""

    address: str = Field(min_length=5, max_length=200)
    day: date


class Moved(BaseModel):
    """The address as it is on record now."""

    address: str
    day: date


async def my_tax(city: Backend, arguments: Nothing, context: ActionContext) -> Tax:
    """Tell what property tax is due."""
    resident = await _resident(city, context)
    return Tax(state=resident.tax_state, amount=Money(minor=resident.tax), due_on=resident.tax_due_on)


async def my_benefit(city: Backend, arguments: Nothing, context: ActionContext) -> BenefitView:
    """Tell where the resident's latest application stands."""
    async with city.session() as session:
        query = select(Benefit).where(Benefit.resident_id == resident_of(context))
        row = (await session.scalars(query.order_by(Benefit.changed_on.desc()))).first()
    if row is None:
        return BenefitView(state="none")
    return BenefitView(state=row.state, program=row.program, missing=row.missing, changed_on=row.changed_on)


async def my_card(city: Backend, arguments: Nothing, context: ActionContext) -> Card:
    """Tell whether the resident has a library card."""
    resident = await _resident(city, context)
    return Card(state=resident.library, fines=Money(minor=resident.library_fines), address=resident.address)


async def make_card(city: Backend, arguments: Nothing, context: ActionContext) -> CardMade:
    """Order a library card, or renew one that has expired."""
    async with city.session() as session, session.begin():
        resident = await session.get_one(Resident, resident_of(context))
        before = resident.library
        if before in ("none", "expired"):
            resident.library = "active"
    if before == "none":
        await put_request(city, Request, context, "library_card", "a new card by mail", resident_id=resident.id)
    return CardMade(outcome={"none": "ordered", "expired": "renewed"}.get(before, "refused"))


async def quote_certificate(city: Backend, arguments: Nothing, context: ActionContext) -> Certificate:
    """Say what a copy costs and where it goes, without ordering it."""
    return Certificate(address=(await _resident(city, context)).address)


async def order_certificate(city: Backend, arguments: Nothing, context: ActionContext) -> Done:
    """Order a copy of the resident's birth certificate by mail."""
    resident = await _resident(city, context)
    text = f"a copy to {resident.address} for {CERTIFICATE_FEE} cents"
    await put_request(city, Request, context, "birth_certificate", text, resident_id=resident.id)
    return Done()


async def change_address(city: Backend, arguments: NewAddress, context: ActionContext) -> Moved:
    """Record the resident's new address."""
    async with city.session() as session, session.begin():
        resident = await session.get_one(Resident, resident_of(context))
        resident.address = arguments.address
        resident.moved_on = arguments.day
    return Moved(address=arguments.address, day=arguments.day)


async def _resident(city: Backend, context: ActionContext) -> Resident:
    async with city.session() as session:
        return await session.get_one(Resident, resident_of(context))
