from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from conversation import Conversation, Desk, open_desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = await open_desk(tmp_path / "shop.db")
    yield desk
    await desk.actions.close()


@pytest.fixture
def talk(desk: Desk) -> Conversation:
    return desk.call()
