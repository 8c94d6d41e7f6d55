"""A row is written once: the same request finds it again, and another constraint is still an error."""

from __future__ import annotations

import pytest
from conversation import ManualClock
from sqlalchemy import String, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from agent.domains.backend import Backend, open_backend
from agent.domains.noted import put_once


class Table(DeclarativeBase):
    """Base of the test's tables."""


class Seat(Table):
    """A seat that only one request can have."""

    __tablename__ = "seats"
    id: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[str] = mapped_column(String(5), unique=True)
    key: Mapped[str] = mapped_column(String(5), unique=True)


async def no_seed(backend: Backend) -> None:
    """Leave the database empty."""


async def test_a_row_is_written_once() -> None:
    backend = await open_backend("sqlite+aiosqlite:///:memory:", ManualClock(), Table.metadata, no_seed)
    try:
        async with backend.session() as session:
            first = Seat(place="1A", key="one")
            assert await put_once(session, first, Seat.key == "one") is first
        async with backend.session() as session:
            again = Seat(place="2B", key="one")
            there = await put_once(session, again, Seat.key == "one")
            assert there is not again
            assert (there.id, there.place) == (first.id, "1A")
        async with backend.session() as session:
            with pytest.raises(IntegrityError):
                await put_once(session, Seat(place="1A", key="two"), Seat.key == "two")
            assert await session.scalar(select(func.count()).select_from(Seat)) == 1
    finally:
        await backend.close()
