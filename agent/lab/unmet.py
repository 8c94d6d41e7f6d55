"""What of an expectation a played turn did not meet. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.lab.conversations import NONE, Expected, Turn, pattern_of

_QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "\u00a0": " "})


@dataclass(frozen=True)
class TurnResult:
    """What one turn led to.

    answer: all that the agent said. ranking: likeliest intents. slots: known after it, with those taken by a flow that
    ended in it. actions: names that ran with success; failed: with what error the others ended. sources: sections the
    answer is from. consents: what the caller agreed to so far. facts: the dialogue's reasons, as they are stored.
    broke: the exception that ended the turn. unmet: expectations that did not hold.
    """

    turn: Turn
    answer: str = ""
    intent: str | None = None
    confidence: float = 0.0
    ranking: tuple[tuple[str, float], ...] = ()
    slots: Mapping[str, Any] = field(default_factory=dict)
    actions: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    flow: str | None = None
    sources: tuple[str, ...] = ()
    hand_off: str | None = None
    hang_up: bool = False
    tones: tuple[str, ...] = ()
    consents: Mapping[str, bool] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    broke: str | None = None
    took_ms: float = 0.0
    unmet: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        found = {name: value for name, value in vars(self).items() if name != "turn" and value not in (None, {}, ())}
        return {"turn": str(self.turn), **found}


def unmet(result: TurnResult) -> tuple[str, ...]:
    """Everything expected of the turn that is not so, in words; and what nobody expects of any turn.

    A turn that ends in an exception, in silence, in a failed action, or in a call for a person that is not expected
    failed whatever its expectations are.
    """
    return tuple(_always(result)) + tuple(_wanted(result.turn.expect, result) if result.turn.expect else ())


def _always(result: TurnResult) -> Iterator[str]:
    turn, wanted = result.turn, result.turn.expect
    if result.broke is not None:
        yield f"the dialogue broke: {result.broke}"
        return
    if turn.kind != "interrupted_at" and not result.answer.strip():
        yield "the agent said nothing"
    if turn.agent is not None and not contains(result.answer, turn.agent):
        yield f"the greeting lacks “{turn.agent}”"
    if result.hand_off is not None and (wanted is None or wanted.hand_off is None):
        yield f"a person was called, by rule '{result.hand_off}'"
    for name, error in result.failed.items():
        yield f"action {name} failed: {error}"


def _wanted(wanted: Expected, result: TurnResult) -> Iterator[str]:
    if wanted.intent is not None and wanted.intent != result.intent:
        yield f"intent is {result.intent}, not {wanted.intent}"
    for piece in wanted.says:
        if not contains(result.answer, piece):
            yield f"the answer lacks “{piece}”"
    for piece in wanted.lacks:
        if contains(result.answer, piece):
            yield f"the answer has “{piece}”"
    for name, value in wanted.slots.items():
        if not same(result.slots.get(name), value):
            yield f"slot {name} is {result.slots.get(name)!r}, not {value!r}"
    for name in wanted.action:
        if name == NONE:
            yield from (f"action {ran} ran" for ran in result.actions)
        elif name not in result.actions:
            yield f"action {name} did not run; {', '.join(result.actions) or 'none'} did"
    if wanted.flow is not None and wanted.flow != (result.flow or NONE):
        yield f"flow {result.flow or NONE} is open, not {wanted.flow}"
    if wanted.source and not set(wanted.source) & set(result.sources):
        yield f"the answer is from {', '.join(result.sources) or 'no section'}, not {' or '.join(wanted.source)}"
    if wanted.hand_off is not None and wanted.hand_off != result.hand_off:
        yield f"a person was called by {result.hand_off or 'no rule'}, not by {wanted.hand_off}"
    if wanted.hang_up is not None and wanted.hang_up != result.hang_up:
        yield "the agent hung up" if result.hang_up else "the agent did not hang up"
    if wanted.tone is not None and wanted.tone not in result.tones:
        yield f"the tone is {', '.join(dict.fromkeys(result.tones)) or 'none'}, not {wanted.tone}"
    for name, agreed in wanted.consent.items():
        if result.consents.get(name) is not agreed:
            yield f"consent {name} is {result.consents.get(name)}, not {agreed}"


def contains(text: str, piece: str) -> bool:
    """Whether `piece` is in `text`, letter case, kinds of quotes and line breaks aside; `/.../` is searched for."""
    text = " ".join(text.translate(_QUOTES).split())
    pattern = pattern_of(piece)
    if pattern is not None:
        return re.search(pattern, text, re.IGNORECASE) is not None
    return " ".join(piece.translate(_QUOTES).lower().split()) in text.lower()


def same(found: Any, wanted: Any) -> bool:
    """Whether a slot's value is the one wanted: dates and numbers by their text, mappings as far as they are given."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(same(found.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, str) and isinstance(found, str):
        return found.strip().lower() == wanted.strip().lower()
    if isinstance(wanted, bool) or isinstance(found, bool) or found is None or wanted is None:
        return found is wanted
    return bool(found == wanted) or str(found).lower() == str(wanted).lower()
