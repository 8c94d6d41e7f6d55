"""A person's browser at a live call, in virtual time: hears, speaks scripted words, remembers what it heard when."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from callfakes import PHONE, FakeCall, Phone

from agent.call.control import CallControl, Seat, SeatClosed
from agent.gateways.base import Command, Play


def now_ms() -> float:
    return asyncio.get_running_loop().time() * 1000.0


class Browser:
    """`async with Browser(seat, call) as browser`."""

    def __init__(self, seat: Seat, call: FakeCall) -> None:
        self.seat = seat
        self._lines = call.lines
        self.heard: list[tuple[float, float]] = []
        """Time and level, in [0, 1], of every frame."""
        self.closed: str | None = None
        self._hearing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Browser:
        self._hearing = asyncio.create_task(self._hear())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._hearing is not None
        self._hearing.cancel()
        await asyncio.gather(self._hearing, return_exceptions=True)

    async def _hear(self) -> None:
        try:
            while True:
                frame = np.frombuffer(await self.seat.hear(), dtype="<i2")
                self.heard.append((now_ms(), float(np.median(frame)) / 32768.0))
        except SeatClosed as closed:
            self.closed = closed.reason

    async def send_level(self, level: float, ms: float) -> None:
        frame = np.full(320, int(level * 32767), dtype="<i2").tobytes()
        due = now_ms()
        for _ in range(round(ms / 20)):
            self.seat.speak(frame)
            due += 20.0
            await asyncio.sleep(max(0.0, (due - now_ms()) / 1000.0))

    async def say(self, text: str, ms: float = 900.0) -> None:
        await self.send_level(self._lines.level(text), ms)

    async def wait(self, ms: float) -> None:
        await self.send_level(0.0, ms)

    def first_heard(self, level: float, since_ms: float = 0.0) -> float | None:
        """When a frame of this level was first heard."""
        return next((at for at, its in self.heard if at >= since_ms and abs(its - level) < 0.01), None)

    def hears(self, level: float) -> bool:
        return self.first_heard(level) is not None


class Ear:
    """What the caller is sent: time and level of every piece."""

    def __init__(self, phone: Phone) -> None:
        self.heard: list[tuple[float, float]] = []
        inner = phone.append

        def append(command: Command) -> None:
            if isinstance(command, Play):
                self.heard.append((now_ms(), float(np.median(PHONE.decode(command.audio))) / 32768.0))
            inner(command)

        phone.append = append  # type: ignore[method-assign]

    def first_heard(self, level: float, since_ms: float = 0.0) -> float | None:
        return next((at for at, its in self.heard if at >= since_ms and abs(its - level) < 0.01), None)

    def hears(self, level: float) -> bool:
        return self.first_heard(level) is not None


class FakeFeed:
    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def publish(self, kind: str, call_id: str | None, data: Mapping[str, Any]) -> None:
        self.messages.append({"type": kind, "call": call_id, **data})

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]


def control_of(call: FakeCall) -> CallControl:
    assert call.session.control is not None
    return call.session.control


async def announced(call: FakeCall) -> CallControl:
    """The control of a call that has just started."""
    await asyncio.sleep(0.01)
    return control_of(call)


@contextlib.asynccontextmanager
async def quiet_line(phone: Phone) -> Any:
    """The caller's line goes on in silence inside."""

    async def silence() -> None:
        while True:
            await phone.wait(phone.chunk_ms)

    task = asyncio.create_task(silence())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
