"""Rows that are written once, however often the same request comes."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy import ColumnElement, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

Row = TypeVar("Row")


async def put_once(session: AsyncSession, row: Row, same: ColumnElement[bool]) -> Row:
    """Insert `row` and commit; where a unique column forbids that, everything is rolled back and `same` finds the row.

    same: finds the row that the same request wrote before, as a rule by its idempotency key. The answer is `row` itself
    where it is new.

    Raises:
        sqlalchemy.exc.IntegrityError: a constraint forbids the row, and none is there that `same` finds.
    """
    session.add(row)
    try:
        await session.commit()
    except IntegrityError:
        await session.rollback()
        there = (await session.scalars(select(type(row)).where(same))).first()
        if there is None:
            raise
        return there
    return row
