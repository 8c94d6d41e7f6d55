"""Agents to call in tests: they speak tones over the carrier's protocol or the plain one."""

import base64
import json

import numpy as np

from agent.lab.spoken import Spoken
from audio import g711


def sound(ms: int) -> np.ndarray:
    """A tone, int16 at 8 kHz."""
    return (6000 * np.sin(2 * np.pi * 300 * np.arange(ms * 8) / 8000)).astype(np.int16)


def said(ms: int, *pauses: tuple[int, int]) -> Spoken:
    """Words of `ms` with pauses (start, end) in ms."""
    samples = sound(ms)
    for start, end in pauses:
        samples[start * 8 : end * 8] = 0
    return Spoken(samples, 0, len(samples), tuple((start * 8, end * 8) for start, end in pauses))


class TwilioAgent:
    """Greets, answers each silence after speech with `answer_ms` of sound, and stops when the caller talks.

    deaf: goes on whatever the caller does.
    """

    def __init__(self, answer_ms: int = 1000, greets: bool = True, deaf: bool = False) -> None:
        self.answer = sound(answer_ms)
        self.greets = greets
        self.deaf = deaf
        self.received: list[dict] = []

    async def __call__(self, socket) -> None:
        stream, talked, quiet, answering = "", False, 0, 0
        async for message in socket:
            data = json.loads(message)
            self.received.append(data)
            if data["event"] == "start":
                stream = data["streamSid"]
                if self.greets:
                    await self.play(socket, stream, sound(600))
            elif data["event"] == "media":
                answering = max(0, answering - 20)
                if g711.decode_mulaw(base64.b64decode(data["media"]["payload"])).any():
                    if answering and not self.deaf:
                        answering = 0
                        await socket.send(json.dumps({"event": "clear", "streamSid": stream}))
                    talked, quiet = True, 0
                elif talked and (quiet := quiet + 20) >= 200:
                    talked, answering = False, len(self.answer) // 8
                    await self.play(socket, stream, self.answer)

    async def play(self, socket, stream: str, samples: np.ndarray) -> None:
        payload = base64.b64encode(g711.encode_mulaw(samples)).decode()
        await socket.send(json.dumps({"event": "media", "streamSid": stream, "media": {"payload": payload}}))

    def count(self, event: str) -> int:
        return sum(message["event"] == event for message in self.received)


class PlainAgent:
    """Greets, and answers each silence after speech with a tone, with captions, a turn and states."""

    def __init__(self, intent: str = "order_status") -> None:
        self.intent = intent
        self.start: dict = {}

    async def __call__(self, socket) -> None:
        talked, quiet, number = False, 0, 0
        async for message in socket:
            if isinstance(message, str):
                data = json.loads(message)
                if data["type"] == "start":
                    self.start = data
                    await socket.send(json.dumps({"type": "started", "version": 1, "rate": 8000}))
                    await self.say(socket, 0, "Hello, who is there?", 400)
            elif np.frombuffer(message, dtype="<i2").any():
                talked, quiet = True, 0
            elif talked and (quiet := quiet + 20) >= 200:
                talked, number = False, number + 1
                caption = {"type": "caption", "speaker": "caller", "text": "where is it", "final": True, "turn": number}
                await socket.send(json.dumps(caption))
                await self.say(socket, number, "What is the order number?", 800)

    async def say(self, socket, number: int, text: str, ms: int) -> None:
        await socket.send(json.dumps({"type": "state", "state": "speaking"}))
        caption = {"type": "caption", "speaker": "agent", "text": text, "final": False, "turn": number}
        await socket.send(json.dumps(caption))
        if number:
            turn = {"type": "turn", "number": number, "text": text, "intent": self.intent, "slots": {"size": "large"}}
            await socket.send(json.dumps(turn))
        await socket.send(sound(ms).astype("<i2").tobytes())
        await socket.send(json.dumps({"type": "state", "state": "listening"}))
