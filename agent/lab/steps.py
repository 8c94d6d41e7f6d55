"""What a simulated caller does, one step at a time, and what must come of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from agent.lab.expectations import HandoffExpected

SETTLED_MS = 700.0
"""The agent has finished when it was silent for this long; gaps between its sentences are shorter."""
PATIENCE_S = 20.0
"""A caller waits this long for an answer before the scenario goes on without it."""
NOISES = ("cough", "door", "breath", "dog", "tv_burst", "keyboard")

ACTIONS = (
    "say",
    "backchannel",
    "noise",
    "dictate",
    "spell",
    "press",
    "hold_silence",
    "wait_for",
    "expect",
    "hang_up",
)
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "interrupt_after": ("say",),
    "hang_up_after": ("say",),
    "after_ms": ("backchannel", "noise"),
    "level_db": ("noise",),
    "pause_ms": ("dictate", "spell"),
    "silence_ms": ("wait_for",),
    "settled": ("wait_for",),
    "again_if": ("wait_for",),
    "again": ("wait_for",),
    "unless": ("wait_for",),
    "taken": ("wait_for",),
    "only_if": ("say", "press"),
    "timeout_s": ("say", "backchannel", "noise", "wait_for"),
}
"""Which actions each option belongs to."""


class Part(BaseModel):
    """A piece of a scenario file; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WaitFor(Part):
    """Exactly one thing that the caller waits for.

    agent_done: the agent spoke after the caller's last utterance and then was silent. text: the agent said so since
    then. intent: a turn was understood so. state: the call is in that state. silence_ms: the agent was silent so long.
    """

    agent_done: Literal[True] | None = None
    text: str | None = Field(None, min_length=1)
    intent: str | None = Field(None, min_length=1)
    state: str | None = Field(None, min_length=1)
    silence_ms: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _one(self) -> WaitFor:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"wait for exactly one of {', '.join(type(self).model_fields)}")
        return self

    def __str__(self) -> str:
        return "agent_done" if self.agent_done else " ".join(f"{k} {v}" for k, v in self if v is not None)


class AnswerExpected(Part):
    """What must be true of the caller's last utterance and of the agent's answer to it; at least one thing.

    text / lacks: the agent said it / none of it in its answer, letter case and punctuation aside; `/.../` is a regular
    expression. intent, slot, emotion: how the utterance was understood. latency_ms: the longest wait, at the caller's
    ear. interrupted: the utterance broke off what the agent was saying. resumed: the agent went on with that.
    """

    text: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    intent: str | None = None
    slot: Mapping[str, Any] = Field(default_factory=dict)
    emotion: str | None = None
    handoff: HandoffExpected | None = None
    latency_ms: float | None = Field(None, gt=0)
    interrupted: bool | None = None
    resumed: bool | None = None

    @field_validator("text", "lacks", mode="before")
    @classmethod
    def _several(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _something(self) -> AnswerExpected:
        if not self.model_fields_set:
            raise ValueError(f"expect at least one of {', '.join(type(self).model_fields)}")
        return self

    @property
    def inner(self) -> bool:
        """It asks for something that only the server knows."""
        return any(value is not None for value in (self.intent, self.emotion, self.handoff)) or bool(self.slot)

    def __str__(self) -> str:
        asked = self.model_dump(exclude_defaults=True, exclude_none=True)
        return ", ".join(f"{name} {_short(value)}" for name, value in asked.items())


class Step(Part):
    """One thing the caller does: exactly one of `ACTIONS`, with its options.

    say, backchannel: a line's id, or the words. noise: one of `NOISES` or a WAV. dictate: groups of digits or words
    separated by blanks, `pause_ms` between them. spell: letter by letter. press: keys, 250 ms apart. hold_silence:
    seconds. interrupt_after, after_ms: ms of the agent's speech before it happens. hang_up_after: ms into the words.
    timeout_s: ends a wait that does not come about. again_if: where the answer has one of these texts, or puts the
    question again that was answered, the caller says or presses the same again, at most `again` times, and waits again;
    not where the answer has all texts of `unless`, nor for a question that follows one of `taken`.
    only_if: the step is done only where the agent's last answer has one of these texts. settled: the wait for
    `agent_done` goes on while the server, where its state can be seen, thinks or speaks: a pause is not the end.
    """

    say: str | None = Field(None, min_length=1)
    backchannel: str | None = Field(None, min_length=1)
    noise: str | None = None
    dictate: str | None = Field(None, pattern=r"^\s*\w[\w\s'-]*$")
    spell: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9 .@_-]*$")
    press: str | None = Field(None, pattern=r"^[0-9*#A-D]{1,40}$")
    hold_silence: float | None = Field(None, gt=0, le=120)
    wait_for: WaitFor | None = None
    expect: AnswerExpected | None = None
    hang_up: Literal[True] | None = None
    interrupt_after: float | None = Field(None, ge=0)
    hang_up_after: float | None = Field(None, gt=0)
    after_ms: float | None = Field(None, ge=0)
    level_db: float = Field(0.0, ge=-60, le=20)
    pause_ms: int = Field(500, ge=0, le=5000)
    silence_ms: float = Field(SETTLED_MS, gt=0)
    settled: bool = False
    timeout_s: float = Field(PATIENCE_S, gt=0, le=120)
    again_if: tuple[str, ...] = ()
    again: int = Field(2, ge=1, le=5)
    unless: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    only_if: tuple[str, ...] = ()

    @field_validator("wait_for", mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        if isinstance(given, str):
            if given != "agent_done":
                raise ValueError(
                    "wait for agent_done, or for {text: ...}, {intent: ...}, {state: ...}, {silence_ms: ...}"
                )
            return {"agent_done": True}
        return given

    @field_validator("noise")
    @classmethod
    def _known_noise(cls, given: str | None) -> str | None:
        if given is not None and given not in NOISES and not given.endswith(".wav"):
            raise ValueError(f"use one of {', '.join(NOISES)}, or the name of a .wav file")
        return given

    @model_validator(mode="after")
    def _one_action(self) -> Step:
        given = [name for name in ACTIONS if getattr(self, name) is not None]
        if len(given) != 1:
            has = " and ".join(given) or "none"
            raise ValueError(f"a step is exactly one of {', '.join(ACTIONS)}; this one has {has}")
        for name, owners in _OPTIONS.items():
            if name in self.model_fields_set and given[0] not in owners:
                raise ValueError(f"'{name}' belongs to {' and '.join(owners)}, not to {given[0]}; remove it")
        if self.interrupt_after is not None and self.hang_up_after is not None:
            raise ValueError("give 'interrupt_after' or 'hang_up_after', not both")
        return self

    @property
    def action(self) -> str:
        """Its name in `ACTIONS`."""
        return next(name for name in ACTIONS if getattr(self, name) is not None)

    def __str__(self) -> str:
        return f"{self.action} {_short(getattr(self, self.action))}"


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"
