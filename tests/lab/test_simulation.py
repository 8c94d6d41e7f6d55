"""Many simulated calls: outcomes come as calls end, failures stop nobody, and nothing is left running."""

import asyncio
import json
from http import HTTPStatus

import numpy as np
import pytest
from lab.agents import PlainAgent, TwilioAgent, said, sound

from agent.lab import simulation
from agent.lab.line import Unreachable
from agent.lab.listener import Listener
from agent.lab.scenario import Scenario, Script
from agent.lab.simulation import Job, Target, api_of, simulate
from agent.lab.speech import CallerSpeech
from agent.yamlfile import FileError
from audio.wav import read_wav, write_wav
from models.contracts import Recognition

DONE = {"wait_for": "agent_done", "timeout_s": 5}
TALK = (DONE, {"say": "ask"}, DONE, {"hang_up": True})


def scenario(*steps: dict, name: str = "test", **more) -> Scenario:
    lines = [{"id": "ask", "text": "Where is it?"}]
    script = Script(description="", tags=("short",), life_s=30, lines=lines, steps=steps or TALK, **more)
    return Scenario(name, script, sounds={"ask": said(500), "Stop!": said(400), "uh-huh": said(200)})


@pytest.fixture
def call(clock):
    """Simulate jobs against an address; gives the outcomes in the order they came."""

    async def run(url, *jobs, protocol="twilio", api=None, **more):
        speech = CallerSpeech((), None)
        jobs = [Job(job) if isinstance(job, Scenario) else job for job in jobs]
        return [one async for one in simulate(jobs, Target(url, api, None, protocol), clock, speech=speech, **more)]

    return run


async def test_a_call_leaves_what_was_uttered_and_heard(serving, call, tmp_path):
    events = []
    agent = TwilioAgent()
    (outcome,) = await call(await serving(agent), scenario(), keep=tmp_path / "kept", on_event=events.append)
    assert outcome.succeeded
    assert (outcome.scenario, outcome.number, outcome.ended, outcome.error) == ("test", 0, "hung_up", None)
    assert outcome.tags == ("short",)
    assert [one.step for one in outcome.utterances] == ["say ask"]
    assert len(outcome.agent) == 2
    assert outcome.record is None
    wav = read_wav(outcome.recording)
    assert (wav.rate, wav.channels) == (8000, 2)
    assert len(wav.samples) == outcome.duration_ms * 8
    start = int(outcome.utterances[0].start_ms * 8)
    assert wav.samples[start : start + 4000, 0].any()
    assert not wav.samples[:start, 0].any()
    assert [event.what for event in events] == ["preparing", "began", "step", "step", "step", "step", "ended"]


async def test_so_many_calls_at_a_time_and_no_more(serving, call):
    agent, running, most = TwilioAgent(), 0, 0

    async def counting(socket) -> None:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await agent(socket)
        running -= 1

    outcomes = await call(await serving(counting), *[scenario(name=f"s{n}") for n in range(5)], at_a_time=2)
    assert most == 2
    assert sorted(outcome.number for outcome in outcomes) == list(range(5))
    assert all(outcome.succeeded for outcome in outcomes)


async def test_calls_begin_spread_over_the_ramp(serving, call):
    outcomes = await call(await serving(TwilioAgent()), *[scenario()] * 3, at_a_time=3, ramp_s=3.0)
    began = sorted(outcome.began_s for outcome in outcomes)
    assert began[0] < 0.9
    assert 0.9 < began[1] < 1.9
    assert began[2] > 1.9


async def test_a_failing_call_stops_nobody(serving, call):
    asked = 0

    def second_is_refused(connection, request):
        nonlocal asked
        asked += 1
        return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "full\n") if asked == 2 else None

    url = await serving(TwilioAgent(), process_request=second_is_refused)
    outcomes = await call(url, *[scenario()] * 3)
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert "HTTP 503 full" in outcomes[1].error
    assert (outcomes[1].ended, outcomes[1].succeeded) == ("failed", False)


async def test_nobody_there_ends_the_run(call):
    with pytest.raises(Unreachable, match="is the server running there"):
        await call("ws://127.0.0.1:1", scenario())


async def test_a_server_that_goes_away_fails_only_the_calls_after_it(clock):
    from websockets.asyncio.server import serve

    server = await serve(TwilioAgent(), "127.0.0.1", 0)
    target = Target(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    outcomes = []
    async for outcome in simulate([Job(scenario())] * 2, target, clock, speech=CallerSpeech((), None)):
        outcomes.append(outcome)
        server.close()
        await server.wait_closed()
    assert [outcome.error is None for outcome in outcomes] == [True, False]
    assert "cannot be reached" in outcomes[1].error


async def test_a_server_that_never_answers_is_told_and_the_run_goes_on(serving, call, monkeypatch):
    monkeypatch.setattr(simulation, "ANSWER_S", 2.0)

    async def mute(socket) -> None:
        async for _ in socket:
            pass

    outcomes = await call(await serving(mute), scenario(), scenario())
    assert [outcome.error for outcome in outcomes] == ["the server sent no audio within 2 s"] * 2
    assert outcomes[0].checked == ()


async def test_a_call_broken_off_is_an_error(serving, call):
    async def falls(socket) -> None:
        await socket.recv()
        await socket.close(1011, "bug")

    (outcome,) = await call(await serving(falls), scenario())
    assert "closed:1011" in outcome.error


async def test_closing_the_iterator_ends_the_calls(serving, clock):
    url = await serving(TwilioAgent())
    before = asyncio.all_tasks()
    jobs = [Job(scenario()), Job(scenario({"hold_silence": 60}))]
    calls = simulate(jobs, Target(url), clock, at_a_time=2, speech=CallerSpeech((), None))
    assert (await anext(calls)).number == 0
    await calls.aclose()
    left = {task.get_name() for task in asyncio.all_tasks() - before}
    assert not {name for name in left if name.startswith(("caller-", "call-", "line-"))}


async def test_in_band_messages_say_what_the_agent_did(serving, call):
    steps = (
        {"wait_for": {"text": "who is there"}, "timeout_s": 3},
        DONE,
        {"say": "ask"},
        {"wait_for": {"intent": "order_status"}, "timeout_s": 3},
        {"wait_for": {"state": "listening"}, "timeout_s": 3},
        {"expect": {"text": "order number", "intent": "order_status", "slot": {"size": "large"}}},
        {"expect": {"text": "goodbye"}},
        DONE,
        {"hang_up": True},
    )
    agent = PlainAgent()
    (outcome,) = await call(await serving(agent), scenario(*steps, caller="+15555550142"), protocol="plain")
    assert outcome.missed == ()
    assert (agent.start["caller"], agent.start["rate"]) == ("+15555550142", 8000)
    assert [check.held for check in outcome.checked] == [True, False]
    assert {(note.what, note.value) for note in outcome.seen} >= {
        ("intent", "order_status"),
        ("agent_said", "What is the order number?"),
        ("caller_said", "where is it"),
        ("state", "listening"),
    }


async def test_the_agents_words_are_heard_where_nothing_else_tells_them(serving, call):
    heard = []

    class Recognizer:
        def recognize(self, samples, hints=None):
            heard.append(len(samples) / 16_000)
            return Recognition("Hello." if len(heard) == 1 else "Your order number, please.")

    steps = (DONE, {"say": "ask"}, {"wait_for": {"text": "order number"}, "timeout_s": 8}, {"hang_up": True})
    (outcome,) = await call(await serving(TwilioAgent()), scenario(*steps), listener=Listener(Recognizer))
    assert outcome.missed == ()
    assert [note.value for note in outcome.seen] == ["Hello.", "Your order number, please."]
    assert heard == [pytest.approx(0.6 + 1.2, abs=0.1), pytest.approx(1.0 + 1.2, abs=0.1)]


@pytest.mark.parametrize("wait", [{"intent": "order_status"}, {"state": "listening"}], ids=str)
async def test_waiting_for_what_nobody_can_know_is_refused_before_the_call(serving, call, wait):
    agent = TwilioAgent()
    with pytest.raises(FileError, match=r"test: step 1 waits for .* no address of a record API"):
        await call(await serving(agent), scenario({"wait_for": wait}))
    assert agent.received == []


async def test_a_record_api_that_is_none_is_named(serving, call):
    with pytest.raises(FileError, match="does not answer"):
        await call(await serving(TwilioAgent()), scenario({"wait_for": {"state": "human"}}), api="http://127.0.0.1:1")


async def test_words_that_cannot_be_had_are_named(serving, clock, tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    bad = Scenario("bad", Script(description="", steps=({"noise": "bad.wav"},)), tmp_path)
    with pytest.raises(FileError, match=r"bad: .*bad\.wav"):
        async for _ in simulate([Job(bad)], Target(await serving(TwilioAgent())), clock, speech=CallerSpeech((), None)):
            pass


async def test_a_bad_line_reaches_the_agent_as_one(serving, call):
    agent = TwilioAgent()
    bad = scenario(*TALK, line={"loss_percent": 20, "gain_db": -6})
    (outcome,) = await call(await serving(agent), Job(bad, 7))
    media = [message["media"] for message in agent.received if message["event"] == "media"]
    chunks = [int(each["chunk"]) for each in media]
    assert len(media) < outcome.duration_ms / 20
    assert chunks == sorted(set(chunks))
    assert chunks[-1] - len(chunks) > 5
    assert all(int(each["timestamp"]) == (int(each["chunk"]) - 1) * 20 for each in media)


async def test_noises_differ_by_seed_and_by_nothing_else(serving, call):
    async def lengths(seed: int) -> float:
        noisy = scenario(DONE, {"noise": "cough"}, {"hang_up": True})
        (outcome,) = await call(await serving(TwilioAgent()), Job(noisy, seed))
        (cough,) = outcome.utterances
        return cough.end_ms - cough.start_ms

    assert await lengths(1) == await lengths(1)
    assert len({await lengths(seed) for seed in (1, 2, 3)}) > 1


async def test_a_recorded_noise_is_played(serving, call, tmp_path):
    write_wav(tmp_path / "bell.wav", np.concatenate([np.zeros(800, np.int16), sound(300)]), 8000)
    noisy = Scenario("bell", Script(description="", steps=(DONE, {"noise": "bell.wav"}, {"hang_up": True})), tmp_path)
    (outcome,) = await call(await serving(TwilioAgent()), noisy)
    (bell,) = outcome.utterances
    assert bell.kind == "noise"
    assert bell.end_ms - bell.start_ms == pytest.approx(300, abs=10)


GREETING = {"number": 0, "speaker": "agent", "text": "Hello.", "started_ms": 0, "ended_ms": 600, "heard": "Hello."}
STATE = {"kind": "state", "sequence": 1, "at_ms": 5.0, "data": {"phase": "SPEAKING"}}


class Recorded(TwilioAgent):
    """Keeps a record that can be read, of one call; the caller's words are in it once they are answered."""

    record: dict | None = None

    async def play(self, socket, stream, samples) -> None:
        now = 20.0 * self.count("media")
        if self.record is None:
            self.record = {"call": {"id": "c1", "outcome": "left"}, "turns": [GREETING], "events": [STATE]}
        else:
            turn = {"number": 1, "speaker": "caller", "text": "Where is it?", "intent": "order_status"}
            self.record["turns"].append(turn | {"started_ms": now - 700, "ended_ms": now - 200})
        await super().play(socket, stream, samples)

    async def api(self, reader, writer) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        starts = [message["start"]["callSid"] for message in self.received if message["event"] == "start"]
        rows = [{"id": "c1", "gateway_call_id": call_id} for call_id in starts]
        body = json.dumps({"calls": rows} if path.startswith("/api/calls?") else self.record).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def recorded():
    """An agent with a record API, and the API's address."""
    agent = Recorded()
    server = await asyncio.start_server(agent.api, "127.0.0.1", 0)
    yield agent, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()


async def test_the_record_is_read_while_the_call_runs_and_after_it(serving, call, recorded):
    agent, url = recorded
    steps = (
        DONE,
        {"say": "ask"},
        {"wait_for": {"intent": "order_status"}, "timeout_s": 5},
        {"expect": {"intent": "order_status"}},
        {"hang_up": True},
    )
    expect = [{"name": "greets", "greeting": True, "contains": ["hello"]}]
    (outcome,) = await call(await serving(agent), scenario(*steps, expect=expect), api=url)
    assert outcome.missed == ()
    assert outcome.record == agent.record
    assert [check.held for check in outcome.checked] == [True, True]
    assert ("state", "speaking") in {(note.what, note.value) for note in outcome.seen}


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("ws://127.0.0.1:8080/gateways/plain", "http://127.0.0.1:8080"),
        ("wss://calls.example.com/stream", "https://calls.example.com"),
    ],
)
def test_the_record_api_lies_beside_the_socket(url, api):
    assert api_of(url) == api


class Forgetful(PlainAgent):
    """Answers with these texts, one after the other, and then with the last."""

    def __init__(self, *texts: str) -> None:
        super().__init__()
        self.texts = texts

    async def say(self, socket, number: int, text: str, ms: int) -> None:
        await super().say(socket, number, self.texts[min(number, len(self.texts)) - 1] if number else text, ms)


SORRY = "Sorry, could you say that another way?"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ((SORRY, "It's here."), 2),
        ((SORRY,), 3),
        (("It's here.",), 1),
        (("Hello, who is there?", "It's here."), 2),
    ],
)
async def test_the_caller_says_again_what_was_not_understood(serving, call, answers, said):
    again = {**DONE, "again_if": ["say that another way"]}
    talk = scenario(again, {"say": "ask"}, again, {"hang_up": True})
    (outcome,) = await call(await serving(Forgetful(*answers)), talk, protocol="plain")
    assert outcome.missed == ()
    assert [one.step for one in outcome.utterances] == ["say ask"] * said


@pytest.mark.parametrize(("text", "said"), [("do you want to check", ["say ask", "say Stop!"]), ("else", ["say ask"])])
async def test_a_step_is_done_only_where_the_answer_asks_for_it(serving, call, text, said):
    talk = scenario(DONE, {"say": "ask"}, DONE, {"say": "Stop!", "only_if": [text]}, DONE, {"hang_up": True})
    agent = Forgetful("Just to be sure: do you want to check an order?", "It's here.")
    (outcome,) = await call(await serving(agent), talk, protocol="plain")
    assert [one.step for one in outcome.utterances] == said
