"""The steps of a flow, as flows.yaml writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from agent.dialogue.contracts import Profile
from agent.dialogue.written import Part, Word
from models.contracts import Tone

_DAY = re.compile(r"today|[+-]\d{1,5}[dy]|\d{4}-\d{2}-\d{2}")


class Step(Part):
    """Base of all steps; `id` is what jumps name."""

    id: Word | None = None


class SayStep(Step):
    """Say something and go on. `optional`: a courtesy that an upset caller is spared."""

    say: Word
    tone: Tone = "neutral"
    must_hear: bool = False
    optional: bool = False


class Check(Part):
    """Validate a slot through an action: its result is kept as `into` and its field `ok` must be true."""

    action: Word
    arguments: Mapping[str, Any] = {}
    into: Word
    ok: Word


class Valid(Part):
    """What a value must be, and what is said of one that is not.

    least, most: numbers, amounts in minor units. after, before: dates, as "today", "+90d", "-18y" or an ISO date.
    pattern: a regular expression that the whole text of the value matches.
    """

    least: float | None = None
    most: float | None = None
    after: Word | None = None
    before: Word | None = None
    pattern: Word | None = None
    wrong: Word

    @field_validator("after", "before")
    @classmethod
    def _a_day(cls, value: str | None) -> str | None:
        if value is not None and not _DAY.fullmatch(value):
            raise ValueError(f"'{value}' is no day; write today, +90d, -18y or a date such as 2026-12-31")
        return value

    @field_validator("pattern")
    @classmethod
    def _a_pattern(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"'{value}' is not a regular expression: {error}; correct it") from error
        return value

    @model_validator(mode="after")
    def _something(self) -> Valid:
        if all(one is None for one in (self.least, self.most, self.after, self.before, self.pattern)):
            raise ValueError("says nothing; give one of least, most, after, before, pattern")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"least {self.least:g} is more than most {self.most:g}, so nothing is valid; correct one")
        return self


class AskStep(Step):
    """Ask for a slot unless it is known.

    accept: `slot` takes what understanding found, `text` takes the caller's words as they are, `option` matches them
    against the list at the path `options`. attempts: how often to ask again before giving up and calling a person.
    takes: intents whose words answer this question instead of opening another flow. valid: what the value must be.
    read_back: how a value heard with little confidence is asked about; `{value}` is the value. keys: whether the keypad
    is offered when the question is put again; digits and telephone numbers do by default. sensitive: the value is
    neither recorded nor shown.
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
    valid: Valid | None = None
    read_back: Word | None = None
    keys: bool | None = None
    sensitive: bool = False


class ConfirmStep(Step):
    """Ask yes or no. `if_yes` None goes on to the next step.

    consent: the answer is kept as a consent of this name. must_hear: the question does not yield to barge-in.
    """

    confirm: Word
    tone: Tone = "neutral"
    if_yes: Word | None = None
    if_no: Word
    attempts: int = Field(default=2, ge=0, le=5)
    consent: Word | None = None
    must_hear: bool = False


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


class SetStep(Step):
    """Set slots without asking: a literal, or `"{path}"` for the value there."""

    set: Mapping[str, Any] = Field(min_length=1)


class DoStep(Step):
    """Run another flow, then go on here."""

    do: Word


class VerifiedStep(Step):
    """The caller is proven to be the customer in the result of this name; `{customer.name}` is known from now on."""

    verified: Word


class AssistStep(Step):
    """Let a language model talk with the caller towards a goal; see `agent.dialogue.assisting`.

    actions: all that it may use, of which those with side effects run only once the caller agreed to `confirm` of the
    action. into: the result of the action that ran last, with its name as `action`, "none" where none ran. most_turns:
    how often it may be asked. otherwise: where to go without a model, or when it gets nowhere. filler: what is said
    when it takes long.
    """

    assist: Word
    actions: tuple[Word, ...] = Field(min_length=1)
    into: Word
    most_turns: int = Field(default=4, ge=1, le=10)
    otherwise: Word
    filler: Word | None = None


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


STEP_KINDS = (
    "say", "ask", "confirm", "call", "branch", "answer", "forget", "set", "do", "verified", "assist", "jump",
    "hand_off", "end", "hang_up",
)  # fmt: skip


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
    | Annotated[SetStep, Tag("set")]
    | Annotated[DoStep, Tag("do")]
    | Annotated[VerifiedStep, Tag("verified")]
    | Annotated[AssistStep, Tag("assist")]
    | Annotated[JumpStep, Tag("jump")]
    | Annotated[HandOffStep, Tag("hand_off")]
    | Annotated[EndStep, Tag("end")]
    | Annotated[HangUpStep, Tag("hang_up")],
    Discriminator(_kind),
]


class Flow(Part):
    """A task of the business as steps.

    intents open it; `title` names it when coming back ("your return"), `offer` in a question ("return something").
    slots: names of slots that live only in this flow. verified: the caller must be proven before the first step; the
    domain's identity flow is run for that.
    """

    intents: tuple[Word, ...] = ()
    title: Word
    offer: Word
    slots: tuple[Word, ...] = ()
    verified: bool = False
    steps: tuple[AnyStep, ...] = Field(min_length=1)

    def index(self, step_id: str) -> int:
        """Where the step `step_id` stands."""
        return next(n for n, step in enumerate(self.steps) if step.id == step_id)

    def asks(self, slot: str) -> int | None:
        """Where `slot` is asked for, if it is."""
        return next((n for n, step in enumerate(self.steps) if isinstance(step, AskStep) and step.ask == slot), None)
