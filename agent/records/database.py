"""The records database: its tables, its engine and its migrations.

DatabaseError
├── DriverMissing  the URL needs a package that is not installed
└── SchemaTooNew   a newer version of the agent has migrated the database
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    Boolean,
    Connection,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    event,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, InvalidRequestError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_MS = 5000
"""How long SQLite waits for another writer; a commit takes a few ms."""
DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "mysql": "mysql+aiomysql"}


class DatabaseError(Exception):
    """The records database cannot be used."""


class DriverMissing(DatabaseError):
    """The URL names a database whose driver is not installed."""


class SchemaTooNew(DatabaseError):
    """The database was migrated by a newer version of the agent."""


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time: timezone-aware here, UTC without a zone and with microseconds in the database."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        """MySQL keeps whole seconds unless told otherwise."""
        return dialect.type_descriptor(mysql.DATETIME(fsp=6) if dialect.name == "mysql" else DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times: nobody knows their zone."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"time {value!r} has no zone; give a timezone-aware one")
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Say that it is UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """The tables; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Call(Base):
    """One call. `owner` is the server run that keeps it; `finished_at` is None while it goes on."""

    __tablename__ = "calls"
    __table_args__ = (Index(None, "finished_at", "owner"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    gateway: Mapped[str] = mapped_column(String(32))
    gateway_call_id: Mapped[str] = mapped_column(String(128), index=True)
    domain: Mapped[str] = mapped_column(String(128))
    caller: Mapped[str | None] = mapped_column(String(128), index=True)
    called: Mapped[str | None] = mapped_column(String(128))
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    models: Mapped[dict[str, Any]] = mapped_column(JSON)
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    outcome: Mapped[str | None] = mapped_column(String(32))
    reason: Mapped[str | None] = mapped_column(String(128))
    duration_ms: Mapped[float | None] = mapped_column(Float(53))
    counters: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    recording: Mapped[str | None] = mapped_column(String(1024))
    transcript: Mapped[str | None] = mapped_column(String(1024))


class Turn(Base):
    """One thing said by one side; see `agent.records.contracts.TurnRecord`."""

    __tablename__ = "turns"

    call_id: Mapped[str] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    speaker: Mapped[str] = mapped_column(String(16), primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    heard: Mapped[str | None] = mapped_column(Text)
    started_ms: Mapped[float] = mapped_column(Float(53))
    ended_ms: Mapped[float] = mapped_column(Float(53))
    interrupted: Mapped[bool] = mapped_column(Boolean)
    must_hear: Mapped[bool] = mapped_column(Boolean)
    intent: Mapped[str | None] = mapped_column(String(128), index=True)
    confidence: Mapped[float | None] = mapped_column(Float(53))
    model: Mapped[str | None] = mapped_column(String(64))
    slots: Mapped[dict[str, Any]] = mapped_column(JSON)
    emotion: Mapped[dict[str, Any]] = mapped_column(JSON)
    latency: Mapped[dict[str, Any]] = mapped_column(JSON)
    reasons: Mapped[dict[str, Any]] = mapped_column(JSON)


class Event(Base):
    """Something that happened in a call; `sequence` counts events and actions together."""

    __tablename__ = "events"

    call_id: Mapped[str] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True)
    sequence: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(64), index=True)
    at_ms: Mapped[float] = mapped_column(Float(53))
    data: Mapped[dict[str, Any]] = mapped_column(JSON)


class Action(Base):
    """An action that ran; see `agent.records.contracts.ActionRecord`."""

    __tablename__ = "actions"

    call_id: Mapped[str] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True)
    sequence: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    turn: Mapped[int] = mapped_column(Integer)
    name: Mapped[str] = mapped_column(String(128), index=True)
    arguments: Mapped[dict[str, Any]] = mapped_column(JSON)
    ok: Mapped[bool] = mapped_column(Boolean)
    result: Mapped[dict[str, Any]] = mapped_column(JSON)
    idempotency_key: Mapped[str] = mapped_column(String(255), index=True)
    replayed: Mapped[bool] = mapped_column(Boolean)
    took_ms: Mapped[float] = mapped_column(Float(53))


class Handoff(Base):
    """A call given, or to be given, to a person. No foreign key: it stands even where the call's row came late.

    due_at: when the caller is to be called back, where that was agreed.
    """

    __tablename__ = "handoffs"
    __table_args__ = (Index(None, "state", "priority", "created_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    call_id: Mapped[str] = mapped_column(String(64), index=True)
    gateway: Mapped[str] = mapped_column(String(32))
    gateway_call_id: Mapped[str] = mapped_column(String(128))
    state: Mapped[str] = mapped_column(String(16))
    priority: Mapped[int] = mapped_column(Integer)
    reason: Mapped[str] = mapped_column(Text)
    rule: Mapped[str] = mapped_column(String(128))
    caller: Mapped[str | None] = mapped_column(String(128))
    called: Mapped[str | None] = mapped_column(String(128))
    language: Mapped[str] = mapped_column(String(16))
    summary: Mapped[str] = mapped_column(Text)
    intent: Mapped[str | None] = mapped_column(String(128))
    context: Mapped[dict[str, Any]] = mapped_column(JSON)
    outcome: Mapped[str | None] = mapped_column(String(16))
    transfer_to: Mapped[str | None] = mapped_column(String(255))
    detail: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class HandoffStep(Base):
    """One move of a handoff's state machine."""

    __tablename__ = "handoff_steps"

    handoff_id: Mapped[str] = mapped_column(ForeignKey("handoffs.id", ondelete="CASCADE"), primary_key=True)
    sequence: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(16))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    detail: Mapped[str] = mapped_column(Text)


class Label(Base):
    """What a person says a caller turn means; see `agent.learning.labels.Label`. `intent` None: looked at, and skipped.

    It goes with its call when that is erased.
    """

    __tablename__ = "labels"

    call_id: Mapped[str] = mapped_column(ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True)
    turn: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    domain: Mapped[str] = mapped_column(String(128), index=True)
    text: Mapped[str] = mapped_column(Text)
    intent: Mapped[str | None] = mapped_column(String(128))
    understood: Mapped[str | None] = mapped_column(String(128))
    model: Mapped[str | None] = mapped_column(String(64))
    source: Mapped[str] = mapped_column(String(128))
    labelled_at: Mapped[datetime] = mapped_column(UtcDateTime)


class OpenDialogue(Base):
    """A dialogue that a dropped line left open; see `agent.dialogue.saving`."""

    __tablename__ = "open_dialogues"

    domain: Mapped[str] = mapped_column(String(128), primary_key=True)
    caller: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[str] = mapped_column(Text)
    kept_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class Database:
    """An engine on a migrated records database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Database]:
        """Migrate the database at `url` and open it; closes its connections on the way out.

        Raises:
            DatabaseError: as `create_engine` and `migrate`.
            sqlalchemy.exc.SQLAlchemyError, OSError: the database cannot be reached.
        """
        await migrate(url)
        engine = create_engine(url)
        try:
            yield cls(engine)
        finally:
            await engine.dispose()


def create_engine(url: str) -> AsyncEngine:
    """An engine for `sqlite:///FILE`, `postgresql://...` or `mysql://...`; the asynchronous driver is filled in.

    SQLite runs in WAL mode with foreign keys, a busy time-out of `BUSY_MS` and `synchronous=NORMAL` (a power cut may
    lose the last commits, never the file). The folder of a SQLite file is created.

    Raises:
        DatabaseError: the URL is no database URL, or names a database that is not supported.
        DriverMissing: the driver's package is not installed.
    """
    parsed = _parse(url)
    try:
        if parsed.get_backend_name() != "sqlite":
            return create_async_engine(parsed, pool_pre_ping=True)
        if parsed.database and parsed.database != ":memory:":
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_async_engine(parsed)
    except ModuleNotFoundError as error:
        raise DriverMissing(
            f"database {_shown(parsed)} needs the package {error.name!r}; install it with: pip install {error.name}"
        ) from error
    except (NoSuchModuleError, InvalidRequestError) as error:
        raise DatabaseError(
            f"database driver {parsed.drivername!r} does not work here; use {', '.join(DRIVERS.values())}"
        ) from error
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    return engine


async def migrate(url: str) -> None:
    """Bring the database at `url` to this version's schema, creating it where it is missing.

    Two processes may start at once on one SQLite file: the second waits for the first.

    Raises:
        SchemaTooNew: the database has a schema that this version does not know.
        DatabaseError: as `create_engine`.
    """
    parsed = _parse(url)
    engine = create_engine(url)
    try:
        with await asyncio.to_thread(_lock_beside, parsed) or nullcontext():
            async with engine.begin() as connection:
                await connection.run_sync(_upgrade, _shown(parsed))
    finally:
        await engine.dispose()


def alembic_config() -> Config:
    """Alembic's configuration for the migrations in this package."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: Connection, shown: str) -> None:
    config = alembic_config()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    found = set(MigrationContext.configure(connection).get_current_heads())
    if not found <= known:
        raise SchemaTooNew(
            f"database {shown} has schema {', '.join(sorted(found - known))}, which this version does not know; "
            "install the version that wrote it, or point records.database_url at another database"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _lock_beside(url: URL) -> IO[str] | None:
    """Wait for, and hold until closed, the migration lock of a SQLite file; None for other databases."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    lock = open(f"{url.database}.lock", "w")  # noqa: SIM115 - the caller closes it, which frees the lock
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise DatabaseError(
            f"database URL {url.partition(':')[0]}:... cannot be read; write it as sqlite:///var/records.db"
        ) from error
    if backend not in DRIVERS:
        raise DatabaseError(f"database {backend!r} is not supported; use {', '.join(DRIVERS)}")
    return parsed if "+" in parsed.drivername else parsed.set(drivername=DRIVERS[backend])


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _set_up_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", f"busy_timeout={BUSY_MS}", "foreign_keys=ON", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
