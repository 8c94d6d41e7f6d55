"""Whether a section answers a question: a logistic model on the signals of the search, fitted on questions of ours.

`agent.dialogue.knowledge.fitting` fits it, and says on what; answerable.json holds the weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache

from agent.dialogue.knowledge.search import Signals
from models.store import OURS

WEIGHTS = OURS / "knowledge_answerable.json"
NAMES = tuple(field.name for field in fields(Signals))


def inputs(signals: Signals) -> list[float]:
    """What the model is given. Products of signals were tried and brought nothing on domains not fitted on."""
    return [getattr(signals, name) for name in NAMES]


@dataclass(frozen=True)
class Answerable:
    """P(a section answers a question) = logistic(bias + weights . inputs)."""

    weights: Sequence[float]
    bias: float

    def probability(self, signals: Signals) -> float:
        """P in [0, 1]."""
        z = self.bias + sum(weight * value for weight, value in zip(self.weights, inputs(signals), strict=True))
        return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, z))))


def read_answerable(document: Mapping[str, object]) -> Answerable:
    """The model in a document as answerable.json is.

    Raises:
        ValueError: it was fitted for other inputs than these.
    """
    weights = document.get("weights")
    if not isinstance(weights, dict) or tuple(weights) != NAMES:
        raise ValueError(f"the weights are not those of {', '.join(NAMES)}; fit the model again")
    return Answerable(tuple(float(weight) for weight in weights.values()), float(str(document["bias"])))


@cache
def answerable() -> Answerable:
    """The model that comes with the agent."""
    return read_answerable(json.loads(WEIGHTS.read_text(encoding="utf-8")))
