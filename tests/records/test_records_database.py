import asyncio
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.schema import CreateTable

import agent.console.tables
import agent.quality.tables
import agent.records.audit  # noqa: F401 - its table belongs to the schema
from agent.records.database import (
    Base,
    Call,
    Database,
    DatabaseError,
    DriverMissing,
    SchemaTooNew,
    alembic_config,
    create_engine,
    migrate,
)


def url_of(folder: Path) -> str:
    return f"sqlite:///{folder}/new/records.db"


async def test_upgrade_from_empty_gives_the_models(tmp_path: Path) -> None:
    url = url_of(tmp_path)
    await migrate(url)
    await migrate(url)
    engine = create_engine(url)
    async with engine.connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(
                MigrationContext.configure(sync, opts={"compare_type": True, "compare_server_default": True}),
                Base.metadata,
            )
        )
    await engine.dispose()
    assert differences == []


async def test_downgrade_leaves_nothing_behind(tmp_path: Path) -> None:
    url = url_of(tmp_path)
    await migrate(url)
    engine = create_engine(url)

    def down(connection: sa.Connection) -> list[str]:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        return sa.inspect(connection).get_table_names()

    async with engine.begin() as connection:
        assert await connection.run_sync(down) == ["alembic_version"]
    await engine.dispose()


async def test_many_starts_at_once(tmp_path: Path) -> None:
    await asyncio.gather(*(migrate(url_of(tmp_path)) for _ in range(4)))
    heads = ScriptDirectory.from_config(alembic_config()).get_heads()
    async with Database.open(url_of(tmp_path)) as database, database.engine.connect() as connection:
        assert (await connection.execute(sa.text("select version_num from alembic_version"))).scalars().all() == heads
    assert len(heads) == 1


async def test_newer_schema_is_refused(tmp_path: Path) -> None:
    url = url_of(tmp_path)
    await migrate(url)
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.execute(sa.text("update alembic_version set version_num = '9999'"))
    await engine.dispose()
    with pytest.raises(SchemaTooNew, match=r"9999.*install the version that wrote it"):
        await migrate(url)


async def test_sqlite_settings_and_cascade(tmp_path: Path) -> None:
    async with Database.open(url_of(tmp_path)) as database, database.engine.connect() as connection:
        values = [
            (await connection.execute(sa.text(f"pragma {name}"))).scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
        ]
    assert values == ["wal", 1, 5000, 1]


@pytest.mark.parametrize("url", ["nonsense", "oracle://host/db", "sqlite+nothing:///x.db", "sqlite+pysqlite:///x.db"])
def test_unusable_urls(url: str) -> None:
    with pytest.raises(DatabaseError):
        create_engine(url)


def test_missing_driver_says_what_to_install() -> None:
    with pytest.raises(DriverMissing, match="pip install asyncpg") as caught:
        create_engine("postgresql://jane:secret@db.example/records")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("dialect", [postgresql.dialect(), mysql.dialect()], ids=["postgresql", "mysql"])
def test_schema_compiles_for_other_databases(dialect: sa.Dialect) -> None:
    tables = "".join(str(CreateTable(table).compile(dialect=dialect)) for table in Base.metadata.sorted_tables)
    assert tables.count("CREATE TABLE") >= 9
    assert ("DATETIME(6)" if dialect.name == "mysql" else "TIMESTAMP WITHOUT TIME ZONE") in tables
    assert max(len(index.name or "") for table in Base.metadata.tables.values() for index in table.indexes) <= 63


async def test_times_come_back_in_utc(tmp_path: Path) -> None:
    local = datetime(2031, 5, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5)))
    row = {"id": "c1", "owner": "o", "gateway": "plain", "gateway_call_id": "g", "domain": "shop", "opened_at": local}
    async with Database.open(url_of(tmp_path)) as database, database.engine.begin() as connection:
        await connection.execute(sa.insert(Call), [row | {"parameters": {}, "models": {}}])
        assert (await connection.execute(sa.select(Call.opened_at))).scalar() == local.astimezone(UTC)
        with pytest.raises(sa.exc.StatementError, match="has no zone"):
            await connection.execute(sa.update(Call).values(finished_at=datetime(2031, 5, 1)))
