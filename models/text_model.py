"""Versions of our understanding models: what one says of a text, and how one is opened from its folder.

A version is a folder: `model.json` says what it is (`ModelInfo`, and how members are combined), each member is a
network (`*.onnx`, fine-tuned) or a head over the frozen sentence encoder (`*.npz`), `SHA256SUMS` lists their digests,
`card.md` tells a reader what it was trained on, and `examples.npz` keeps the training texts with their vectors for
explanations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from models.contracts import OUT_OF_SCOPE
from models.errors import ModelDamaged, ModelMissing

Vectors = npt.NDArray[np.float32]
Ranking = tuple[tuple[str, float], ...]

MODEL_FILE = "model.json"
CARD_FILE = "card.md"
EXAMPLES_FILE = "examples.npz"
FORMAT = 1
"""Version of the folder's layout; a higher one is refused."""


@dataclass(frozen=True, slots=True)
class FoundSpan:
    """A slot value the model sees in characters [start, end) of the text; probability in [0, 1]."""

    start: int
    end: int
    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model says of one text.

    ranking: (intent, probability), best first, `OUT_OF_SCOPE` among them; () where the model knows no intents. intent
    and confidence: what is believed, `OUT_OF_SCOPE` with 1 - P(best intent) where no intent is. emotions: probability
    of each label, which sum to 1 unless the model is multi-label. vector: float32[width], unit length.
    """

    ranking: Ranking
    intent: str
    confidence: float
    spans: tuple[FoundSpan, ...]
    emotions: Mapping[str, float]
    vector: Vectors


@dataclass(frozen=True, slots=True)
class Member:
    """One of the models that are averaged: a file of the folder and the weight of its log-probabilities."""

    file: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a version is, as `model.json` keeps it.

    intents (`OUT_OF_SCOPE` last, where it was taught), slots (without BIO prefixes), emotions: its labels.
    several_emotions: a text may have more than one, so their probabilities are sigmoids. content: key of the domain's
    intents it was trained on (see `agent.learning.opening`), empty where it was trained on files alone. temperature
    divides the logits; threshold is the P(best intent) under which no intent is believed. created: ISO 8601, UTC.
    measured: figures on held-out data.
    """

    name: str
    version: str
    method: str
    base: str
    language: str = "en"
    members: tuple[Member, ...] = ()
    intents: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()
    emotions: tuple[str, ...] = ()
    several_emotions: bool = False
    content: str = ""
    temperature: float = 1.0
    emotion_temperature: float = 1.0
    threshold: float = 0.0
    max_tokens: int = 96
    created: str = ""
    measured: Mapping[str, float] = field(default_factory=dict)

    @property
    def rejects(self) -> bool:
        """Whether it can call a text out of scope."""
        return self.threshold > 0 or OUT_OF_SCOPE in self.intents

    def document(self) -> dict[str, Any]:
        """JSON-ready; `info_from` reads it back."""
        return {"format": FORMAT, **asdict(self)}


class TextModel(Protocol):
    """A version in memory; blocking, called from the pool; safe to call from several threads."""

    @property
    def info(self) -> ModelInfo:
        """What it is."""
        ...

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """Read each of `texts`; an empty one is out of scope with confidence 0."""
        ...


def info_from(document: Mapping[str, Any], origin: str) -> ModelInfo:
    """The `ModelInfo` of a `model.json`.

    Raises:
        ModelDamaged: a key is missing, unknown or of a newer format; `origin` names the file.
    """
    rest = dict(document)
    layout = rest.pop("format", None)
    if layout != FORMAT:
        raise ModelDamaged(f"{origin}: format {layout!r}, this version reads {FORMAT}; train the model again")
    try:
        members = tuple(Member(**member) for member in rest.pop("members"))
        lists: dict[str, Any] = {key: tuple(rest.pop(key)) for key in ("intents", "slots", "emotions")}
        return ModelInfo(members=members, **lists, **rest)
    except (KeyError, TypeError) as error:
        raise ModelDamaged(f"{origin} is not a model description ({error}); train the model again") from error


def read_info(folder: Path) -> ModelInfo:
    """The `ModelInfo` of a version's folder.

    Raises:
        ModelMissing: it has no `model.json`.
        ModelDamaged: that cannot be read.
    """
    path = folder / MODEL_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelMissing(f"{folder} holds no {MODEL_FILE}; name the folder of a trained version") from None
    except ValueError as error:
        raise ModelDamaged(f"{path} is not JSON ({error}); train the model again") from error
    return info_from(document, str(path))


def decide(ranking: Ranking, threshold: float) -> tuple[str, float]:
    """(intent, confidence): the best intent, or `OUT_OF_SCOPE` with 1 - P(best intent) where it is not believed."""
    best, probability = next((row for row in ranking if row[0] != OUT_OF_SCOPE), (OUT_OF_SCOPE, 0.0))
    outside = next((p for label, p in ranking if label == OUT_OF_SCOPE), 0.0)
    if probability < threshold or outside > probability:
        return OUT_OF_SCOPE, 1.0 - probability
    return best, probability
