"""Calls with scores: made row by row, as a call's end leaves them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from qualityfakes import CONFIG, DayClock

from agent.quality.rubric import Rubrics
from agent.quality.service import Quality
from agent.records.database import migrate
from agent.records.writer import SqlRecords


@pytest.fixture(scope="session")
def rubrics() -> Rubrics:
    return Rubrics(CONFIG)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database that is migrated once for all tests."""
    path = tmp_path_factory.mktemp("migrated") / "records.db"
    asyncio.run(migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture
async def records(tmp_path: Path, migrated: Path) -> AsyncIterator[SqlRecords]:
    folder = tmp_path / "recordings"
    shutil.copy(migrated, tmp_path / "records.db")
    async with SqlRecords.open(f"sqlite:///{tmp_path}/records.db", folder, DayClock(), record_audio=False) as opened:
        yield opened


@pytest.fixture
def quality(records: SqlRecords, rubrics: Rubrics) -> Quality:
    return Quality(records.database, rubrics, records.clock, lambda _: None)
