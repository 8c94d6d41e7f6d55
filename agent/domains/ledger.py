"""What was done for callers, kept by idempotency key: the same request again gets the answer it got then."""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel
from sqlalchemy import ColumnElement, String, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from agent.dialogue.actions import ActionContext
from agent.domains.calltime import now

MOST_DETAIL = 1000
"""Characters kept of what was asked for."""


class Kept:
    """Columns of something that was done; `detail` and `result` are what was asked for and answered, as JSON.

    about: whose record it was, a column that the business names; `key` is the idempotency key.
    """

    id: Mapped[int] = mapped_column(primary_key=True)
    about: Mapped[str | None]
    kind: Mapped[str] = mapped_column(String(30), index=True)
    detail: Mapped[str] = mapped_column(String(MOST_DETAIL))
    result: Mapped[str] = mapped_column(String(2000))
    created_at: Mapped[datetime]
    key: Mapped[str] = mapped_column(String(64), unique=True)


Entry = TypeVar("Entry", bound=Kept)
Result = TypeVar("Result", bound=BaseModel)


class Ledger(Generic[Entry]):
    """The table of what was done. It is read and written inside the caller's transaction."""

    def __init__(self, table: type[Entry]) -> None:
        self._table = table

    async def repeated(self, session: AsyncSession, context: ActionContext, kind: type[Result]) -> Result | None:
        """What the same request was answered before, if it was made before."""
        result = await session.scalar(select(self._table.result).where(self._table.key == context.key))
        return None if result is None else kind.model_validate_json(result)

    async def earlier(self, session: AsyncSession, about: str, kind: str) -> Entry | None:
        """The last thing of a kind that was done for a record."""
        table = self._table
        found = select(table).where(table.about == about, table.kind == kind).order_by(table.id.desc()).limit(1)
        return (await session.scalars(found)).first()

    async def count_of(self, session: AsyncSession, kind: str) -> int:
        """How many things of a kind were done."""
        mine: ColumnElement[bool] = self._table.kind == kind
        return await session.scalar(select(func.count()).select_from(self._table).where(mine)) or 0

    def kept(
        self,
        session: AsyncSession,
        context: ActionContext,
        about: str | None,
        kind: str,
        arguments: BaseModel,
        result: Result,
    ) -> Result:
        """Put on record what was done, and give `result` back."""
        row = self._table()
        row.about = about
        row.kind = kind
        row.detail = arguments.model_dump_json()[:MOST_DETAIL]
        row.result = result.model_dump_json()
        row.created_at = now(context)
        row.key = context.key
        session.add(row)
        return result
