"""From a trained network to a version folder: int8 ONNX, checked against torch, calibrated, summed and described."""

from __future__ import annotations

import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.contracts import OUT_OF_SCOPE
from models.errors import ModelError
from models.heads import softmax
from models.text_net import TOKENIZER_FILE, TextNet
from models.training.examples import Example
from models.training.understanding.batches import Batcher
from models.training.understanding.labels import Labels
from models.training.understanding.measuring import Figures, Outcome, figures
from models.training.understanding.network import UnderstandingNetwork, merged
from models.training.understanding.recipe import Recipe
from models.training.understanding.trainer import Trained, predict

NETWORK_FILE = "model.onnx"
ALLOWED_LOSS = 0.003
"""Share that any figure may lose through int8."""
TELLING_TEXTS = 1000
"""Texts from which a loss of `ALLOWED_LOSS` is more than chance; on fewer it is only reported."""
_PARITY_TEXTS = 2000


class ExportFailed(ModelError):
    """The exported network differs too much from the trained one."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How the exported network compares with torch on `texts` texts.

    difference: largest difference of an intent probability (or, without intents, of a vector's element). float32 and
    int8: figures of both on the same examples; counts: of how many each is; lost: the most that
    any figure fell.
    """

    texts: int
    difference: float
    float32: Figures
    int8: Figures
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether a figure that enough texts stand behind fell by more than is allowed."""
        both = set(self.float32.values) & set(self.int8.values)
        return any(
            self.float32.values[name] - self.int8.values[name] > ALLOWED_LOSS
            and self.counts.get(name, 0) >= TELLING_TEXTS
            for name in both
        )

    @property
    def lost(self) -> float:
        """The most that any figure fell, as a share; negative where all rose."""
        common = set(self.float32.values) & set(self.int8.values)
        return max((self.float32.values[name] - self.int8.values[name] for name in common), default=0.0)


class _Graph(nn.Module):  # type: ignore[misc]
    """The network as the exported graph computes it: a unit vector and the heads, outputs in fixed order."""

    def __init__(self, network: UnderstandingNetwork) -> None:
        super().__init__()
        self.network = network
        self.names = [
            "vector",
            *(
                name
                for name, head in (
                    ("intent", network.intent),
                    ("slots", network.slots),
                    ("emotion", network.emotion),
                )
                if head is not None
            ),
        ]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network(input_ids, attention_mask)
        outputs["vector"] = nn.functional.normalize(outputs["vector"], dim=-1)
        return tuple(outputs[name] for name in self.names)


def export_network(
    network: UnderstandingNetwork, tokenizer: Any, folder: Path, precision: str = "int8", name: str = NETWORK_FILE
) -> Path:
    """Write the network to the file `name` of `folder`, and `tokenizer.json`; precision is int8 or float32.

    Matrices and word embeddings become int8 with one scale a channel; activations are scaled as they come.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    network = merged(network).float().eval()
    _eager(network.encoder)
    graph = _Graph(network)
    words = int(network.encoder.get_input_embeddings().num_embeddings)
    ids = torch.randint(min(5, words - 1), min(500, words), (2, 9))
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, 6:] = 0
    target = folder / name
    axes = {output: {0: "texts"} for output in graph.names}
    axes |= {side: {0: "texts", 1: "tokens"} for side in ("input_ids", "attention_mask")}
    if "slots" in graph.names:
        axes["slots"] = {0: "texts", 1: "tokens"}
    with tempfile.TemporaryDirectory() as place:
        plain = Path(place) / "network.onnx"
        with torch.no_grad(), _unwarned():
            torch.onnx.export(
                graph,
                (ids, mask),
                str(plain),
                input_names=["input_ids", "attention_mask"],
                output_names=graph.names,
                dynamic_axes=axes,
                opset_version=17,
                dynamo=False,
            )
        if precision == "int8":
            with _unwarned():
                quantize_dynamic(
                    plain,
                    target,
                    per_channel=True,
                    weight_type=QuantType.QInt8,
                    op_types_to_quantize=["MatMul", "Gather"],
                )
        else:
            shutil.copyfile(plain, target)
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.save(str(folder / TOKENIZER_FILE))
    return target


@contextmanager
def _unwarned() -> Iterator[None]:
    """Keeps to itself what exporter and quantizer warn of: newer exporters, steps that gain nothing, and that traced
    shapes are fixed, which `parity` would show."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _eager(encoder: Any) -> None:
    """Plain attention: what tracing can follow, and what int8 can be made of."""
    if hasattr(encoder, "set_attn_implementation"):
        encoder.set_attn_implementation("eager")


def parity(trained: Trained, path: Path, examples: Sequence[Example], recipe: Recipe) -> Parity:
    """Compare the exported network with the trained one on `examples` (validation data, at most 2,000 of them)."""
    examples = list(examples)[:_PARITY_TEXTS]
    batcher = Batcher(trained.tokenizer, trained.labels, recipe)
    exact = recipe.model_copy(update={"precision": "float32"})
    before = predict(trained.network, batcher, examples, torch.device("cpu"), exact)
    net = TextNet(path, recipe.max_tokens)
    outputs = net.run([example.text for example in examples])
    meant = tuple(before.meant)
    slots = tuple(row[: len(truth)] if row.shape[1] else row for row, truth in zip(outputs.slots, meant, strict=True))
    after = Outcome(outputs.vectors, outputs.intents, outputs.emotions, slots, meant)
    if before.intents.shape[1]:
        difference = float(np.abs(softmax(before.intents) - softmax(after.intents)).max())
    else:
        norms = np.linalg.norm(before.vectors, axis=1, keepdims=True)
        difference = float(np.abs(before.vectors / norms - after.vectors).max())
    return Parity(
        len(examples),
        difference,
        figures(before, examples, trained.labels),
        figures(after, examples, trained.labels),
        _counts(examples, trained.labels),
    )


def _counts(examples: Sequence[Example], labels: Labels) -> dict[str, int]:
    inside = sum(e.intent in labels.intents and e.intent != OUT_OF_SCOPE for e in examples)
    slots = sum(e.spans is not None for e in examples)
    return {"accuracy": inside, "slot_f1": slots, "emotion_f1": sum(bool(e.emotions) for e in examples)}
