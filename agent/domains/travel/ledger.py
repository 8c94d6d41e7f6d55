"""Whose booking a change of the agency is about, and what was done before."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from agent.dialogue.actions import ActionContext
from agent.domains.ledger import Ledger
from agent.domains.travel.store import Booking, Change

changes = Ledger(Change)


async def owned(session: AsyncSession, reference: str, context: ActionContext) -> Booking | None:
    """The booking if it is the verified caller's, else None."""
    booking = await session.get(Booking, reference)
    if booking is None or context.customer is None or booking.customer_id != context.customer.get("customer_id"):
        return None
    return booking
