"""Two hundred short calls that end in every way: afterwards nothing of them is left."""

import asyncio
import contextlib
import gc
import json
import os

import pytest
from live import TYPED_START, closed, cut, eventually, healthy, media, start, twilio_start
from websockets.exceptions import InvalidStatus

ROUNDS = 20
AT_ONCE = 40
SILENCE = b"\0" * 320


async def refused(up, name):
    with pytest.raises(InvalidStatus):
        async with up.socket("/gateways/plain/no-token"):
            pass


async def half_open(up, name):
    async with up.plain() as caller:
        assert await closed(caller) == 4408


async def half_request(up, name):
    reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
    writer.write(b"GET /gateways/plain HT")
    await reader.read()
    writer.close()


async def bad_start(up, name):
    async with up.twilio() as caller:
        await caller.send(json.dumps({"event": "start"}))
        assert await closed(caller) == 1007


async def hung_up_at_once(up, name):
    async with up.twilio() as caller:
        await caller.send(twilio_start(name))
        await caller.send(json.dumps({"event": "stop", "streamSid": "MZ1"}))
        assert await closed(caller) == 1000


async def hung_up_in_the_greeting(up, name):
    async with up.plain() as caller:
        await caller.send(start(name))
        for _ in range(10):
            await caller.send(SILENCE)
            await caller.recv()
        await caller.send(json.dumps({"type": "stop"}))
        assert await closed(caller) == 1000


async def cut_in_a_word(up, name):
    async with up.twilio() as caller:
        await caller.send(twilio_start(name))
        for _ in range(5):
            await caller.send(media("gIA=" * 40))
        await caller.recv()
        cut(caller)


async def typed(up, name):
    async with healthy(up, name) as caller:
        await caller.answered("hello")
        await caller.stop()


async def said_goodbye(up, name):
    async with healthy(up, name) as caller:
        await caller.type("bye")
        assert await closed(caller.socket) == 1000


async def handed_over(up, name):
    async with healthy(up, name) as caller:
        await caller.type("person please")
        await caller.shown("I will connect you.")
        cut(caller.socket)


BEGUN = (hung_up_at_once, hung_up_in_the_greeting, cut_in_a_word, typed, said_goodbye, handed_over)
NEVER_BEGUN = (refused, half_open, half_request, bad_start)


def open_files() -> int:
    """Open files and sockets of this process, without the database's connections, which are pooled."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            count += "records.db" not in os.readlink(f"/proc/self/fd/{name}")
    return count


async def test_nothing_is_left_of_two_hundred_calls(serve):
    up = await serve(server={"handshake_s": 2.0, "max_calls": 200})
    await typed(up, "first")
    await up.empty()
    await eventually(lambda: len(up.server.server_state.connections) <= 1)
    tasks, files = len(asyncio.all_tasks()), open_files()
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(kind, number):
        async with gate:
            await kind(up, f"{kind.__name__}-{number}")

    async with asyncio.timeout(90):
        await asyncio.gather(*(one(kind, n) for n in range(ROUNDS) for kind in BEGUN + NEVER_BEGUN))
    await up.empty()
    await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
    gc.collect()
    await eventually(lambda: open_files() <= files)
    assert up.calls._waiting == 0
    for gateway in ("plain", "twilio"):
        assert await up.counter("callagent_calls", gateway=gateway) == 0

    rows = (await up.http.get("/api/calls", params={"limit": 200})).json()["calls"]
    names = {row["gateway_call_id"] for row in rows}
    assert names == {"first"} | {f"{kind.__name__}-{n}" for kind in BEGUN for n in range(ROUNDS)}
    assert all(row["outcome"] and row["reason"] and row["finished_at"] and row["transcript"] for row in rows)
    async with healthy(up, "last") as caller:
        await caller.answered("hello")


async def test_a_server_that_stops_in_the_middle_of_calls_leaves_nothing(serve):
    before = {task.get_name() for task in asyncio.all_tasks()}
    up = await serve()
    sockets = [await up.plain() for _ in range(6)]
    for number, socket in enumerate(sockets):
        if number % 2:
            await socket.send(json.dumps({**TYPED_START, "call_id": f"n{number}"}))
            await socket.recv()
    up.server.stop()
    up.server.stop()
    assert {await closed(socket) for socket in sockets} == {1001}
    await eventually(lambda: up.calls.loaded is None)
    await up.http.aclose()
    await eventually(lambda: {task.get_name() for task in asyncio.all_tasks()} - before <= {"server"})
