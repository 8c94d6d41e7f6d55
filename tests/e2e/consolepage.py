"""A person at the console's page, in a real browser, on a real server."""

from __future__ import annotations

from typing import Any

from conftest import RealServer

from agent.clock import RealClock
from agent.console.accounts import Accounts
from agent.console.passwords import Passwords
from agent.records.database import Database

PASSWORD = "correct horse battery"


async def account(server: RealServer, name: str, role: str) -> None:
    """Let somebody sign in; for a test, without what makes a password hard to guess from the database."""
    async with Database.open(f"sqlite+aiosqlite:///{server.folder / 'records.db'}") as database:
        await Accounts(database, Passwords(memory_kib=8, rounds=1), RealClock()).add(name, role, PASSWORD)


def button(page: Any, name: str) -> Any:
    """The button with this name."""
    return page.get_by_role("button", name=name, exact=True)


async def sign_in(page: Any, server: RealServer, name: str) -> None:
    """Open the page, sign in, and go on duty."""
    await page.goto(f"{server.url}/console")
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await button(page, "Off duty").click()
    await button(page, "Go on duty").click()
    await button(page, "On duty").wait_for()
