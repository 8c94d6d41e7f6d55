"""Servers with scripted models on real sockets."""

from contextlib import AsyncExitStack

import pytest
from live import Live, live, scripted


@pytest.fixture
async def serve(monkeypatch, tmp_path):
    """Start servers: `await serve(server={...}, insecure=False)`; they end with the test."""
    monkeypatch.setattr("agent.server.load", scripted)
    async with AsyncExitStack() as stack:

        async def start(insecure: bool = True, **sections) -> Live:
            return await stack.enter_async_context(live(tmp_path, insecure, **sections))

        yield start
