"""Whether a call may be recorded: a pure gate that opens once the caller was told, or has said yes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Mode = Literal["none", "notice", "ask"]
"""none: recording needs nobody's word. notice: the caller was told and stays. ask: the caller has said yes."""
State = Literal["open", "waiting", "refused"]
"""open: may be recorded; waiting: not yet; refused: not in this call."""

NOTICE: Mapping[str, str] = {
    "en": "This call is recorded. If you do not want that, please say so.",
    "zh": "本次通话将被录音。如果您不同意，请告诉我。",
}
QUESTION: Mapping[str, str] = {
    "en": "May we record this call? Please say yes or no.",
    "zh": "我们可以对本次通话录音吗？请回答可以或不可以。",
}
GIVEN: Mapping[str, str] = {"en": "Thank you. The recording begins now.", "zh": "谢谢。现在开始录音。"}
REFUSED: Mapping[str, str] = {
    "en": "All right, this call is not recorded.",
    "zh": "好的，本次通话不会录音。",
}


@dataclass(frozen=True, slots=True)
class ConsentRule:
    """What a domain demands. tries: how often it is said or asked. covers_text: the words, too, are only kept then.

    Words are by language; those missing are the usual ones, in English where the language has none.
    """

    mode: Mode = "none"
    tries: int = 2
    covers_text: bool = False
    notice: Mapping[str, str] = field(default_factory=dict)
    question: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.mode not in ("none", "notice", "ask"):
            raise ValueError(f"consent mode {self.mode!r} is unknown; give none, notice or ask")
        if not 1 <= self.tries <= 5:
            raise ValueError(f"consent tries {self.tries} is out of range; give 1 to 5")


@dataclass(frozen=True, slots=True)
class Consent:
    """Where the question stands. said: how often it was put."""

    rule: ConsentRule
    state: State
    said: int = 0

    @property
    def may_record(self) -> bool:
        """Whether sound may be kept."""
        return self.state == "open"

    @property
    def may_keep_words(self) -> bool:
        """Whether words may be kept."""
        return self.state == "open" or not self.rule.covers_text


@dataclass(frozen=True, slots=True)
class Step:
    """What follows: the new state, and words to be said before anything else (empty: none)."""

    consent: Consent
    say: str = ""


def begin(rule: ConsentRule, language: str) -> Step:
    """A call begins. What is said here must be heard whole: tell `told` whether it was."""
    if rule.mode == "none":
        return Step(Consent(rule, "open"))
    return _put(Consent(rule, "waiting"), language)


def told(consent: Consent, heard_whole: bool, language: str) -> Step:
    """The notice or question was spoken. A notice opens the gate once it was heard whole."""
    if consent.state != "waiting":
        return Step(consent)
    if heard_whole:
        return Step(replace(consent, state="open") if consent.rule.mode == "notice" else consent)
    return _put(consent, language)


def answered(consent: Consent, yes: bool | None, language: str) -> Step:
    """The caller answered, or spoke of it later. yes: None where it was neither yes nor no.

    No is always heeded, also after yes; yes opens the gate again. A caller who never says yes is not recorded.
    """
    if consent.rule.mode == "none" and yes is not False:
        return Step(consent)
    if yes is False:
        say = "" if consent.state == "refused" else _words(consent.rule.refused, REFUSED, language)
        return Step(replace(consent, state="refused"), say)
    if yes:
        say = "" if consent.state == "open" else _words(consent.rule.given, GIVEN, language)
        return Step(replace(consent, state="open"), say)
    if consent.state == "waiting" and consent.rule.mode == "ask":
        return _put(consent, language)
    return Step(consent)


def _put(consent: Consent, language: str) -> Step:
    """Say or ask once more; where that was done often enough, the call goes on unrecorded."""
    rule = consent.rule
    if consent.said >= rule.tries:
        return Step(replace(consent, state="refused"), _words(rule.refused, REFUSED, language))
    words = (
        _words(rule.notice, NOTICE, language) if rule.mode == "notice" else _words(rule.question, QUESTION, language)
    )
    return Step(replace(consent, said=consent.said + 1), words)


def _words(own: Mapping[str, str], usual: Mapping[str, str], language: str) -> str:
    base = language.partition("-")[0].lower()
    return own.get(language) or own.get(base) or usual.get(base) or own.get("en") or usual["en"]
