"""Whose record a change of the university is about, and what was done before."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from agent.dialogue.actions import ActionContext
from agent.domains.education.store import Change, Student
from agent.domains.ledger import Ledger

changes = Ledger(Change)


async def caller(session: AsyncSession, context: ActionContext) -> Student:
    """The verified caller's record.

    Raises:
        LookupError: nobody is verified.
    """
    number = (context.customer or {}).get("student_number", "")
    student = await session.get(Student, number)
    if student is None:
        raise LookupError("nobody is verified; set 'identity: verified' on this action")
    return student
