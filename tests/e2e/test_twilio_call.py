"""Whole calls with real audio and real models over the Twilio protocol."""

import asyncio
import contextlib
import json
import re
from pathlib import Path

import jiwer
import pytest
from websockets.asyncio.client import connect

from agent.clock import RealClock
from agent.lab.line import CallerLine
from agent.lab.twilio_caller import TwilioCaller
from audio.wav import read_wav

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

STREAM = "/gateways/twilio"
WORST = 0.35
"""Word errors allowed in what the recognizer hears of the agent on an 8 kHz line; it is a small one."""


class Caller:
    """A caller on a line, who waits until the agent has finished."""

    def __init__(self, server, sheet, **parameters: str) -> None:
        self.twilio = TwilioCaller(parameters=parameters)
        self.line = CallerLine(server.socket(STREAM), self.twilio, RealClock(), life_s=150)
        self._sheet = sheet
        self._since = 0.0

    async def say(self, cue: str) -> float:
        """Say a line; returns when it began, ms."""
        audio = self._sheet.audio(cue)
        start = self.line.say(audio)
        end = start + len(audio) / 8.0
        assert await self.line.until(lambda: self.line.now_ms >= end, end - start + 1000.0)
        self._since = end
        return start

    async def answered(self, silence_ms: float = 1200.0, within_ms: float = 30_000.0) -> tuple[float, float]:
        """Wait until the agent has spoken since the last line and is silent; when it began and ended, ms."""
        ear, since = self.line.ear, self._since
        assert await self.line.until(lambda: ear.heard_since(since) and ear.silent_ms() >= silence_ms, within_ms)
        spans = [span for span in ear.spans if span.end_ms > since]
        return spans[0].start_ms, spans[-1].end_ms

    async def speaking_for(self, ms: float) -> None:
        ear, since = self.line.ear, self._since
        assert await self.line.until(
            lambda: ear.speaking and any(s.end_ms > since and ear.now_ms - s.start_ms >= ms for s in ear.spans[-1:]),
            20_000.0,
        )


_NUMBERS = frozenset("zero one two three four five six seven eight nine th number p m".split())


def plain_words(text: str) -> str:
    """The words of a text without its numbers, which the recognizer writes now one way, now another."""
    return " ".join(word for word in re.findall(r"[a-z']+", text.lower()) if word not in _NUMBERS)


async def test_a_call_is_answered_rightly_can_be_interrupted_and_is_kept(server, sheet, listener, tmp_path):
    caller = Caller(server, sheet, caller="+15555550142")
    async with caller.line as line:
        await caller.answered()
        await caller.say("where")
        await caller.answered()
        await caller.say("number")
        status = await caller.answered()
        await caller.say("policy")
        await caller.speaking_for(2500.0)
        interrupted = await caller.say("correction")
        corrected = await caller.answered()
        await line.hang_up()
        line.save(tmp_path / "heard.wav")
    assert list(line.wrongs) == []

    spoken = {
        name: listener.heard(tmp_path / "heard.wav", 1, *times)
        for name, times in {"status": status, "corrected": corrected}.items()
    }
    assert "out for delivery" in plain_words(spoken["status"])
    assert "delivered" in plain_words(spoken["corrected"])
    stopped = next(span.end_ms for span in line.ear.spans if span.start_ms < interrupted < span.end_ms)
    assert stopped < interrupted + len(sheet.audio("correction")) / 8.0

    kept = await server.record(caller.twilio.call)
    call = kept["call"]
    assert (call["gateway"], call["outcome"], call["caller"]) == ("twilio", "caller_left", "+15555550142")
    assert call["counters"]["interrupt"] >= 1
    turns = {(turn["number"], turn["speaker"]): turn for turn in kept["turns"]}
    theirs = [turn for turn in kept["turns"] if turn["speaker"] == "caller"]
    assert [turn["intent"] for turn in theirs][:1] == ["order_status"]
    slots = [turn["slots"]["order_number"] for turn in theirs if "order_number" in turn["slots"]]
    assert slots == ["42719", "42718"]
    cut_off = [turn for turn in kept["turns"] if turn["interrupted"]]
    assert len(cut_off) == 1
    assert len(cut_off[0]["heard"]) < len(cut_off[0]["text"])
    for name, slot in (("status", "42719"), ("corrected", "42718")):
        number = next(turn["number"] for turn in theirs if turn["slots"].get("order_number") == slot)
        said = plain_words(turns[number, "agent"]["heard"])
        assert jiwer.wer(said, plain_words(spoken[name])) <= WORST, (said, spoken[name])
        assert set(turns[number, "agent"]["latency"]) >= {"endpoint_wait", "recognition", "dialogue", "total"}

    recording = read_wav(call["recording"])
    assert recording.channels == 2
    assert (abs(recording.samples).max(axis=0) > 0.05).all()
    transcript = json.loads(await asyncio.to_thread(Path(call["transcript"]).read_text))
    assert [turn["text"] for turn in transcript["turns"]] == [turn["text"] for turn in kept["turns"]]


async def malformed(server) -> None:
    async with connect(server.socket(STREAM), proxy=None) as socket:
        for text in ("{", "[]", '{"event": 5}', json.dumps({"event": "media", "media": 1})):
            await socket.send(text)
        await socket.send(b"\0" * 100)


async def huge(server, size: int) -> None:
    async with connect(server.socket("/gateways/plain"), proxy=None) as socket:
        with contextlib.suppress(ConnectionError):
            await socket.send("x" * size)
        await socket.wait_closed()
        assert socket.close_code == 1009


async def chatterbox(server) -> None:
    """Types as fast as it may, in a call of its own."""
    start = {"type": "start", "version": 1, "rate": 8000, "mode": "text", "audio": False, "call_id": "chatterbox"}
    async with connect(server.socket("/gateways/plain"), proxy=None) as socket:
        await socket.send(json.dumps(start))
        for number in range(600):
            await socket.send(json.dumps({"type": "text", "text": f"tell me about thing number {number} please"}))
            await asyncio.sleep(0.005)
        await socket.send(json.dumps({"type": "stop"}))
        with contextlib.suppress(Exception):
            async for _ in socket:
                pass


async def silent(server) -> None:
    async with connect(server.socket(STREAM), proxy=None) as socket:
        await socket.wait_closed()
        assert socket.close_code == 4408


async def mute_connections(server) -> None:
    port = int(server.url.rsplit(":", 1)[1])
    pairs = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(100)))
    for reader, writer in pairs:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()


async def test_a_call_among_hostile_ones_is_answered_as_if_they_were_not_there(server, sheet, listener, tmp_path):
    caller = Caller(server, sheet)
    async with caller.line as line:
        await caller.answered()
        hostile = asyncio.gather(
            *(malformed(server) for _ in range(5)),
            *(huge(server, size) for size in (200_000, 1 << 20, 3 << 20)),
            *(silent(server) for _ in range(5)),
            mute_connections(server),
            chatterbox(server),
        )
        await caller.say("where")
        await caller.answered()
        await caller.say("number")
        answer = await caller.answered()
        await hostile
        await line.hang_up()
        line.save(tmp_path / "heard.wav")
    assert "out for delivery" in plain_words(listener.heard(tmp_path / "heard.wav", 1, *answer))
    counters = (await server.record(caller.twilio.call))["call"]["counters"]
    assert not [code for code in counters if code.endswith("_failed")]
    assert await server.faults("message_too_big") == 3
    assert await server.faults("handshake_timeout") == 5
    assert await server.faults("not_json") == 5
    assert await server.faults("typed_too_fast") > 0
    assert (await server.record("chatterbox"))["call"]["reason"] == "stop"
    ready = (await server.http.get("/ready")).json()
    knowledge = ready.pop("knowledge")
    assert knowledge["en"]["sections"] >= 25
    assert knowledge["en"]["problem"] is None
    assert ready == {
        "ready": True,
        "calls": 0,
        "draining": False,
        "understanding": {"version": "embedded", "shadow": None, "problem": None},
    }
    assert "Traceback" not in server.log
