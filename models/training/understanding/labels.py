"""What a network tells apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.contracts import OUT_OF_SCOPE
from models.text_net import bio_labels
from models.training.examples import DataError, Example


@dataclass(frozen=True, slots=True)
class Labels:
    """What the heads tell apart; a head without labels is left out. intents has `OUT_OF_SCOPE` where there is data."""

    intents: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()
    emotions: tuple[str, ...] = ()

    @property
    def bio(self) -> tuple[str, ...]:
        """The labels of the slot head."""
        return bio_labels(self.slots) if self.slots else ()


def labels_of(examples: Sequence[Example]) -> Labels:
    """The labels that occur in the examples; `OUT_OF_SCOPE` stands last among the intents.

    Raises:
        DataError: there is no label, or only one intent or emotion.
    """
    intents = sorted({e.intent for e in examples if e.intent is not None} - {OUT_OF_SCOPE})
    if intents and any(e.intent == OUT_OF_SCOPE for e in examples):
        intents.append(OUT_OF_SCOPE)
    slots = sorted({span.name for e in examples for span in e.spans or ()})
    emotions = sorted({name for e in examples for name in e.emotions})
    for name, found in (("intent", intents), ("emotion", emotions)):
        if len(found) == 1:
            raise DataError([f"every example has the {name} {found[0]!r}; a model needs at least two to tell apart"])
    if not (intents or slots or emotions):
        raise DataError(["no example has a label; give intent, slots or emotion"])
    return Labels(tuple(intents), tuple(slots), tuple(emotions))
