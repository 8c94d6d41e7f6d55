"""A writer on a real server of the OpenAI protocol that a test scripts, a clock it moves, and an encoder of words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import asynccontextmanager
from zlib import crc32

import numpy as np
import pytest
from llmfakes import ManualClock, scripted

from agent.dialogue.writing.asking import Asking, Deadlines
from agent.dialogue.writing.terms import stem
from agent.dialogue.writing.writer import ModelWriter
from models.llm.guard import Guard
from models.llm.http import HttpLanguageModel


class WordEncoder:
    """Texts with the same stems have the same vector."""

    width = 256

    def encode(self, texts: Sequence[str]):
        rows = np.zeros((len(texts), self.width), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                row[crc32(stem(word).encode()) % self.width] = 1.0
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


class Telling:
    """Scripts of the server: each is one answer."""

    @staticmethod
    def says(*pieces: str, finish: str = "stop"):
        async def script(exchange):
            await exchange.begin()
            await exchange.text(*pieces)
            await exchange.end(finish)

        return script

    @staticmethod
    def calls(*calls: tuple[str, str], text: str = ""):
        async def script(exchange):
            await exchange.begin()
            if text:
                await exchange.text(text)
            for n, (name, arguments) in enumerate(calls):
                first, rest = arguments[:3], arguments[3:]
                await exchange.chunk(
                    {"tool_calls": [{"index": n, "id": f"c{n}", "function": {"name": name, "arguments": first}}]}
                )
                await exchange.chunk({"tool_calls": [{"index": n, "function": {"arguments": rest}}]})
            await exchange.end("tool_calls")

        return script

    @staticmethod
    def stalls(*pieces: str):
        async def script(exchange):
            if pieces:
                await exchange.begin()
                await exchange.text(*pieces)
            await exchange.stall()

        return script

    @staticmethod
    def fails(status: int):
        async def script(exchange):
            await exchange.json(status, {"error": {"message": "no"}})

        return script


@pytest.fixture
def tell():
    return Telling


@pytest.fixture
def writing():
    """Opens a writer on a scripted server: (writer, server, clock, outcomes that were counted)."""

    @asynccontextmanager
    async def opened(
        *scripts,
        hide: bool = True,
        uses=("answer", "rephrase", "summary", "clarify", "act"),
        deadlines: Deadlines = Deadlines(),  # noqa: B008
    ):
        counted: list[tuple[str, str, str]] = []

        async def run(work):
            return work()

        async with scripted(*scripts) as server:
            clock = ManualClock()
            guard = Guard(HttpLanguageModel(server.base_url, "small"), clock)
            writer = ModelWriter(
                Asking(guard, clock, WordEncoder(), run),
                uses=uses,
                deadlines=deadlines,
                hide=hide,
                business="Pine Outfitters",
                persona="Joe, the assistant",
                count=lambda *outcome: counted.append(outcome),
            )
            try:
                yield writer, server, clock, counted
            finally:
                await writer.aclose()

    return opened
