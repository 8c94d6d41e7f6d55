"""The public pages in a real browser: typed and spoken conversations, pictures, both languages, hostile text."""

import asyncio
import io
import re
import shutil
import wave
from contextlib import asynccontextmanager

import numpy as np
import pytest
from chatfakes import ScriptedReader, lines, picture
from live import eventually

from models.contracts import Recognition
from models.slots import SlotSpec

pytestmark = [pytest.mark.slow, pytest.mark.aside]
playwright = pytest.importorskip("playwright.async_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("there is no chromium here", allow_module_level=True)

HOSTILE = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"
SHOTS = None
"""A folder for screenshots, to look at the pages."""


def microphone(path) -> str:
    """A WAV of somebody who speaks for a second, again and again."""
    rate = 48_000
    at = np.arange(rate * 3) / rate
    voice = 0.4 * np.sin(2 * np.pi * 220 * at) * (1 + np.sin(2 * np.pi * 4 * at)) / 2
    voice[rate:] = 0
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((voice * 32767).astype("<i2").tobytes())
    return str(path)


@pytest.fixture
async def browser(tmp_path):
    """Open pages: `async with browser() as page`; what the page's console complains of fails the test."""
    arguments = [
        "--no-sandbox",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone(tmp_path / 'voice.wav')}",
        "--autoplay-policy=no-user-gesture-required",
    ]
    async with playwright.async_playwright() as running:
        opened = await running.chromium.launch(executable_path=CHROMIUM, args=arguments)

        @asynccontextmanager
        async def page(**options):
            options = {"locale": "en-US", "permissions": ["microphone"], **options}
            context = await opened.new_context(**options)
            shown, complaints = await context.new_page(), []
            shown.set_default_timeout(8000)
            shown.on("pageerror", lambda error: complaints.append(str(error)))
            shown.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
            shown.complaints = complaints
            try:
                yield shown
                assert complaints == []
            finally:
                await context.close()

        yield page
        await opened.close()


async def typed(page, text):
    await page.fill("#box", text)
    await page.keyboard.press("Enter")


async def seen(page, text, where="#log"):
    await page.locator(where).get_by_text(text).first.wait_for()


async def level(page, name, fits):
    """Wait for a level of sound; the page's policy forbids Playwright's own way of waiting."""
    async with asyncio.timeout(8):
        while not fits(await page.locator(f"#{name}").evaluate("(meter) => meter.value")):  # noqa: ASYNC110 - a page's
            await asyncio.sleep(0.05)


async def shot(page, name):
    if SHOTS:
        await page.screenshot(path=f"{SHOTS}/{name}.png")


async def test_a_typed_conversation_with_a_picture_a_reload_and_hostile_text(chat, browser):
    up = await chat(server={"return_s": 10.0})
    up.chat.desk._slots = lambda call_id: [SlotSpec("order_number", "digits", {"min_length": 5, "max_length": 5})]
    async with browser() as page:
        await page.goto(up.address + "/chat")
        await seen(page, "How can I help?")
        await page.locator("#box:focus").wait_for()
        await typed(page, HOSTILE)
        await seen(page, f"You said {HOSTILE}")
        await page.set_input_files(
            "input[type=file]", {"name": "receipt.png", "mimeType": "image/png", "buffer": picture()}
        )
        await seen(page, "passed on")
        await seen(page, "You said order number 42719.")
        await shot(page, "chat-light-en")
        await page.get_by_role("button", name="Send this").first.click()
        await seen(page, re.compile(r"You said The (total is|date is)"))
        await page.emulate_media(color_scheme="dark")
        await page.get_by_role("button", name="中文").click()
        await seen(page, "结束聊天", "body")
        await shot(page, "chat-dark-zh")
        await page.reload()
        await seen(page, "How can I help?")  # kept by the tab
        await page.locator("#box:not([disabled])").wait_for()
        await typed(page, "again")
        await seen(page, "You said again.")
        assert len({one.call_id for one in up.calls.sessions.values() if one.answers_to("web-chat", one.call_id)}) == 1
        assert await page.title() == "在线聊天"
        up.chat.desk._reader = ScriptedReader(lines((HOSTILE, 0.9, 60, 60), ("Error code: E-1047", 0.6, 60, 140)))
        await page.set_input_files("input[type=file]", {"name": "x.webp", "mimeType": "image/webp", "buffer": b"RIFF"})
        await seen(page, "无法识别的图片格式，请发送 JPEG、PNG 或 WebP。")
        page.complaints.clear()  # the browser's line for the 422
        await page.set_input_files(
            "input[type=file]", {"name": "x.webp", "mimeType": "image/webp", "buffer": picture("WEBP")}
        )
        await seen(page, "60 %, 不确定")
        assert await page.locator("#log pre").last.text_content() == f"{HOSTILE}\nError code: E-1047"
        await page.click("#end")
        await seen(page, "对话已结束。", "#status")
        await page.click("#again")
        await seen(page, "How can I help?")
        assert await page.locator("#log li").count() == 1
        assert await page.title() == "在线聊天"


async def test_a_spoken_conversation(chat, browser):
    up = await chat()
    recognizer = up.calls.loaded.services.recognizer
    loud = []

    def recognize(samples, hints=None):
        loud.append(float(np.abs(samples).max()))
        return Recognition("hello there")

    recognizer.recognize = recognize
    async with browser() as page:
        await page.goto(up.address + "/call")
        await shot(page, "call-before")
        await page.click("#start")
        await seen(page, "How can I help?")
        await level(page, "theirs", lambda value: value > 0.2)
        await level(page, "yours", lambda value: value > 0.05)
        await seen(page, re.compile("You said hello there"))
        await page.keyboard.press("5")
        await seen(page, "You pressed 5")
        await page.click("#mute")
        await level(page, "yours", lambda value: value == 0)
        await shot(page, "call-light-en")
        (session,) = up.calls.sessions.values()
        playout = session._conversation.sound.playout
        await eventually(lambda: playout.stale_marks == playout.untrue_marks == 0)
        await page.emulate_media(color_scheme="dark")
        await page.get_by_role("button", name="中文").click()
        await shot(page, "call-dark-zh")
        await page.click("#end")
        await seen(page, "对话已结束。", "#status")
        await up.empty()
    assert max(loud) > 0.05


async def test_a_picture_by_a_link(chat, browser):
    up = await chat()
    link = up.address + "/pictures/" + up.chat.visits.picture_link("c-telephone")
    large = io.BytesIO(picture("PNG", (3000, 2000)))
    async with browser(viewport={"width": 390, "height": 800}) as page:
        await page.goto(link)
        await page.set_input_files(
            "input[type=file]", {"name": "a.png", "mimeType": "image/png", "buffer": large.getvalue()}
        )
        await seen(page, "42719")
        await shot(page, "picture-phone")
        await page.get_by_role("button", name="Send another picture").wait_for()
    assert len(up.chat.desk.shelf.of_call("c-telephone")) == 1


async def test_where_there_is_no_microphone_it_is_said(chat, browser):
    up = await chat()
    async with browser(permissions=[]) as page:
        await page.add_init_script("navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('none'))")
        await page.goto(up.address + "/call")
        await page.click("#start")
        await seen(page, re.compile("There is no microphone"))
        await asyncio.sleep(0)
    assert up.calls.sessions == {}
