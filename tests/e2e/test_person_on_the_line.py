"""A person at the console takes a caller over by voice: real server, models and telephone line, Debian's chromium.

What either end heard is written down by a recognizer, and its words are compared with those that were said.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import Listener, real_server
from console.pagevoice import CHROMIUM, browser_options
from consolepage import account, button, sign_in

from agent.clock import RealClock
from agent.lab.line import CallerLine
from agent.lab.measuring.word_errors import word_errors
from agent.lab.twilio_caller import TwilioCaller
from audio.codec import Pcm16
from audio.resample import resample, to_pcm16
from audio.wav import write_wav
from models.contracts import Samples
from models.voice import PiperVoice

async_api = pytest.importorskip("playwright.async_api", reason="needs playwright: pip install -e '.[dev]'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.aside,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt install chromium"),
]
SAID = "Hello, this is Dana. I have your order in front of me. What is the number on your letter?"
MOST_WRONG = 40.0
"""Percent of the words that may be heard wrongly: the voice goes through noise suppression and an 8 kHz line."""
MICROPHONE = 48_000
"""Hz."""
PAUSE_S = 1.4
"""Silence before the sentence, and again after it; the browser repeats all of it. No pause inside is as long."""
REPEATS = 3
"""How often the sentence is listened to at most: on a slow machine the first time may lack its beginning."""
ANSWER, ORDER = "My order number is 4 2 7 1 9.", "42719"


async def spoken(voice: PiperVoice, text: str, rate: int) -> Samples:
    """`text` at `rate` in Hz."""
    pieces = [piece async for piece in voice.speak(text)]
    return resample(np.concatenate([piece.samples for piece in pieces]), pieces[0].rate, rate)


async def microphone(voice: PiperVoice, path: Path) -> Path:
    """What the person says, with a pause before and after it."""
    pause = np.zeros(round(PAUSE_S * MICROPHONE), dtype=np.float32)
    write_wav(path, np.concatenate([pause, await spoken(voice, SAID, MICROPHONE), pause]), MICROPHONE)
    return path


def wrong_words(heard: str) -> float:
    """How many of the words of `SAID` are wrong in `heard`, in percent."""
    wrong = word_errors(SAID, heard).percent
    print(f"{wrong:.0f} % of the words wrong: {heard}")
    return wrong


class Line(CallerLine):
    """A caller on a telephone line."""

    async def quiet(self, since_ms: float, for_ms: float = 1100.0, within_ms: float = 25_000.0) -> None:
        """Wait until something was heard after `since_ms`, and nothing more for `for_ms`."""
        heard = await self.until(
            lambda: bool(self.ear.heard_since(since_ms)) and self.ear.silent_ms() > for_ms, within_ms
        )
        assert heard, f"after {within_ms:.0f} ms; the line: {self.ended}"

    async def ask(self, samples: Pcm16) -> float:
        """Say something; returns when it was said, in ms."""
        self.say(samples)
        assert await self.until(lambda: not self.talking, 20_000)
        return self.now_ms


async def understood(line: Line, listener: Listener) -> bool:
    """Whether the caller can write down what the person at the microphone says."""
    for _ in range(REPEATS):
        began = line.now_ms
        await line.quiet(began, PAUSE_S * 1000.0)
        if wrong_words(listener.hear(line.heard(began, line.now_ms), line.protocol.rate)) <= MOST_WRONG:
            return True
    return False


async def write(page, key: str, text: str) -> None:
    """Press the key of a box, write into it, and send it."""
    await page.keyboard.press(key)
    await page.keyboard.type(text)
    await page.keyboard.press("Enter")


async def test_a_person_is_understood_by_the_caller_and_the_agent_goes_on_from_there(tmp_path, sheet, listener):
    expect, wrong = async_api.expect, []
    expect.set_options(timeout=20_000)
    voice = PiperVoice()
    options = browser_options(tmp_path, await microphone(voice, tmp_path / "dana.wav"))
    answer = to_pcm16(await spoken(voice, ANSWER, TwilioCaller.rate))
    async with real_server(tmp_path) as server, async_api.async_playwright() as playwright:
        await account(server, "dana", "supervisor")
        browser = await playwright.chromium.launch(**options)
        page = await (await browser.new_context(permissions=["microphone"])).new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        await sign_in(page, server, "dana")
        transcript = page.get_by_role("log")
        caller = TwilioCaller("+15035550142")
        async with Line(server.socket("/gateways/twilio"), caller, RealClock(), life_s=150) as line:
            # Watched, and whispered to: the agent's next answer begins as it was told.
            await page.locator("table.calls a").first.click()
            await expect(transcript).to_contain_text("help")
            await write(page, "w", "apologise")
            await line.quiet(0)
            said = await line.ask(sheet.audio("where"))
            await line.quiet(said)
            await expect(transcript).to_contain_text("I am sorry about that")

            # Accepted.
            await line.ask(sheet.audio("person"))
            await page.get_by_role("alertdialog").get_by_role("button", name="Accept").click()
            await expect(page.locator(".call-facts")).to_contain_text("Person: dana")
            await expect(transcript).to_contain_text(re.compile("speak to a person", re.I))

            # The person speaks: the caller's end is written down, and so is what the agent wrote of it.
            assert await understood(line, listener)
            await page.keyboard.press("m")  # so that the caller has the line for himself
            written = page.locator(".turn.of-human:not(.interim) .said")
            await expect(written).not_to_have_count(0)
            assert min([wrong_words(text) for text in await written.all_inner_texts()]) <= MOST_WRONG

            # The caller answers the person, and the agent learns it.
            await line.ask(answer)
            await expect(page.locator(".turn.of-caller:not(.interim) .said").last).to_contain_text(ORDER)
            await expect(page.get_by_role("region", name="Values")).to_contain_text(ORDER)

            # Handed back, with a note.
            await button(page, "Hand back").click()
            await page.get_by_label("For the agent").fill("go on with the order")
            back = line.now_ms
            await page.get_by_role("dialog").get_by_role("button", name="Hand back").click()
            await expect(transcript).to_contain_text("I am back")
            await line.quiet(back)
            assert "delivery" in listener.hear(line.heard(back, line.now_ms), caller.rate).lower()

            # Wrapped up.
            await page.get_by_label("How it ended").select_option("resolved")
            await page.get_by_label("5", exact=True).check()
            await button(page, "Save").click()
            await expect(page.locator(".wrap-up")).to_contain_text("The wrap-up is saved.")
        await browser.close()
        kept = await server.record(caller.call)
        log = server.log
    assert wrong == []
    assert '"level": "error"' not in log
    said_by = {turn["reasons"].get("who") for turn in kept["turns"] if turn["speaker"] == "human"}
    assert said_by == {"dana"}
    back_again = kept["turns"][-1]["reasons"]
    assert (back_again["rule"], back_again["by"], back_again["goes_on"]) == ("handed_back", "dana", True)
