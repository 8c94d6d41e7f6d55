"""Calls over the plain protocol through `agent call`, by text and by voice; and what is written down of them."""

import asyncio
import json
import os
import re
import signal
import sys

import numpy as np
import pytest
from conftest import real_server
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from agent.clock import RealClock
from agent.lab.line import CallerLine
from agent.lab.plain_client import PlainClient
from audio.resample import resample, to_float, to_pcm16
from audio.wav import read_wav, write_wav
from models.voice import PiperVoice

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

COMMAND = "from agent.cli.main import app; app()"
TYPED = {"type": "start", "version": 1, "rate": 16000, "mode": "text", "audio": False}


async def agent_call(*arguments: object, typed: str = "") -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, "call", *map(str, arguments)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "COLUMNS": "300"},
    )
    async with asyncio.timeout(120):
        out, _ = await process.communicate(typed.encode())
    return process.returncode, out.decode()


async def eventually(ask, good, within_s: float = 15.0):
    """Ask again and again until the answer is good; gives that answer."""
    async with asyncio.timeout(within_s):
        while not good(answer := await ask()):  # noqa: ASYNC110 - the server is another process
            await asyncio.sleep(0.05)
    return answer


async def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def newest(server) -> dict:
    return (await server.http.get("/api/calls", params={"limit": 1})).json()["calls"][0]


async def test_a_typed_call_is_answered(server):
    status, shown = await agent_call("--text", "--url", server.url, typed="Where is my order?\nIt is 42719\n")
    assert status == 0, shown
    assert "What's the five-digit order number?" in shown
    assert "out for delivery" in shown
    assert "order_status" in shown
    row = await newest(server)
    assert (row["gateway"], row["outcome"]) == ("plain", "caller_left")


async def test_a_spoken_call_is_answered_and_both_sides_are_written(server, sheet, listener, tmp_path):
    pause = np.zeros(8000 * 9, dtype=np.int16)
    write_wav(tmp_path / "in.wav", to_float(np.concatenate([pause, sheet.audio("where")])), 8000)
    status, shown = await agent_call("--wav", tmp_path / "in.wav", "--out", tmp_path / "out.wav", "--url", server.url)
    assert status == 0, shown
    assert "five-digit order number" in shown
    sound = read_wav(tmp_path / "out.wav")
    assert (sound.rate, sound.channels) == (16_000, 2)
    length = len(sound.samples) * 1000 / sound.rate
    assert "order" in listener.heard(tmp_path / "out.wav", 0, 8500, 11_500).lower()
    assert "order number" in listener.heard(tmp_path / "out.wav", 1, 9500, length).lower()
    row = await newest(server)
    assert (row["outcome"], row["reason"]) == ("caller_left", "hung_up")
    assert "endpoint_wait" in json.dumps(await server.record(row["gateway_call_id"]))


SECRETS = {
    "e-mail": ("My e-mail is dana.doe@mailbox.example", ["dana", "mailbox"]),
    "card": ("Please write down 4111 1111 1111 1111", ["4111", "1111"]),
    "phone": ("Call me back on 212-555-0142", ["0142", "5550", "555-0"]),
    "spoken card": ("It is four one one one one one one one one one one one one one one one", ["one one one"]),
}


async def test_nothing_private_that_is_typed_or_keyed_is_written_down(server):
    start = {**TYPED, "call_id": "private", "caller": "anonymous", "parameters": {"note": "card 4111 1111 1111 1111"}}
    async with connect(server.socket("/gateways/plain"), proxy=None) as socket:
        await socket.send(json.dumps(start))

        last = -1

        async def answered() -> None:
            """Wait for the answer to a turn that was not answered before; one answer may have several captions."""
            nonlocal last
            async with asyncio.timeout(20):
                async for message in socket:
                    told = json.loads(message)
                    final = told["type"] == "caption" and told["speaker"] == "agent" and told["final"]
                    if final and told["turn"] > last:
                        last = told["turn"]
                        return

        await answered()
        for text, _ in SECRETS.values():
            # The question between keeps the agent from calling a person after three turns that it cannot place.
            for typed in (text, "What are your opening hours?"):
                await socket.send(json.dumps({"type": "text", "text": typed}))
                await answered()
        for digit in "4111111111111111#":
            await socket.send(json.dumps({"type": "dtmf", "digit": digit}))
        await answered()
        await socket.send(json.dumps({"type": "text", "text": "I want to speak to a person"}))
        async with asyncio.timeout(20):
            while "Someone will call you back" not in str(await socket.recv()):
                pass
        await socket.send(json.dumps({"type": "stop"}))
    kept = await server.record("private")
    assert len([turn for turn in kept["turns"] if turn["speaker"] == "caller"]) == 2 * len(SECRETS) + 2
    assert kept["handoffs"]
    leaks = [
        (where, secret)
        for where, text in server.written().items()
        for _, secrets in SECRETS.values()
        for secret in secrets
        if secret in text.lower()
    ]
    assert leaks == []
    assert "[email]" in str(kept["turns"])
    assert "[card]" in str(kept["turns"])


async def test_a_telephone_number_that_is_spoken_is_not_written_down(server):
    voice = PiperVoice()
    spoken = [
        resample(piece.samples, piece.rate, 16_000)
        async for piece in voice.speak("Please call me back. My number is 2 1 2, 5 5 5, 0 1 4 2.")
    ]
    caller = PlainClient(16_000)
    async with CallerLine(server.socket("/gateways/plain"), caller, RealClock(), life_s=60) as line:
        assert await line.until(lambda: line.ear.heard_since(0) and line.ear.silent_ms() > 1200, 20_000)
        line.say(to_pcm16(np.concatenate(spoken)))
        assert await line.until(lambda: not line.talking, 15_000)
        said = line.now_ms
        assert await line.until(lambda: line.ear.heard_since(said) and line.ear.silent_ms() > 1200, 30_000)
    kept = await server.record((await newest(server))["gateway_call_id"])
    words = [turn["text"] for turn in kept["turns"] if turn["speaker"] == "caller"]
    assert any("[phone]" in text or "[digits]" in text for text in words), words
    for where, text in server.written().items():
        assert not re.search(r"555\D{0,4}0\D?1\D?4\D?2", text), where


async def test_sigterm_lets_running_calls_end_and_takes_no_new_ones(tmp_path):
    async with real_server(tmp_path, server={"drain_s": 30.0}) as server:
        async with connect(server.socket("/gateways/plain"), proxy=None) as socket:
            await socket.send(json.dumps({**TYPED, "call_id": "running"}))
            shown = []
            while "help you" not in "".join(shown):
                shown.append(str(await socket.recv()))
            os.kill(server.pids[0], signal.SIGTERM)
            ready = await eventually(lambda: server.http.get("/ready"), lambda answer: answer.status_code == 503)
            assert ready.json()["draining"]
            with pytest.raises(InvalidStatus) as refused:
                async with connect(server.socket("/gateways/plain"), proxy=None):
                    pass
            assert refused.value.response.status_code == 503
            await socket.send(json.dumps({"type": "text", "text": "Where is my order?"}))
            async with asyncio.timeout(10):
                while "five-digit" not in str(await socket.recv()):
                    pass
            await socket.send(json.dumps({"type": "stop"}))
            await socket.wait_closed()
        await eventually(lambda: alive(server.pids[0]), lambda answer: not answer)
        assert "call ended: caller_left (stop)" in server.log
        assert "Traceback" not in server.log
        assert '"level": "error"' not in server.log
