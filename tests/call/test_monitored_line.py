"""Calls that are only listened to, over Genesys' AudioHook, in virtual time with scripted models."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
from callfakes import FakeCall
from virtual_time import run_virtual

from agent.call.assistant import Question, Suggestion
from agent.call.monitoring import MonitorSession
from agent.call.session import Ended
from agent.call.transport import Disconnected
from agent.gateways.gateway import Opening
from agent.gateways.genesys import GenesysMonitor
from agent.lab.callers.catalogue import Who
from agent.lab.callers.genesys import MonitorCaller
from agent.lab.line import Respond, Told, Wrong
from audio.codec import Pcm16


class Knowing:
    def suggest(self, question: Question) -> list[Suggestion]:
        return [Suggestion("Returns", "Within 30 days.", "Within 30 days.", "returns.md#returns", 0.8)]


class Genesys:
    """The gateway's end, and the socket between."""

    def __init__(self) -> None:
        self.caller = MonitorCaller(Who("+15550123", "+15550100", parameters={"language": "en"}))
        self.wrong: list[str] = []
        self.told: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self._inbox: asyncio.Queue[str | bytes | None] = asyncio.Queue()

    def give(self, messages: Any) -> None:
        for message in messages:
            self._inbox.put_nowait(message)

    def drop(self) -> None:
        self._inbox.put_nowait(None)

    async def receive(self) -> str | bytes:
        message = await self._inbox.get()
        if message is None:
            raise Disconnected(1000)
        return message

    async def send(self, message: str | bytes) -> None:
        for what in self.caller.receive(message):
            if isinstance(what, Wrong):
                self.wrong.append(what.detail)
            elif isinstance(what, Respond):
                self.give(what.messages)
            elif isinstance(what, Told):
                self.told.append(dict(what.message))

    async def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)


class Line:
    """A monitored conversation."""

    def __init__(self) -> None:
        self.call = FakeCall()
        self.genesys = Genesys()
        services = replace(self.call.services, assistant=Knowing())
        self.session = MonitorSession(services, GenesysMonitor(_opening()), self.genesys, "c-genesys")
        self._running = asyncio.create_task(self.session.run())

    def level(self, text: str | None, ms: int) -> Pcm16:
        level = 0.0 if text is None else self.call.lines.level(text)
        return np.full(8 * ms, int(level * 32767), dtype=np.int16)

    async def talk(self, caller: str | None = None, agent: str | None = None, ms: int = 1000) -> None:
        if agent is not None:
            self.genesys.caller.agent_says(self.level(agent, ms))
        for _ in range(ms // 20):
            self.genesys.give(self.genesys.caller.voice(self.level(caller, 20)))
            await asyncio.sleep(0.02)

    async def ended(self) -> Ended:
        async with asyncio.timeout(30):
            return await self._running


def _opening() -> Opening:
    return Opening("c-genesys", {})


async def begun() -> Line:
    line = Line()
    line.genesys.give(line.genesys.caller.opening())
    await asyncio.sleep(0.1)
    return line


def shown(line: Line) -> list[tuple[int, str]]:
    return [
        (transcript["channelId"], transcript["alternatives"][0]["interpretations"][0]["transcript"])
        for transcript in line.genesys.caller.transcripts
        if transcript["isFinal"]
    ]


def test_a_conversation_is_written_down_at_genesys() -> None:
    async def main() -> None:
        line = await begun()
        await line.talk(agent="hello there")
        await line.talk()
        await line.talk(caller="return it")
        await line.talk()
        line.genesys.give(line.genesys.caller.closing())
        await asyncio.sleep(0.2)
        line.genesys.drop()
        ended = await line.ended()
        assert (ended.outcome, ended.reason) == ("completed", "end")
        assert line.genesys.wrong == []
        assert shown(line) == [(1, "hello there"), (0, "return it")]
        assert [article["title"] for article in line.genesys.caller.suggestions] == ["Returns"]
        assert line.call.record.call.gateway == "genesys-monitor"
        assert line.call.record.call.gateway_call_id == line.genesys.caller.call

    run_virtual(main())


def test_a_server_that_stops_asks_genesys_to_end_the_session() -> None:
    async def main() -> None:
        line = await begun()
        await line.talk(caller="and then")
        line.session.stop("server_stopping")
        await asyncio.sleep(0.3)
        assert line.genesys.told[-1]["type"] == "disconnect"
        line.genesys.drop()
        ended = await line.ended()
        assert (ended.outcome, ended.code) == ("failed", 1001)
        assert line.genesys.wrong == []
        assert shown(line) == [(0, "and then")]

    run_virtual(main())
