"""Who the agent is in a domain, how it speaks, and when it calls a person: the content of domain.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

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
    "and_now",
    "never_mind",
    "more_digits",
    "slower",
    "faster",
    "louder",
    "read_back",
    "use_keys",
    "spell_it",
    "did_you_mean",
    "verify_first",
    "continue_call",
    "known_caller",
    "open_items",
    "last_topic",
    "offers_stopped",
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
    """Least P(a section answers the question) for it to be an answer; see `agent.dialogue.knowledge.answerable`.

    minimum: where an answer is looked for; strong: where it is given without asking what was meant.
    """

    minimum: float = Field(default=0.35, ge=0, le=1)
    strong: float = Field(default=0.45, ge=0, le=1)


Stance = Literal["soothe", "apologise", "encourage", "celebrate", "brief", "plain"]
"""How a reply meets the caller's feelings; see `agent.dialogue.emotion`."""

OPENERS: Mapping[str, Stance] = {
    "apologise": "apologise",
    "angry": "apologise",
    "soothe": "soothe",
    "sad": "soothe",
    "encourage": "encourage",
    "worried": "encourage",
    "celebrate": "celebrate",
    "happy": "celebrate",
}
"""What `emotion.say` may be keyed by: a stance that opens with words of its own, or the feeling that leads to it."""


class EmotionSettings(Part):
    """The emotion policy; see `agent.dialogue.emotion` and docs/emotion.md.

    smoothing: weight of the newest turn. apologise: anger from which a rise is apologised for. upset, calm: smoothed
    anger from which a caller counts as upset, and below which no longer. sad, consoled: the same for sadness.
    hold_turns: how long a stance is kept unless a stronger one is due. opener_turns: at most one opening sentence in so
    many turns; apologise_again_turns: at most one apology in so many. say: opening sentences, each said once a call, by
    a key of `OPENERS`. complaints: parts of names of intents and flows that are complaints.
    """

    smoothing: float = Field(default=0.6, gt=0, le=1)
    apologise: float = Field(default=0.5, ge=0, le=1)
    upset: float = Field(default=0.4, ge=0, le=1)
    calm: float = Field(default=0.3, ge=0, le=1)
    sad: float = Field(default=0.4, ge=0, le=1)
    consoled: float = Field(default=0.25, ge=0, le=1)
    hold_turns: int = Field(default=2, ge=1)
    opener_turns: int = Field(default=2, ge=1)
    apologise_again_turns: int = Field(default=3, ge=1)
    say: Mapping[str, tuple[Word, ...]] = {}
    complaints: tuple[Word, ...] = ("complain",)

    @field_validator("say", mode="before")
    @classmethod
    def _by_stance(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        found: dict[str, list[Any]] = {}
        for key, texts in value.items():
            if key not in OPENERS:
                raise ValueError(
                    f"'{key}' is no feeling with words of its own; use one of {', '.join(sorted(OPENERS))}"
                )
            if texts is None:
                raise ValueError(f"'{key}' has no words; give a text or a list of texts")
            found.setdefault(OPENERS[key], []).extend([texts] if isinstance(texts, str) else texts)
        return found

    @model_validator(mode="after")
    def _in_order(self) -> EmotionSettings:
        if self.calm > self.upset:
            raise ValueError(f"'calm' is {self.calm}, above 'upset' {self.upset}; give a lower one")
        if self.consoled > self.sad:
            raise ValueError(f"'consoled' is {self.consoled}, above 'sad' {self.sad}; give a lower one")
        return self


class IdentitySettings(Part):
    """How a caller is proven to be somebody: `flow` asks and checks. The limits are those of `agent.dialogue.identity`.

    most_per_call, most_per_caller, most_per_customer: failed proofs in a call, of one number and for one claimed
    customer within `window_s` seconds, from which on no proof is taken.
    """

    flow: Word
    most_per_call: int = Field(default=3, ge=1, le=10)
    most_per_caller: int = Field(default=6, ge=1, le=100)
    most_per_customer: int = Field(default=5, ge=1, le=100)
    window_s: float = Field(default=3600.0, ge=60, le=86_400)


class ProfileSettings(Part):
    """Where a caller's profile comes from: a read-only action with the argument `phone`; see `agent.dialogue.profile`.

    history: how many of this number's last calls are read from the records; 0 for none.
    """

    action: Word
    history: int = Field(default=3, ge=0, le=20)


class OfferSpec(Part):
    """Something to offer after a task; see `agent.dialogue.offers`.

    after: flows whose success it suits. when: a path that must be true. say: a yes-or-no question, or with no `yes` a
    remark. yes: `flow:NAME` that a yes leads to.
    """

    name: Word
    after: tuple[Word, ...] = Field(min_length=1)
    when: Word | None = None
    say: Word
    yes: Word | None = Field(default=None, pattern=r"^flow:.+")

    @model_validator(mode="before")
    @classmethod
    def _yes_is_a_word(cls, value: Any) -> Any:
        # YAML reads the bare key `yes` as true.
        return (
            {"yes" if key is True else key: inner for key, inner in value.items()} if isinstance(value, dict) else value
        )


class EscalationRule(Part):
    """When to call a person; all conditions given must hold. `offer` asks first, once a call.

    intent: the caller's intent, with `confidence`. words: regular expressions, any of which is found in the caller's
    words. failures, angry_turns, sad_turns, silences: at least so many in a row.
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
    sad_turns: int | None = Field(default=None, ge=1)
    silences: int | None = Field(default=None, ge=1)
    say: Phrase | None = None

    @field_validator("words")
    @classmethod
    def _valid_patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _patterns(value)

    @model_validator(mode="after")
    def _some_condition(self) -> EscalationRule:
        if not self.words and all(
            value is None for value in (self.intent, self.failures, self.angry_turns, self.sad_turns, self.silences)
        ):
            raise ValueError("has no condition; give one of intent, words, failures, angry_turns, sad_turns, silences")
        return self


class Listening(Part):
    """Words with a fixed meaning, as regular expressions: never_mind drops the open task, go_on asks for the rest,
    unknown says that the caller cannot answer the question, slower, faster and louder how to speak, no_offers that none
    is wanted, goodbye that the caller is leaving.

    other: per slot, asks for the other value spoken of before. another: per slot, drops the value.
    """

    never_mind: tuple[Word, ...] = ()
    go_on: tuple[Word, ...] = ()
    unknown: tuple[Word, ...] = ()
    negation: tuple[Word, ...] = ()
    instead: tuple[Word, ...] = ()
    slower: tuple[Word, ...] = ()
    faster: tuple[Word, ...] = ()
    louder: tuple[Word, ...] = ()
    no_offers: tuple[Word, ...] = ()
    goodbye: tuple[Word, ...] = ()
    other: Mapping[str, tuple[Word, ...]] = {}
    another: Mapping[str, tuple[Word, ...]] = {}

    @field_validator(
        "never_mind", "go_on", "unknown", "negation", "instead", "slower", "faster", "louder", "no_offers", "goodbye"
    )
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
    """The content of domain.yaml. `extends` names the domain whose texts and rules it takes where it has none."""

    name: Word
    extends: Word | None = None
    business: Word
    language: Word = "en"
    languages: tuple[Word, ...] = ()
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
    identity: IdentitySettings | None = None
    profile: ProfileSettings | None = None
    offers: tuple[OfferSpec, ...] = ()
    offers_opt_out: Word | None = None
    escalation: tuple[EscalationRule, ...] = ()
    phrases: Mapping[str, Phrase]
