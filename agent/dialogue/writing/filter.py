"""What may not be said, whoever words it: rules as data (`filter.yaml`), foreign addresses, and leaked instructions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from agent.dialogue.writing.values import values
from agent.records.redaction import redact
from agent.yamlfile import FileError, explain, read_yaml

RULES = Path(__file__).with_name("filter.yaml")
LEAK_WORDS = 7
"""Words in a row that a sentence shares with the instructions from which it is taken for a leak of them."""

_WORD = re.compile(r"[\w']+")


class Rule(BaseModel):
    """One rule of `filter.yaml`. `unless`: the sections allow the words that were found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str = Field(min_length=1)
    patterns: tuple[str, ...] = Field(min_length=1)
    unless: Literal["sections"] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Why a sentence may not be said: the rule's name and reason."""

    rule: str
    reason: str


class OutputFilter:
    """Finds what breaks a rule. Made once, used by every call."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = [
            (name, rule, [re.compile(pattern, re.IGNORECASE) for pattern in rule.patterns])
            for name, rule in rules.items()
        ]

    def find(self, sentence: str, sections: Sequence[str] = (), instructions: str = "") -> Found | None:
        """The first rule that `sentence` breaks. `sections`: what is known; `instructions`: what must not be told."""
        known = " ".join(sections).lower()
        text = sentence.replace("’", "'")
        for name, rule, patterns in self._rules:
            for pattern in patterns:
                match = pattern.search(text)
                if match is not None and not (rule.unless and match.group().lower() in known):
                    return Found(name, rule.reason)
        addresses = {value.text for value in values(text) if value.kind == "address"}
        if addresses and not addresses <= {value.text for value in values(known) if value.kind == "address"}:
            return Found("foreign_address", "Sends the caller to an address that no section has.")
        if redact(text) != text and not all(part in known for part in _private(text)):
            return Found("foreign_number", "Names a number or address that no section has.")
        if _shares(text, instructions):
            return Found("prompt_leak", "Repeats the instructions.")
        return None


@cache
def standard_filter() -> OutputFilter:
    """The filter of `filter.yaml`, read once."""
    return OutputFilter(read_rules(RULES))


def read_rules(path: Path) -> dict[str, Rule]:
    """Read rules.

    Raises:
        FileError: a rule is not one, or a pattern is no regular expression; names file and line.
    """
    file = read_yaml(path)
    try:
        rules = TypeAdapter(dict[str, Rule]).validate_python(file.data)
    except ValidationError as error:
        raise FileError(explain(file, error)) from error
    problems = []
    for name, rule in rules.items():
        for n, pattern in enumerate(rule.patterns):
            try:
                re.compile(pattern)
            except re.error as error:
                where = (name, "patterns", n)
                problems.append(file.problem(where, f"{pattern!r} is no regular expression: {error}; correct it"))
    if problems:
        raise FileError(problems)
    return rules


def _private(text: str) -> Iterable[str]:
    """The words that redaction takes out."""
    kept = set(_WORD.findall(redact(text).lower()))
    return [word for word in _WORD.findall(text.lower()) if word not in kept]


def _shares(text: str, instructions: str) -> bool:
    said, told = _WORD.findall(text.lower()), _WORD.findall(instructions.lower())
    runs = {tuple(told[n : n + LEAK_WORDS]) for n in range(len(told) - LEAK_WORDS + 1)}
    return any(tuple(said[n : n + LEAK_WORDS]) in runs for n in range(len(said) - LEAK_WORDS + 1))
