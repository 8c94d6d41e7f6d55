"""A scripted call: what the caller does, and what must have come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from agent.lab.cues import CueSheet
from agent.lab.expectations import Expectation
from agent.lab.line import CallerLine
from agent.yamlfile import FileError, YamlFile, explain, read_yaml

SETTLED_MS = 700.0
"""The agent has finished when it was silent for this long; gaps between its sentences are shorter."""
PATIENCE_S = 20.0
"""A caller waits this long for an answer before the script goes on without it."""

_ACTIONS = ("say", "interrupt", "wait", "wait_seconds", "press", "hang_up")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Line(_Part):
    """One thing the caller says, and how. `pauses_ms`: the commas of `text` become pauses of these lengths in turn."""

    id: str = Field(min_length=1)
    text: str = Field(min_length=1)
    speed: float = Field(1.0, ge=0.5, le=2.0)
    seed: int = 0
    raised: bool = False
    pauses_ms: tuple[int, ...] = ()


class Step(_Part):
    """One thing the caller does; exactly one of the actions.

    say: speak a line now. interrupt: speak it while the agent is audibly speaking, `after_ms` into what it says.
    wait: `agent_done` is until the agent spoke after the caller's last line and then was silent for `silence_ms`;
    `timeout_s` ends an interrupt or a wait that does not come about. press: one key. hang_up: end the call.
    """

    say: str | None = None
    interrupt: str | None = None
    wait: Literal["agent_done"] | None = None
    wait_seconds: float | None = Field(None, gt=0, le=60)
    press: str | None = Field(None, pattern=r"^[0-9*#A-D]$")
    hang_up: Literal[True] | None = None
    after_ms: float = Field(1500.0, ge=0)
    silence_ms: float = Field(SETTLED_MS, gt=0)
    timeout_s: float = Field(PATIENCE_S, gt=0, le=120)

    @model_validator(mode="after")
    def _one_action(self) -> Step:
        given = [name for name in _ACTIONS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a step is exactly one of {', '.join(_ACTIONS)}; this one has {' and '.join(given) or 'none'}"
            )
        for name, owner in (
            ("after_ms", ("interrupt",)),
            ("silence_ms", ("wait",)),
            ("timeout_s", ("interrupt", "wait")),
        ):
            if name in self.model_fields_set and given[0] not in owner:
                raise ValueError(f"'{name}' belongs to {' and '.join(owner)}, not to {given[0]}; remove it")
        return self

    def __str__(self) -> str:
        name = next(name for name in _ACTIONS if getattr(self, name) is not None)
        return f"{name} {getattr(self, name)}"


class Script(_Part):
    """A caller's script: lines, steps and expectations; `wav` and `cues` are files beside it."""

    description: str
    voice: str = "jm_kumo"
    wav: str
    cues: str
    caller: str | None = None
    called: str | None = None
    life_s: float = Field(180.0, gt=0, le=900)
    lines: tuple[Line, ...]
    steps: tuple[Step, ...]
    expect: tuple[Expectation, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """When a line was spoken, ms from the start of the line.

    answered_ms: from its end to the agent's voice. stopped_ms: where it interrupted the agent, from its start until the
    agent was silent. Both as heard at the caller's end.
    """

    start_ms: float
    end_ms: float
    answered_ms: float | None = None
    stopped_ms: float | None = None


@dataclass(slots=True)
class Played:
    """What became of a script: when each cue was said, and the steps that did not come about, with why."""

    said: dict[str, Said] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    ended: str = ""


def read_script(path: Path) -> Script:
    """Read a script.

    Raises:
        FileError: an unknown key, a wrong value, or a step or expectation that names no line; with file and line.
    """
    file = read_yaml(path)
    try:
        script = Script.model_validate(file.data)
    except ValidationError as error:
        raise FileError(explain(file, error)) from error
    if problems := _dangling(file, script):
        raise FileError(problems)
    return script


def _dangling(file: YamlFile, script: Script) -> list[str]:
    known = {line.id for line in script.lines}
    problems = []
    if len(known) < len(script.lines):
        problems.append(file.problem(("lines",), "two lines have the same id; give each its own"))
    for n, step in enumerate(script.steps):
        name = step.say or step.interrupt
        if name is not None and name not in known:
            problems.append(file.problem(("steps", n), f"there is no line {name!r}; use one of {sorted(known)}"))
    for n, expectation in enumerate(script.expect):
        if expectation.line is not None and expectation.line not in known:
            problems.append(
                file.problem(("expect", n), f"there is no line {expectation.line!r}; use one of {sorted(known)}")
            )
    return problems


async def play_script(
    script: Script, sheet: CueSheet, line: CallerLine, on_step: Callable[[Step], None] | None = None
) -> Played:
    """Do the script's steps on an open line. A step that does not come about is noted and the script goes on.

    When the agent ends the call the steps left over are not played and not missed: expectations say what had to happen.
    """
    return await _Player(sheet, line, on_step).play(script)


class _Player:
    def __init__(self, sheet: CueSheet, line: CallerLine, on_step: Callable[[Step], None] | None) -> None:
        self._sheet = sheet
        self._line = line
        self._on_step = on_step
        self._done = Played()
        self._since = 0.0
        """End of the caller's last line, ms."""
        self._last: str | None = None

    async def play(self, script: Script) -> Played:
        for step in script.steps:
            if self._line.ended is not None:
                break
            if self._on_step is not None:
                self._on_step(step)
            await self._do(step)
        self._note_answer()
        self._done.ended = self._line.ended or "open"
        return self._done

    async def _do(self, step: Step) -> None:
        line = self._line
        if step.say is not None:
            await self._say(step.say)
        elif step.interrupt is not None:
            if await line.until(lambda: self._midway(step.after_ms), step.timeout_s * 1000.0):
                await self._say(step.interrupt)
            elif line.ended is None:
                self._done.missed.append(
                    f"{step}: the agent did not speak for {step.after_ms:.0f} ms within {step.timeout_s:.0f} s"
                )
        elif step.wait is not None:
            if not await line.until(lambda: self._settled(step.silence_ms), step.timeout_s * 1000.0) and not line.ended:
                self._done.missed.append(f"{step}: the agent had not spoken and finished within {step.timeout_s:.0f} s")
            self._note_answer()
        elif step.wait_seconds is not None:
            await line.until(lambda: False, step.wait_seconds * 1000.0)
        elif step.press is not None:
            await line.press(step.press)
            self._since = line.now_ms
        else:
            await line.hang_up()

    async def _say(self, cue: str) -> None:
        self._note_answer()
        audio = self._sheet.audio(cue)
        start = self._line.say(audio)
        end = start + len(audio) * 1000.0 / self._line.protocol.rate
        await self._line.until(lambda: self._line.now_ms >= end, end - start + 1000.0)
        talked_over = next((span for span in self._line.ear.spans if span.start_ms < start < span.end_ms), None)
        stopped = None if talked_over is None else talked_over.end_ms - start
        self._done.said[cue] = Said(start, end, stopped_ms=stopped)
        self._since, self._last = end, cue

    def _note_answer(self) -> None:
        if self._last is None or (said := self._done.said[self._last]).answered_ms is not None:
            return
        first = next((span.start_ms for span in self._line.ear.spans if span.start_ms >= said.end_ms), None)
        if first is not None:
            self._done.said[self._last] = replace(said, answered_ms=first - said.end_ms)

    def _midway(self, after_ms: float) -> bool:
        ear = self._line.ear
        begun = [span for span in ear.spans if span.end_ms > self._since]
        return bool(begun) and ear.speaking and ear.now_ms - max(begun[0].start_ms, self._since) >= after_ms

    def _settled(self, silence_ms: float) -> bool:
        return self._line.ear.heard_since(self._since) and self._line.ear.silent_ms() >= silence_ms
