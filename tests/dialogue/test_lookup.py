"""Finding out who calls while the greeting is spoken."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from conversation import SHOP, ManualClock
from pydantic import BaseModel

from agent.dialogue.actioncontext import ActionContext
from agent.dialogue.actions import Actions
from agent.dialogue.actionspec import ActionSpec
from agent.dialogue.loader import load_domain
from agent.dialogue.lookup import PROFILE_MS, History, Lookup
from agent.dialogue.manner import ProfileSettings
from agent.dialogue.profile import NOBODY
from agent.dialogue.python_action import PythonAction

CALLER = "+12065550103"
DOMAIN = load_domain(SHOP)


class Number(BaseModel):
    phone: str


class Found(BaseModel):
    known: bool = True
    name: Any = "Anna"


class Desk:
    """A profile action that answers `found` when `ready`."""

    def __init__(self, found: Found | None = None, history: History | None = None, most: int = 3) -> None:
        self.clock, self.ready = ManualClock(), asyncio.Event()
        self.ready.set()

        async def find(database: None, arguments: Number, context: ActionContext) -> Found:
            await self.ready.wait()
            if found is None:
                raise RuntimeError("no such table")
            return found

        specs = {"find_caller": ActionSpec(python="some:function")}
        actions = Actions(specs, {"find_caller": PythonAction("find_caller", find, Number, None)}, self.clock, None)
        settings = ProfileSettings(action="find_caller", history=most)
        self.lookup = Lookup(actions.for_call("call-1", CALLER), settings, self.clock, ("en", "zh"), history)


async def begin(desk: Desk, caller: str | None = CALLER, wait_ms: float = 0.0) -> None:
    task = asyncio.create_task(desk.lookup.begin(caller))
    for _ in range(50):
        await asyncio.sleep(0)
    if wait_ms:
        assert not task.done()
        desk.clock.move(wait_ms)
    await task


async def past(caller: str, most: int) -> list[Mapping[str, Any]]:
    assert (caller, most) == (CALLER, 3)
    return [{"opened_at": "2026-05-03T10:00:00+00:00", "outcome": "completed", "intents": ["order_status"]}]


async def broken(caller: str, most: int) -> list[Mapping[str, Any]]:
    raise OSError("the disk is gone")


async def test_a_quick_profile_is_there_for_the_greeting() -> None:
    desk = Desk(Found(), past)
    await begin(desk)
    profile = desk.lookup.profile
    assert profile.name == "Anna"
    assert desk.lookup.profile is profile
    topic = desk.lookup.with_past(profile, DOMAIN).last_topic
    assert topic == DOMAIN.flows["order_status"].title


async def test_a_slow_profile_does_not_hold_up_the_greeting_and_counts_later() -> None:
    desk = Desk(Found())
    desk.ready.clear()
    await begin(desk, wait_ms=PROFILE_MS)
    assert desk.lookup.profile is NOBODY
    desk.ready.set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert desk.lookup.profile.name == "Anna"


async def test_nobody_is_asked_about_a_withheld_number() -> None:
    desk = Desk(Found(), broken)
    await begin(desk, None)
    assert desk.lookup.profile is NOBODY
    desk.lookup.close()


async def test_failures_leave_an_unknown_caller(caplog: Any) -> None:
    desk = Desk(None, broken)
    await begin(desk)
    assert desk.lookup.profile is NOBODY
    assert desk.lookup.with_past(NOBODY, DOMAIN) is NOBODY
    nonsense = Desk(Found(name=7), broken)
    await begin(nonsense)
    assert nonsense.lookup.profile.known
    assert nonsense.lookup.with_past(nonsense.lookup.profile, DOMAIN).last_topic is None
    assert "name is a int" in caplog.text
    assert "earlier calls cannot be read" in caplog.text


async def test_a_caller_who_hangs_up_leaves_nothing_running() -> None:
    desk = Desk(Found())
    desk.ready.clear()
    await begin(desk, wait_ms=PROFILE_MS)
    desk.lookup.close()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert desk.lookup.profile is NOBODY
