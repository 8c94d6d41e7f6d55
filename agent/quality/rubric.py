"""Rubrics: what makes a call good, as YAML files that supervisors can change.

`configs/quality/default.yaml` is for every domain; `configs/quality/<domain>.yaml` stands in its place for that one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from agent.yamlfile import FileError, explain, read_yaml

DEFAULT = "default"
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Pattern = Annotated[str, Field(min_length=1, max_length=500)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _checked(patterns: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"'{pattern}' is not a regular expression: {error}; correct it") from error
    return patterns


class Criterion(_Part):
    """What all criteria have. weight: its share of the score, beside the others that apply to a call.

    caps: the most a call can score that does not meet it at all, for what nothing makes good. passes: the value in
    [0, 1] from which it counts as met.
    """

    name: Name
    title: str = Field(min_length=1, max_length=100)
    weight: float = Field(gt=0, le=100)
    caps: float | None = Field(default=None, ge=0, le=100)
    passes: Share = 0.6


class Greeting(Criterion):
    """The caller was greeted, soon, and heard it."""

    check: Literal["greeting"]
    within_s: float = Field(default=4.0, gt=0)
    heard: Share = 0.3


class Disclosure(Criterion):
    """The domain's disclosures were heard whole. phrases: patterns that must be heard, in place of the domain's."""

    check: Literal["disclosure"]
    phrases: tuple[Pattern, ...] = ()

    _phrases = field_validator("phrases")(_checked)


class Identity(Criterion):
    """No data of a customer before they had proven who they are. data: what data looks like in the agent's words."""

    check: Literal["identity"]
    data: tuple[Pattern, ...] = ()

    _data = field_validator("data")(_checked)


class Empathy(Criterion):
    """Anger was met with kind words. angry: the reading from which a turn with angry words is angry; voice_alone: from
    which one is whose words are not.

    Words as in `words`, or the tone of an apology, in the answer or one of the next `within_turns`, or in the
    `again_turns` before: nobody wants the same apology in every sentence.
    """

    check: Literal["empathy"]
    angry: Share = 0.5
    voice_alone: Share = 0.9
    within_turns: int = Field(default=1, ge=0, le=10)
    again_turns: int = Field(default=2, ge=0, le=20)
    words: tuple[Pattern, ...] = Field(min_length=1)
    tones: tuple[str, ...] = ("sorry",)

    _words = field_validator("words")(_checked)


class Resolution(Criterion):
    """What the caller wanted was done. outcomes: what each end is worth; left_answered: they left after an answer.

    idle: what a completed call is worth in which nothing was looked up, done or answered. repairs: the share of
    replies that only asked again, from which the value is halved.
    """

    check: Literal["resolution"]
    outcomes: Mapping[Literal["completed", "handed_off", "caller_left", "failed"], Share]
    left_answered: Share = 0.8
    idle: Share = 0.5
    silent: Share = 0.0
    repairs: Share = 0.5


class Silence(Criterion):
    """Nobody was left waiting: full value up to `good`, none from `bad`; the same for the longest gap, in seconds."""

    check: Literal["silence"]
    good: Share = 0.35
    bad: Share = 0.7
    good_s: float = Field(default=6.0, gt=0)
    bad_s: float = Field(default=20.0, gt=0)

    @model_validator(mode="after")
    def _in_order(self) -> Silence:
        if self.good >= self.bad or self.good_s >= self.bad_s:
            raise ValueError("'good' must be less than 'bad', and 'good_s' less than 'bad_s'; correct them")
        return self


class TalkOver(Criterion):
    """The agent did not speak over the caller. good, bad: times a minute that it began while the caller spoke.

    least_ms: less than this together is no talking over: the ends of turns are not measured that well.
    """

    check: Literal["talk_over"]
    good: float = Field(default=0.5, ge=0)
    bad: float = Field(default=3.0, gt=0)
    least_ms: float = Field(default=250.0, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> TalkOver:
        if self.good >= self.bad:
            raise ValueError("'good' must be less than 'bad'; correct them")
        return self


class Forbidden(Criterion):
    """None of these was said to the caller."""

    check: Literal["forbidden"]
    phrases: tuple[Pattern, ...] = Field(min_length=1)

    _phrases = field_validator("phrases")(_checked)


class Rule(_Part):
    """When a caller's turn says `words` or means `intent`, this must follow within so many turns.

    said: patterns of which the agent says one. not_said: patterns of which it says none. rule: the decision's rule.
    action: an action that worked. handed_off: the call was offered to a person.
    """

    name: Name
    words: tuple[Pattern, ...] = ()
    intent: str | None = None
    confidence: Share = 0.6
    within_turns: int = Field(default=1, ge=0, le=20)
    said: tuple[Pattern, ...] = ()
    not_said: tuple[Pattern, ...] = ()
    rule: str | None = None
    action: str | None = None
    handed_off: bool = False

    _words = field_validator("words", "said", "not_said")(_checked)

    @model_validator(mode="after")
    def _whole(self) -> Rule:
        if not self.words and self.intent is None:
            raise ValueError("says not when it applies; give words or intent")
        if not (self.said or self.not_said or self.rule or self.action or self.handed_off):
            raise ValueError("says not what must follow; give said, not_said, rule, action or handed_off")
        return self


class Policy(Criterion):
    """The business's rules were kept: those here, and, with `escalation`, the domain's own rules of when to call a
    person, as far as they look at one turn: its words or its intent."""

    check: Literal["policy"]
    escalation: bool = True
    rules: tuple[Rule, ...] = ()


AnyCriterion = Annotated[
    Greeting | Disclosure | Identity | Empathy | Resolution | Silence | TalkOver | Forbidden | Policy,
    Field(discriminator="check"),
]


class Prices(_Part):
    """What calls cost. None: not priced, and no cost is shown. All in `currency`."""

    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    call: float | None = Field(default=None, ge=0)
    agent_minute: float | None = Field(default=None, ge=0)
    transfer: float | None = Field(default=None, ge=0)
    human_minute: float | None = Field(default=None, ge=0)

    def cost(self, minutes: float, human_minutes: float, transferred: bool) -> float | None:
        """What a call cost; None where nothing is priced. human_minutes: those of all that a person spoke in."""
        if all(price is None for price in (self.call, self.agent_minute, self.transfer, self.human_minute)):
            return None
        own = max(0.0, minutes - human_minutes)
        cost = (self.call or 0.0) + (self.agent_minute or 0.0) * own + (self.human_minute or 0.0) * human_minutes
        return cost + ((self.transfer or 0.0) if transferred else 0.0)


class Satisfaction(_Part):
    """How satisfaction on a scale of 1 to 5 is predicted where the caller gave none: `base` plus weight times feature.

    Surveys move the weights (`agent quality fit`); `trust` is how many surveys these weights count for.
    """

    base: float = Field(default=4.3, ge=1, le=5)
    weights: Mapping[str, Annotated[float, Field(ge=-5, le=5)]]
    trust: float = Field(default=30.0, gt=0)


class Rubric(_Part):
    """A whole rubric."""

    name: Name
    repeat_days: int = Field(default=7, ge=1, le=90)
    criteria: tuple[AnyCriterion, ...] = Field(min_length=1)
    satisfaction: Satisfaction
    prices: Prices = Prices()

    @model_validator(mode="after")
    def _named_once(self) -> Rubric:
        names = [criterion.name for criterion in self.criteria]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"criterion '{twice[0]}' appears twice; give each its own name")
        return self

    @property
    def digest(self) -> str:
        """Changes whenever the rubric does."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


_FORM: TypeAdapter[Rubric] = TypeAdapter(Rubric)


def load_rubric(path: Path) -> Rubric:
    """Read a rubric.

    Raises:
        FileError: it is missing or wrong; every problem with its line.
    """
    file = read_yaml(path)
    try:
        return _FORM.validate_python(file.data)
    except ValidationError as error:
        raise FileError(explain(file, _without_kinds(error))) from error


class Rubrics:
    """The rubrics of a folder, read once."""

    def __init__(self, folder: Path) -> None:
        """Raises FileError where one is wrong, or the default is missing."""
        self._default = load_rubric(folder / f"{DEFAULT}.yaml")
        others = (path for path in sorted(folder.glob("*.yaml")) if path.stem not in (DEFAULT, "survey"))
        self._own = {path.stem: load_rubric(path) for path in others}

    def of(self, domain: str) -> Rubric:
        """The rubric for calls of a domain, by its name or path."""
        return self._own.get(Path(domain).name, self._default)

    @property
    def all(self) -> tuple[Rubric, ...]:
        """Every rubric, the default first."""
        return (self._default, *self._own.values())


def _without_kinds(error: ValidationError) -> ValidationError:
    """The error, its places as the file has them: pydantic puts the kind of criterion between."""
    kinds = {get_args(kind.model_fields["check"].annotation)[0] for kind in get_args(get_args(AnyCriterion)[0])}
    lines = []
    for item in error.errors(include_url=False):
        where = item["loc"]
        if len(where) > 2 and where[0] == "criteria" and where[2] in kinds:
            where = (*where[:2], *where[3:])
        kind = item["type"] if item["type"] in ("missing", "extra_forbidden") else "value_error"
        context = {"error": ValueError(item["msg"].removeprefix("Value error, "))} if kind == "value_error" else {}
        lines.append({"type": kind, "loc": where, "input": item["input"], "ctx": context})
    return ValidationError.from_exception_data("Rubric", lines)  # type: ignore[arg-type]
