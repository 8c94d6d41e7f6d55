"""What a call tells its dialogue, and what the dialogue answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from models.contracts import Tone, UnderstandingContext, Understood, VoiceEmotion

Profile = Literal["open", "yes_no", "digits", "spelling", "email", "address"]
"""What kind of answer was asked for; it sets how long the floor waits for the end of the caller's turn."""


@dataclass(frozen=True, slots=True)
class CallerTurn:
    """One committed turn of the caller.

    `dtmf` holds keys pressed instead of words; `silence` counts how often in a row the caller said nothing (0 for a
    spoken turn). `confident` is False where the recognizer was unsure of the words. others: what the recognizer's
    other hypotheses mean, best first; hear_again finds them where words proved wrong. language: what was spoken, empty
    where it is not known.
    """

    number: int
    text: str
    understood: Understood
    voice: VoiceEmotion | None = None
    dtmf: str | None = None
    silence: int = 0
    confident: bool = True
    others: tuple[Understood, ...] = ()
    hear_again: Callable[[], Awaitable[tuple[Understood, ...]]] | None = None
    language: str = ""


@dataclass(frozen=True, slots=True)
class Say:
    """A sentence to speak.

    must_hear: it does not yield to barge-in (disclosures). pace: speaking rate, 1 being the voice's own and more being
    faster. gain_db: how much louder than usual. optional: a courtesy that an upset caller is spared.
    """

    text: str
    tone: Tone = "neutral"
    must_hear: bool = False
    pace: float = 1.0
    gain_db: float = 0.0
    language: str = "en"
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Expect:
    """What kind of answer the sentences before ask for. sensitive: the answer is neither recorded nor shown."""

    profile: Profile
    context: UnderstandingContext = field(default_factory=UnderstandingContext)
    sensitive: bool = False


@dataclass(frozen=True, slots=True)
class Because:
    """Why this answer: stored on the turn and shown to operators. JSON-ready."""

    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Acted:
    """An action ran. `result` and `arguments` are JSON-ready; `replayed` is True where an idempotency key matched."""

    name: str
    arguments: Mapping[str, Any]
    ok: bool
    result: Mapping[str, Any]
    idempotency_key: str
    replayed: bool = False
    took_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class HandOff:
    """Give the call to a person once the sentences before were heard."""

    reason: str
    rule: str
    priority: int = 0
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call once the sentences before were heard."""

    reason: str


Part = Say | Expect | Because | Acted | HandOff | HangUp

HandoffOutcome = Literal["accepted", "declined", "unavailable", "failed"]


Tool = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Takes an action's arguments, gives its result."""


class Dialogue(Protocol):
    """One call's dialogue. Sentences stream: the first is spoken while later ones are still being made."""

    @property
    def context(self) -> UnderstandingContext:
        """What the dialogue waits for now; given to understanding."""
        ...

    @property
    def sensitive(self) -> bool:
        """Whether what the dialogue waits for is neither recorded nor shown (a PIN)."""
        ...

    @property
    def may_record(self) -> bool:
        """Whether sound may be kept now; False while the caller has not agreed to that."""
        ...

    def use_tools(self, tools: Mapping[str, Tool]) -> None:
        """Let the call's client do the work of actions of these names; names of no action are ignored."""
        ...

    async def over(self) -> None:
        """The call is over, however it ended; what a dropped line left open is kept for the caller's next call."""
        ...

    def open(self, caller: str | None, parameters: Mapping[str, str]) -> AsyncIterator[Part]:
        """Greet, disclose, offer help."""
        ...

    def respond(self, turn: CallerTurn) -> AsyncIterator[Part]:
        """Answer one turn. Cancelling the iterator leaves an action with side effects running; its result is kept."""
        ...

    def preview(self, turn: CallerTurn) -> AsyncIterator[Part]:
        """What `respond` would answer if the turn were over now; changes nothing.

        It ends early where the answer depends on something that must not happen for a turn that may go on.
        """
        ...

    def handoff_outcome(self, outcome: HandoffOutcome, detail: str = "") -> AsyncIterator[Part]:
        """Words for the caller once it is known what became of the handoff; after `accepted` the call leaves."""
        ...

    def apology(self) -> AsyncIterator[Part]:
        """Words for the caller when a part of the agent failed, then a person; uses no model and no action."""
        ...

    def overheard(self, speaker: str, text: str, understood: Understood | None) -> None:
        """A person has the call: `speaker`, who is `caller` or `human`, said this, and nothing is to be answered.

        understood: what the caller meant; None for the person.
        """
        ...

    def handed_back(self, who: str, note: str) -> AsyncIterator[Part]:
        """Words for the caller when `who` gave the call back, with a note on what was done; then the call goes on."""
        ...

    def instruct(self, text: str) -> str:
        """Follow what a person at a console asks for in the next answer; returns what will be done.

        Raises:
            ValueError: it is not understood; the message says what is.
        """
        ...

    def snapshot(self) -> Any:
        """The state as it is now, for `restore`."""
        ...

    def restore(self, snapshot: Any) -> None:
        """Take back a turn that nobody heard the answer of: the caller had only paused. Action results are kept."""
        ...

    def heard(self, text: str, complete: bool) -> None:
        """What of the last answer the caller really heard."""
        ...

    def summary(self) -> Mapping[str, Any]:
        """For handoff and records: reason, paragraph, intent, slots with verified flags, emotion series, actions."""
        ...

    async def told(self) -> Mapping[str, Any]:
        """The summary for a person who takes over, its paragraph worded by a language model where one does that."""
        ...

    def fixed_phrases(self) -> list[tuple[str, Tone]]:
        """Every sentence of the domain without a variable part, with its tone, to warm the phrase cache."""
        ...


@runtime_checkable
class Acts(Protocol):
    """A dialogue whose actions a person who has the call may run."""

    def runnable(self) -> list[dict[str, Any]]:
        """The actions: name, description, and arguments {name: {type, required, value}}, with the values known."""
        ...

    async def act(self, name: str, arguments: Mapping[str, Any]) -> Acted:
        """Run one, as the dialogue would; once for the same arguments.

        Raises:
            ValueError: there is no such action, or the arguments are not its own.
        """
        ...
