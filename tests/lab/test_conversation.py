"""`agent call`'s conversations against a server that speaks the plain protocol, over real loopback sockets."""

import asyncio
import io
import os
import threading

import numpy as np
import pytest

from agent.gateways.base import AudioIn, CallEnded, CallStarted, Hangup, Mark, Play, ShowState, ShowTranscript, TextIn
from agent.gateways.plain import PlainProtocol
from agent.lab import conversation
from agent.lab.conversation import Conversation, by_text, by_wav, socket_url
from agent.lab.line import LineError
from audio.resample import to_float
from audio.wav import read_wav, write_wav

RATE = 16_000


def sound(ms: int) -> np.ndarray:
    return (6000 * np.sin(2 * np.pi * 300 * np.arange(ms * RATE // 1000) / RATE)).astype(np.int16)


class Agent:
    """Greets; answers each typed turn, and speech once it is followed by silence."""

    def __init__(self) -> None:
        self.events = []

    async def __call__(self, socket) -> None:
        server = PlainProtocol("s")
        talked = quiet = 0

        async def send(*commands) -> None:
            for command in commands:
                for message in server.send(command):
                    await socket.send(message)

        async for message in socket:
            for event in server.receive(message):
                self.events.append(event)
                match event:
                    case CallStarted():
                        await send(ShowState("SPEAKING"), Play(sound(300).tobytes()), Mark("greeting"))
                        await send(ShowTranscript("agent", "Hello.", True, 0))
                    case TextIn(text):
                        await send(ShowTranscript("agent", f"You said {text}.", True, 1))
                        if text == "bye":
                            await send(Hangup("goodbye"))
                    case AudioIn(audio):
                        loud = bool(np.frombuffer(audio, "<i2").any())
                        talked, quiet = (talked + 1, 0) if loud else (talked, quiet + 1)
                        if talked and quiet == 10:
                            talked = 0
                            await send(Play(sound(500).tobytes()))
                    case CallEnded():
                        await socket.close()


@pytest.fixture
def talk(tmp_path):
    told = []
    talk = Conversation(token=None, life_s=30.0, out=tmp_path / "out.wav", on_told=told.append)
    talk.told = told
    return talk


def typing(monkeypatch, *lines: str) -> None:
    monkeypatch.setattr(conversation.sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def typed(agent: Agent) -> list[str]:
    return [event.text for event in agent.events if isinstance(event, TextIn)]


def captions(told) -> list[str]:
    return [message["text"] for message in told if message["type"] == "caption"]


async def test_typed_lines_are_turns_and_each_waits_for_its_answer(serving, monkeypatch, talk):
    agent = Agent()
    typing(monkeypatch, "one", "two")
    assert await by_text(talk, await serving(agent)) == "hung_up"
    assert captions(talk.told) == ["Hello.", "You said one.", "You said two."]
    assert isinstance(agent.events[-1], CallEnded)
    assert not any(isinstance(event, AudioIn) for event in agent.events)


async def test_an_empty_line_hangs_up(serving, monkeypatch, talk):
    agent = Agent()
    typing(monkeypatch, "one", "", "two")
    assert await by_text(talk, await serving(agent)) == "hung_up"
    assert typed(agent) == ["one"]


async def test_the_agent_may_end_a_typed_call_while_nothing_is_typed(serving, monkeypatch, talk):
    reading, writing = os.pipe()
    monkeypatch.setattr(conversation.sys, "stdin", os.fdopen(reading))
    os.write(writing, b"bye\n")
    async with asyncio.timeout(10):
        assert await by_text(talk, await serving(Agent())) == "agent:hangup:goodbye"
    os.close(writing)
    for thread in threading.enumerate():
        if thread.name == "terminal":
            await asyncio.to_thread(thread.join, 5)


async def test_a_file_is_played_and_both_sides_are_written(serving, talk, tmp_path):
    write_wav(tmp_path / "in.wav", to_float(sound(400)), RATE)
    agent = Agent()
    assert await by_wav(talk, await serving(agent), tmp_path / "in.wav") == "hung_up"
    wav = read_wav(tmp_path / "out.wav")
    assert (wav.rate, wav.channels) == (RATE, 2)
    caller, agent_side = wav.samples.T
    assert (caller**2).sum() == pytest.approx((to_float(sound(400)) ** 2).sum(), rel=0.01)
    assert (agent_side**2).sum() == pytest.approx((to_float(sound(800)) ** 2).sum(), rel=0.01)
    assert np.flatnonzero(agent_side)[-1] > np.flatnonzero(caller)[-1]


async def test_a_file_that_is_no_wav_is_refused_before_any_call(talk, tmp_path):
    (tmp_path / "in.wav").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a WAV file"):
        await by_wav(talk, "http://127.0.0.1:1", tmp_path / "in.wav")


async def test_the_token_goes_with_the_handshake(serving, monkeypatch, talk):
    seen = []

    def refuse(connection, request):
        seen.append(request.headers.get("Authorization"))
        return connection.respond(401, "who are you\n")

    typing(monkeypatch, "one")
    talk.token = "a-token"
    url = await serving(Agent(), process_request=refuse)
    with pytest.raises(LineError, match="HTTP 401"):
        await by_text(talk, url)
    assert seen == ["Bearer a-token"]


@pytest.mark.parametrize(
    ("url", "socket"),
    [
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/gateways/plain"),
        ("https://agent.example/", "wss://agent.example/gateways/plain"),
        ("wss://agent.example/own/path", "wss://agent.example/own/path"),
    ],
)
def test_the_address_of_the_socket(url, socket):
    assert socket_url(url) == socket


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://x", "http://"])
def test_a_wrong_address_says_what_to_give(url):
    with pytest.raises(ValueError, match="give an address such as"):
        socket_url(url)
