"""Scripts: refused with file and line where they are wrong, and played step by step."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from agent.config import CONFIGS
from agent.lab.cues import Cue, CueSheet
from agent.lab.line import CallerLine
from agent.lab.script import Script, play_script, read_script
from agent.lab.twilio_caller import TwilioCaller
from agent.yamlfile import FileError
from audio import g711

GOOD = """\
description: A short call.
wav: a.wav
cues: a.json
lines:
  - {id: hello, text: Hello there.}
steps:
  - wait: agent_done
  - say: hello
  - hang_up: true
expect:
  - {name: It is understood, cue: hello, intent: greeting}
"""


def write(folder: Path, old: str, new: str) -> Path:
    assert old in GOOD
    path = folder / "script.yaml"
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("description: A", "colour: red\ndescription: A", 1, "unknown key 'colour'"),
        ("wav: a.wav\n", "", 1, "'wav' is missing"),
        ("  - say: hello", "  - sey: hello", 8, "unknown key"),
        ("  - say: hello", "  - say: goodbye", 8, "no line 'goodbye'"),
        ("  - say: hello", "  - {say: hello, press: '1'}", 8, "exactly one of"),
        ("  - say: hello", "  - {say: hello, after_ms: 5}", 8, "'after_ms' belongs to interrupt"),
        ("  - say: hello", "  - {wait_seconds: -1}", 8, "greater than 0"),
        ("  - say: hello", "  - {press: 'x'}", 8, "pattern"),
        ("wait: agent_done", "wait: forever", 7, "agent_done"),
        ("cue: hello, intent", "cue: nobody, intent", 11, "no line 'nobody'"),
        ("cue: hello, intent: greeting", "intent: greeting", 11, "exactly one of"),
        ("cue: hello, intent: greeting", "cue: hello, mood: red", 11, "unknown key"),
        ("  - {id: hello, text: Hello there.}", "  - {id: hello, text: a}\n  - {id: hello, text: b}", 4, "same id"),
    ],
)
def test_a_wrong_script_is_refused_with_its_line(tmp_path, old, new, line, words):
    path = write(tmp_path, old, new)
    with pytest.raises(FileError) as caught:
        read_script(path)
    assert any(problem.startswith(f"{path}:{line}:") and words in problem for problem in caught.value.problems), (
        caught.value.problems
    )


def test_a_good_script_is_read(tmp_path):
    script = read_script(write(tmp_path, "A short", "A short"))
    assert [str(step) for step in script.steps] == ["wait agent_done", "say hello", "hang_up True"]


def test_the_demo_script_uses_every_line_it_has():
    script = read_script(CONFIGS / "scenarios" / "demo.yaml")
    spoken = [step.say or step.interrupt for step in script.steps if step.say or step.interrupt]
    assert spoken == [line.id for line in script.lines]


def sound(ms: int) -> np.ndarray:
    return (6000 * np.sin(2 * np.pi * 300 * np.arange(ms * 8) / 8000)).astype(np.int16)


SHEET = CueSheet({"ask": Cue("ask", "?", 0, 500), "cut": Cue("cut", "!", 500, 1000)}, sound(1000))


class Agent:
    """Greets, answers each silence after speech with `answer_ms` of sound, and stops when the caller talks."""

    def __init__(self, answer_ms: int = 1000, greets: bool = True) -> None:
        self.answer = sound(answer_ms)
        self.greets = greets

    async def __call__(self, socket) -> None:
        stream, talked, quiet, answering = "", False, 0, 0
        async for message in socket:
            data = json.loads(message)
            if data["event"] == "start":
                stream = data["streamSid"]
                if self.greets:
                    await self.play(socket, stream, sound(600))
            elif data["event"] == "media":
                answering = max(0, answering - 20)
                if g711.decode_mulaw(base64.b64decode(data["media"]["payload"])).any():
                    if answering:
                        answering = 0
                        await socket.send(json.dumps({"event": "clear", "streamSid": stream}))
                    talked, quiet = True, 0
                elif talked and (quiet := quiet + 20) >= 200:
                    talked, answering = False, len(self.answer) // 8
                    await self.play(socket, stream, self.answer)

    async def play(self, socket, stream: str, samples: np.ndarray) -> None:
        payload = base64.b64encode(g711.encode_mulaw(samples)).decode()
        await socket.send(json.dumps({"event": "media", "streamSid": stream, "media": {"payload": payload}}))


def script(*steps: dict) -> Script:
    lines = [{"id": "ask", "text": "?"}, {"id": "cut", "text": "!"}]
    return Script(description="", wav="", cues="", lines=lines, steps=steps, expect=())


async def run(serving, clock, agent, *steps):
    async with CallerLine(await serving(agent), TwilioCaller(), clock, life_s=60) as line:
        played = await play_script(script(*steps), SHEET, line)
        return played, line


async def test_the_caller_waits_for_the_greeting_and_for_the_answer(serving, clock):
    played, line = await run(
        serving, clock, Agent(), {"wait": "agent_done"}, {"say": "ask"}, {"wait": "agent_done"}, {"hang_up": True}
    )
    assert played.missed == []
    assert played.ended == "hung_up"
    greeting, answer = line.ear.spans
    said = played.said["ask"]
    assert said.start_ms >= greeting.end_ms + 700
    assert said.end_ms - said.start_ms == pytest.approx(500)
    assert said.answered_ms == pytest.approx(answer.start_ms - said.end_ms)
    assert 200 <= said.answered_ms < 600


async def test_an_interruption_begins_while_the_agent_speaks(serving, clock):
    played, line = await run(
        serving,
        clock,
        Agent(answer_ms=6000),
        {"wait": "agent_done"},
        {"say": "ask"},
        {"interrupt": "cut", "after_ms": 1000},
        {"wait": "agent_done", "timeout_s": 3},
    )
    answer = line.ear.spans[1]
    cut = played.said["cut"]
    assert answer.start_ms + 1000 <= cut.start_ms < answer.start_ms + 1200
    assert cut.stopped_ms == answer.end_ms - cut.start_ms
    assert 0 < cut.stopped_ms < 500
    assert played.said["ask"].stopped_ms is None


async def test_an_agent_too_brief_to_interrupt_is_noted_and_the_script_goes_on(serving, clock):
    played, _ = await run(
        serving,
        clock,
        Agent(answer_ms=400),
        {"wait": "agent_done"},
        {"say": "ask"},
        {"interrupt": "cut", "after_ms": 1000, "timeout_s": 3},
        {"hang_up": True},
    )
    assert len(played.missed) == 1
    assert "interrupt cut" in played.missed[0]
    assert "cut" not in played.said
    assert played.ended == "hung_up"


async def test_a_silent_agent_is_noted(serving, clock):
    played, _ = await run(serving, clock, Agent(greets=False), {"wait": "agent_done", "timeout_s": 2}, {"say": "ask"})
    assert played.missed == ["wait agent_done: the agent had not spoken and finished within 2 s"]
    assert "ask" in played.said


async def test_a_call_the_agent_ends_plays_no_further_steps(serving, clock):
    async def agent(socket) -> None:
        await socket.recv()
        await socket.close(1000)

    played, _ = await run(serving, clock, agent, {"wait": "agent_done"}, {"say": "ask"})
    assert played.said == {}
    assert played.missed == []
    assert played.ended == "closed:1000"
