import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from handoff_receiver import VirtualClock

from agent.records.database import Database, create_engine, migrate


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, brought up to date once."""
    path = tmp_path_factory.mktemp("migrated") / "records.db"
    asyncio.run(migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture
async def database(migrated: Path, tmp_path: Path) -> AsyncIterator[Database]:
    shutil.copy(migrated, tmp_path / "records.db")
    engine = create_engine(f"sqlite:///{tmp_path}/records.db")
    try:
        yield Database(engine)
    finally:
        await engine.dispose()
