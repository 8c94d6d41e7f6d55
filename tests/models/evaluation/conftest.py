"""A small text model whose every answer is known."""

import numpy as np
import pytest

from models.contracts import OUT_OF_SCOPE
from models.text_model import FoundSpan, ModelInfo, Reading, decide


class Scripted:
    """Reads a text as a table says: (intent, P of it[, spans[, emotions]]); the other intents share the rest of P."""

    def __init__(self, table, intents=("refund", "track"), threshold=0.5, slots=(), emotions=(), several=False):
        self.info = ModelInfo(
            "scripted",
            "v1",
            "table",
            "none",
            intents=intents,
            slots=slots,
            emotions=emotions,
            several_emotions=several,
            threshold=threshold,
        )
        self.table = table
        self.reads = []

    def read(self, texts):
        self.reads.append(list(texts))
        return [self._one(text) for text in texts]

    def _one(self, text):
        name, probability, spans, emotions = (*self.table.get(text, (self.info.intents[0], 0.4)), (), {})[:4]
        others = [label for label in (*self.info.intents, OUT_OF_SCOPE) if label != name]
        rows = [(name, probability), *((label, (1 - probability) / len(others)) for label in others)]
        ranking = tuple(sorted(rows, key=lambda row: -row[1]))
        found = tuple(FoundSpan(*span, 0.9) for span in spans)
        return Reading(ranking, *decide(ranking, self.info.threshold), found, emotions, np.ones(1, np.float32))


@pytest.fixture
def scripted():
    return Scripted
