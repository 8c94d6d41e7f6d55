"""Who the agent is in a domain, how it speaks, and when it calls a person: the content of domain.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import Field, field_validator, model_validator

from agent.dialogue.actionspec import ActionSpec
from agent.dialogue.written import Part, Phrase, Word

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
