"""The made-up shop: the same for the same day, with orders in every state."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from conversation import ManualClock
from sqlalchemy import select

from agent.domains.shop.seed import ORDERS, create_shop
from agent.domains.shop.store import Order, open_shop

STATES = {"processing", "packed", "shipped", "out_for_delivery", "delivered", "delayed", "cancelled", "returned"}


async def rows(path: Path) -> list[tuple[str, str, str, int]]:
    shop = await open_shop(f"sqlite+aiosqlite:///{path}", ManualClock())
    async with shop.session() as session:
        orders = (await session.scalars(select(Order).order_by(Order.number))).all()
        found = [(one.number, one.status, one.expected_on.isoformat(), len(one.items)) for one in orders]
    await shop.close()
    return found


async def test_seed_is_deterministic_and_complete(tmp_path: Path) -> None:
    for name in ("a.db", "b.db"):
        await create_shop(tmp_path / name, ManualClock())
    first = await rows(tmp_path / "a.db")
    assert first == await rows(tmp_path / "b.db")
    assert len(first) == len(ORDERS) >= 20
    assert set(Counter(state for _, state, _, _ in first)) == STATES
    states = {number: state for number, state, _, _ in first}
    assert [states[n] for n in ("42718", "42719", "42731", "42750")] == [
        "delivered",
        "out_for_delivery",
        "processing",
        "processing",
    ]


async def test_opening_again_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    await create_shop(path, ManualClock())
    shop = await open_shop(f"sqlite+aiosqlite:///{path}", ManualClock())
    async with shop.session() as session, session.begin():
        order = await session.get(Order, "42731")
        assert order is not None
        order.status = "cancelled"
    await shop.close()
    assert ("42731", "cancelled") in [(number, state) for number, state, _, _ in await rows(path)]


def test_command_creates_the_database(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "shop.db"
    done = subprocess.run(
        [sys.executable, "-m", "agent.domains.shop", str(path)], capture_output=True, text=True, check=True
    )
    assert f"{len(ORDERS)} orders" in done.stdout
    assert path.exists()
