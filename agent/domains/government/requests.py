"""What callers ask for that people work off: written once per idempotency key."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from agent.dialogue.actions import ActionContext
from agent.domains.backend import Backend
from agent.domains.government.store import Request

LONGEST = 1000
"""Characters kept of a caller's own words."""


async def put_request(
    city: Backend,
    context: ActionContext,
    kind: str,
    text: str,
    *,
    resident_id: int | None = None,
    phone: str | None = None,
) -> int:
    """Record a request and give its number; the same key again gives the number it got then."""
    async with city.session() as session:
        row = Request(
            kind=kind, resident_id=resident_id, phone=phone, text=text[:LONGEST],
            created_at=context.clock.wall().replace(tzinfo=None), key=context.key,
        )  # fmt: skip
        session.add(row)
        try:
            await session.commit()
        except IntegrityError:
            await session.rollback()
            row = (await session.scalars(select(Request).where(Request.key == context.key))).one()
        return row.id
