"""Heads over the frozen sentence encoder as text models: what there is without any fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence

from models.contracts import OUT_OF_SCOPE, Encoder
from models.heads import features
from models.text_emotion import TextEmotionModel
from models.text_model import ModelInfo, Reading, TextModel
from models.text_model_open import AveragedModel
from models.training.examples import DataError, Example
from models.training.heads import generic_out_of_scope, train_intent_head

NAME = "frozen heads"
METHOD = "head"
_FOLDS = 5


class EmotionHead:
    """The text emotion head as a `models.text_model.TextModel` that knows emotions alone."""

    def __init__(self, model: TextEmotionModel, encoder: Encoder, base: str, version: str) -> None:
        """base: what the encoder is; version: which weights, for reports."""
        self._model, self._encoder = model, encoder
        self._info = ModelInfo("text emotion", version, METHOD, base, emotions=model.head.labels)

    @property
    def info(self) -> ModelInfo:
        """What it is."""
        return self._info

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """The emotions of each of `texts`."""
        vectors = features(texts, self._encoder)
        head = self._model.head
        rows = head.probabilities(vectors)
        return [
            Reading((), OUT_OF_SCOPE, 0.0, (), dict(zip(head.labels, row.tolist(), strict=True)), vector)
            for row, vector in zip(rows, vectors[:, : self._encoder.width], strict=True)
        ]


def fit_frozen(examples: Sequence[Example], encoder: Encoder, seed: int = 0, base: str = "") -> TextModel:
    """Train an intent head on the examples that have one; where none is out of scope, on sentences of ours that are.

    base: what the encoder is, for reports.

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
    info = ModelInfo(NAME, METHOD, METHOD, base, intents=head.labels, threshold=head.threshold)
    return AveragedModel(info, (), ((head.head, 1.0),), encoder)


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
        model = fit_frozen([labelled[place] for place in train], encoder, seed)
        held = test.tolist()
        readings.update(zip(held, model.read([labelled[place].text for place in held]), strict=True))
    whole = fit_frozen(labelled, encoder, seed, base)
    return whole.info, labelled, [readings[place] for place in range(len(labelled))]
