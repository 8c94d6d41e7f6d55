"""Who calls: proving a resident by name, date of birth and postcode, and what is known of a telephone number."""

from __future__ import annotations

from pydantic import BaseModel
from sqlalchemy import select

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.forms import CallerNumber, Done, Nothing
from agent.domains.government.store import Benefit, Resident
from agent.domains.people import spare_number
from agent.domains.proof import Claim, Proof, check_claim, proof_of, proven_id


class ResidentProof(Proof):
    """A proof, with what else is told of the resident."""

    address: str = ""


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
    return proven_id(context, "resident")


async def check_identity(city: Backend, claim: Claim, context: ActionContext) -> ResidentProof:
    """Compare a claim with the residents; a wrong claim counts against the record it names."""
    outcome, resident = await check_claim(city, Resident, claim, context)
    if resident is None:
        return ResidentProof(outcome=outcome)
    return ResidentProof(**proof_of(resident), address=resident.address)


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
    await spare_number(city, Resident, context.caller)
    return Done()
