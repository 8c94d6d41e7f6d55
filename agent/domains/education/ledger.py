"""What every change has in common: whose record it is, and what the same request was answered before."""

from __future__ import annotations

from datetime import date
from typing import TypeVar

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from agent.dialogue.actions import ActionContext
from agent.domains.education.store import Change, Student

Result = TypeVar("Result", bound=BaseModel)


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


async def repeated(session: AsyncSession, context: ActionContext, kind: type[Result]) -> Result | None:
    """What the same request was answered before, if it was made before."""
    result = await session.scalar(select(Change.result).where(Change.key == context.key))
    return None if result is None else kind.model_validate_json(result)


async def earlier(session: AsyncSession, number: str, kind: str) -> Change | None:
    """The last change of a kind for a student."""
    found = select(Change).where(Change.number == number, Change.kind == kind).order_by(Change.id.desc()).limit(1)
    return (await session.scalars(found)).first()


async def count_of(session: AsyncSession, kind: str) -> int:
    """How many changes of a kind there are."""
    return len((await session.scalars(select(Change.id).where(Change.kind == kind))).all())


def kept(
    session: AsyncSession, context: ActionContext, number: str | None, kind: str, arguments: BaseModel, result: Result
) -> Result:
    """Put on record what was done, and give `result` back."""
    session.add(
        Change(
            number=number,
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


def counted(count: int, thing: str) -> str:
    """ "no book", "one book", "2 books"; "class" gets "classes"."""
    many = f"{thing}es" if thing.endswith("s") else f"{thing}s"
    return {0: f"no {thing}", 1: f"one {thing}"}.get(count, f"{count} {many}")
