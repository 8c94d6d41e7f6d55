"""Servers with scripted models that serve the public pages."""

import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "server"))

from chatfakes import RECEIPT, ScriptedReader, lines
from live import Live, live, scripted

import agent.server
from agent.chat.opening import open_chat
from agent.chat.pages import add_chat
from agent.chat.settings import ChatSettings


@pytest.fixture
async def chat(monkeypatch, tmp_path):
    """Start servers: `await chat(most=2)`; `up.chat` is its Chat, whose reader reads RECEIPT off any picture."""
    monkeypatch.setattr("agent.server.load", scripted)
    add_gateways = agent.server.add_gateways
    async with AsyncExitStack() as stack:

        async def start(server=None, **settings) -> Live:
            made = []

            def add(app, calls):
                opened = open_chat(calls, ChatSettings(enabled=True, **settings))
                if opened.desk is not None:
                    opened.desk._reader = ScriptedReader(lines(*RECEIPT))
                made.append(opened)
                add_chat(app, opened)
                add_gateways(app, calls)

            monkeypatch.setattr("agent.server.add_gateways", add)
            up = await stack.enter_async_context(live(tmp_path, True, server=server or {}))
            up.chat = made[0]
            return up

        yield start
