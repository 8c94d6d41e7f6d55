"""A bench of a scripted agent: real sockets, time eight times as fast."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import numpy as np
import pytest

from agent.lab.bench import BenchFailed, BenchStep, Plan, bench
from agent.lab.load import BrokenCall, Happened, Load, LoadTurn
from agent.lab.simulation import Target
from agent.lab.spoken import RATE, Spoken, spoken
from audio import g711

pytestmark = [pytest.mark.slow, pytest.mark.aside]

SPEED = 8.0
REPLY_MS = 1000


def tone(ms: int) -> Any:
    return (8000 * np.sin(2 * np.pi * 300 * np.arange(RATE * ms // 1000) / RATE)).astype(np.int16)


LINES: list[tuple[str, Spoken]] = [("one", spoken([tone(1000)])), ("two", spoken([tone(800)]))]
PLAN = Plan(first=1, last=2, step_s=10.0, every_s=3.0)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.lab.bench.GREETING_S", 3.0)
    for module in ("agent.lab.bench", "agent.lab.load"):
        monkeypatch.setattr(f"{module}.ANSWER_S", 4.0)


class Agent:
    """Greets, and answers `patience_ms` after the caller fell silent, up to `answers` times a call."""

    def __init__(self, patience_ms: int = 400, answers: int = 1000) -> None:
        self.patience = patience_ms // 20
        self.answers = answers

    async def __call__(self, socket: Any) -> None:
        stream, spoke, silent, left = "", False, 0, self.answers
        async for raw in socket:
            message = json.loads(raw)
            if message["event"] == "start":
                stream = message["streamSid"]
                await self.speak(socket, stream)
            elif message["event"] == "media":
                loud = np.abs(g711.decode_mulaw(base64.b64decode(message["media"]["payload"]))).max() > 1000
                spoke, silent = spoke or bool(loud), 0 if loud else silent + 1
                if spoke and silent >= self.patience and left > 0:
                    spoke, left = False, left - 1
                    await self.speak(socket, stream)

    async def speak(self, socket: Any, stream: str) -> None:
        payload = base64.b64encode(g711.encode_mulaw(tone(REPLY_MS))).decode()
        await socket.send(json.dumps({"event": "media", "streamSid": stream, "media": {"payload": payload}}))


async def run(url: str, clock: Any, plan: Plan = PLAN) -> list[BenchStep]:
    steps: list[BenchStep] = []
    seen: list[float] = []
    await bench(Target(url), LINES, plan, clock, lambda done, total, what: seen.append(done / total), steps.append)
    assert seen == sorted(seen)
    assert max(seen) <= 1.0
    return steps


async def test_calls_are_added_and_each_answer_is_timed_at_the_caller_s_ear(serving: Any, clock: Any) -> None:
    url = await serving(Agent())
    steps = await run(url, clock)
    assert [step.calls for step in steps] == [1, 2]
    assert [step.unanswered for step in steps] == [0, 0]
    assert steps[0].turns >= 1
    assert steps[1].turns >= 2
    assert 350.0 <= steps[0].answered["p50"] <= 400.0 + 60.0 * SPEED
    assert steps[0].settled == steps[0].answered
    assert steps[0].server is None


async def test_an_agent_that_falls_silent_ends_the_bench(serving: Any, clock: Any) -> None:
    url = await serving(Agent(answers=0))
    steps = await run(url, clock)
    assert [step.calls for step in steps] == [1]
    assert steps[0].unanswered == steps[0].turns >= 1
    assert not steps[0].held(1e9)


async def test_a_server_that_takes_one_call_breaks_the_step_of_two(serving: Any, clock: Any) -> None:
    agent, up = Agent(), [0]

    async def one(socket: Any) -> None:
        up[0] += 1
        try:
            await agent(socket)
        finally:
            up[0] -= 1

    def full(connection: Any, request: Any) -> Any:
        return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "full") if up[0] else None

    steps = await run(await serving(one, process_request=full), clock)
    assert [step.refused > 0 for step in steps] == [False, True]
    assert "HTTP 503" in steps[1].whys[0]


async def test_nobody_at_the_address_is_an_error_that_says_so(clock: Any) -> None:
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        await run("ws://127.0.0.1:9/", clock)
    assert caught.group_contains(BenchFailed, match="cannot be reached") or "cannot be reached" in str(caught.value)


async def test_a_call_that_ends_early_is_told_and_placed_again(serving: Any, clock: Any) -> None:
    calls: list[int] = []

    async def agent(socket: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            await socket.recv()
            await socket.close(1011)
            return
        await Agent()(socket)

    happened: list[Happened] = []
    told: Callable[[Happened], None] = happened.append
    load = Load(await serving(agent), LINES, clock, told, every_s=4.0)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        load.want(1, group)
        while not any(isinstance(event, LoadTurn) for event in happened):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        load.end()
    assert isinstance(happened[0], BrokenCall)
    assert (happened[0].kind, happened[0].reason) == ("ended", "closed:1011")
