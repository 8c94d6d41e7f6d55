"""A domain of four intents, and an encoder that needs no weights: fast enough to fit heads in tests."""

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from agent.config import CONFIGS
from agent.dialogue.domain import Domain
from agent.dialogue.loader import load_domain
from models.encoder import Vectors, normalise

THINGS = ("tent", "lantern", "stove", "kayak", "parcel", "boots", "jacket", "order", "compass", "rope")
SAID = {
    "order_status": ("where is my {}", "track the {}", "when will the {} arrive"),
    "cancel_order": ("cancel my {}", "stop the {} from shipping", "I no longer need the {} cancel"),
    "return_order": ("return my {}", "send back the {}", "refund the {} I return"),
}
"""Examples whose words tell the intents apart without doubt, so that test sets move for a reason only."""


class WordEncoder:
    """Words hashed into a unit vector; texts without words in common are orthogonal."""

    width = 64
    identity = "words-1"

    def encode(self, texts: Sequence[str]) -> Vectors:
        out = np.zeros((len(texts), self.width), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in normalise(text).split():
                out[row, zlib.crc32(word.encode()) % self.width] += 1.0
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


@pytest.fixture
def encoder() -> WordEncoder:
    return WordEncoder()


@pytest.fixture(scope="session")
def shop() -> Domain:
    return load_domain(CONFIGS / "domains" / "shop")


@pytest.fixture
def domain(shop: Domain) -> Domain:
    intents = {
        name: shop.intents[name].model_copy(
            update={"examples": tuple(text.format(thing) for text in texts for thing in THINGS)}
        )
        for name, texts in SAID.items()
    }
    return replace(shop, intents=intents, out_of_scope=tuple(f"sing me a song about number {n}" for n in THINGS))
