"""What the words and the voice of one turn say together: label, probabilities, anger and activation. Pure.

Each source is turned into evidence: the likelihood ratio of every emotion against neutral, from a slope and offsets
learnt on held-out data, which are how far it can be relied on. People who feel something often use plain words, or a
flat voice, so the evidence is a mixture: with probability `plain` the source would look neutral whatever is felt. That
bounds what a neutral source can say against the other one. The evidences add to the prior's log-odds:

    log-odds(e) = log prior(e) / prior(neutral) + sum over sources of log((1 - plain) ratio(e) + plain)

Words and voice are taken as independent given the emotion: there is no corpus with both, see weights/fusion.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from models.contracts import TextEmotion, VoiceEmotion
from models.errors import ModelDamaged, ModelMissing

LABELS = ("neutral", "happy", "sad", "angry")
WEIGHTS = Path(__file__).with_name("weights") / "fusion.json"

LEAST = 1e-4
"""Least probability a source is taken at its word for; log-odds stay within 9.2 before the slope."""


@dataclass(frozen=True, slots=True)
class FusedEmotion:
    """What both sources say of a turn.

    scores: probability of each of `LABELS`, which sum to 1; label: the most probable; anger: that of angry. activation:
    the voice's P(high activation) in [0, 1], None where no voice was read: words say little about it.
    """

    label: str
    scores: Mapping[str, float]
    anger: float
    activation: float | None


@dataclass(frozen=True, slots=True)
class Source:
    """How a source's probabilities become likelihood ratios, and how often it shows nothing of what is felt.

    ratio(e) = exp(slope * log(p(e) / p(neutral)) + offsets[e]); plain in (0, 1).
    """

    slope: float
    offsets: Mapping[str, float]
    plain: float

    def evidence(self, scores: Mapping[str, float]) -> dict[str, float]:
        """log P(what the source says | e) / P(the same | neutral) of each of `LABELS`; 0 for neutral."""
        floor = {label: max(scores.get(label, 0.0), LEAST) for label in LABELS}
        result = {"neutral": 0.0}
        for label in LABELS[1:]:
            ratio = self.slope * math.log(floor[label] / floor["neutral"]) + self.offsets[label]
            result[label] = math.log((1.0 - self.plain) * math.exp(ratio) + self.plain)
        return result


@dataclass(frozen=True, slots=True)
class FusionWeights:
    """Both sources, and how common each of `LABELS` is among caller turns."""

    text: Source
    voice: Source
    prior: Mapping[str, float]

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> FusionWeights:
        """Read what `save` wrote.

        Raises:
            ModelMissing: there is no such file.
            ModelDamaged: it is not JSON, lacks a value, or a value is out of its range; names it.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelMissing(f"no fusion weights at {path}; run python -m models.training.fusion") from None
        except ValueError as error:
            raise ModelDamaged(f"{path} is not JSON ({error}); make it again") from error
        try:
            prior = {label: _within(document["prior"][label], f"prior.{label}", 0.0, 1.0) for label in LABELS}
            return cls(_source(document, "text"), _source(document, "voice"), prior)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelDamaged(f"{path}: {error} is missing or wrong; run python -m models.training.fusion") from error

    def document(self) -> dict[str, Any]:
        """JSON-ready; `load` reads it back."""

        def rounded(values: Mapping[str, float]) -> dict[str, float]:
            return {name: round(value, 4) for name, value in values.items()}

        sources = {
            name: {"slope": round(part.slope, 4), "offsets": rounded(part.offsets), "plain": part.plain}
            for name, part in (("text", self.text), ("voice", self.voice))
        }
        return {"prior": rounded(self.prior), **sources}


def _within(value: Any, name: str, low: float, high: float) -> float:
    """`value` as a number strictly between `low` and `high`."""
    number = float(value)
    if not low < number < high:
        raise ValueError(f"{name} = {value}")
    return number


def _source(document: Mapping[str, Any], name: str) -> Source:
    part = document[name]
    offsets = {label: _within(part["offsets"][label], f"{name}.{label}", -50.0, 50.0) for label in LABELS[1:]}
    slope = _within(part["slope"], f"{name}.slope", 0.0, 10.0)
    return Source(slope, offsets, _within(part["plain"], f"{name}.plain", 0.0, 1.0))


@cache
def shipped() -> FusionWeights:
    """The weights that come with the program, read once."""
    return FusionWeights.load()


def fuse(text: TextEmotion, voice: VoiceEmotion | None, weights: FusionWeights | None = None) -> FusedEmotion:
    """What words and voice of one turn say together; the words alone where there is no voice.

    Labels other than `LABELS` do not count. Words without scores count as their label, for sure.

    Raises:
        ModelMissing, ModelDamaged: without `weights`, those shipped cannot be read.
    """
    believed = weights or shipped()
    odds = {label: math.log(believed.prior[label]) for label in LABELS}
    spoken = [(believed.text, text.scores or {text.label: 1.0})]
    if voice is not None:
        spoken.append((believed.voice, voice.scores or {voice.label: 1.0}))
    for source, scores in spoken:
        if any(scores.get(label, 0.0) > 0.0 for label in LABELS):
            for label, evidence in source.evidence(scores).items():
                odds[label] += evidence
    highest = max(odds.values())
    shares = {label: math.exp(value - highest) for label, value in odds.items()}
    total = sum(shares.values())
    probabilities = {label: share / total for label, share in shares.items()}
    label = max(LABELS, key=probabilities.__getitem__)
    return FusedEmotion(label, probabilities, probabilities["angry"], voice.activation if voice else None)
