"""Conversations of a domain as files: what the caller says turn by turn, and what must come of each turn.

They lie in the folder `conversations` of a domain and of its translations. `agent.lab.text_calls` plays them by text,
`agent.lab.voiced` makes scenarios of them for the simulated caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from agent.dialogue.domain import Domain
from agent.dialogue.knowledge.questions import Known
from agent.dialogue.steps import AskStep
from agent.lab.steps import Part
from agent.yamlfile import FileError, YamlFile, explain, read_yaml
from models.contracts import OUT_OF_SCOPE

FOLDER = "conversations"
TODAY = date(2026, 5, 4)
"""The day of a conversation that names none; demo data counts from it."""
OPENS = time(15, 0, tzinfo=UTC)
"""When its call begins."""
KINDS = ("agent", "say", "press", "silence", "interrupted_at", "drop")
NONE = "none"
"""In `flow` and `action`: none at all."""
_BUILT_IN_RULES = frozenset(
    {"asked_for_person", "slot_attempts", "action_failed", "part_failed", "no_answer", "silence", "not_understood",
     "caller_does_not_know", "identity_failed"}
)  # fmt: skip
"""Hand-off rules of the engine's own; the others are those of the domain and `flow:NAME`."""


class Expected(Part):
    """What must be true of one turn and of the agent's answer to it; at least one thing.

    says / lacks: all / none of these are in the answer, letter case aside; `/.../` is a regular expression. slots:
    values known after the turn. action: actions that ran in this turn with success, or `none`. flow: the flow that is
    open afterwards, or `none`. source: where in the knowledge the answer is from, any of these. hand_off: the rule by
    which a person is called. tone: some sentence has it. consent: what the caller agreed to, or did not.
    """

    intent: str | None = None
    says: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    slots: dict[str, Any] = Field(default_factory=dict)
    action: tuple[str, ...] = ()
    flow: str | None = None
    source: tuple[str, ...] = ()
    hand_off: str | None = None
    hang_up: bool | None = None
    tone: Literal["neutral", "warm", "sorry", "calm"] | None = None
    consent: dict[str, bool] = Field(default_factory=dict)

    @field_validator("says", "lacks", "action", "source", mode="before")
    @classmethod
    def _several(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    @field_validator("says", "lacks")
    @classmethod
    def _patterns(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for piece in given:
            if not piece.strip():
                raise ValueError("a text is empty, and every answer has that; remove it")
            if (pattern := pattern_of(piece)) is not None:
                try:
                    re.compile(pattern)
                except re.error as error:
                    raise ValueError(f"{piece!r} is not a regular expression: {error}; correct it") from error
        return given

    @model_validator(mode="after")
    def _something(self) -> Expected:
        if not self.model_fields_set:
            raise ValueError(f"expect at least one of {', '.join(type(self).model_fields)}")
        return self


class Turn(Part):
    """One thing the caller does, or that happens to the call: exactly one of `KINDS`; and what must come of it.

    agent: the greeting contains this. say: words, `angry` with a raised voice. press: keys, `#` ends a number.
    silence: nothing is said, for the Nth time in a row. interrupted_at: of the last answer only these words were heard;
    alone, or beside `say` and `press`. drop: the line drops, and `after_s` later the same caller rings again.
    """

    agent: str | None = Field(None, min_length=1)
    say: str | None = Field(None, min_length=1)
    press: str | None = Field(None, pattern=r"^[0-9*#]{1,40}$")
    silence: int | None = Field(None, ge=1, le=9)
    interrupted_at: str | None = None
    drop: Literal[True] | None = None
    angry: bool = False
    after_s: float = Field(60.0, gt=0, le=86_400)
    expect: Expected | None = None

    @field_validator("press", mode="before")
    @classmethod
    def _keys_are_text(cls, given: Any) -> Any:
        if isinstance(given, int) and not isinstance(given, bool):
            raise ValueError(f'put the keys in quotes, "{given}": a number loses its leading zeros')
        return given

    @model_validator(mode="after")
    def _one_kind(self) -> Turn:
        given = [name for name in KINDS if getattr(self, name) is not None]
        doing = [name for name in given if name != "interrupted_at"]
        if len(doing) > 1 or not given or (self.interrupted_at is not None and doing not in ([], ["say"], ["press"])):
            has = " and ".join(given) or "none"
            raise ValueError(f"a turn is exactly one of {', '.join(KINDS)}; this one has {has}")
        if self.angry and self.say is None:
            raise ValueError("'angry' belongs to 'say'; remove it")
        if "after_s" in self.model_fields_set and self.drop is None:
            raise ValueError("'after_s' belongs to 'drop'; remove it")
        if self.expect is not None and given == ["interrupted_at"]:
            raise ValueError("nothing is answered to 'interrupted_at' alone; expect something of the next turn")
        return self

    @property
    def kind(self) -> str:
        """What it is, of `KINDS`; `interrupted_at` only where there is nothing else."""
        given = [name for name in KINDS if getattr(self, name) is not None]
        return next((name for name in given if name != "interrupted_at"), "interrupted_at")

    def __str__(self) -> str:
        value = getattr(self, self.kind)
        shown = {
            "say": f"“{value}”",
            "press": f"[{value}]",
            "silence": f"(silence {value})",
            "drop": "(the line drops)",
        }
        return shown.get(self.kind, f"({self.kind} “{value}”)")


class Script(Part):
    """A conversation file's contents. caller: a number; without one it is withheld. language: spoken, en or zh."""

    description: str = Field(min_length=1)
    tags: tuple[str, ...] = ()
    caller: str | None = Field(None, pattern=r"^\+[0-9]{6,15}$")
    language: str | None = Field(None, pattern=r"^[a-z]{2}$")
    today: date = TODAY
    turns: tuple[Turn, ...] = Field(min_length=1)

    @field_validator("today", mode="before")
    @classmethod
    def _a_day(cls, given: Any) -> Any:
        if isinstance(given, datetime):
            raise ValueError("give a day, as 2026-05-04, without a time")
        return given


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation file: its name (the file's), where it is, and what is in it."""

    name: str
    path: Path
    script: Script

    @property
    def began(self) -> datetime:
        """When its call begins."""
        return datetime.combine(self.script.today, OPENS)


def pattern_of(piece: str) -> str | None:
    """The regular expression that `/.../` stands for; None for plain text."""
    return piece[1:-1] if len(piece) > 2 and piece.startswith("/") and piece.endswith("/") else None


def conversation_files(domain: Path, only: str = "*") -> list[Path]:
    """The conversations of a domain and of its translations whose names match `only`, each by name.

    only: globs, separated by commas.
    """
    found = [*sorted((domain / FOLDER).glob("*.yaml")), *sorted(domain.glob(f"*/{FOLDER}/*.yaml"))]
    return [path for path in found if any(fnmatchcase(path.stem, glob.strip()) for glob in only.split(","))]


def read_conversation(path: Path) -> tuple[YamlFile, Conversation]:
    """Read one conversation.

    Raises:
        FileError: an unknown key or turn, a wrong value; with file and line.
    """
    file = read_yaml(path)
    try:
        return file, Conversation(path.stem, path, Script.model_validate(file.data))
    except ValidationError as error:
        raise FileError(explain(file, error)) from error


def read_conversations(paths: Sequence[Path], domain: Domain) -> tuple[list[Conversation], list[str]]:
    """Read conversations of `domain`: those that can be played, and every problem of all of them, with file and line.

    One that expects what the domain does not have can be played, and fails there.
    """
    found, problems = [], []
    for path in paths:
        try:
            file, conversation = read_conversation(path)
        except FileError as error:
            problems += error.problems
            continue
        found.append(conversation)
        problems += unknown_names(file, conversation.script, domain)
    return found, problems


def unknown_names(file: YamlFile, script: Script, domain: Domain) -> Iterator[str]:
    """Problems of expectations that can never hold, since the domain has no such thing."""
    slots = {*domain.slots} | {name for flow in domain.flows.values() for name in flow.slots}
    slots |= {step.ask for flow in domain.flows.values() for step in flow.steps if isinstance(step, AskStep)}
    rules = {rule.name for rule in domain.manner.escalation} | {f"flow:{name}" for name in domain.flows}
    sources = known_sources(domain)
    known: dict[str, tuple[str, set[str]]] = {
        "intent": ("intent", {*domain.intents, OUT_OF_SCOPE}),
        "slots": ("slot", slots),
        "action": ("action", {*domain.manner.actions, NONE}),
        "flow": ("flow", {*domain.flows, NONE}),
        "source": ("section", set(sources.sections)),
        "hand_off": ("rule", rules | _BUILT_IN_RULES),
    }
    for n, turn in enumerate(script.turns):
        for key, (what, names) in known.items():
            value = None if turn.expect is None else getattr(turn.expect, key)
            for name in () if value is None else [value] if isinstance(value, str) else value:
                if name not in names and not (key == "source" and sources.has(name)):
                    where = ("turns", n, "expect", key)
                    yield file.problem(where, f"the domain has no {what} '{name}'{_near(name, names)}")


def known_sources(domain: Domain) -> Known:
    """What an answer's source may be, in any language: sections of the knowledge, and entities of its graph."""
    every = (domain, *domain.localized.values())
    return Known(
        {fact.source for one in every for fact in one.facts},
        {name for one in every if one.graph is not None for name in one.graph.entities},
    )


def _near(name: str, names: set[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, names, 1)
    return f"; did you mean '{close[0]}'?" if close else "; correct the name"
