"""What every change of the agency has in common: whose booking it is, and what the same request was answered before."""

from __future__ import annotations

from datetime import date
from typing import TypeVar

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from agent.dialogue.actions import ActionContext
from agent.domains.travel.store import Booking, Change

Result = TypeVar("Result", bound=BaseModel)


async def owned(session: AsyncSession, reference: str, context: ActionContext) -> Booking | None:
    """The booking if it is the verified caller's, else None."""
    booking = await session.get(Booking, reference)
    if booking is None or context.customer is None or booking.customer_id != context.customer.get("customer_id"):
        return None
    return booking


async def repeated(session: AsyncSession, context: ActionContext, kind: type[Result]) -> Result | None:
    """What the same request was answered before, if it was made before."""
    result = await session.scalar(select(Change.result).where(Change.key == context.key))
    return None if result is None else kind.model_validate_json(result)


def kept(
    session: AsyncSession,
    context: ActionContext,
    reference: str | None,
    kind: str,
    arguments: BaseModel,
    result: Result,
) -> Result:
    """Put on record what was done, and give `result` back."""
    session.add(
        Change(
            reference=reference,
            kind=kind,
            detail=arguments.model_dump_json()[:1000],
            result=result.model_dump_json(),
            created_at=context.clock.wall().replace(tzinfo=None),
            key=context.key,
        )
    )
    return result


def today(context: ActionContext) -> date:
    """The day of the call."""
    return context.clock.wall().date()
