"""The console beside a real call: the server, its gateway, its call and its queue as they are; only models scripted."""

import asyncio
import json

import pytest
from consolefakes import PASSWORD, Browser, told
from peopled import with_people
from server.live import healthy, live

from agent.console.accounts import Accounts
from agent.console.passwords import Passwords


@pytest.fixture
async def up(monkeypatch, tmp_path):
    monkeypatch.setattr("agent.server.load", with_people)
    async with live(tmp_path) as server:
        passwords = Passwords(memory_kib=8, rounds=1)
        accounts = Accounts(server.calls.loaded.database, passwords, server.calls.loaded.services.clock)
        for name, role in (("ann", "supervisor"), ("bo", "agent"), ("cy", "agent")):
            await accounts.add(name, role, PASSWORD)
        yield server


async def signed_in(up, name):
    browser = Browser(None, up.address)
    assert (await browser.sign_in(name)).status_code == 200
    return browser


async def test_a_call_is_watched_taken_over_and_handed_back(up):
    ann, bo = await signed_in(up, "ann"), await signed_in(up, "bo")
    async with ann.socket("/console/feed") as page, healthy(up) as caller:
        started = await told(page, "call_started")
        call = started["call"]
        await caller.answered("hello")
        turns = [await told(page, "turn")]
        while turns[-1]["text"] != "hello":
            turns.append(await told(page, "turn"))
        [state] = (await ann.get("calls")).json()["calls"]
        assert (state["call_id"], state["with"]) == (call, "agent")
        assert (await bo.get("calls")).json()["calls"] == []
        assert (await bo.post(f"calls/{call}/take-over")).status_code == 404
        first, second = await asyncio.gather(
            ann.post(f"calls/{call}/take-over"), ann.post(f"calls/{call}/say", text="early")
        )
        assert first.status_code == 200, first.text
        assert second.status_code in (200, 409)
        said = await ann.post(f"calls/{call}/say", text="Ann here, a person.")
        assert said.status_code == 200, said.text
        await caller.shown("Ann here, a person.")
        back = await ann.post(f"calls/{call}/hand-back", note="told him")
        assert back.status_code == 200, back.text
        whole = (await ann.get(f"calls/{call}")).json()
        assert whole["live"] is True
        await caller.stop()
        await told(page, "call_ended")
    await up.empty()


async def test_accepting_a_waiting_caller(up):
    bo, cy = await signed_in(up, "bo"), await signed_in(up, "cy")
    async with bo.socket("/console/feed") as one, cy.socket("/console/feed") as two:
        for page in (one, two):
            await page.send(json.dumps({"type": "duty", "on": True}))
        await told(two, "agents")
        async with healthy(up) as caller:
            await caller.type("a person please")
            offered = await told(one, "handoff", 10)
            await told(two, "handoff", 10)
            for page in (one, two):
                await page.send(json.dumps({"type": "accept", "handoff": offered["id"]}))
            results = await asyncio.gather(told(one, "error", 1), told(two, "error", 1), return_exceptions=True)
            [lost] = [result for result in results if isinstance(result, dict)]
            assert lost["code"] == "too_late"
            winner = bo if isinstance(results[0], TimeoutError) else cy
            call = offered["call"]
            async with winner.socket(f"/console/audio/{call}?mode=talk"):
                state = (await winner.get(f"calls/{call}")).json()["state"]
                assert state["with"] == "human"
                assert (await winner.post(f"calls/{call}/say", text="At your service.")).status_code == 200
                await caller.shown("At your service.")
                assert (await winner.post(f"calls/{call}/hang-up")).status_code == 200
    await up.empty()
