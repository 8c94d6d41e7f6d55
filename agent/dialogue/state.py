"""What a dialogue remembers between turns: plain data that can be copied and taken back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from agent.dialogue.contracts import Expect, HandOff, Say
from agent.dialogue.feelings import Feelings

DONE_FLOWS = 8
"""How many finished flows are remembered, for corrections."""
MOST_WISHES = 3
"""Wishes kept of one breath; people who ask for more say the rest again."""
HISTORY = 20
"""Utterances kept in `CallState.history`."""
OPEN_FLOWS = 4
"""How many flows may be open at once; the oldest is dropped."""


@dataclass
class Known:
    """A slot's value. `verified`: the business confirmed it (the order exists) or the caller did.

    guessed: it is another hypothesis of the recognizer, put in place of one that the business refused.
    """

    value: Any
    turn: int
    verified: bool = False
    guessed: bool = False


@dataclass
class Proposed:
    """An action that a language model proposed."""

    action: str
    arguments: dict[str, Any]


@dataclass
class Frame:
    """An open flow: the step it stands at, the results it gathered and how often each step was tried.

    words: what the caller said when it opened. wrong: the value that was refused last, unfit: the words for why, where
    it was refused by a rule. resumed: the caller went elsewhere meanwhile, so the question needs an introduction.
    failed: its action broke. within: another flow runs it and goes on when it ends; borrowed: slots that such flows
    asked for, which go when this one ends. proven: the caller was proven before the line dropped, so it goes on only
    for one who is again. agreed: an action that a model proposed, with its arguments, to which the caller said yes.
    """

    flow: str
    words: str
    at: int = 0
    results: dict[str, Any] = field(default_factory=dict)
    tries: dict[int, int] = field(default_factory=dict)
    wrong: Any = None
    unfit: str | None = None
    resumed: bool = False
    failed: bool = False
    within: bool = False
    proven: bool = False
    agreed: Proposed | None = None
    borrowed: set[str] = field(default_factory=set)


@dataclass
class Pending:
    """A question of the dialogue's own: a person? one of these tasks? anything else? was that the value? go on with the
    call that broke off? an offer? shall what a model proposed be done? what a person at a console wanted asked?

    words: what the caller had said when it was put, or the question itself. slot, value: what is read back or meant.
    """

    kind: Literal[
        "person", "clarify", "more", "read_back", "did_you_mean", "continue", "offer", "last_topic", "proposal", "asked"
    ]
    options: tuple[str, ...] = ()
    rule: str = ""
    reason: str = ""
    priority: int = 0
    words: str = ""
    slot: str = ""
    value: Any = None


@dataclass
class Wish:
    """Something else the caller asked for in the same breath: the flow, its words and the slot values in them."""

    flow: str
    words: str
    slots: dict[str, Any] = field(default_factory=dict)


@dataclass
class Consent:
    """The caller's answer to a question of consent, and the words of both."""

    agreed: bool
    turn: int
    question: str
    words: str


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
    customer: dict[str, Any] | None = None
    """Who the caller is proven to be; None until then."""
    consents: dict[str, Consent] = field(default_factory=dict)
    wishes: list[Wish] = field(default_factory=list)
    """What is done next, once nothing is open."""
    others: dict[str, list[Any]] = field(default_factory=dict)
    """Other values the recognizer took the last answer for, by slot."""
    pace: float = 1.0
    gain_db: float = 0.0
    language: str = ""
    """What the caller speaks; empty until it is known, and then the domain's first language is spoken."""
    no_offers: bool = False
    offers_made: list[str] = field(default_factory=list)
    sensitive: set[str] = field(default_factory=set)
    """Slots whose values are neither recorded nor shown."""
    topic: str = ""
    """What the caller was told about last, for "and what does it cost?"."""
    more: list[str] = field(default_factory=list)
    """Sentences of the section answered from last that were not said, for "tell me more"."""
    history: list[tuple[str, str]] = field(default_factory=list)
    """The last things said by `caller` and `agent`, the agent's as far as they were heard."""

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
