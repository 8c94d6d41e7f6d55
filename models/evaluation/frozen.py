"""Heads over the frozen sentence encoder as a text model: what a domain gets without any fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.contracts import OUT_OF_SCOPE, Encoder
from models.heads import IntentHead, Vectors, features
from models.text_emotion import TextEmotionModel
from models.text_model import ModelInfo, Reading
from models.training.examples import DataError, Example
from models.training.heads import generic_out_of_scope, train_intent_head

NAME = "frozen heads"
_FOLDS = 5


class FrozenHeads:
    """Implements `models.text_model.TextModel` by an intent head, and the text emotion head where one is given."""

    def __init__(
        self,
        head: IntentHead,
        encoder: Encoder,
        emotion: TextEmotionModel | None = None,
        version: str = "head",
        base: str = "",
    ) -> None:
        """base: what the encoder is, for reports."""
        self._head, self._encoder, self._emotion = head, encoder, emotion
        self._info = ModelInfo(
            NAME,
            version,
            "head",
            base,
            intents=tuple(label for label in head.labels if label != OUT_OF_SCOPE),
            emotions=() if emotion is None else emotion.head.labels,
            temperature=head.head.temperature,
            threshold=head.threshold,
        )

    @property
    def info(self) -> ModelInfo:
        """What it is."""
        return self._info

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """Read each of `texts`; slots are found by rules elsewhere, so there are none."""
        vectors = features(texts, self._encoder)
        emotions = _emotions(self._emotion, vectors)
        found = []
        for text, ranking, row, emotion in zip(texts, self._head.rank(vectors), vectors, emotions, strict=True):
            unit = row[: self._encoder.width]
            if not text.strip():
                found.append(Reading((), OUT_OF_SCOPE, 0.0, (), {}, unit))
                continue
            found.append(Reading(ranking, *self._head.decide(ranking), (), emotion, unit))
        return found


def _emotions(model: TextEmotionModel | None, vectors: Vectors) -> list[Mapping[str, float]]:
    if model is None:
        return [{} for _ in vectors]
    rows = model.head.probabilities(vectors)
    return [dict(zip(model.head.labels, row.tolist(), strict=True)) for row in rows]


def fit_frozen(
    examples: Sequence[Example],
    encoder: Encoder,
    emotion: TextEmotionModel | None = None,
    seed: int = 0,
    base: str = "",
) -> FrozenHeads:
    """Train an intent head on the examples that have one; where none is out of scope, on sentences of ours that are.

    Raises:
        DataError: there are too few intents, or examples of one.
    """
    by_intent: dict[str, list[str]] = {}
    for one in examples:
        if one.intent is not None:
            by_intent.setdefault(one.intent, []).append(one.text)
    outside = by_intent.pop(OUT_OF_SCOPE, None) or generic_out_of_scope()
    try:
        head = train_intent_head(by_intent, outside, encoder, seed)
    except ValueError as error:
        raise DataError([f"frozen heads cannot be trained: {error}"]) from error
    return FrozenHeads(head, encoder, emotion, base=base)


def cross_read(
    examples: Sequence[Example], encoder: Encoder, seed: int = 0, base: str = ""
) -> tuple[ModelInfo, list[Example], list[Reading]]:
    """Every example with an intent, read by a head trained on four fifths of them that it is not among.

    Copies of a text stay on one side. The `ModelInfo` is that of a head trained on all.

    Raises:
        DataError: as `fit_frozen`.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    labelled = [one for one in examples if one.intent is not None]
    if not labelled:
        raise DataError(["no example has an intent; nothing to cross-validate"])
    intents = [one.intent for one in labelled]
    texts = [" ".join(one.text.lower().split()) for one in labelled]
    readings: dict[int, Reading] = {}
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed)
    try:
        parts = list(folds.split(texts, intents, texts))
    except ValueError as error:
        raise DataError([f"{len(labelled)} examples cannot be parted {_FOLDS} ways: {error}"]) from error
    for train, test in parts:
        model = fit_frozen([labelled[place] for place in train], encoder, None, seed)
        readings.update(zip(test.tolist(), model.read([labelled[place].text for place in test.tolist()]), strict=True))
    whole = fit_frozen(labelled, encoder, None, seed, base)
    return whole.info, labelled, [readings[place] for place in range(len(labelled))]
