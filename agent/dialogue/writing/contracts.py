"""What the dialogue asks of a writer, and what it gets back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from models.contracts import Tone
from models.llm.errors import Code

Use = Literal["answer", "rephrase", "summary", "clarify", "act", "instruct"]
"""What a writer is asked to do; `llm.uses` says which of them it does. Every model is asked for `instruct`, which only
happens where a person at a console wants it."""

Reason = (
    Code
    | Literal[
        "unsupported",
        "value",
        "name",
        "negation",
        "meaning",
        "filtered",
        "placeholder",
        "too_long",
        "empty",
        "question",
        "options",
        "repeated",
        "orders",
        "unknown_tool",
        "bad_arguments",
        "not_verified",
        "action_failed",
        "rounds",
        "no_tools",
    ]
)
"""Why something of the model was not used: a failure of the model (`models.llm.errors.Code`), or
unsupported: no section says it. value, name: a number, date, amount or name that no section has (or, in a rewording,
one that was lost or added). negation: it denies what a section says, or the reverse. meaning: too far from what it
should say. filtered: a rule of `filter.yaml`. placeholder: private data that cannot be put back. too_long, empty.
question, options: a rewording lost its question, or a question names something else than the options. repeated: a
wording that was to be avoided. orders: a sentence of a section that is an order to a model.
unknown_tool, bad_arguments, not_verified, action_failed, rounds, no_tools: what it asked for was refused or failed."""

Count = Callable[[Use, Literal["used", "fallback", "dropped"], str], None]
"""Told of every outcome: (use, `used` | `fallback` | `dropped` (one sentence), reason)."""


class Passage(Protocol):
    """A section of the knowledge; `agent.dialogue.domain.Fact` is one."""

    @property
    def source(self) -> str:
        """FILE#heading."""
        ...

    @property
    def heading(self) -> str:
        """The question it answers."""
        ...

    @property
    def text(self) -> str:
        """What it says."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """Something said earlier in the call; of the agent's words only what was heard."""

    who: Literal["caller", "agent"]
    text: str


@dataclass(frozen=True, slots=True)
class Written:
    """A sentence to speak. by: the model, or `rule` where the caller of the function gave it as the way out.

    source: the section that supports it. reason: why the way out was taken.
    """

    text: str
    by: Literal["model", "rule"]
    source: str = ""
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class ActionTool:
    """An action of ours that the model may ask for at this step of a flow.

    parameters: JSON Schema of its arguments. side_effects: it is never run for the model, only proposed. identity: what
    the caller must have proven.
    """

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    side_effects: bool = False
    identity: Literal["none", "verified"] = "none"


RunAction = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Runs a read-only action (name, arguments) and gives its JSON-ready result. Any exception means it failed."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """An action with side effects that the model suggests. Nothing has happened: the flow asks the caller first."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of `Writer.act`: a proposal, or sentences that the results of actions support, or neither.

    ran: read-only actions that ran, (name, arguments, result). refused: what was not allowed, (tool, reason).
    reason: why there is neither proposal nor sentence.
    """

    proposal: Proposal | None = None
    sentences: tuple[str, ...] = ()
    ran: tuple[tuple[str, Mapping[str, Any], Mapping[str, Any]], ...] = ()
    refused: tuple[tuple[str, Reason], ...] = ()
    reason: Reason | None = None


class Writer(Protocol):
    """Words for the dialogue. No method raises because of the model: each has a way out that its caller gives.

    `private` names values of this caller (name, address, date of birth ...) that an outside model must not see.
    """

    def does(self, use: Use) -> bool:
        """Whether it is asked for this at all."""
        ...

    def answer(
        self,
        question: str,
        sections: Sequence[Passage],
        extract: Sequence[str],
        *,
        language: str = "en",
        tone: Tone = "neutral",
        history: Sequence[Line] = (),
        private: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Written, None]:
        """Answer from `sections` only, sentence by sentence as they come; `extract` where nothing is left of it.

        Close the iterator when the caller interrupts: that ends the work of the model.
        """
        ...

    async def rephrase(
        self,
        sentences: Sequence[str],
        *,
        tone: Tone = "neutral",
        language: str = "en",
        avoid: Sequence[str] = (),
        private: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Say `sentences` in other words that keep every value, name and question; else `sentences` themselves.

        avoid: wordings heard before, which must not be repeated.
        """
        ...

    async def summary(
        self,
        facts: Sequence[str],
        paragraph: str,
        *,
        language: str = "en",
        private: Mapping[str, str] | None = None,
    ) -> str:
        """One paragraph of `facts` for a person who takes over; else `paragraph`, which rules made."""
        ...

    async def clarify(
        self,
        words: str,
        options: Sequence[str],
        template: str,
        *,
        language: str = "en",
        private: Mapping[str, str] | None = None,
    ) -> str:
        """A question which of `options` the caller meant by `words`, naming each and nothing else; else `template`."""
        ...

    async def act(
        self,
        goal: str,
        history: Sequence[Line],
        tools: Sequence[ActionTool],
        run: RunAction,
        *,
        verified: bool,
        language: str = "en",
        private: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Let the model use `tools`, and no others, for `goal`.

        Read-only actions run through `run`, which enforces identity and permission itself as well; one with side
        effects comes back as a proposal. The last sentence may be a question for what the actions need. `verified`: the
        caller has proven who they are.
        """
        ...

    def follow(
        self,
        instructions: Sequence[str],
        planned: Sequence[str],
        question: str,
        sections: Sequence[Passage],
        *,
        language: str = "en",
        tone: Tone = "neutral",
        history: Sequence[Line] = (),
        private: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[Written, None]:
        """Say the `planned` sentences in the way that staff asked for, sentence by sentence.

        Where nothing may be said, one `Written` without text, by `rule`, has the reason. What the sentences given do
        not say of `planned` is the caller of the function's to say.

        instructions: of a person at a console, for this answer. What they state may be told, as what `planned` and
        `sections` say. question: what the agent asks after it, which is not the model's to say. A question of the
        model's own is the last that it gives.
        """
        ...

    async def aclose(self) -> None:
        """Give back what the model holds."""
        ...
