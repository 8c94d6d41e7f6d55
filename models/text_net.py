"""A fine-tuned understanding network: one ONNX encoder with heads for intent, slots and emotion."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Encoding, Tokenizer

from models.errors import ModelDamaged, ModelMissing

Floats = npt.NDArray[np.float32]

TOKENIZER_FILE = "tokenizer.json"
OUTSIDE = "O"


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one text as the tokenizer cuts them: characters [start, end) of each, and its first token."""

    spans: tuple[tuple[int, int], ...]
    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the network gives for n texts; a head it lacks has width 0.

    vectors: float32[n, width], unit length. intents: float32[n, intents] logits. emotions: float32[n, emotions] logits.
    slots: per text float32[words, BIO labels], log-probabilities.
    """

    vectors: Floats
    intents: Floats
    emotions: Floats
    slots: tuple[Floats, ...]
    words: tuple[Words, ...]


def words_of(encoding: Encoding) -> Words:
    """The words of a tokenized text; special tokens belong to none."""
    spans: list[tuple[int, int]] = []
    tokens: list[int] = []
    last = None
    for token, (word, offsets) in enumerate(zip(encoding.word_ids, encoding.offsets, strict=True)):
        if word is None:
            continue
        if word != last:
            spans.append(offsets)
            tokens.append(token)
            last = word
        else:
            spans[-1] = (spans[-1][0], offsets[1])
    return Words(tuple(spans), tuple(tokens))


class TextNet:
    """Runs the network on one thread; safe to call from several.

    The graph takes `input_ids` and `attention_mask`, int64[n, tokens], and gives `vector` and, where it has the head,
    `intent`, `slots` and `emotion`.
    """

    def __init__(self, path: Path, max_tokens: int) -> None:
        """Read the network at `path`; `tokenizer.json` lies beside it.

        Raises:
            ModelMissing: one of the files is not there.
            ModelDamaged: one of them cannot be read.
        """
        for needed in (path, path.with_name(TOKENIZER_FILE)):
            if not needed.is_file():
                raise ModelMissing(f"{needed} is missing; train the version again or restore its folder")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._tokenizer = Tokenizer.from_file(str(path.with_name(TOKENIZER_FILE)))
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # neither library has an error class of its own
            raise ModelDamaged(f"{path} cannot be read ({error}); train the version again") from error
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.enable_padding(pad_id=self._tokenizer.token_to_id("[PAD]") or 0)
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._lock = threading.Lock()

    def run(self, texts: Sequence[str], batch: int = 32) -> Outputs:
        """Everything the network says of `texts`; longer texts than `max_tokens` are cut at their end."""
        with self._lock:
            encodings = self._tokenizer.encode_batch(list(texts)) if len(texts) <= batch else None
        if encodings is None:
            return _joined([self.run(texts[at : at + batch], batch) for at in range(0, len(texts), batch)])
        ids = np.array([encoding.ids for encoding in encodings], dtype=np.int64)
        mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int64)
        found = dict(
            zip(self._outputs, self._session.run(None, {"input_ids": ids, "attention_mask": mask}), strict=True)
        )
        words = tuple(words_of(encoding) for encoding in encodings)
        none = np.zeros((len(texts), 0), dtype=np.float32)
        slots: tuple[Floats, ...] = tuple(np.zeros((len(w.tokens), 0), dtype=np.float32) for w in words)
        if "slots" in found:
            slots = tuple(_log_softmax(row[list(w.tokens)]) for row, w in zip(found["slots"], words, strict=True))
        return Outputs(found["vector"], found.get("intent", none), found.get("emotion", none), slots, words)


def _joined(parts: Sequence[Outputs]) -> Outputs:
    return Outputs(
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.intents for part in parts]),
        np.concatenate([part.emotions for part in parts]),
        tuple(row for part in parts for row in part.slots),
        tuple(row for part in parts for row in part.words),
    )


def _log_softmax(scores: Floats) -> Floats:
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), dtype=np.float32)


def bio_labels(slots: Sequence[str]) -> tuple[str, ...]:
    """`O`, then B- and I- of each slot: the order of the slot head's outputs."""
    return (OUTSIDE, *(f"{part}-{slot}" for slot in slots for part in "BI"))


def best_path(scores: Floats) -> list[int]:
    """The likeliest row of BIO labels (`bio_labels` order) for float32[words, labels] in which no I starts a span.

    Viterbi with allowed transitions only: I-x follows B-x or I-x.
    """
    if not len(scores):
        return []
    labels = scores.shape[1]
    allowed = np.zeros((labels, labels), dtype=np.float32)
    inside = np.arange(2, labels, 2)
    allowed[:, inside] = -np.inf
    allowed[inside, inside] = 0.0
    allowed[inside - 1, inside] = 0.0
    best = scores[0].copy()
    best[inside] = -np.inf
    back = np.zeros((len(scores), labels), dtype=np.int64)
    for at in range(1, len(scores)):
        paths = best[:, None] + allowed
        back[at] = paths.argmax(axis=0)
        best = paths.max(axis=0) + scores[at]
    path = [int(best.argmax())]
    for at in range(len(scores) - 1, 0, -1):
        path.append(int(back[at, path[-1]]))
    return path[::-1]


def spans_from(path: Sequence[int], scores: Floats, words: Words) -> list[tuple[int, int, int, float]]:
    """(start, end, slot, probability) of each span of a label path: characters, index of the slot, mean over words."""
    found: list[tuple[int, int, int, list[float]]] = []
    for at, label in enumerate(path):
        if label == 0:
            continue
        slot, part = divmod(label - 1, 2)
        start, end = words.spans[at]
        sure = float(np.exp(scores[at, label]))
        if part == 1 and found and found[-1][2] == slot and path[at - 1] != 0:
            first, _, _, sures = found[-1]
            found[-1] = (first, end, slot, [*sures, sure])
        else:
            found.append((start, end, slot, [sure]))
    return [(start, end, slot, float(np.mean(sures))) for start, end, slot, sures in found]
