"""Cutting ONNX models."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import store
from models.onnx_part import nodes, part

MODEL = store.resolve("silero-v6", "vad").read_bytes()
FEATURES = next(node for node in nodes(MODEL) if node.kind == "LSTM").inputs[0]


def run(model: bytes, **given: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return list(session.run(None, given))


def test_two_halves_are_the_whole() -> None:
    random = np.random.default_rng(3)
    heard = random.normal(0, 0.1, (5, 576)).astype(np.float32)
    h, c = (random.normal(0, 1, (1, 1, 128)).astype(np.float32) for _ in range(2))
    (features,) = run(part(MODEL, ("input",), (FEATURES,)), input=heard)
    rest = part(MODEL, (FEATURES, "h", "c"), ("speech_probs", "hn", "cn"))
    halves = run(rest, **{FEATURES: features, "h": h, "c": c})
    assert all(np.array_equal(a, b) for a, b in zip(halves, run(MODEL, input=heard, h=h, c=c), strict=True))
    assert len(rest) < 0.6 * len(MODEL)
    assert nodes(rest)[0].kind == "LSTM"


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="need 'c', which is none of the inputs input, h"):
        part(MODEL, ("input", "h"), ("hn",))
    with pytest.raises(ValueError, match="'nothing'"):
        part(MODEL, ("input",), ("nothing",))


@given(st.binary(max_size=60))
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"ONNX model|the outputs need"):
        part(content, ("input",), (FEATURES,))


@pytest.mark.parametrize("length", [1, 100, 300_000, len(MODEL) - 1])
def test_half_a_file_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=r"ONNX model|the outputs need"):
        part(MODEL[:length], ("input",), ("speech_probs",))
