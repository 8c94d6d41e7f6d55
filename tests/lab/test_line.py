"""The caller's end of a line over real loopback sockets."""

import asyncio
import base64
import json
from http import HTTPStatus

import numpy as np
import pytest

from agent.lab.line import CallerLine, LineError
from agent.lab.twilio_caller import TwilioCaller
from audio import g711
from audio.wav import read_wav

TONE = (8000 * np.sin(2 * np.pi * 400 * np.arange(8000) / 8000)).astype(np.int16)


class Server:
    """Keeps what the caller sends; sends what it is told to."""

    def __init__(self) -> None:
        self.messages: list[dict] = []
        self.socket = None
        self.stream = ""
        self.started = asyncio.Event()

    async def __call__(self, socket) -> None:
        self.socket = socket
        async for message in socket:
            data = json.loads(message)
            self.messages.append(data)
            if data["event"] == "start":
                self.stream = data["streamSid"]
                self.started.set()

    async def play(self, samples: np.ndarray) -> None:
        payload = base64.b64encode(g711.encode_mulaw(samples)).decode()
        await self.send("media", media={"payload": payload})

    async def send(self, event: str, **body) -> None:
        await self.socket.send(json.dumps({"event": event, "streamSid": self.stream, **body}))

    def count(self, event: str) -> int:
        return sum(message["event"] == event for message in self.messages)

    def names(self) -> list[str]:
        return [message["mark"]["name"] for message in self.messages if message["event"] == "mark"]


@pytest.fixture
async def server(serving):
    server = Server()
    server.url = await serving(server)
    return server


async def test_voice_goes_out_frame_by_frame_and_silence_fills_the_rest(server, clock):
    voice = TONE[:4000]
    async with CallerLine(server.url, TwilioCaller(), clock) as line:
        start = line.say(voice)
        assert await line.until(lambda: line.now_ms >= start + 800, 5000)
    assert [message["event"] for message in server.messages[:3]] == ["connected", "start", "media"]
    assert server.messages[-1]["event"] == "stop"
    media = [base64.b64decode(m["media"]["payload"]) for m in server.messages if m["event"] == "media"]
    assert {len(piece) for piece in media} == {160}
    sound = g711.decode_mulaw(b"".join(media))
    first = int(start * 8)
    assert np.array_equal(sound[first : first + 4000], g711.decode_mulaw(g711.encode_mulaw(voice)))
    assert not sound[first + 4000 :].any()
    assert line.ended == "hung_up"


async def test_a_mark_returns_when_its_audio_was_played_not_when_it_was_received(server, clock):
    async with CallerLine(server.url, TwilioCaller(), clock) as line:
        await server.started.wait()
        await server.play(TONE)
        await server.send("mark", mark={"name": "end"})
        await line.until(lambda: line.ear.heard_since(0), 5000)
        began = line.ear.spans[0].start_ms
        await line.until(lambda: line.now_ms >= began + 900, 5000)
        assert server.names() == []
        await line.until(lambda: bool(server.names()), 5000)
        assert line.now_ms >= began + 1000
    assert server.names() == ["end"]
    assert line.ear.spans[0].end_ms - began == pytest.approx(1000, abs=40)


async def test_clear_silences_at_once_and_returns_every_pending_mark(server, clock):
    async with CallerLine(server.url, TwilioCaller(), clock) as line:
        await server.started.wait()
        for name in ("a", "b"):
            await server.play(TONE)
            await server.send("mark", mark={"name": name})
        await line.until(lambda: line.ear.speaking, 5000)
        await server.send("clear")
        await line.until(lambda: len(server.names()) == 2, 5000)
        assert line.ear.buffered_ms == 0
        assert line.ear.spans[-1].end_ms < 1900
    assert server.names() == ["a", "b"]


async def test_keys_are_sent(server, clock):
    async with CallerLine(server.url, TwilioCaller(), clock) as line:
        await line.press("7")
        await line.until(lambda: server.count("dtmf") == 1, 5000)
    assert [m["dtmf"]["digit"] for m in server.messages if m["event"] == "dtmf"] == ["7"]


async def test_the_server_may_end_the_call(server, clock):
    async with CallerLine(server.url, TwilioCaller(), clock) as line:
        await server.started.wait()
        await server.socket.close(1000)
        assert not await line.until(lambda: False, 60_000)
    assert line.ended == "closed:1000"


async def test_the_line_hangs_up_by_itself_at_the_end_of_its_life(server, clock):
    async with CallerLine(server.url, TwilioCaller(), clock, life_s=0.5) as line:
        assert not await line.until(lambda: False, 60_000)
    assert line.ended == "life_over"
    assert server.messages[-1]["event"] == "stop"
    assert server.count("media") == 25


async def test_what_breaks_the_protocol_is_kept_and_the_call_goes_on(server, clock):
    async with CallerLine(server.url, TwilioCaller(), clock) as line:
        await server.started.wait()
        await server.socket.send("nonsense")
        await server.send("mark", mark={"name": "still here"})
        await line.until(lambda: bool(server.names()), 5000)
    assert len(line.wrongs) == 1
    assert server.names() == ["still here"]


async def test_both_sides_are_saved_as_stereo(server, clock, tmp_path):
    async with CallerLine(server.url, TwilioCaller(), clock) as line:
        await server.started.wait()
        await server.play(TONE)
        line.say(TONE[:1600])
        await line.until(lambda: line.now_ms > 1500, 5000)
    line.save(tmp_path / "call.wav")
    wav = read_wav(tmp_path / "call.wav")
    assert (wav.rate, wav.channels) == (8000, 2)
    energy = (wav.samples**2).sum(axis=0)
    assert energy[1] == pytest.approx(5 * energy[0], rel=0.05)


async def test_a_refusal_says_status_and_remedy(serving, clock):
    url = await serving(Server(), process_request=lambda c, r: c.respond(HTTPStatus.FORBIDDEN, "no token\n"))
    with pytest.raises(LineError, match=r"HTTP 403 no token; give a valid --token"):
        async with CallerLine(url, TwilioCaller(), clock):
            pass


async def test_nobody_there_says_so(clock):
    with pytest.raises(LineError, match="is the server running there"):
        async with CallerLine("ws://127.0.0.1:1", TwilioCaller(), clock):
            pass


async def test_no_task_is_left_behind(server, clock):
    before = asyncio.all_tasks()
    with pytest.raises(ZeroDivisionError):
        async with CallerLine(server.url, TwilioCaller(), clock):
            raise ZeroDivisionError
    left = {task.get_name() for task in asyncio.all_tasks() - before}
    assert not left & {"line-read", "line-tick"}


async def test_the_line_changes_what_is_sent_and_hears_what_is_heard(server, clock):
    heard = []

    def damage(caller, agent):
        heard.append(agent)
        return ([None], [], [caller // 2], [caller // 2, caller // 2])[len(heard) % 4]

    async with CallerLine(server.url, TwilioCaller(), clock, damage=damage) as line:
        await server.started.wait()
        await server.play(TONE)
        line.say(TONE)
        await line.until(lambda: line.now_ms >= 1500, 5000)
    media = [m["media"] for m in server.messages if m["event"] == "media"]
    sent = np.concatenate([g711.decode_mulaw(base64.b64decode(each["payload"])) for each in media])
    assert np.abs(sent.astype(int)).max() == pytest.approx(np.abs(TONE).max() / 2, rel=0.05)
    assert len(media) < len(heard)
    chunks = [int(each["chunk"]) for each in media]
    assert np.diff(chunks).max() == 2
    assert np.concatenate(heard).any()


async def test_what_was_heard_between_two_times(server, clock):
    async with CallerLine(server.url, TwilioCaller(), clock) as line:
        await server.started.wait()
        await server.play(TONE)
        await line.until(lambda: line.ear.heard_since(0) and line.ear.silent_ms() > 300, 8000)
        (span,) = line.ear.spans
        inside, after = line.heard(span.start_ms, span.end_ms), line.heard(span.end_ms, span.end_ms + 200)
    assert len(inside) == 8000
    assert inside.any()
    assert len(after) == 1600
    assert not after.any()
