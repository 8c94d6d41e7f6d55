import asyncio
import shutil

import pytest
from consolefakes import a_world

from agent.records.database import migrate


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """An empty records database; making one takes longer than most tests here."""
    file = tmp_path_factory.mktemp("console") / "records.db"
    asyncio.run(migrate(f"sqlite:///{file}"))
    return file


@pytest.fixture
async def world(migrated, tmp_path):
    async with a_world(shutil.copy(migrated, tmp_path / "records.db")) as one:
        yield one
