"""Plays a scenario by typing, over a line of the plain protocol: for machines that have no voice for the caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.lab.expectations import Expectation
from agent.lab.line import CallerLine
from agent.lab.outcome import Utterance
from agent.lab.player import Asked, Played, plain
from agent.lab.scenario import Scenario
from agent.lab.steps import Step
from agent.lab.watching import Watch

TYPED = ("say", "dictate", "spell", "press", "wait_for", "expect", "hang_up")
"""Steps that typing can do; the others are passed over."""
READ_MS = 2500.0
"""How long the caller reads an answer before typing on; records tell turns apart that are as far from each other."""
_KEY_MS = 120.0


class TypedCaller:
    """Does a scenario's steps, one after another; what is said is typed as it is written.

    A caller who types never interrupts: he reads the answer first. `told` takes every message of the server's.
    """

    def __init__(
        self, scenario: Scenario, on_step: Callable[[Step], None] | None = None, read_ms: float = READ_MS
    ) -> None:
        self.played = Played()
        self.watch = Watch()
        self._scenario = scenario
        self._on_step = on_step
        self._read_ms = read_ms
        self._answers = 0
        self._answered_before = 0
        self._now: Callable[[], float] = lambda: 0.0
        self._last: tuple[str, float, float] = ("the beginning of the call", 0.0, 0.0)

    def told(self, message: Mapping[str, Any]) -> None:
        """Take a message of the server's: captions, states, turns."""
        if message.get("type") == "caption" and message.get("speaker") == "agent" and message.get("final"):
            self._answers += 1
        self.watch.told(message, self._now())

    async def play(self, line: CallerLine) -> Played:
        """Play to the end, or until the line is over."""
        self._now = lambda: line.now_ms
        for step in self._scenario.script.steps:
            if step.action not in TYPED or (line.ended is not None and step.expect is None):
                continue
            if step.only_if and not self._heard_any(step.only_if):
                continue
            if self._on_step is not None:
                self._on_step(step)
            await self._do(line, step)
        self.played.ended = line.ended or "open"
        return self.played

    async def _do(self, line: CallerLine, step: Step) -> None:
        if step.expect is not None:
            self.played.asked.append(Asked(step.expect, *self._last))
        elif step.hang_up:
            await line.hang_up()
        elif step.wait_for is not None:
            if not await line.until(lambda: self._come(step), step.timeout_s * 1000.0) and line.ended is None:
                self.played.missed.append(f"{step}: it did not come within {step.timeout_s:.0f} s")
        else:
            await self._answered(line, step)
            await line.until(lambda: False, self._read_ms)
            if line.ended is not None:
                return
            began = line.now_ms
            self._answered_before = self._answers
            if step.press is not None:
                for key in step.press:
                    await line.press(key)
                    await line.until(lambda: False, _KEY_MS)
                self.played.pressed.append(began)
            else:
                await self._type(line, step)
            self._last = (str(step), began, line.now_ms)

    async def _type(self, line: CallerLine, step: Step) -> None:
        named = step.say or step.dictate or step.spell or ""
        text = self._scenario.line(named).text if step.say is not None else named
        uttered = Utterance(str(step), "turn", text, line.now_ms, line.now_ms + 1.0)
        await line.type(text)
        self.played.utterances.append(uttered)
        self.played.said[named] = uttered

    async def _answered(self, line: CallerLine, step: Step) -> None:
        """Wait for the answer to what was typed before, where a speaking caller would have talked over it."""
        if step.interrupt_after is not None:
            await line.until(lambda: self._answers > self._answered_before, step.timeout_s * 1000.0)

    def _heard_any(self, texts: tuple[str, ...]) -> bool:
        answer = plain(" ".join(self.watch.since("agent_said", self._last[1])))
        return any(plain(text) in answer for text in texts)

    def _come(self, step: Step) -> bool:
        wanted, since = step.wait_for, self._last[1]
        assert wanted is not None
        if wanted.text is not None:
            return any(wanted.text.lower() in text.lower() for text in self.watch.since("agent_said", since))
        if wanted.intent is not None:
            return wanted.intent in self.watch.since("intent", since)
        if wanted.state is not None:
            return self.watch.state == wanted.state.lower()
        return self._answers > self._answered_before


def typable(expectation: Expectation) -> bool:
    """Whether an expectation means anything for a call without voices."""
    return expectation.latency is None and expectation.interrupted_by is None and expectation.emotion is None
