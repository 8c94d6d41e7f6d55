"""What a business teaches the agent: plain, frozen data read from a domain folder by `agent.dialogue.loader`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

from agent.dialogue.contracts import Profile
from models.contracts import Tone
from models.training.examples import Span

Word = Annotated[str, Field(min_length=1)]

PROFILES: Mapping[str, Profile] = {
    "digits": "digits",
    "phone": "digits",
    "email": "email",
    "address": "address",
    "yes_no": "yes_no",
}
"""How a slot of a type is answered; every other type is answered openly."""

PHRASES = (
    "anything_else",
    "what_is_it",
    "goodbye",
    "welcome",
    "hello",
    "small_talk",
    "take_your_time",
    "not_heard",
    "not_understood",
    "clarify_one",
    "clarify_two",
    "no_answer",
    "no_matter",
    "offer_person",
    "person_declined",
    "handing_over",
    "still_connecting",
    "corrected",
    "resume",
    "never_mind",
    "more_digits",
    "apology",
    "action_failed",
    "part_failed",
    "handoff_accepted",
    "handoff_declined",
    "handoff_unavailable",
    "handoff_failed",
    "silence_goodbye",
)
"""Every phrase a domain must have."""


class Part(BaseModel):
    """Base of everything in a domain file: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Phrase(Part):
    """One thing to say, in one or more wordings used in turn. Written as a text, a list of texts, or {text, tone}."""

    text: tuple[Word, ...] = Field(min_length=1)
    tone: Tone = "neutral"

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, str | list):
            value = {"text": value}
        if isinstance(value, dict) and isinstance(value.get("text"), str):
            value = {**value, "text": [value["text"]]}
        return value


class Step(Part):
    """Base of all steps; `id` is what jumps name."""

    id: Word | None = None


class SayStep(Step):
    """Say something and go on."""

    say: Word
    tone: Tone = "neutral"
    must_hear: bool = False


class Check(Part):
    """Validate a slot through an action: its result is kept as `into` and its field `ok` must be true."""

    action: Word
    arguments: Mapping[str, Any] = {}
    into: Word
    ok: Word


class AskStep(Step):
    """Ask for a slot unless it is known.

    accept: `slot` takes what understanding found, `text` takes the caller's words as they are, `option` matches them
    against the list at the path `options`. attempts: how often to ask again before giving up and calling a person.
    takes: intents whose words answer this question instead of opening another flow.
    """

    ask: Word
    text: Word
    tone: Tone = "neutral"
    reprompts: tuple[Word, ...] = ()
    attempts: int = Field(default=2, ge=0, le=5)
    profile: Profile | None = None
    accept: Literal["slot", "text", "option"] = "slot"
    options: Word | None = None
    takes: tuple[Word, ...] = ()
    check: Check | None = None
    wrong: Word | None = None


class ConfirmStep(Step):
    """Ask yes or no. `if_yes` None goes on to the next step."""

    confirm: Word
    tone: Tone = "neutral"
    if_yes: Word | None = None
    if_no: Word
    attempts: int = Field(default=2, ge=0, le=5)


class CallStep(Step):
    """Run an action; its result is kept as `into`. `on_error` None apologises and calls a person."""

    call: Word
    arguments: Mapping[str, Any] = {}
    into: Word
    on_error: Word | None = None


class BranchStep(Step):
    """Go where the value at a path says; keys of `cases` are compared as lower-case text, `none` is no value."""

    branch: Word
    cases: Mapping[str, Word]
    otherwise: Word | None = None

    @field_validator("cases", mode="before")
    @classmethod
    def _text_keys(cls, value: Any) -> Any:
        return {str(key).lower(): target for key, target in value.items()} if isinstance(value, dict) else value


class AnswerStep(Step):
    """Answer the caller's words from the knowledge files; without an answer, say so and offer a person."""

    answer: Literal["knowledge"]


class ForgetStep(Step):
    """Drop slots, so that they are asked for again."""

    forget: tuple[Word, ...] = Field(min_length=1)


class JumpStep(Step):
    """Go to a step of this flow by its id, or to `flow:NAME`."""

    jump: Word


class HandOffStep(Step):
    """Give the call to a person."""

    hand_off: Word
    priority: int = 0


class EndStep(Step):
    """The flow is done; `quiet` leaves out the question whether there is anything else."""

    end: Literal["quiet", "ask"]


class HangUpStep(Step):
    """End the call."""

    hang_up: Word


STEP_KINDS = ("say", "ask", "confirm", "call", "branch", "answer", "forget", "jump", "hand_off", "end", "hang_up")


def _kind(value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    return next((kind for kind in STEP_KINDS if kind in value), None)


AnyStep = Annotated[
    Annotated[SayStep, Tag("say")]
    | Annotated[AskStep, Tag("ask")]
    | Annotated[ConfirmStep, Tag("confirm")]
    | Annotated[CallStep, Tag("call")]
    | Annotated[BranchStep, Tag("branch")]
    | Annotated[AnswerStep, Tag("answer")]
    | Annotated[ForgetStep, Tag("forget")]
    | Annotated[JumpStep, Tag("jump")]
    | Annotated[HandOffStep, Tag("hand_off")]
    | Annotated[EndStep, Tag("end")]
    | Annotated[HangUpStep, Tag("hang_up")],
    Discriminator(_kind),
]


class Flow(Part):
    """A task of the business as steps.

    intents open it; `title` names it when coming back ("your return"), `offer` in a question ("return something").
    slots: names of slots that live only in this flow.
    """

    intents: tuple[Word, ...] = ()
    title: Word
    offer: Word
    slots: tuple[Word, ...] = ()
    steps: tuple[AnyStep, ...] = Field(min_length=1)

    def index(self, step_id: str) -> int:
        """Where the step `step_id` stands."""
        return next(n for n, step in enumerate(self.steps) if step.id == step_id)

    def asks(self, slot: str) -> int | None:
        """Where `slot` is asked for, if it is."""
        return next((n for n, step in enumerate(self.steps) if isinstance(step, AskStep) and step.ask == slot), None)


class ActionSpec(Part):
    """An action: a Python entry point (`module:function`) or a webhook.

    timeout_s: when to give up. side_effects: it survives a barge-in and runs once per call and arguments. speculate: it
    only reads, is cheap, and may run before the caller's turn is known to be over, so that the answer is ready then.
    filler: what is said when it takes longer than `filler_after_ms`. late: what is said when its result comes a turn
    late. secret_env: the environment variable with the webhook's signing secret. parameters: what the webhook takes.
    """

    python: Word | None = None
    webhook: Word | None = None
    secret_env: Word | None = None
    allow_private: bool = False
    parameters: tuple[Word, ...] = ()
    timeout_s: float = Field(default=5.0, gt=0, le=60)
    side_effects: bool = False
    speculate: bool = False
    filler: Word | None = None
    filler_after_ms: float = Field(default=800.0, ge=0)
    late: Word | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> ActionSpec:
        if (self.python is None) == (self.webhook is None):
            raise ValueError("give exactly one of 'python' and 'webhook'")
        if self.webhook is not None and self.secret_env is None:
            raise ValueError("a webhook needs 'secret_env', the name of the variable that holds its signing secret")
        if self.speculate and self.side_effects:
            raise ValueError("an action with 'side_effects' cannot have 'speculate': it would run for turns never made")
        return self


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


class UnderstandingSettings(Part):
    """Thresholds on understanding's confidence.

    minimum: below it nothing is taken as understood. switch: needed to leave a question for another flow.
    certain: enough to act on words the recognizer was unsure of. plausible: enough to be offered in a question.
    """

    minimum: float = Field(default=0.4, ge=0, le=1)
    switch: float = Field(default=0.55, ge=0, le=1)
    certain: float = Field(default=0.8, ge=0, le=1)
    plausible: float = Field(default=0.2, ge=0, le=1)


class KnowledgeSettings(Part):
    """When a found section is an answer; see `agent.dialogue.knowledge`."""

    minimum: float = Field(default=0.66, ge=0, le=1)
    strong: float = Field(default=0.75, ge=0, le=1)


class EmotionSettings(Part):
    """The emotion policy; see `agent.dialogue.emotion`."""

    smoothing: float = Field(default=0.6, gt=0, le=1)
    apologise: float = Field(default=0.5, ge=0, le=1)
    upset: float = Field(default=0.4, ge=0, le=1)
    apologise_again_turns: int = Field(default=3, ge=1)


class EscalationRule(Part):
    """When to call a person; all conditions given must hold. `offer` asks first, once a call.

    intent: the caller's intent, with `confidence`. words: regular expressions, any of which is found in the caller's
    words. failures, angry_turns, silences: at least so many in a row.
    """

    name: Word
    reason: Word
    priority: int = 0
    offer: bool = False
    intent: Word | None = None
    confidence: float = Field(default=0.5, ge=0, le=1)
    words: tuple[Word, ...] = ()
    failures: int | None = Field(default=None, ge=1)
    angry_turns: int | None = Field(default=None, ge=1)
    silences: int | None = Field(default=None, ge=1)
    say: Phrase | None = None

    @field_validator("words")
    @classmethod
    def _valid_patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _patterns(value)

    @model_validator(mode="after")
    def _some_condition(self) -> EscalationRule:
        if not self.words and all(
            value is None for value in (self.intent, self.failures, self.angry_turns, self.silences)
        ):
            raise ValueError("has no condition; give one of intent, words, failures, angry_turns, silences")
        return self


class Listening(Part):
    """Words with a fixed meaning, as regular expressions: never_mind drops the open task, go_on asks for the rest,
    unknown says that the caller cannot answer the question.

    other: per slot, asks for the other value spoken of before. another: per slot, drops the value.
    """

    never_mind: tuple[Word, ...] = ()
    go_on: tuple[Word, ...] = ()
    unknown: tuple[Word, ...] = ()
    negation: tuple[Word, ...] = ()
    instead: tuple[Word, ...] = ()
    other: Mapping[str, tuple[Word, ...]] = {}
    another: Mapping[str, tuple[Word, ...]] = {}

    @field_validator("never_mind", "go_on", "unknown", "negation", "instead")
    @classmethod
    def _valid_patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _patterns(value)

    @field_validator("other", "another")
    @classmethod
    def _valid_maps(cls, value: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        for patterns in value.values():
            _patterns(patterns)
        return value


def _patterns(value: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in value:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"'{pattern}' is not a regular expression: {error}; correct it") from error
    return value


def matches(patterns: tuple[str, ...], text: str) -> bool:
    """Whether any of `patterns` is found in `text`, whatever the case."""
    return any(re.search(pattern, text, re.IGNORECASE) for pattern in patterns)


class Manner(Part):
    """The content of domain.yaml."""

    name: Word
    business: Word
    language: Word = "en"
    persona: Word
    greeting: Phrase
    disclosures: tuple[Word, ...] = ()
    offer: Word
    database: Word | None = None
    remember: tuple[Word, ...] = ()
    default_flows: Mapping[str, Word] = {}
    actions: Mapping[str, ActionSpec] = {}
    listening: Listening = Listening()
    understanding: UnderstandingSettings = UnderstandingSettings()
    knowledge: KnowledgeSettings = KnowledgeSettings()
    emotion: EmotionSettings = EmotionSettings()
    escalation: tuple[EscalationRule, ...] = ()
    phrases: Mapping[str, Phrase]


@dataclass(frozen=True, slots=True)
class Fact:
    """One section of a knowledge file. `source` is FILE#heading; `questions` are other ways to ask for it."""

    source: str
    heading: str
    text: str
    questions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Domain:
    """Everything a business taught the agent. `lines` finds `file:line` of actions, for messages."""

    manner: Manner
    intents: Mapping[str, IntentSpec]
    out_of_scope: tuple[str, ...]
    slots: Mapping[str, SlotSpec]
    flows: Mapping[str, Flow]
    facts: tuple[Fact, ...]
    lines: Mapping[str, str]

    @property
    def name(self) -> str:
        """The domain's name."""
        return self.manner.name

    def flow_of(self, intent: str) -> str | None:
        """The flow that `intent` opens, if one does."""
        return next((name for name, flow in self.flows.items() if intent in flow.intents), None)

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
