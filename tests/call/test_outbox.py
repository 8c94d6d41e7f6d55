"""What waits for a socket: in order, bounded, and never in the way of the call."""

import asyncio

import pytest

from agent.call import outbox
from agent.call.outbox import BOUND, Outbox
from agent.call.transport import Disconnected
from agent.gateways.base import Capabilities, Clear, Hangup, Mark, Play, ShowState
from audio.codec import Encoding


class Protocol:
    """Writes a command as its own repr, and a `Hangup` as two messages."""

    name = "test"
    capabilities = Capabilities(Encoding("mulaw", 8000))

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
    lost = []

    def start(socket: Socket):
        stuck = []
        box = Outbox(Protocol(), socket, lambda: stuck.append(True), lost.append)
        tasks.append(asyncio.create_task(box.run()))
        return box, stuck, tasks[-1]

    start.lost = lost
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


async def test_commands_for_a_socket_that_takes_nothing_are_bounded_and_it_is_told_once(started):
    box, stuck, _ = started(Socket(is_open=False))
    for _ in range(3 * BOUND):
        box.put(ShowState("speaking"))
    assert stuck == [True]
    assert len(box._waiting) == BOUND


async def test_of_audio_that_waits_the_older_half_is_dropped_with_its_marks(started):
    socket = Socket(is_open=False)
    box, stuck, _ = started(socket)
    most = round(outbox.MOST_AUDIO_MS / 20)
    box.put(ShowState("speaking"))
    for number in range(most + 1):
        box.put(Play(b"%d" % number))
        box.put(Mark(str(number)))
    assert started.lost == [most + 1]  # everything that waits counts as unheard, the newest included
    assert (box.lost, stuck) == ((most + 1) // 2, [])
    socket.open.set()
    await box.drained()
    assert socket.messages[:2] == [repr(ShowState("speaking")), repr(Play(b"%d" % box.lost))]
    assert repr(Mark(str(box.lost - 1))) not in socket.messages
    assert socket.messages[-1] == repr(Mark(str(most)))


async def test_a_slow_reader_never_holds_more_than_the_bound(started):
    box, stuck, _ = started(Socket(is_open=False))
    for _ in range(10_000):
        box.put(Play(bytes(1280)))
        assert len(box._waiting) * 20 <= outbox.MOST_AUDIO_MS
    assert stuck == []


async def test_a_clear_makes_room(started):
    box, stuck, _ = started(Socket(is_open=False))
    for _ in range(50):
        for _ in range(50):
            box.put(Play(b"a"))
        box.put(Clear())
    assert (stuck, started.lost) == ([], [])


async def test_answers_overtake_commands_and_keep_their_order(started):
    socket = Socket(is_open=False)
    box, _, _ = started(socket)
    box.put(Play(b"a"))
    box.put(Play(b"b"))
    box.answer("one")
    box.answer("two")
    socket.open.set()
    await box.drained()
    assert socket.messages == ["one", "two", repr(Play(b"a")), repr(Play(b"b"))]


async def test_answers_that_nobody_takes_are_bounded_in_bytes_and_a_single_large_one_is_written(started):
    socket = Socket(is_open=False)
    box, stuck, _ = started(socket)
    for _ in range(100):
        box.answer("x" * 60_000)
    assert stuck == [True]
    assert sum(map(len, box._answers)) <= outbox.ANSWER_BYTES
    socket = Socket()
    box, stuck, _ = started(socket)
    for _ in range(3):
        box.answer("x" * 2 * outbox.ANSWER_BYTES)
        await box.drained()
    assert (len(socket.messages), stuck) == (3, [])


async def test_a_message_that_is_never_taken_ends_the_writer(started, monkeypatch):
    monkeypatch.setattr(outbox, "STUCK_S", 0.02)
    box, stuck, task = started(Socket(is_open=False))
    box.put(Play(b"a"))
    async with asyncio.timeout(5):
        await task
    assert stuck == [True]


async def test_another_socket_gets_only_what_is_put_after_it_came(started):
    old, new = Socket(is_open=False), Socket()
    box, _, task = started(old)
    box.put(Play(b"a"))
    box.put(Play(b"b"))
    await asyncio.sleep(0)
    task.cancel()
    box.attach(Protocol(), new)
    writer = asyncio.create_task(box.run())
    box.put(Play(b"c"))
    await box.drained()
    writer.cancel()
    assert (old.messages, new.messages) == ([], [repr(Play(b"c"))])


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
