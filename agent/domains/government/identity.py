"""Who calls: proving a resident by name, date of birth and postcode, and what is known of a telephone number."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, Field
from sqlalchemy import select, update

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.forms import CallerNumber, Done, Nothing
from agent.domains.government.store import Benefit, Resident
from agent.domains.names import same_name


class Claim(BaseModel):
    """Who the caller says they are; `name` in their own words."""

    name: str = Field(min_length=1, max_length=200)
    birth_date: date
    postcode: str = Field(pattern=r"^\d{5}$")


class Proof(BaseModel):
    """outcome: proven, wrong or locked (too many wrong proofs); the rest is of the proven resident.

    `phone_end`: the last four digits of the number on record.
    """

    outcome: str
    id: int = 0
    name: str = ""
    first_name: str = ""
    address: str = ""
    phone_end: str = ""


class Caller(BaseModel):
    """What is known of a caller's number before anything is proven."""

    known: bool
    name: str = ""
    no_offers: bool = False
    open_items: list[str] = []


def resident_of(context: ActionContext) -> int:
    """The id of the proven resident.

    Raises:
        PermissionError: nobody was proven in this call.
    """
    if context.customer is None:
        raise PermissionError("no resident is proven in this call; run the flow 'verify' first")
    return int(context.customer["id"])


async def check_identity(city: Backend, claim: Claim, context: ActionContext) -> Proof:
    """Compare a claim with the residents; a wrong claim counts against the record it names.

    The name is compared loosely, once date of birth and postcode have matched.
    """
    claimed = f"{claim.birth_date}|{claim.postcode}"
    if context.attempts.locked(claimed):
        return Proof(outcome="locked")
    async with city.session() as session:
        same = select(Resident).where(Resident.birth_date == claim.birth_date, Resident.postcode == claim.postcode)
        for resident in (await session.scalars(same)).all():
            if same_name(claim.name, resident.name):
                context.attempts.proved(claimed)
                return _proven(resident)
    context.attempts.failed(claimed)
    return Proof(outcome="locked" if context.attempts.locked(claimed) else "wrong")


async def find_caller(city: Backend, arguments: CallerNumber, context: ActionContext) -> Caller:
    """Whose number calls, with what is open for them."""
    if not arguments.phone:
        return Caller(known=False)
    async with city.session() as session:
        owners = (await session.scalars(select(Resident).where(Resident.phone == arguments.phone))).all()
        if len(owners) != 1:
            return Caller(known=False)
        resident = owners[0]
        items = ["your property tax"] if resident.tax_state == "overdue" else []
        wanting = select(Benefit).where(Benefit.resident_id == resident.id, Benefit.state == "missing")
        items += [f"your application for {one.program}" for one in (await session.scalars(wanting)).all()]
    return Caller(known=True, name=resident.name.split()[0], no_offers=resident.no_offers, open_items=items[:2])


async def stop_offers(city: Backend, arguments: Nothing, context: ActionContext) -> Done:
    """Make no more offers to whoever calls from this number."""
    async with city.session() as session, session.begin():
        await session.execute(update(Resident).where(Resident.phone == context.caller).values(no_offers=True))
    return Done()


def _proven(resident: Resident) -> Proof:
    return Proof(
        outcome="proven",
        id=resident.id,
        name=resident.name,
        first_name=resident.name.split()[0],
        address=resident.address,
        phone_end=resident.phone[-4:],
    )
