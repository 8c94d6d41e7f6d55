"""Measures how long a voice takes between a console in Debian's chromium and a caller's telephone line, both ways.

    PYTHONPATH=tests .venv/bin/python tests/e2e/voice_delay.py [BEEPS]

Server, models, gateway (Twilio's protocol), page and browser are the real ones; the microphone is a WAV file with a
beep a second, and the caller sends one a second. A beep's time in the browser is taken where the page gets or gives its
samples, on its audio thread; on the line, when the message with it is sent, or is played by a telephone that plays what
comes at once and in order. All clocks are this machine's. Beside it stands what the browser adds by its own account,
between its audio thread and the sound card.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from conftest import real_server
from console.pagevoice import browser_options
from consolepage import account, button, sign_in
from playwright.async_api import Page, async_playwright

from agent.clock import RealClock
from agent.lab.line import CallerLine, FromAgent, Heard, Messages
from agent.lab.twilio_caller import TwilioCaller
from audio.codec import Pcm16
from audio.wav import write_wav

LEVEL = 0.03
"""Amplitude, of 1, from which a beep has begun; the same everywhere."""
QUIET_S = 0.5
"""Silence before a beep."""
LONGEST_MS = 800.0
"""A beep that takes longer is lost."""
MICROPHONE, LINE = 48_000, 8_000
"""Hz."""
PROBE = f"""
registerProcessor("probe", class extends AudioWorkletProcessor {{
  quiet = 0;
  process([[samples]]) {{
    for (const [n, sample] of (samples ?? []).entries()) {{
      if (Math.abs(sample) < {LEVEL}) this.quiet += 1;
      else {{
        if (this.quiet > {QUIET_S} * sampleRate) this.port.postMessage(Date.now() + n * 1000 / sampleRate);
        this.quiet = 0;
      }}
    }}
    return true;
  }}
}});
"""
WITHIN = f"""(() => {{
  const [Node, listen] = [AudioWorkletNode, AudioContext.prototype.createMediaStreamSource];
  const module = URL.createObjectURL(new Blob([{json.dumps(PROBE)}], {{ type: "text/javascript" }}));
  window.beeps = {{ microphone: [], line: [] }};
  async function probe(context, node, where) {{
    window.context = context;
    await context.audioWorklet.addModule(module);
    const ear = new Node(context, "probe");
    ear.port.onmessage = ({{ data }}) => window.beeps[where].push(data);
    node.connect(ear).connect(context.destination);
  }}
  window.AudioWorkletNode = class extends Node {{
    constructor(context, name, options) {{
      super(context, name, options);
      probe(context, this, "line");
    }}
  }};
  AudioContext.prototype.createMediaStreamSource = function (stream) {{
    const source = listen.call(this, stream);
    window.track = stream.getAudioTracks()[0];
    probe(this, source, "microphone");
    return source;
  }};
}})()"""
"""Listens at what the page gets from the microphone and gives to the loudspeaker; runs before the page's scripts."""


def beep(rate: int) -> np.ndarray:
    """A second: 150 ms of a voice's harmonics, which noise suppression lets pass, and silence."""
    at = np.arange(round(0.15 * rate)) / rate
    tone = sum(np.cos(2 * np.pi * 170 * n * at) / n for n in range(1, 12))
    return np.concatenate([0.4 * tone / np.abs(tone).max(), np.zeros(rate - len(at))]).astype(np.float32)


class Beeps:
    """When beeps began, in ms of the machine's clock."""

    def __init__(self, played: bool) -> None:
        """played: samples are played one after another, however they come; else each message counts as it comes."""
        self.began_ms: list[float] = []
        self._played = played
        self._loud_ms = self._played_ms = 0.0

    def take(self, samples: Pcm16) -> None:
        """Samples of a message of now; in silence there may be none."""
        now = time.time() * 1000.0
        began = max(now, self._played_ms) if self._played else now
        for at in np.flatnonzero(np.abs(samples) >= LEVEL * 32768.0) * 1000.0 / LINE:
            if began + at - self._loud_ms > QUIET_S * 1000.0:
                self.began_ms.append(float(began + at))
            self._loud_ms = began + at
        self._played_ms = began + len(samples) * 1000.0 / LINE


class Caller(TwilioCaller):
    """A caller's line that notes beeps."""

    def __init__(self) -> None:
        super().__init__("+15035550142")
        self.sent, self.heard = Beeps(played=False), Beeps(played=True)

    def voice(self, samples: Pcm16) -> Messages:
        self.sent.take(samples)
        return super().voice(samples)

    def receive(self, message: str | bytes) -> Sequence[FromAgent]:
        events = super().receive(message)
        for event in events:
            if isinstance(event, Heard):
                self.heard.take(event.samples)
        return events


def delays(began: Sequence[float], ended: Sequence[float]) -> list[float]:
    """From each beep to the first at the other end after it, in ms."""
    found = [next((end - begin for end in ended if end >= begin), np.inf) for begin in began]
    return [delay for delay in found if delay < LONGEST_MS]


def row(way: str, beeps: Sequence[float], found: Sequence[float], beside: str) -> str:
    p50, p95, most = np.percentile(found, [50, 95, 100])
    return f"| {way} | {len(found)} of {len(beeps)} | {p50:.0f} | {p95:.0f} | {most:.0f} | {beside} |"


async def talking(page: Page) -> None:
    """Take over the only call by voice, and wait until it has settled."""
    await page.locator("table.calls a").first.click()
    await button(page, "Take over").click()
    await page.wait_for_function("window.beeps.microphone.length > 3", timeout=60_000)


async def measure(count: int, folder: Path) -> None:
    """Print a table with `count` beeps each way."""
    write_wav(folder / "beeps.wav", np.tile(beep(MICROPHONE), 10), MICROPHONE)
    async with real_server(folder) as server, async_playwright() as playwright:
        await account(server, "dana", "supervisor")
        browser = await playwright.chromium.launch(**browser_options(folder, folder / "beeps.wav"))
        page = await (await browser.new_context(permissions=["microphone"], bypass_csp=True)).new_page()
        await page.add_init_script(WITHIN)
        await sign_in(page, server, "dana")
        caller = Caller()
        async with CallerLine(server.socket("/gateways/twilio"), caller, RealClock(), life_s=3 * count + 120) as line:
            await talking(page)
            await page.evaluate("window.beeps.microphone.length = 0")
            caller.heard.began_ms.clear()
            await asyncio.sleep(count)
            spoken = await page.evaluate("window.beeps.microphone")
            await asyncio.sleep(1)
            up = delays(spoken, caller.heard.began_ms)
            latency = await page.evaluate("[track.getSettings().latency, context.baseLatency, context.outputLatency]")

            await page.keyboard.press("m")
            await page.evaluate("window.beeps.line.length = 0")
            caller.sent.began_ms.clear()
            second = np.rint(beep(LINE) * 32767).astype(np.int16)
            for _ in range(count):
                line.say(second)
            await line.until(lambda: not line.talking, 2000.0 * count)
            down = delays(caller.sent.began_ms, await page.evaluate("window.beeps.line"))
            waits = await page.locator(".meters .under").last.inner_text()
        await browser.close()
    print("| way | beeps | p50 ms | p95 ms | most ms | beside it |\n|---|---|---|---|---|---|")
    before, base, after = (f"{1000.0 * (one or 0.0):.0f} ms" for one in latency)
    print(row("microphone to line", spoken, up, f"microphone {before}"))
    print(row("line to loudspeaker", caller.sent.began_ms, down, f"loudspeaker {base} + {after}; {waits}"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        asyncio.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 40, Path(made)))
