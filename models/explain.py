"""Why a text was understood as it was: the nearest training examples, and what each word counted.

Nearest examples are by cosine over the vectors of the version itself. Word counts are by occlusion (Zeiler and Fergus
2014, for text Li et al. 2016): how far the probability of the intent falls when a word is left out, one pass a word.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.contracts import AFFIRM, DENY, GIVE_INFORMATION, OUT_OF_SCOPE, Understood
from models.errors import ModelDamaged, ModelMissing
from models.text_model import EXAMPLES_FILE, FoundSpan, ModelInfo, Ranking, Reading, TextModel, Vectors

BATCH = 32
"""Texts read at a time: enough to fill a core, little enough to hold few activations."""
BRIEF = 3
"""Nearest examples kept on a turn."""
NEAREST = 5
MOST_WORDS = 256
"""Words of a text that are left out one by one; a longer text is no caller's turn, and each word costs a pass."""
_DIGITS = 4

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff]+")
"""What stands between spaces; scripts without spaces go by the character."""
_SENTENCE = re.compile(r"(?<=[.?!;])\s+")


@dataclass(frozen=True, slots=True)
class NearExample:
    """A training example and its cosine to the text, in [-1, 1]."""

    text: str
    label: str
    similarity: float


class ExamplesIndex:
    """Training examples of a version with their vectors: float32[n, width] in memory, float16 on disk."""

    def __init__(self, texts: Sequence[str], labels: Sequence[str], vectors: Vectors) -> None:
        """`vectors`[i] is what the version gives for `texts`[i]; of unit length or zero."""
        if vectors.ndim != 2 or not len(texts) == len(labels) == len(vectors):
            raise ValueError(f"{len(texts)} texts, {len(labels)} labels and vectors {vectors.shape} do not go together")
        self.texts = tuple(texts)
        self.labels = tuple(labels)
        self.vectors = vectors.astype(np.float32)

    @classmethod
    def of(cls, model: TextModel, examples: Iterable[tuple[str, str]]) -> ExamplesIndex:
        """The index of (text, label) as `model` sees them; about as long as reading them all takes."""
        rows = list(examples)
        vectors = [
            reading.vector for at in range(0, len(rows), BATCH) for reading in _read(model, rows[at : at + BATCH])
        ]
        stacked = np.stack(vectors) if vectors else np.zeros((0, 1), dtype=np.float32)
        return cls([text for text, _ in rows], [label for _, label in rows], stacked)

    def save(self, folder: Path) -> Path:
        """Write `folder`/examples.npz whole or not at all; returns its path. The folder's sums come after.

        Raises:
            OSError: the disk is full or gone; an earlier file stays.
        """
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(set(self.labels))
        place = {name: n for n, name in enumerate(names)}
        path = folder / EXAMPLES_FILE
        handle, draft = tempfile.mkstemp(dir=folder, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(
                    file,
                    texts=_packed(self.texts),
                    names=_packed(names),
                    labels=np.array([place[label] for label in self.labels], dtype=np.int32),
                    vectors=self.vectors.astype(np.float16),
                )
                file.flush()
                os.fsync(file.fileno())
            os.chmod(draft, 0o644)
            os.replace(draft, path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
        return path

    @classmethod
    def load(cls, folder: Path) -> ExamplesIndex:
        """Read what `save` wrote.

        Raises:
            ModelMissing: the folder has no examples.
            ModelDamaged: the file is not an index.
        """
        path = folder / EXAMPLES_FILE
        try:
            with np.load(path, allow_pickle=False) as file:
                texts, names = _unpacked(file["texts"]), _unpacked(file["names"])
                labels = [names[int(n)] for n in file["labels"]]
                return cls(texts, labels, file["vectors"].astype(np.float32))
        except FileNotFoundError:
            raise ModelMissing(f"{folder} holds no {EXAMPLES_FILE}; train the version again to explain it") from None
        except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ModelDamaged(f"{path} is not an index of examples ({error}); train the version again") from error

    def __len__(self) -> int:
        return len(self.texts)

    def nearest(self, vector: Vectors, k: int = NEAREST) -> tuple[NearExample, ...]:
        """The `k` examples nearest to `vector`[width], nearest first; a text that is there twice counts once.

        Raises:
            ModelDamaged: the vector is of another width: the index is of another version.
        """
        if k < 1 or not len(self):
            return ()
        if self.vectors.shape[1] != len(vector):
            raise ModelDamaged(
                f"the examples have vectors of width {self.vectors.shape[1]}, the model {len(vector)}; "
                "they belong to another version: train it again"
            )
        similarities = self.vectors @ vector.astype(np.float32)
        found: dict[tuple[str, str], float] = {}
        for row in np.argsort(-similarities, kind="stable"):
            found.setdefault((self.texts[row], self.labels[row]), float(similarities[row]))
            if len(found) >= k:
                break
        return tuple(NearExample(text, label, similarity) for (text, label), similarity in found.items())


@dataclass(frozen=True, slots=True)
class WordShare:
    """A word, characters [start, end) of the text.

    change: by how much the explained intent's probability falls without it, negative where it rises. share: that over
    the sum of all absolute changes, in [-1, 1].
    """

    word: str
    start: int
    end: int
    change: float
    share: float


@dataclass(frozen=True, slots=True)
class Decided:
    """What the dialogue went by: the model's reading after the rules of what was asked. slots: their values."""

    intent: str
    confidence: float
    slots: Mapping[str, Any] = field(default_factory=dict)
    emotion: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, understood: Understood) -> Decided:
        """Of what understanding gave."""
        slots = {slot.name: slot.value for slot in understood.slots}
        return cls(understood.intent, understood.confidence, slots, understood.emotion.scores)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a text was understood as it was.

    intent and confidence: what was decided. explained: the intent that `words` are about, which is the likeliest one
    where none was believed. spans: slot values the model sees; slots: those that were used. reason: in words.
    """

    text: str
    version: str
    method: str
    intent: str
    confidence: float
    threshold: float
    ranking: Ranking
    reason: str
    explained: str
    words: tuple[WordShare, ...]
    nearest: tuple[NearExample, ...]
    spans: tuple[FoundSpan, ...]
    slots: Mapping[str, Any]
    emotions: Mapping[str, float]

    def document(self) -> dict[str, Any]:
        """JSON-ready; probabilities to four digits."""
        return {
            "text": self.text,
            "model": {"version": self.version, "method": self.method},
            "intent": self.intent,
            "confidence": round(self.confidence, _DIGITS),
            "threshold": round(self.threshold, _DIGITS),
            "reason": self.reason,
            "ranking": [[name, round(chance, _DIGITS)] for name, chance in self.ranking],
            "explained": self.explained,
            "words": [
                {"word": w.word, "start": w.start, "end": w.end, "change": round(w.change, _DIGITS),
                 "share": round(w.share, _DIGITS)}
                for w in self.words
            ],
            "nearest": [[near.text, near.label, round(near.similarity, _DIGITS)] for near in self.nearest],
            "spans": [
                {"name": s.name, "start": s.start, "end": s.end, "raw": self.text[s.start : s.end],
                 "probability": round(s.probability, _DIGITS)}
                for s in self.spans
            ],
            "slots": dict(self.slots),
            "emotion": {label: round(chance, _DIGITS) for label, chance in self.emotions.items()},
        }  # fmt: skip


def explain(
    model: TextModel, text: str, examples: ExamplesIndex | None, k: int = NEAREST, decided: Decided | None = None
) -> Explanation:
    """Explain what `model` says of `text`, and what was `decided` of it where rules had their say.

    `examples` are those of the same version; None where it has none. Takes one pass a word, `BATCH` at a time.

    Raises:
        ModelDamaged: `examples` are of another version.
    """
    [reading] = model.read([text])
    final = decided or Decided(reading.intent, reading.confidence)
    explained = next((name for name, _ in reading.ranking if name != OUT_OF_SCOPE), OUT_OF_SCOPE)
    if reading.intent != OUT_OF_SCOPE:
        explained = reading.intent
    return Explanation(
        text,
        model.info.version,
        model.info.method,
        final.intent,
        final.confidence,
        model.info.threshold,
        reading.ranking,
        _reason(model, reading, final, text),
        explained,
        _words(model, text, reading, explained),
        examples.nearest(reading.vector, k) if examples is not None and text.strip() else (),
        reading.spans,
        final.slots,
        final.emotion or reading.emotions,
    )


def brief(reading: Reading, examples: ExamplesIndex, k: int = BRIEF) -> dict[str, Any]:
    """The cheap part, for every turn: the nearest examples as [text, label, similarity]. No pass of the model.

    One product of the index with a vector already computed: about a millisecond for ten thousand examples.

    Raises:
        ModelDamaged: `examples` are of another version.
    """
    return {
        "nearest": [[near.text, near.label, round(near.similarity, 3)] for near in examples.nearest(reading.vector, k)]
    }


def reason(reading: Reading, info: ModelInfo) -> str:
    """Why the model believes an intent, or none."""
    best = next(((name, chance) for name, chance in reading.ranking if name != OUT_OF_SCOPE), None)
    if best is None:
        return "there are no words" if not reading.ranking else "the model knows no intents"
    name, chance = best
    outside = next((p for label, p in reading.ranking if label == OUT_OF_SCOPE), 0.0)
    if chance < info.threshold:
        return f"{name} is likeliest at {chance:.2f}, below threshold {info.threshold:.2f}: none is believed"
    if outside > chance:
        return f"out of scope at {outside:.2f} is likelier than {name} at {chance:.2f}"
    second = next(((label, p) for label, p in reading.ranking if label not in (name, OUT_OF_SCOPE)), None)
    behind = "" if second is None else f"; next is {second[0]} at {second[1]:.2f}"
    return f"{name} is likeliest at {chance:.2f}, threshold {info.threshold:.2f}{behind}"


def _reason(model: TextModel, reading: Reading, decided: Decided, text: str) -> str:
    """The model's reason, or the rule that overruled it."""
    own = reason(reading, model.info)
    if decided.intent == reading.intent:
        return own
    if decided.intent == GIVE_INFORMATION:
        named = ", ".join(decided.slots) or "a slot"
        return f"rules: little more than a value ({named}); the model alone: {own}"
    if decided.intent in (AFFIRM, DENY):
        return f"rules: bare answer to a question; the model alone: {own}"
    sentences = [sentence for sentence in _SENTENCE.split(text) if sentence.strip()]
    if len(sentences) > 1:
        for sentence, said in zip(sentences, model.read(sentences), strict=True):
            if said.intent == decided.intent:
                return f"rules: the sentence “{sentence}” asks most clearly ({reason(said, model.info)})"
    return f"decided as {decided.intent}, which this model does not say of these words: {own}"


def _words(model: TextModel, text: str, reading: Reading, explained: str) -> tuple[WordShare, ...]:
    found = list(_WORD.finditer(text))[:MOST_WORDS]
    whole = _chance(reading, explained)
    without = []
    for word in found:
        between = "" if _unspaced(word.group()) else " "
        without.append(" ".join(f"{text[: word.start()]}{between}{text[word.end() :]}".split()))
    changes: list[float] = []
    for at in range(0, len(without), BATCH):
        changes += [whole - _chance(other, explained) for other in model.read(without[at : at + BATCH])]
    total = sum(map(abs, changes)) or 1.0
    return tuple(
        WordShare(word.group(), word.start(), word.end(), change, change / total)
        for word, change in zip(found, changes, strict=True)
    )


def _chance(reading: Reading, intent: str) -> float:
    return next((chance for name, chance in reading.ranking if name == intent), 0.0)


def _unspaced(word: str) -> bool:
    return len(word) == 1 and "\u3040" <= word <= "\u9fff"


def _read(model: TextModel, rows: Sequence[tuple[str, str]]) -> list[Reading]:
    return model.read([text for text, _ in rows])


def _packed(texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Texts as UTF-8 JSON: numpy's own text arrays pad each to the longest."""
    return np.frombuffer(json.dumps(list(texts), ensure_ascii=False).encode("utf-8", "replace"), dtype=np.uint8)


def _unpacked(packed: np.ndarray[Any, np.dtype[np.uint8]]) -> list[str]:
    texts = json.loads(packed.tobytes().decode("utf-8"))
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("not a list of texts")
    return texts
