"""What a dialogue remembers between turns: plain data that can be copied and taken back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from agent.dialogue.contracts import Expect, HandOff, Say

DONE_FLOWS = 8
"""How many finished flows are remembered, for corrections."""
OPEN_FLOWS = 4
"""How many flows may be open at once; the oldest is dropped."""


@dataclass
class Known:
    """A slot's value. `verified`: the business confirmed it (the order exists) or the caller did."""

    value: Any
    turn: int
    verified: bool = False


@dataclass
class Frame:
    """An open flow: the step it stands at, the results it gathered and how often each step was tried.

    words: what the caller said when it opened. wrong: the value that was refused last. resumed: the caller went
    elsewhere meanwhile, so the question needs an introduction. failed: its action broke.
    """

    flow: str
    words: str
    at: int = 0
    results: dict[str, Any] = field(default_factory=dict)
    tries: dict[int, int] = field(default_factory=dict)
    wrong: Any = None
    resumed: bool = False
    failed: bool = False


@dataclass
class Pending:
    """A question of the dialogue's own: a person? one of these tasks? anything else?

    words: what the caller had said when it was put.
    """

    kind: Literal["person", "clarify", "more"]
    options: tuple[str, ...] = ()
    rule: str = ""
    reason: str = ""
    priority: int = 0
    words: str = ""


@dataclass
class Reading:
    """How the caller sounded in a turn; anger is the smoothed series, `reading` this turn alone."""

    turn: int
    label: str
    reading: float
    anger: float
    activation: float


@dataclass
class Feelings:
    """The emotion series of a call. angry_turns: turns in a row with raised anger; apologised: turn of the last one."""

    series: list[Reading] = field(default_factory=list)
    anger: float = 0.0
    angry_turns: int = 0
    sad: bool = False
    apologised: int | None = None


@dataclass
class Reply:
    """The last answer: its sentences, the question among them, and how much of it was heard."""

    says: list[Say] = field(default_factory=list)
    question: str = ""
    expect: Expect | None = None
    unheard: str = ""


@dataclass
class CallState:
    """A call's dialogue state."""

    turn: int = 0
    frames: list[Frame] = field(default_factory=list)
    done: list[Frame] = field(default_factory=list)
    slots: dict[str, Known] = field(default_factory=dict)
    earlier: dict[str, list[Any]] = field(default_factory=dict)
    pending: Pending | None = None
    failures: int = 0
    unclear: int = 0
    silences: int = 0
    feelings: Feelings = field(default_factory=Feelings)
    offered: set[str] = field(default_factory=set)
    handed_off: HandOff | None = None
    """The handoff that was announced; until its announcement was heard the caller may still take the floor."""
    closed: bool = False
    reply: Reply = field(default_factory=Reply)
    keys: str = ""
    patient: bool = False
    intents: list[str] = field(default_factory=list)
    spoken: dict[str, int] = field(default_factory=dict)

    @property
    def frame(self) -> Frame | None:
        """The flow on top."""
        return self.frames[-1] if self.frames else None

    def learn(self, name: str, value: Any, *, verified: bool = False) -> bool:
        """Keep a slot's value; the old one goes to `earlier`. True where that changed an older value."""
        old = self.slots.get(name)
        if old is not None and old.value == value:
            return False
        past = self.earlier.setdefault(name, [])
        if old is not None and old.value not in past:
            past.append(old.value)
        if value in past:
            past.remove(value)
        del past[:-4]
        self.slots[name] = Known(value, self.turn, verified)
        return old is not None

    def forget(self, name: str) -> None:
        """Drop a slot's value, keeping it among the earlier ones if it was good."""
        old = self.slots.pop(name, None)
        if old is not None and old.verified:
            past = self.earlier.setdefault(name, [])
            if old.value not in past:
                past.append(old.value)
