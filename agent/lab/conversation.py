"""A call from this machine over the plain protocol: by microphone, from a file, or typed."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from agent.clock import RealClock
from agent.lab.line import CallerLine
from agent.lab.microphone import Microphone
from agent.lab.plain_client import PlainClient
from audio.devices import Duplex, list_devices, looks_like_speaker
from audio.resample import to_pcm16
from audio.wav import read_mono

RATE: Final = 16_000
SETTLED_MS = 1500.0
"""After a file was played the agent has finished when it was silent for this long."""
_ANSWER_S = 15.0
"""How long an answer is waited for."""
_LONGEST_ANSWER_S = 60.0
_KEYS = "0123456789*#"


@dataclass
class Conversation:
    """What the three ways to call share. `out`: both sides are written there. `on_told`: captions, states, turns."""

    token: str | None
    life_s: float
    out: Path | None
    on_told: Callable[[Mapping[str, Any]], None]
    answers: int = 0
    """Replies of the agent that are complete, the greeting among them."""

    def line(self, url: str, client: PlainClient, phone: Microphone | None = None, voice: bool = True) -> CallerLine:
        """The line to the server at `url`."""
        return CallerLine(
            socket_url(url),
            client,
            RealClock(),
            life_s=self.life_s,
            headers={"Authorization": f"Bearer {self.token}"} if self.token else None,
            on_told=self._told,
            phone=phone,
            send_voice=voice,
        )

    def _told(self, message: Mapping[str, Any]) -> None:
        if message.get("type") == "caption" and message.get("speaker") == "agent" and message.get("final"):
            self.answers += 1
        self.on_told(message)

    async def close(self, line: CallerLine) -> str:
        """Hang up, keep the recording, and say why the call is over."""
        await line.hang_up()
        if self.out is not None:
            await asyncio.to_thread(line.save, self.out)
        return line.ended or "hung_up"


def socket_url(url: str) -> str:
    """The plain protocol's address at the server `url`; an address with a path of its own is kept.

    Raises:
        ValueError: `url` is no http, https, ws or wss address.
    """
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.netloc:
        raise ValueError(f"url is {url!r}; give an address such as http://127.0.0.1:8080")
    path = parts.path if parts.path.strip("/") else "/gateways/plain"
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


async def by_wav(talk: Conversation, url: str, wav: Path) -> str:
    """Play a file in real time, wait until the agent has answered and finished, hang up; says why the call ended.

    The file begins at once, as a caller would who talks into the greeting.

    Raises:
        LineError: no connection. OSError, ValueError: the file cannot be read or `out` not written.
    """
    samples = to_pcm16(await asyncio.to_thread(read_mono, wav, RATE))
    async with talk.line(url, PlainClient(RATE)) as line:
        end = line.say(samples) + len(samples) * 1000.0 / RATE
        if await line.until(lambda: line.now_ms >= end, end + 1000.0):
            ear = line.ear
            if await line.until(lambda: ear.heard_since(end), _ANSWER_S * 1000.0):
                await line.until(lambda: ear.silent_ms() >= SETTLED_MS, _LONGEST_ANSWER_S * 1000.0)
        return await talk.close(line)


async def by_text(talk: Conversation, url: str) -> str:
    """Send each line of the terminal as a turn until an empty one, `q` or the end of input.

    Where the input is a file or a pipe each line waits until the agent has answered the one before.

    Raises:
        LineError: no connection.
    """
    in_turn = not sys.stdin.isatty()
    async with talk.line(url, PlainClient(RATE, mode="text", audio=False), voice=False) as line:
        if in_turn:
            await line.until(lambda: talk.answers > 0, _ANSWER_S * 1000.0)
        async for typed in _typed(line):
            if typed in ("", "q"):
                break
            before = talk.answers
            await line.type(typed)
            if in_turn:
                await line.until(lambda: talk.answers > before, _ANSWER_S * 1000.0)  # noqa: B023 - awaited here
        return await talk.close(line)


async def by_microphone(
    talk: Conversation,
    url: str,
    microphone: int | str | None,
    loudspeaker: int | str | None,
    warn: Callable[[str], None],
) -> str:
    """Talk with this machine's devices; typed keys are telephone keys, `q` hangs up.

    Raises:
        DeviceError: no microphone or loudspeaker. LineError: no connection.
    """
    name = _output_name(loudspeaker)
    if name is not None and looks_like_speaker(name):
        warn(f"[yellow]{name} may be heard by the microphone: the agent would hear itself. Use a headset.[/yellow]")
    with Duplex(RATE) as device:
        device.open(microphone, loudspeaker)
        async with talk.line(url, PlainClient(RATE), phone=Microphone(device)) as line:
            async for typed in _typed(line):
                if typed == "q":
                    break
                for key in typed:
                    if key in _KEYS:
                        await line.press(key)
            return await talk.close(line)


def _output_name(chosen: int | str | None) -> str | None:
    for device in list_devices():
        if device.outputs and (
            device.default_output
            if chosen is None
            else device.index == chosen or str(chosen).lower() in device.name.lower()
        ):
            return device.name
    return None


async def _typed(line: CallerLine) -> AsyncIterator[str]:
    """Lines typed in the terminal while the line is up.

    Reading blocks in a thread of its own, which waits until each line is taken; it ends with the process.
    """
    loop = asyncio.get_running_loop()
    typed: asyncio.Queue[str | None] = asyncio.Queue(maxsize=1)

    def read() -> None:
        with contextlib.suppress(RuntimeError, concurrent.futures.CancelledError):  # the loop is over
            for entered in sys.stdin:
                asyncio.run_coroutine_threadsafe(typed.put(entered.strip()), loop).result()
            asyncio.run_coroutine_threadsafe(typed.put(None), loop).result()

    threading.Thread(target=read, name="terminal", daemon=True).start()
    while line.ended is None:
        over = asyncio.create_task(line.until(lambda: False, float("inf")))
        entering = asyncio.create_task(typed.get())
        try:
            await asyncio.wait((over, entering), return_when=asyncio.FIRST_COMPLETED)
            entered = entering.result() if entering.done() else None
        finally:
            over.cancel()
            entering.cancel()
            await asyncio.gather(over, entering, return_exceptions=True)
        if entered is None:
            return
        yield entered
