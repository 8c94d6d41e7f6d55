"""Scores a call by a rubric. Pure; `agent.quality.service` reads and keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.quality.checks import Finding, find, turns_of
from agent.quality.evidence import CallEvidence, excerpt
from agent.quality.rubric import AnyCriterion, Resolution, Rubric
from agent.quality.satisfaction import Predictor, features_of, survey_of


@dataclass(frozen=True, slots=True)
class Item:
    """One criterion of one call."""

    criterion: AnyCriterion
    finding: Finding

    @property
    def passed(self) -> bool | None:
        """Whether it was met; None where it does not apply."""
        return None if self.finding.value is None else self.finding.value >= self.criterion.passes

    def data(self) -> dict[str, Any]:
        """JSON-ready: score is the points got of `weight`, value the same in [0, 1]; None for both where it does not
        apply. evidence: numbers of turns; details: their words."""
        value, criterion = self.finding.value, self.criterion
        return {
            "name": criterion.name,
            "title": criterion.title,
            "check": criterion.check,
            "weight": criterion.weight,
            "score": None if value is None else round(value * criterion.weight, 2),
            "value": None if value is None else round(value, 4),
            "passed": self.passed,
            "why": self.finding.why,
            "evidence": turns_of(self.finding.evidence),
            "details": [
                {"turn": turn.number, "speaker": turn.speaker, "at_ms": turn.started, "text": excerpt(turn.text)}
                for turn in self.finding.evidence
            ],
        }


@dataclass(frozen=True, slots=True)
class Scored:
    """The score of a call, 0 to 100, None where no criterion applied. capped: the criteria that held it down."""

    score: float | None
    items: tuple[Item, ...]
    capped: tuple[str, ...]
    features: Mapping[str, float]
    satisfaction: float | None
    surveyed: bool


def score(call: CallEvidence, rubric: Rubric, predictor: Predictor) -> Scored:
    """Score one finished call."""
    items = tuple(Item(criterion, find(criterion, call)) for criterion in rubric.criteria)
    applied = [(item, item.finding.value) for item in items if item.finding.value is not None]
    total, capped = None, tuple[str, ...]()
    if applied:
        weights = sum(item.criterion.weight for item, _ in applied)
        total = 100.0 * sum(item.criterion.weight * value for item, value in applied) / weights
        caps = {item.criterion.name: item.criterion.caps for item, value in applied if value == 0.0}
        held = {name: cap for name, cap in caps.items() if cap is not None and cap < total}
        capped = tuple(held)
        total = round(min([total, *held.values()]), 1)
    resolved = next((item.finding.value for item in items if isinstance(item.criterion, Resolution)), None)
    features = features_of(call, resolved)
    told = survey_of(call)
    expected = predictor.predict(features) if call.caller else None
    return Scored(total, items, capped, features, float(told) if told is not None else expected, told is not None)
