"""The socket's short way to whoever waits for a message."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import connect

from agent.lab.idle_bench import client_frame
from agent.serving import CallSocket
from agent.sockets import DIRECT

SENT = ["a1", "a2", "b1", "a3", "b2", "b3", "a4", "a5"]


class Reader:
    """An application that wants messages with an `a` at once, and reads the others."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []
        self.all = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        scope["extensions"][DIRECT]["take"] = self.take
        while (message := await receive())["type"] == "websocket.receive":
            self.note("read", message["text"])

    def take(self, message: str | bytes) -> bool:
        if not str(message).startswith("a"):
            return False
        self.note("at once", str(message))
        return True

    def note(self, how: str, message: str) -> None:
        self.log.append((how, message))
        if len(self.log) == len(SENT):
            self.all.set()


@pytest.mark.parametrize("together", [True, False])
async def test_messages_keep_their_order(together: bool) -> None:
    reader = Reader()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    server = uvicorn.Server(
        uvicorn.Config(reader, ws=CallSocket, lifespan="off", log_config=None, ws_per_message_deflate=False)
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    running = asyncio.create_task(server._serve([listening]))
    try:
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        async with connect(f"ws://127.0.0.1:{listening.getsockname()[1]}", compression=None) as client:
            for message in [] if together else SENT:
                await client.send(message)
                await asyncio.sleep(0.005)
            if together:
                client.transport.write(b"".join(client_frame(message) for message in SENT))
            async with asyncio.timeout(5.0):
                await reader.all.wait()
    finally:
        server.should_exit = True
        await running
    assert [message for _, message in reader.log] == SENT
    quick = [message for how, message in reader.log if how == "at once"]
    # After a message that has to be read, all that came with it wait their turn.
    assert quick == (["a1", "a2"] if together else ["a1", "a2", "a3", "a4", "a5"])
