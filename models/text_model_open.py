"""Opening a version of our understanding models: fine-tuned networks, frozen-encoder heads, or both averaged."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.contracts import OUT_OF_SCOPE, Encoder
from models.errors import ModelDamaged, ModelError
from models.heads import LinearHead, features, load_head, softmax
from models.text_model import MODEL_FILE, FoundSpan, ModelInfo, Ranking, Reading, decide, read_info
from models.text_net import Outputs, TextNet, best_path, spans_from

SUMS_FILE = "SHA256SUMS"

Probabilities = npt.NDArray[np.float64]

_KEPT_TEXTS = 512
_LEAST = 1e-9


def open_text_model(folder: Path, encoder: Encoder | None = None, *, verify: bool = True) -> AveragedModel:
    """Open the version in `folder`; `encoder` is the frozen one, needed where a member is a head over it.

    Raises:
        ModelMissing: a file is not there.
        ModelDamaged: a file is not what was written (`SHA256SUMS`), or cannot be read.
        ModelError: the version has a head, and there is no `encoder`.
    """
    info = read_info(folder)
    if verify:
        check_sums(folder)
    if not info.members:
        raise ModelDamaged(f"{folder / MODEL_FILE} names no members; train the version again")
    nets: list[tuple[TextNet, float]] = []
    heads: list[tuple[LinearHead, float]] = []
    for member in info.members:
        path = folder / member.file
        if path.suffix == ".onnx":
            nets.append((TextNet(path, info.max_tokens), member.weight))
        else:
            try:
                head, _ = load_head(path)
            except FileNotFoundError:
                raise ModelDamaged(f"{path} is missing; train the version again") from None
            heads.append((head, member.weight))
    if heads and encoder is None:
        raise ModelError(f"{folder} holds a head over the sentence encoder; pass the encoder to open it")
    return AveragedModel(info, nets, heads, encoder)


def check_sums(folder: Path) -> None:
    """Compare every file that `folder/SHA256SUMS` lists with its digest.

    Raises:
        ModelDamaged: there is no list, or a file differs or is missing.
    """
    try:
        lines = (folder / SUMS_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise ModelDamaged(f"{folder} has no {SUMS_FILE}; train the version again or restore its folder") from None
    for line in lines:
        digest, _, name = line.partition("  ")
        try:
            with (folder / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ModelDamaged(f"{folder / name}: {error.strerror}; restore the version's folder") from error
        if found != digest:
            raise ModelDamaged(f"{folder / name} has SHA-256 {found}, expected {digest}; restore the version's folder")


def write_sums(folder: Path) -> None:
    """List the digests of all files of `folder` in `folder/SHA256SUMS`."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != SUMS_FILE)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / SUMS_FILE).write_text("".join(lines), encoding="utf-8")


class AveragedModel:
    """Implements `models.text_model.TextModel`: the weighted mean of its members' log-probabilities.

    Slots, emotions and the vector are those of the networks, averaged; a version of heads alone has the frozen
    encoder's vector, and neither slots nor emotions.
    """

    def __init__(
        self,
        info: ModelInfo,
        nets: Sequence[tuple[TextNet, float]],
        heads: Sequence[tuple[LinearHead, float]],
        encoder: Encoder | None,
    ) -> None:
        self._info = info
        self._nets = tuple(nets)
        self._heads = tuple(heads)
        self._encoder = encoder
        self._kept: OrderedDict[str, Reading] = OrderedDict()
        self._lock = threading.Lock()
        probe = self._nets[0][0].run(["ready"]) if self._nets else None
        if probe is not None:
            expected = (len(info.intents), 1 + 2 * len(info.slots) if info.slots else 0, len(info.emotions))
            found = (probe.intents.shape[1], probe.slots[0].shape[1], probe.emotions.shape[1])
            if expected != found:
                raise ModelDamaged(f"model.json of {info.version} lists {expected} labels, its network has {found}")
        for head, _ in self._heads:
            if head.labels != info.intents:
                raise ModelDamaged(f"model.json of {info.version} lists other intents than its head")

    @property
    def info(self) -> ModelInfo:
        """What it is."""
        return self._info

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """Read each of `texts`; the last few hundred are remembered, as guesses often prove right."""
        with self._lock:
            known = {text: self._kept[text] for text in texts if text in self._kept}
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            fresh = dict(zip(new, self._read(new), strict=True))
            known |= fresh
            with self._lock:
                self._kept |= fresh
                while len(self._kept) > _KEPT_TEXTS:
                    self._kept.popitem(last=False)
        return [known[text] for text in texts]

    def log_probabilities(self, texts: Sequence[str]) -> Probabilities:
        """Averaged log-probabilities before temperature, float64[n, intents]; for calibration."""
        return self._intents(list(texts), [net.run(texts) for net, _ in self._nets])

    def _intents(self, texts: Sequence[str], outputs: Sequence[Outputs]) -> Probabilities:
        total = np.zeros((len(texts), len(self._info.intents)))
        weights = 0.0
        for (_, weight), output in zip(self._nets, outputs, strict=True):
            total += weight * np.log(np.maximum(softmax(output.intents), _LEAST))
            weights += weight
        if self._heads and self._encoder is not None:
            vectors = features(texts, self._encoder)
            for head, weight in self._heads:
                total += weight * np.log(np.maximum(head.probabilities(vectors), _LEAST))
                weights += weight
        return total / weights

    def _read(self, texts: Sequence[str]) -> list[Reading]:
        outputs = [net.run(texts) for net, _ in self._nets]
        if outputs:
            vectors = np.mean([output.vectors for output in outputs], axis=0, dtype=np.float32)
        else:
            assert self._encoder is not None
            vectors = self._encoder.encode(texts)
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _LEAST)
        intents = softmax(self._intents(texts, outputs) / self._info.temperature) if self._info.intents else None
        emotions = self._emotions(outputs)
        readings = []
        for row, text in enumerate(texts):
            if not text.strip():
                readings.append(Reading((), OUT_OF_SCOPE, 0.0, (), {}, vectors[row]))
                continue
            ranking: Ranking = ()
            intent, confidence = OUT_OF_SCOPE, 0.0
            if intents is not None:
                order = np.argsort(-intents[row], kind="stable")
                ranking = tuple((self._info.intents[i], float(intents[row, i])) for i in order)
                intent, confidence = decide(ranking, self._info.threshold)
            spans = self._spans(outputs, row)
            named = dict(zip(self._info.emotions, emotions[row].tolist(), strict=True)) if self._info.emotions else {}
            readings.append(Reading(ranking, intent, confidence, spans, named, vectors[row]))
        return readings

    def _emotions(self, outputs: Sequence[Outputs]) -> Probabilities:
        if not self._info.emotions or not outputs:
            return np.zeros((len(outputs[0].vectors) if outputs else 0, 0))
        scores: Probabilities = sum((output.emotions.astype(np.float64) for output in outputs), start=np.zeros(1))
        scores = scores / (len(outputs) * self._info.emotion_temperature)
        return 1.0 / (1.0 + np.exp(-scores)) if self._info.several_emotions else softmax(scores)

    def _spans(self, outputs: Sequence[Outputs], row: int) -> tuple[FoundSpan, ...]:
        if not self._info.slots or not outputs:
            return ()
        scores = np.asarray(np.mean([output.slots[row] for output in outputs], axis=0), dtype=np.float32)
        words = outputs[0].words[row]
        found = spans_from(best_path(scores), scores, words)
        return tuple(FoundSpan(start, end, self._info.slots[slot], sure) for start, end, slot, sure in found)
