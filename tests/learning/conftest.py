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

KEPT = ("order_status", "cancel_order", "affirm", "deny")


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
        name: spec.model_copy(update={"examples": spec.examples[:30]})
        for name, spec in shop.intents.items()
        if name in KEPT
    }
    return replace(shop, intents=intents, out_of_scope=shop.out_of_scope[:10])
