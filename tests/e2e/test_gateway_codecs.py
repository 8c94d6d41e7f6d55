"""Calls with real audio and real models over gateways of every kind of line: codec, rate, length of pieces, text."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from conftest import Listener, RealServer

from agent.clock import RealClock
from agent.lab.callers.catalogue import Who, gateway_callers
from agent.lab.cues import CueSheet
from agent.lab.line import CallerLine
from audio.resample import resample, to_float, to_pcm16

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

LINES = ("telnyx", "vonage", "asterisk", "genesys-connector", "audiocodes", "openai", "twilio-relay")
"""One of each: mu-law in JSON, 16 kHz in exact pieces, binary with flow control, 200 ms pieces, base64 at 16 kHz,
24 kHz, and text both ways."""


async def asks(server: RealServer, name: str, sheet: CueSheet, listener: Listener) -> tuple[str, list[str]]:
    """Ask where an order is; what the caller heard of the answer, and how the server broke the gateway's rules."""
    simulated = gateway_callers()[name]
    caller = simulated.new(Who("+15555550142", "+15555550100"))
    url = f"{server.socket(f'/gateways/{name}')}?{simulated.query}"
    asked = {"headers": simulated.headers, "subprotocols": simulated.subprotocols}
    async with CallerLine(url, caller, RealClock(), life_s=90, **asked) as line:

        def settled(since: float) -> bool:
            if simulated.speaks:
                return line.now_ms > since + 9000.0
            return line.ear.heard_since(since) and line.ear.silent_ms() >= 1200.0

        if name == "openai":  # the agent answers, and greets with the first answer
            line.say(np.zeros(caller.rate // 5, dtype=np.int16))
        assert await line.until(lambda: settled(0.0), 40_000.0), f"{name}: no greeting"
        if simulated.speaks:
            await line.type("where is my order?")
        else:
            line.say(to_pcm16(resample(to_float(sheet.audio("where")), 8000, caller.rate)))
            await line.until(lambda: not line.talking, 10_000.0)
        said = line.now_ms
        assert await line.until(lambda: settled(said), 40_000.0), f"{name}: no answer"
        if simulated.speaks:
            return " ".join(caller.heard), list(line.wrongs)
        heard = await asyncio.to_thread(listener.hear, line.heard(said, line.now_ms), caller.rate)
        return heard, list(line.wrongs)


async def test_an_order_is_asked_for_over_every_kind_of_line(server, sheet, listener):
    answers = await asyncio.gather(*(asks(server, name, sheet, listener) for name in LINES))
    for name, (heard, wrongs) in zip(LINES, answers, strict=True):
        assert wrongs == [], name
        assert "order number" in heard.lower(), (name, heard)
    calls = (await server.http.get("/api/calls", params={"limit": 50})).json()["calls"]
    assert sorted(call["gateway"] for call in calls) == sorted(LINES)
    for call in calls:
        turns = (await server.http.get(f"/api/calls/{call['id']}")).json()["turns"]
        [turn] = [turn for turn in turns if turn["speaker"] == "caller"]
        assert turn["intent"] == "order_status", (call["gateway"], turn["text"])
