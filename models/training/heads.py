"""Train the intent head of a domain from its examples, in seconds, and keep it by content.

python -m models.training.heads --domain configs/domains/shop/intents.yaml   cross-validated report on a domain
python -m models.training.heads --data DIR                                   Banking77 and CLINC150, same recipe
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.contracts import OUT_OF_SCOPE, Encoder
from models.errors import ModelDamaged
from models.heads import IntentHead, LinearHead, Vectors, features, load_head, save_head, softmax
from models.training.reading.marks import unmark

RECIPE = "lr-1"
"""Changes with anything here that changes the weights; part of the cache key."""

GENERIC_OUT_OF_SCOPE = Path(__file__).with_name("out_of_scope.txt")

_C = 30.0
_FOLDS = 5
LEAST_EXAMPLES = _FOLDS
"""Examples an intent needs, one for each fold."""
_TEMPERATURES = np.geomspace(0.2, 2.0, 37)
_IN_SCOPE_LOSS = 0.01
"""Share of in-scope examples that the threshold may turn away, above what the classifier already does."""


def generic_out_of_scope() -> list[str]:
    """Our own sentences that belong to no customer-service domain."""
    return [line for line in GENERIC_OUT_OF_SCOPE.read_text(encoding="utf-8").splitlines() if line.strip()]


_OUTSIDE_WEIGHT = 1.5
"""All out-of-scope examples together weigh at most as much as this many average intents."""


def fit_head(vectors: Vectors, labels: npt.NDArray[np.str_], seed: int) -> LinearHead:
    """Logistic regression on vectors[n, width]; out-of-scope examples together weigh little more than an intent."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    outside = labels == OUT_OF_SCOPE
    average = (~outside).sum() / max(1, len(set(labels[~outside].tolist())))
    weights = np.where(outside, min(1.0, _OUTSIDE_WEIGHT * average / max(1, outside.sum())), 1.0)
    # Small matrices: more threads only wait for each other, the more so beside calls.
    with threadpool_limits(1):
        model = LogisticRegression(C=_C, max_iter=400, random_state=seed).fit(vectors, labels, sample_weight=weights)
    names = tuple(str(label) for label in model.classes_)
    return LinearHead(names, model.coef_.astype(np.float32), model.intercept_.astype(np.float32))


def _held_out_scores(vectors: Vectors, labels: npt.NDArray[np.str_], seed: int) -> tuple[Vectors, tuple[str, ...]]:
    """Scores[n, classes] of each example by a head that has not seen it."""
    from sklearn.model_selection import StratifiedKFold

    names = tuple(sorted(set(labels.tolist())))
    scores = np.full((len(labels), len(names)), -50.0, dtype=np.float32)
    for train, test in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(vectors, labels):
        head = fit_head(vectors[train], labels[train], seed)
        columns = [names.index(label) for label in head.labels]
        scores[np.ix_(test, columns)] = vectors[test] @ head.weights.T + head.bias
    return scores, names


def best_temperature(scores: Vectors, truth: npt.NDArray[np.int64]) -> float:
    """The temperature with the least held-out log loss (Guo et al. 2017)."""
    rows = np.arange(len(truth))
    losses = [-np.log(softmax(scores / t)[rows, truth] + 1e-12).mean() for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(losses))])


def best_threshold(probabilities: npt.NDArray[np.float64], truth: npt.NDArray[np.int64], outside: int) -> float:
    """The highest P(best intent) to ask for that costs few held-out in-scope examples that were right."""
    inside = np.delete(probabilities, outside, axis=1)
    best = inside.max(axis=1)
    right = (probabilities.argmax(axis=1) == truth) & (truth != outside)
    return float(min(0.6, np.quantile(best[right], _IN_SCOPE_LOSS))) if right.any() else 0.0


def train_intent_head(
    examples: Mapping[str, Sequence[str]], out_of_scope: Sequence[str], encoder: Encoder, seed: int = 0
) -> IntentHead:
    """Logistic regression over sentence vectors, with out of scope as a class and a threshold beside it.

    Temperature and threshold come from 5-fold cross-validation on the examples given, so no test split is touched.
    Deterministic for a seed.

    Raises:
        ValueError: fewer than two intents, or an intent or `out_of_scope` with fewer than 5 examples; names it.
    """
    groups = {**examples, OUT_OF_SCOPE: out_of_scope}
    if len(groups) < 3:
        raise ValueError(f"{len(examples)} intents; a head needs at least two")
    for name, texts in groups.items():
        if len(texts) < LEAST_EXAMPLES:
            raise ValueError(f"intent {name!r} has {len(texts)} examples; give at least {LEAST_EXAMPLES}")
    rows = [(text, name) for name, texts in groups.items() for text in texts]
    vectors = features([text for text, _ in rows], encoder)
    labels = np.array([name for _, name in rows])
    scores, names = _held_out_scores(vectors, labels, seed)
    truth = np.array([names.index(label) for label in labels], dtype=np.int64)
    temperature = best_temperature(scores, truth)
    threshold = best_threshold(softmax(scores / temperature), truth, names.index(OUT_OF_SCOPE))
    head = fit_head(vectors, labels, seed)
    return IntentHead(LinearHead(head.labels, head.weights, head.bias, temperature), threshold)


def head_key(examples: Mapping[str, Sequence[str]], out_of_scope: Sequence[str], encoder_id: str, seed: int = 0) -> str:
    """The content a head depends on, as 32 hex digits."""
    content = [RECIPE, encoder_id, seed, {name: list(texts) for name, texts in examples.items()}, list(out_of_scope)]
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:32]


def cached_intent_head(
    cache_dir: Path,
    examples: Mapping[str, Sequence[str]],
    out_of_scope: Sequence[str],
    encoder: Encoder,
    encoder_id: str,
    seed: int = 0,
) -> IntentHead:
    """The head for this content: read from `cache_dir`, or trained and kept there.

    A damaged file is trained again. `encoder_id` names weights and normalisation (`SentenceEncoder.identity`).

    Raises:
        ValueError: see `train_intent_head`.
    """
    path = cache_dir / f"intent-{head_key(examples, out_of_scope, encoder_id, seed)}.npz"
    try:
        head, threshold = load_head(path)
        return IntentHead(head, threshold)
    except (FileNotFoundError, ModelDamaged):
        trained = train_intent_head(examples, out_of_scope, encoder, seed)
    save_head(path, trained.head, trained.threshold)
    head, threshold = load_head(path)
    return IntentHead(head, threshold)


def evaluate(head: IntentHead, encoder: Encoder, texts: Sequence[str], labels: Sequence[str]) -> dict[str, float]:
    """In-scope accuracy (as decided, and without rejection), out-of-scope recall and calibration on a test split."""
    ranked = head.rank(features(texts, encoder))
    decided = [head.decide(ranking) for ranking in ranked]
    inside = [i for i, label in enumerate(labels) if label != OUT_OF_SCOPE]
    outside = [i for i, label in enumerate(labels) if label == OUT_OF_SCOPE]
    best = [next(name for name, _ in ranking if name != OUT_OF_SCOPE) for ranking in ranked]
    figures = {
        "in_scope": float(np.mean([decided[i][0] == labels[i] for i in inside])),
        "in_scope_without_rejection": float(np.mean([best[i] == labels[i] for i in inside])),
    }
    if outside:
        figures["out_of_scope_recall"] = float(np.mean([decided[i][0] == OUT_OF_SCOPE for i in outside]))
    believed = [i for i in inside if decided[i][0] != OUT_OF_SCOPE]
    confidence = np.array([decided[i][1] for i in believed])
    correct = np.array([decided[i][0] == labels[i] for i in believed], dtype=float)
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = [
        abs(confidence[bins == b].mean() - correct[bins == b].mean()) * (bins == b).mean() for b in set(bins.tolist())
    ]
    return {**figures, "calibration_error": float(sum(gaps))}


def cross_validate(
    examples: Mapping[str, Sequence[str]], out_of_scope: Sequence[str], encoder: Encoder, seed: int = 0
) -> tuple[dict[str, float], list[tuple[str, str, str, float]]]:
    """5-fold figures of a domain, and its mistakes as (text, meant, understood, confidence)."""
    from sklearn.model_selection import StratifiedKFold

    groups = {**examples, OUT_OF_SCOPE: out_of_scope}
    rows = [(text, name) for name, texts in groups.items() for text in texts]
    totals: dict[str, list[float]] = {}
    mistakes: list[tuple[str, str, str, float]] = []
    names = [name for _, name in rows]
    for train, test in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(names, names):
        part = {name: [rows[i][0] for i in train if rows[i][1] == name] for name in groups}
        head = train_intent_head(
            {k: v for k, v in part.items() if k != OUT_OF_SCOPE}, part[OUT_OF_SCOPE], encoder, seed
        )
        held = [rows[i] for i in test]
        figures = evaluate(head, encoder, [text for text, _ in held], [name for _, name in held])
        for key, value in figures.items():
            totals.setdefault(key, []).append(value)
        for (text, name), ranking in zip(held, head.rank(features([text for text, _ in held], encoder)), strict=True):
            decided = head.decide(ranking)
            if decided[0] != name:
                mistakes.append((text, name, *decided))
    return {key: float(np.mean(values)) for key, values in totals.items()}, mistakes


def _banking77(data: Path) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    folder = data / "banking77" / "banking_data"
    examples: dict[str, list[str]] = {}
    with open(folder / "train.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            examples.setdefault(row["category"], []).append(row["text"])
    with open(folder / "test.csv", encoding="utf-8", newline="") as file:
        return examples, [(row["text"], row["category"]) for row in csv.DictReader(file)]


def _clinc150(data: Path) -> tuple[dict[str, list[str]], list[str], list[tuple[str, str]]]:
    splits: dict[str, Any] = json.loads((data / "clinc150" / "data" / "data_full.json").read_text(encoding="utf-8"))
    examples: dict[str, list[str]] = {}
    for text, label in splits["train"]:
        examples.setdefault(label, []).append(text)
    test = [(text, label) for text, label in splits["test"]] + [(text, OUT_OF_SCOPE) for text, _ in splits["oos_test"]]
    return examples, [text for text, _ in splits["oos_train"]], test


def main() -> None:
    """Print the figures asked for."""
    import yaml

    from models.encoder import SentenceEncoder

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--domain", type=Path, help="an intents.yaml")
    parser.add_argument("--data", type=Path, help="folder with banking77 and clinc150")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    encoder = SentenceEncoder(cache_size=50_000)
    generic = generic_out_of_scope()
    if arguments.domain:
        domain = yaml.safe_load(arguments.domain.read_text(encoding="utf-8"))
        examples = {
            name: [unmark(text)[0] for text in intent["examples"]] for name, intent in domain["intents"].items()
        }
        outside = [*domain["out_of_scope"]["examples"], *generic]
        figures, mistakes = cross_validate(examples, outside, encoder, arguments.seed)
        for text, meant, understood, confidence in mistakes:
            print(f"  {text!r}: {meant} understood as {understood} ({confidence:.2f})")
        print("domain", {key: round(value, 4) for key, value in figures.items()})
    if arguments.data:
        banking, banking_test = _banking77(arguments.data)
        clinc, clinc_outside, clinc_test = _clinc150(arguments.data)
        runs = (("banking77", banking, generic, banking_test), ("clinc150", clinc, clinc_outside, clinc_test))
        for name, examples, outside, test in runs:
            began = time.perf_counter()
            head = train_intent_head(examples, outside, encoder, arguments.seed)
            took = time.perf_counter() - began
            figures = evaluate(head, encoder, [text for text, _ in test], [label for _, label in test])
            rounded = {key: round(value, 4) for key, value in figures.items()}
            print(name, rounded, f"threshold {head.threshold:.3f} temperature {head.head.temperature:.2f} {took:.0f} s")


if __name__ == "__main__":
    main()
