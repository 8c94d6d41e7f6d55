"""What a business teaches the agent: plain, frozen data read from a domain folder by `agent.dialogue.loader`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from agent.dialogue.contracts import Profile
from agent.dialogue.manner import Manner
from agent.dialogue.steps import AskStep, CallStep, DoStep, Flow
from agent.dialogue.written import Part, Word
from models.training.examples import Span

if TYPE_CHECKING:
    from agent.dialogue.knowledge.graph.model import Graph

PROFILES: Mapping[str, Profile] = {
    "digits": "digits",
    "phone": "digits",
    "email": "email",
    "address": "address",
    "yes_no": "yes_no",
}
"""How a slot of a type is answered; every other type is answered openly."""


class IntentSpec(Part):
    """An intent: examples train understanding.

    leads_on: callers often go on after such a sentence ("This is ridiculous."), so the agent waits longer. examples are
    plain text; marks has the slot values that intents.yaml marks in them, `[the big tent](product)`, by example.
    """

    description: str = ""
    leads_on: bool = False
    slots: tuple[Word, ...] = ()
    examples: tuple[Word, ...] = Field(min_length=1)
    marks: Mapping[str, tuple[Span, ...]] = {}


@dataclass(frozen=True, slots=True)
class SlotSpec:
    """A slot of the domain: its parser's type and options (as in intents.yaml)."""

    name: str
    type: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fact:
    """One section of a knowledge file. `source` is FILE#heading; `questions` are other ways to ask for it."""

    source: str
    heading: str
    text: str
    questions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Domain:
    """Everything a business taught the agent. `lines` finds `file:line` of actions, for messages.

    localized: the same domain in its other languages, by language. folder: where it was read from. graph: its knowledge
    graph, where it has one.
    """

    manner: Manner
    intents: Mapping[str, IntentSpec]
    out_of_scope: tuple[str, ...]
    slots: Mapping[str, SlotSpec]
    flows: Mapping[str, Flow]
    facts: tuple[Fact, ...]
    lines: Mapping[str, str]
    localized: Mapping[str, Domain] = field(default_factory=dict)
    folder: Path | None = None
    graph: Graph | None = None

    @property
    def name(self) -> str:
        """The domain's name."""
        return self.manner.name

    def flow_of(self, intent: str) -> str | None:
        """The flow that `intent` opens, if one does."""
        return next((name for name, flow in self.flows.items() if intent in flow.intents), None)

    def asked(self, flow: str) -> Mapping[str, int]:
        """Slots that `flow` asks for, itself or in flows it runs, and the step where that begins."""
        return self._asked(flow, frozenset())

    def _asked(self, flow: str, inside: frozenset[str]) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for n, step in enumerate(self.flows[flow].steps):
            if isinstance(step, AskStep):
                found.setdefault(step.ask, n)
            elif isinstance(step, DoStep) and step.do not in inside:
                for slot in self._asked(step.do, inside | {flow}):
                    found.setdefault(slot, n)
        return found

    def profile(self, step: AskStep) -> Profile:
        """How the answer to `step` is spoken."""
        if step.profile is not None:
            return step.profile
        spec = self.slots.get(step.ask)
        return PROFILES.get(spec.type, "open") if spec else "open"

    def digits(self, slot: str) -> tuple[int, int] | None:
        """Fewest and most digits of a digit slot; None for other slots."""
        spec = self.slots.get(slot)
        if spec is None or spec.type not in ("digits", "phone"):
            return None
        low = int(spec.options.get("min_length", 10 if spec.type == "phone" else 1))
        return low, int(spec.options.get("max_length", 15 if spec.type == "phone" else low))

    def action_uses(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """Every use of an action in a flow: (`file:line`, action, arguments)."""
        for name, flow in self.flows.items():
            for n, step in enumerate(flow.steps):
                where = self.lines[f"{name}.{n}"]
                if isinstance(step, CallStep):
                    yield where, step.call, step.arguments
                elif isinstance(step, AskStep) and step.check:
                    yield where, step.check.action, step.check.arguments
