"""The page in a real browser, against the real server, gateway, call and queue; only the models are scripted."""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import asynccontextmanager

import numpy as np
import pytest
from consolefakes import PASSWORD
from pagefake import tone
from pagevoice import CHROMIUM, browser_options
from peopled import with_people
from server.live import Typed, eventually, live

from agent.console.accounts import Accounts
from agent.console.passwords import Passwords

async_api = pytest.importorskip("playwright.async_api", reason="needs playwright: pip install -e '.[dev]'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.aside,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt install chromium"),
]
VOICE_START = {"type": "start", "version": 1, "rate": 16000, "mode": "voice", "caller": "+15035550142"}


@pytest.fixture
async def up(monkeypatch, tmp_path):
    monkeypatch.setattr("agent.server.load", with_people)
    async with live(tmp_path) as server:
        accounts = Accounts(
            server.calls.loaded.database, Passwords(memory_kib=8, rounds=1), server.calls.loaded.services.clock
        )
        await accounts.add("bo", "agent", PASSWORD)
        yield server


@pytest.fixture
async def page(up, tmp_path):
    wrong = []
    async with async_api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(**browser_options(tmp_path))
        page = await (await browser.new_context(permissions=["microphone"])).new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda line: wrong.append(line.text) if "Security Policy" in line.text else None)
        await page.goto(f"{up.address}/console")
        yield page
        await browser.close()
    assert wrong == []


class Caller(Typed):
    """A caller who hums all the time, and keeps what he hears and is shown."""

    def __init__(self, socket):
        super().__init__(socket)
        self.heard = []
        self.captions = []

    async def hum(self):
        loop, frame = asyncio.get_running_loop(), 0
        began = loop.time()
        while True:
            await self.socket.send(tone(440, frame))
            frame += 1
            await asyncio.sleep(max(0.0, began + 0.02 * frame - loop.time()))

    async def listen(self):
        async for message in self.socket:
            if isinstance(message, bytes):
                self.heard.append(message)
                continue
            shown = json.loads(message)
            if shown["type"] == "mark":
                await self.socket.send(json.dumps({"type": "mark", "name": shown["name"]}))
            elif shown["type"] == "caption":
                self.captions.append(shown["text"])


@asynccontextmanager
async def calling(up):
    async with up.plain() as socket:
        await socket.send(json.dumps({**VOICE_START, "call_id": "hums"}))
        caller = Caller(socket)
        tasks = [asyncio.create_task(caller.hum()), asyncio.create_task(caller.listen())]
        try:
            yield caller
        finally:
            for task in tasks:
                task.cancel()
            with contextlib.suppress(Exception):
                await asyncio.gather(*tasks, return_exceptions=True)


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


async def test_a_caller_who_waits_is_accepted_and_spoken_with(up, page):
    expect = async_api.expect
    await page.get_by_label("Name").fill("bo")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Live calls")).to_be_visible()
    await button(page, "Off duty").click()
    await button(page, "Go on duty").click()
    await expect(button(page, "On duty")).to_be_visible()
    async with calling(up) as caller:
        await eventually(lambda: any("help" in text for text in caller.captions), 15)
        await caller.type("a person please")
        await expect(page.get_by_role("alertdialog")).to_be_visible(timeout=15_000)
        await page.keyboard.press("a")
        await expect(page.get_by_role("log")).to_contain_text("a person please")
        await expect(page.locator(".talk-bar")).to_contain_text("Talk", timeout=15_000)
        await expect(page.locator(".call-facts")).to_contain_text("Person: bo", timeout=15_000)

        line = page.get_by_role("meter", name="Line")
        await page.wait_for_timeout(1000)
        assert await line.evaluate("meter => meter.value") > 20, "the caller, who hums, is heard"
        caller.heard.clear()
        await eventually(lambda: len(caller.heard) > 40, 15)
        sound = np.frombuffer(b"".join(caller.heard), "<i2").astype(float)
        assert np.abs(sound).max() > 500, "the voice at the microphone reaches the caller"

        await page.keyboard.press("s")
        await page.keyboard.type("At your service.")
        await page.keyboard.press("Enter")
        await eventually(lambda: any("At your service." in text for text in caller.captions), 15)
        await page.locator(".toolbar").get_by_role("button", name="Hang up").click()
        await page.get_by_role("dialog").get_by_role("button", name="Hang up").click()
        await expect(page.get_by_role("heading", name="Wrap-up")).to_be_visible(timeout=15_000)
    await page.get_by_label("How it ended").select_option("resolved")
    await page.get_by_label("5", exact=True).check()
    await button(page, "Save").click()
    await expect(page.locator(".wrap-up")).to_contain_text("The wrap-up is saved.")
    await expect(page.locator(".talk-bar")).to_be_hidden()
    await button(page, "Sign out").click()
    await expect(button(page, "Sign in")).to_be_visible()
    await up.empty()
