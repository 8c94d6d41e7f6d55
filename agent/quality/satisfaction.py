"""How satisfied a caller was, on a scale of 1 to 5: what they said, or else what the call lets one expect. Pure.

The prediction is a weighted sum of features in [0, 1]. With surveys, the weights are fitted by ridge regression towards
those of the rubric: with few they stay near it, with many they follow the callers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.quality.evidence import CallEvidence
from agent.quality.fitting import ridge
from agent.quality.rubric import Satisfaction

LOWEST, HIGHEST = 1, 5
LEAST_SURVEYS = 10
"""With fewer nothing is fitted: the error of a fit could not be told."""
FEATURES = ("anger", "angry_end", "unresolved", "repairs", "silence", "interrupted", "transferred", "thanks")
"""What a prediction may look at."""


@dataclass(frozen=True, slots=True)
class Predictor:
    """`base` plus weight times feature, kept within the scale."""

    base: float
    weights: Mapping[str, float]

    def predict(self, features: Mapping[str, float]) -> float:
        """The satisfaction to expect of a call, 1 to 5."""
        value = self.base + sum(weight * features.get(name, 0.0) for name, weight in self.weights.items())
        return round(min(float(HIGHEST), max(float(LOWEST), value)), 2)

    def data(self) -> dict[str, Any]:
        """JSON-ready, for `of`."""
        return {"base": self.base, "weights": dict(self.weights)}

    @classmethod
    def of(cls, settings: Satisfaction, fitted: Mapping[str, Any] | None = None) -> Predictor:
        """The rubric's, or the fitted one that was kept."""
        if fitted is None:
            return cls(settings.base, dict(settings.weights))
        return cls(float(fitted["base"]), {str(name): float(weight) for name, weight in fitted["weights"].items()})


@dataclass(frozen=True, slots=True)
class Fit:
    """What surveys taught. error, error_before: mean absolute error on calls left out of the fit, and of the rubric's
    weights on the same; None of both where there were too few surveys."""

    surveys: int
    predictor: Predictor
    error: float | None = None
    error_before: float | None = None

    @property
    def better(self) -> bool:
        """Whether the fit is nearer to callers it did not see."""
        return self.error is not None and self.error_before is not None and self.error < self.error_before


def features_of(call: CallEvidence, resolved: float | None) -> dict[str, float]:
    """The features of a call; resolved: what the rubric's `resolution` found, None where it does not apply."""
    replies = [turn for turn in call.agent if turn.speaker == "agent"]
    features = {
        "anger": call.anger,
        "angry_end": float(bool(call.caller) and call.caller[-1].feeling == "angry"),
        "unresolved": 1.0 - (0.5 if resolved is None else resolved),
        "repairs": call.repairs,
        "silence": call.silence,
        "interrupted": sum(turn.interrupted for turn in replies) / len(replies) if replies else 0.0,
        "transferred": float(call.transferred is not None),
        "thanks": float(any(turn.intent == "thanks" for turn in call.caller)),
    }
    return {name: round(features[name], 4) for name in FEATURES}


def survey_of(call: CallEvidence) -> int | None:
    """What the caller answered to the survey, 1 to 5; the last answer counts. None where they gave none."""
    answers = [survey_answer(turn.reasons) for turn in call.turns if turn.speaker == "agent"]
    return next((value for value in reversed(answers) if value is not None), None)


def survey_answer(reasons: Mapping[str, Any]) -> int | None:
    """The answer that a turn's reasons hold; see `agent.quality.survey`."""
    told = reasons.get("survey")
    value = told.get("value") if isinstance(told, Mapping) else None
    return value if isinstance(value, int) and LOWEST <= value <= HIGHEST else None


def fit(settings: Satisfaction, surveys: Sequence[tuple[Mapping[str, float], float]]) -> Fit:
    """Fit the weights to (features, satisfaction) of calls whose callers answered."""
    prior = Predictor.of(settings)
    if len(surveys) < LEAST_SURVEYS:
        return Fit(len(surveys), prior)
    names = sorted(settings.weights)
    rows = np.array([[1.0, *(features.get(name, 0.0) for name in names)] for features, _ in surveys])
    given = np.array([value for _, value in surveys], dtype=np.float64)
    start = np.array([prior.base, *(prior.weights[name] for name in names)])
    moved, left_out = ridge(rows, given - rows @ start, settings.trust)
    weights = start + moved
    error = float(np.abs(np.clip(rows @ start + left_out, LOWEST, HIGHEST) - given).mean())
    before = float(np.abs(np.clip(rows @ start, LOWEST, HIGHEST) - given).mean())
    fitted = {name: round(float(weight), 4) for name, weight in zip(names, weights[1:], strict=True)}
    return Fit(len(surveys), Predictor(round(float(weights[0]), 4), fitted), round(error, 3), round(before, 3))
