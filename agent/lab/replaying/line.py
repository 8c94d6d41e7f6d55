"""The caller's end of a replayed call: a recorded voice, keys and typed turns, each at its time."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.call.transport import Disconnected
from agent.clock import Clock
from agent.lab.ear import Ear
from agent.lab.line import FRAME_MS, Cleared, Heard, Marked, Wrong
from agent.lab.plain_client import PlainClient
from agent.lab.replaying.source import RATE, CallerAudio, Record, ReplayError, Step, steps_of
from audio.codec import Pcm16

FRAME = RATE * FRAME_MS // 1000
PATIENCE_MS = 20_000.0
"""How long after the recorded end the agent may take to end the call as it did then; the line is silent meanwhile."""
INBOX = 64
"""Messages waiting for the call; the caller waits when it is full, and so nothing is lost."""
_CALLER_ENDED = re.compile(r"stop|hung_up|life_over|socket_closed_(\d{4})")
"""Reasons of a call's end that came from the caller's side."""
_REASON = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Plan:
    """What the caller does. Times are ms of the call.

    start_ms: the gateway announced the call and its audio began. hang_up_ms: None where the agent ended the call.
    """

    audio: Pcm16
    steps: tuple[Step, ...]
    start_ms: float
    hang_up_ms: float | None
    reason: str
    typed_only: bool
    agent_audible: bool
    caller: str | None
    last_ms: float


def plan_of(audio: CallerAudio, record: Record | None, notes: list[str]) -> Plan:
    """What the caller did in a recorded call; `notes` gets what cannot be done again.

    Raises:
        ReplayError: the call has neither a voice nor anything typed or pressed.
    """
    length = audio.seconds * 1000.0
    if record is None:
        if not audio.samples.any():
            raise ReplayError("the caller's channel (left) is silent; are the channels the wrong way round?")
        return Plan(audio.samples, (), 0.0, length, "stop", False, True, None, length)
    call, steps = record["call"], tuple(steps_of(record, notes))
    silent = not audio.samples.any()
    start = next((float(event["at_ms"]) for event in record["events"] or () if event["kind"] == "state"), 0.0)
    over = max(length, float(call["duration_ms"] or 0.0), steps[-1].at_ms if steps else 0.0)
    reason = str(call["reason"] or "stop")
    left = call["outcome"] == "caller_left" or _CALLER_ENDED.fullmatch(reason) is not None
    return Plan(
        audio.samples,
        steps,
        start,
        float(call["duration_ms"] or length) if left else None,
        reason if left else "stop",
        silent and call["gateway"] == "plain" and bool(steps) and all(step.text for step in steps),
        audio.agent or not silent,
        call["caller"],
        over,
    )


class RecordedCaller:
    """The call's transport, and the caller behind it. `run` is a task of whoever replays the call.

    Marks come back when the audio before them was played, as from a telephone; see `agent.lab.ear.Ear`.
    """

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self.wrongs: list[str] = []
        """How the agent broke the protocol."""
        self.patience_over = False
        """The agent had not ended the call `PATIENCE_MS` after it did when it was recorded."""
        self._plan = plan
        self._clock = clock
        self._client = PlainClient(
            8000, "text" if plan.typed_only else "voice", audio=plan.agent_audible, caller=plan.caller
        )
        self._inbox: asyncio.Queue[str | bytes | None] = asyncio.Queue(INBOX)
        self._ear = Ear(RATE)
        self._steps = deque(plan.steps)
        self._gone = 1006
        self._closed = False

    async def receive(self) -> str | bytes:
        message = await self._inbox.get()
        if message is None:
            raise Disconnected(self._gone)
        return message

    async def send(self, message: str | bytes) -> None:
        for event in self._client.receive(message):
            match event:
                case Heard(samples):
                    self._ear.put(samples)
                case Marked(name):
                    self._ear.mark(name)
                case Cleared():
                    for name in self._ear.clear():
                        await self._put(self._client.played(name))
                case Wrong(detail):
                    self.wrongs.append(detail)
                case _:
                    pass

    async def close(self, code: int, reason: str) -> None:
        self._closed = True

    async def run(self) -> None:
        """Do what the plan says until the call is over."""
        plan, began = self._plan, self._clock.now_ms()
        await self._clock.sleep_until(began + plan.start_ms)
        await self._put(self._client.opening())
        first = round(plan.start_ms * RATE / 1000.0)
        ticks = 0
        while not self._closed:
            at = plan.start_ms + ticks * FRAME_MS
            await self._clock.sleep_until(began + at)
            await self._enter(at)
            if not plan.typed_only:
                await self._put(self._client.voice(_frame(plan.audio, first + ticks * FRAME)))
            for name in self._ear.play(FRAME)[1]:
                await self._put(self._client.played(name))
            ticks += 1
            if plan.hang_up_ms is not None and at + FRAME_MS > plan.hang_up_ms:
                await self._hang_up(plan.reason)
                return
            if at > plan.last_ms + PATIENCE_MS:
                self.patience_over = True
                await self._hang_up("stop")
                return

    async def _enter(self, at_ms: float) -> None:
        while self._steps and self._steps[0].at_ms < at_ms + FRAME_MS:
            step = self._steps.popleft()
            await self._put(self._client.key(step.key) if step.key else self._client.text(step.text))

    async def _hang_up(self, reason: str) -> None:
        closed = _CALLER_ENDED.fullmatch(reason)
        if closed is not None and closed.group(1) is not None:
            self._gone = int(closed.group(1))
            await self._inbox.put(None)
        else:
            code = reason if _REASON.fullmatch(reason) else "stop"
            await self._put([f'{{"type":"stop","reason":"{code}"}}'])

    async def _put(self, messages: Sequence[str | bytes]) -> None:
        for message in messages:
            await self._inbox.put(message)


def _frame(audio: Pcm16, first: int) -> Pcm16:
    """Samples[FRAME] from `first`, silence beyond the end."""
    piece = audio[first : first + FRAME]
    return piece if len(piece) == FRAME else np.pad(piece, (0, FRAME - len(piece)))
