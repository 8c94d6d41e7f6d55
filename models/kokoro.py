"""The Kokoro-82M network: phonemes to sound, in one of its styles."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from models import store
from models.contracts import Samples
from models.errors import ModelDamaged, ModelError, ModelMissing

RATE = 24_000
"""Kokoro's own sample rate, Hz."""
MODEL = "kokoro-82m"
CHINESE_STYLES = "kokoro-chinese"
LONGEST = 500
"""Symbols a piece may have, about 40 s of speech; the network takes 510."""


class Kokoro:
    """Says phonemes in one style; safe to call from several threads. Weights: 92 MB on disk, about 200 MB in memory."""

    def __init__(self, style: str = "jm_kumo", *, model: str = MODEL, threads: int = 1) -> None:
        """Load the network and `style`; the first time ever its pieces are put together (`models.store`).

        Raises:
            ModelMissing: the weights are not installed, or there is no such style.
            ModelDamaged: the weights are not the expected ones.
        """
        path = store.resolve(model, "voice")
        known: list[str] = []
        found = None
        try:
            for file in (path.with_name("voices_ja.npz"), store.resolve(CHINESE_STYLES, "voice")):
                with np.load(file) as styles:
                    known += sorted(styles)
                    found = np.asarray(styles[style], dtype=np.float32) if style in styles else found
            self._vocabulary: dict[str, int] = json.loads(path.with_name("vocab.json").read_text("utf-8"))["vocab"]
        except (OSError, ValueError, KeyError) as error:
            raise ModelDamaged(f"the styles or symbols beside {path} cannot be read ({error!r})") from error
        if found is None:
            raise ModelMissing(f"there is no Kokoro voice {style!r}; use one of {', '.join(known)}")
        self._style = found
        self._session = _session(path, threads)

    @property
    def symbols(self) -> Mapping[str, int]:
        """The phonemes and marks it knows."""
        return self._vocabulary

    def tokens(self, phonemes: str) -> list[int]:
        """The numbers of the symbols of `phonemes`; a symbol that the network does not know is left out."""
        return [self._vocabulary[symbol] for symbol in phonemes if symbol in self._vocabulary]

    def say(self, tokens: Sequence[int], speed: float = 1.0) -> Samples:
        """Say `tokens`, 1 to `LONGEST` of them: float32[n] at `RATE`; blocks. speed: larger is faster.

        Raises:
            ModelError: there are too many or none, or the network failed.
        """
        if not 0 < len(tokens) <= LONGEST:
            raise ModelError(f"a piece has {len(tokens)} symbols; give 1 to {LONGEST}: end sentences with full stops")
        feed = {
            "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
            "style": self._style[min(len(tokens), len(self._style)) - 1].reshape(1, 256),
            "speed": np.array([speed], dtype=np.float32),
        }
        try:
            output = self._session.run(None, feed)[0]
        except Exception as error:  # as above
            raise ModelError(f"synthesis failed: {error}") from error
        return np.asarray(output, dtype=np.float32).ravel()


@cache
def _session(path: Path, threads: int) -> Any:
    """The network, which all styles of a process share."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # lengths differ with every text: the arena would keep the largest of them for ever, per thread
    options.enable_cpu_mem_arena = False
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class; each means an unusable file
        raise ModelDamaged(f"{path} is no ONNX model that can be loaded: {error}") from error
