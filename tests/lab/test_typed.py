"""A scenario typed over the plain protocol: each line waits for its answer; what typing cannot do is passed over."""

import json

import pytest

from agent.lab.expectations import Expectation
from agent.lab.line import CallerLine
from agent.lab.plain_client import PlainClient
from agent.lab.scenario import Scenario, Script
from agent.lab.typed import TypedCaller, typable

DONE = {"wait_for": "agent_done", "timeout_s": 5}


class Typist:
    """Greets, answers typed turns and keys in two captions, and hangs up at "bye"."""

    def __init__(self) -> None:
        self.received: list[dict] = []
        self.number = 0

    async def __call__(self, socket) -> None:
        async for message in socket:
            data = json.loads(message)
            self.received.append(data)
            if data["type"] == "start":
                await socket.send(json.dumps({"type": "started", "version": 1, "rate": 8000}))
                await self.say(socket, "Hello.")
            elif data["type"] in ("text", "dtmf"):
                self.number += 1
                await self.say(socket, f"That was {data.get('text') or data['digit']}.")
                if data.get("text") == "Bye.":
                    await socket.send(json.dumps({"type": "hangup", "reason": "goodbye"}))

    async def say(self, socket, text: str) -> None:
        for final in (False, True):
            caption = {"type": "caption", "speaker": "agent", "text": text, "final": final, "turn": self.number}
            await socket.send(json.dumps(caption))


@pytest.fixture
def type_in(serving, clock):
    async def run(*steps: dict, life_s: float = 60.0):
        lines = [{"id": "ask", "text": "Where is it?"}, {"id": "bye", "text": "Bye."}]
        script = Script(description="", life_s=life_s, lines=lines, steps=steps)
        agent, shown = Typist(), []
        caller = TypedCaller(Scenario("test", script), shown.append, read_ms=20.0)
        client = PlainClient(8000, "text", False)
        url = await serving(agent)
        async with CallerLine(url, client, clock, life_s=life_s, on_told=caller.told, send_voice=False) as line:
            played = await caller.play(line)
        return played, agent, shown

    return run


async def test_lines_are_typed_one_after_the_other(type_in):
    played, agent, shown = await type_in(
        DONE,
        {"say": "ask"},
        DONE,
        {"expect": {"text": "that was"}},
        {"noise": "cough"},
        {"say": "No, wait.", "interrupt_after": 500},
        {"wait_for": {"text": "that was no"}},
        {"say": "ask", "only_if": ["something else"]},
        {"press": "42#", "only_if": ["something else", "THAT was no!"]},
        {"say": "bye"},
        DONE,
        {"say": "never typed"},
    )
    assert played.missed == []
    assert played.ended == "agent:hangup:goodbye"
    typed = [data.get("text") or data.get("digit") for data in agent.received if data["type"] in ("text", "dtmf")]
    assert typed == ["Where is it?", "No, wait.", "4", "2", "#", "Bye."]
    assert list(played.said) == ["ask", "No, wait.", "bye"]
    assert [asked.about for asked in played.asked] == ["say ask"]
    assert "noise cough" not in map(str, shown)


async def test_what_does_not_come_is_missed(type_in):
    played, _, _ = await type_in(
        DONE, {"wait_for": {"text": "nothing of the kind"}, "timeout_s": 0.5}, {"hang_up": True}
    )
    assert played.missed == ["wait_for text nothing of the kind: it did not come within 0 s"]
    assert played.ended == "hung_up"


def test_what_only_voices_can_show_is_not_expected_of_typing():
    voice = [
        {"interrupted_by": "ask"},
        {"latency": {"parts": ["total"]}},
        {"cue": "ask", "emotion": "angry"},
    ]
    assert not any(typable(Expectation(name="x", **one)) for one in voice)
    assert typable(Expectation(name="x", answer_to="ask", contains=["that"]))
