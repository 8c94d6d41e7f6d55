"""What waits for a socket: in order, bounded, and never in the way of the call."""

import asyncio

import pytest

from agent.call import outbox
from agent.call.outbox import BOUND, Outbox
from agent.call.transport import Disconnected
from agent.gateways.base import Clear, Hangup, Mark, Play, ShowState


class Protocol:
    """Writes a command as its own repr, and a `Hangup` as two messages."""

    name = "test"

    def send(self, command):
        return [repr(command), "end"] if isinstance(command, Hangup) else [repr(command)]


class Socket:
    """Takes messages while `open`; breaks when told to."""

    def __init__(self, is_open: bool = True) -> None:
        self.open = asyncio.Event()
        if is_open:
            self.open.set()
        self.broken = False
        self.messages: list[str] = []

    async def send(self, message) -> None:
        await self.open.wait()
        if self.broken:
            raise Disconnected
        self.messages.append(message)


@pytest.fixture
async def started():
    """Start an outbox on a socket; its writer ends with the test."""
    tasks = []

    def start(socket: Socket):
        stuck = []
        box = Outbox(Protocol(), socket, lambda: stuck.append(True))
        tasks.append(asyncio.create_task(box.run()))
        return box, stuck, tasks[-1]

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_commands_are_written_in_order(started):
    socket = Socket()
    box, _, _ = started(socket)
    commands = [Play(b"a"), Mark("1"), ShowState("speaking"), Hangup("bye")]
    for command in commands:
        box.put(command)
    await box.drained()
    assert socket.messages == [*map(repr, commands), "end"]


async def test_a_clear_overtakes_the_sound_it_stops_and_nothing_else(started):
    socket = Socket(is_open=False)
    box, _, _ = started(socket)
    for command in (Play(b"a"), Play(b"b"), ShowState("yielding"), Mark("1"), Play(b"c")):
        box.put(command)
    box.put(Clear())
    box.put(Play(b"d"))
    socket.open.set()
    await box.drained()
    assert socket.messages == [repr(ShowState("yielding")), repr(Clear()), repr(Play(b"d"))]


async def test_what_is_being_written_when_a_clear_comes_is_before_it(started):
    socket = Socket(is_open=False)
    box, _, _ = started(socket)
    box.put(Play(b"a"))
    await asyncio.sleep(0)
    box.put(Play(b"b"))
    box.put(Clear())
    socket.open.set()
    await box.drained()
    assert socket.messages == [repr(Play(b"a")), repr(Clear())]


async def test_a_socket_that_takes_nothing_is_told_once_and_the_queue_stays_bounded(started):
    box, stuck, _ = started(Socket(is_open=False))
    for _ in range(3 * BOUND):
        box.put(Play(b"a"))
    assert stuck == [True]
    assert len(box._waiting) == BOUND


async def test_a_clear_makes_room(started):
    box, stuck, _ = started(Socket(is_open=False))
    for _ in range(5):
        for _ in range(BOUND - 5):
            box.put(Play(b"a"))
        box.put(Clear())
    assert stuck == []


async def test_nothing_waits_for_a_socket_that_is_gone(started):
    socket = Socket()
    socket.broken = True
    box, stuck, task = started(socket)
    box.put(Play(b"a"))
    await box.drained()
    await task
    box.put(Play(b"b"))
    await box.drained()
    assert (socket.messages, stuck) == ([], [])


async def test_the_end_does_not_wait_for_ever(started, monkeypatch):
    monkeypatch.setattr(outbox, "DRAIN_S", 0.05)
    box, _, _ = started(Socket(is_open=False))
    box.put(Play(b"a"))
    async with asyncio.timeout(5):
        await box.drained()


async def test_an_empty_outbox_is_drained(started):
    box, _, _ = started(Socket())
    async with asyncio.timeout(5):
        await box.drained()


async def test_cancelling_the_writer_frees_who_waits(started):
    box, _, task = started(Socket(is_open=False))
    box.put(Play(b"a"))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(box.drained())
    await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(5):
        await waiting
    with pytest.raises(asyncio.CancelledError):
        await task
