"""The database of a demo business: how every domain's own SQLite (or other) database is opened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from sqlalchemy import MetaData, event
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from agent.clock import Clock


class Backend:
    """An open database; `session()` begins a transaction and `clock` tells the day."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self.clock = clock
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)

    def session(self) -> AsyncSession:
        """A new session; use as `async with backend.session() as session, session.begin():`."""
        return self._sessions()

    async def close(self) -> None:
        """Give back connections."""
        await self._engine.dispose()


Seed = Callable[[Backend], Awaitable[None]]
"""Fills a database that is empty; does nothing to one that is not."""


async def open_backend(url: str, clock: Clock, metadata: MetaData, seed: Seed) -> Backend:
    """Open the database at a SQLAlchemy `url`; tables that are missing are created, then `seed` is called.

    The folder of an SQLite file is made where it is missing.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be reached.
        OSError: the folder of an SQLite file cannot be made.
    """
    named = make_url(url)
    engine = create_async_engine(named)
    if engine.dialect.name == "sqlite":
        if named.database and named.database != ":memory:":
            Path(named.database).parent.mkdir(parents=True, exist_ok=True)

        @event.listens_for(engine.sync_engine, "connect")
        def _tune(connection: object, record: object) -> None:
            cursor = connection.cursor()  # type: ignore[attr-defined]
            for pragma in ("journal_mode=WAL", "foreign_keys=ON", "busy_timeout=3000", "synchronous=NORMAL"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

    backend = Backend(engine, clock)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        await seed(backend)
    except BaseException:
        await backend.close()
        raise
    return backend
