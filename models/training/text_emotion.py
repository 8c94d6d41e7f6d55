"""Train the text emotion head on GoEmotions and call-centre lines of ours, and write its model card.

    python -m models.training.text_emotion --data DIR [--seed 0] [--out models/weights]

DIR holds goemotions/data/original/{train,dev,test}.tsv. The held-out lines of ours (split `held` of emotion_lines.tsv)
and the test split are only measured, never fitted; nothing is chosen on them.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.encoder import SentenceEncoder
from models.heads import LinearHead, Vectors, features, save_head
from models.text_emotion import LABELS

LINES = Path(__file__).with_name("emotion_lines.tsv")

FOUR = {
    "angry": ("anger", "annoyance", "disgust", "disapproval"),
    "happy": (
        "admiration",
        "amusement",
        "caring",
        "excitement",
        "gratitude",
        "joy",
        "love",
        "optimism",
        "pride",
        "relief",
    ),
    "sad": ("sadness", "grief", "disappointment", "remorse", "embarrassment"),
    "neutral": ("neutral", "curiosity", "confusion", "realization", "approval", "desire", "surprise"),
}
"""GoEmotions' labels in our four; fear and nervousness have no place and are left out."""

_C = 3.0
_OURS_WEIGHT = 12.0
"""One line of ours counts as this many comments: there are few, and callers are what the head is for."""


def read_goemotions(data: Path, split: str) -> list[tuple[str, str]]:
    """(comment, label) of a split; comments whose labels fall into two of our four classes are left out."""
    folder = data / "goemotions" / "data" / "original"
    names = (folder / "labels.txt").read_text(encoding="utf-8").split()
    four = {name: label for label, members in FOUR.items() for name in members}
    rows = []
    for line in (folder / f"{split}.tsv").read_text(encoding="utf-8").splitlines():
        text, ids, _ = line.split("\t")
        labels = {four.get(names[int(i)]) for i in ids.split(",")}
        if len(labels) == 1 and (label := labels.pop()):
            rows.append((text, label))
    return rows


def read_lines(split: str) -> list[tuple[str, str]]:
    """(line, label) of ours: split `train` or `held`."""
    with open(LINES, encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file, delimiter="\t") if row["split"] == split]


def fit(vectors: Vectors, labels: npt.NDArray[np.str_], weights: npt.NDArray[np.float64]) -> LinearHead:
    """Logistic regression; classes are weighed by the square root of their rarity, so that neutral stays likely."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    counts = Counter(labels.tolist())
    rarity = {label: float(np.sqrt(len(labels) / (len(counts) * count))) for label, count in counts.items()}
    sample = weights * np.array([rarity[label] for label in labels])
    # One thread: sums in another order give other last digits, and the weights would not come out the same.
    with threadpool_limits(1):
        model = LogisticRegression(C=_C, max_iter=300).fit(vectors, labels, sample_weight=sample)
    names = tuple(str(label) for label in model.classes_)
    return LinearHead(names, model.coef_.astype(np.float32), model.intercept_.astype(np.float32))


def measure(head: LinearHead, vectors: Vectors, labels: list[str]) -> dict[str, float]:
    """Accuracy, macro F1, and precision and recall of each class."""
    said = [head.labels[i] for i in head.probabilities(vectors).argmax(axis=1)]
    figures = {"accuracy": float(np.mean([a == b for a, b in zip(said, labels, strict=True)]))}
    f1 = []
    for label in LABELS:
        hits = sum(a == b == label for a, b in zip(said, labels, strict=True))
        precision, recall = hits / max(1, said.count(label)), hits / max(1, labels.count(label))
        f1.append(2 * precision * recall / max(1e-9, precision + recall))
        figures |= {f"{label} precision": precision, f"{label} recall": recall}
    return {"accuracy": figures.pop("accuracy"), "macro F1": float(np.mean(f1)), **figures}


def _card(
    arguments: argparse.Namespace, train: Counter[str], ours: Counter[str], tables: dict[str, dict[str, float]]
) -> str:
    rows = list(next(iter(tables.values())))
    lines = [f"| {row} | " + " | ".join(f"{table[row] * 100:.1f}" for table in tables.values()) + " |" for row in rows]
    counted = ", ".join(f"{label} {train[label]}" for label in LABELS)
    counted_ours = ", ".join(f"{label} {ours[label]}" for label in LABELS)
    return f"""# text_emotion.npz

What it does: reads neutral, happy, sad or angry off the words of one English caller turn.

- Model: multinomial logistic regression over the sentence vector (Universal Sentence Encoder multilingual v3, frozen)
  and hashed words; float16 weights. Numbers, case and punctuation are gone before it reads.
- Data: GoEmotions (Demszky et al. 2020; Apache-2.0 / CC BY 4.0), training split, its 28 labels in our four (see
  `FOUR` in models/training/text_emotion.py), comments of two of our classes left out: {counted}.
  And call-centre lines of ours, each weighing {_OURS_WEIGHT:g} comments: {counted_ours}.
- Licence of the weights: Apache-2.0, with attribution to GoEmotions.
- Made by: `python -m models.training.text_emotion --data DIR --seed {arguments.seed}`
- Splits: GoEmotions' own test split; and held-out call-centre lines of ours, written with the training lines but never
  fitted. Nothing was chosen on either.

| % | {" | ".join(tables)} |
|---|{"---|" * len(tables)}
{chr(10).join(lines)}

Limits: the comments are from Reddit, in American English, labelled by three raters who often disagree; sarcasm is not
seen; the head knows nothing of the voice. The held-out lines are few and ours, so their figures are indicative. It is
one input beside the voice, not grounds on its own for a decision about a caller.
"""


def main() -> None:
    """Train, measure, write weights and card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "weights")
    arguments = parser.parse_args()
    encoder = SentenceEncoder(cache_size=0)
    comments, ours = read_goemotions(arguments.data, "train"), read_lines("train")
    order = np.random.default_rng(arguments.seed).permutation(len(comments) + len(ours))
    rows = [[*comments, *ours][i] for i in order]
    weights = np.array([1.0] * len(comments) + [_OURS_WEIGHT] * len(ours))[order]
    print(f"encoding {len(rows)} texts", flush=True)
    head = fit(features([text for text, _ in rows], encoder), np.array([label for _, label in rows]), weights)
    save_head(arguments.out / "text_emotion.npz", head)
    tables = {}
    for name, test in (
        ("GoEmotions test", read_goemotions(arguments.data, "test")),
        ("our held-out lines", read_lines("held")),
    ):
        vectors = features([text for text, _ in test], encoder)
        tables[f"{name} ({len(test)})"] = measure(head, vectors, [label for _, label in test])
        print(name, tables[f"{name} ({len(test)})"])
        said = head.probabilities(vectors)
        if len(test) < 200:
            for (text, label), row in zip(test, said, strict=True):
                if head.labels[int(row.argmax())] != label:
                    print(f"  {text!r}: {label} read as {head.labels[int(row.argmax())]} ({row.max():.2f})")
    counts = Counter(label for _, label in comments), Counter(label for _, label in ours)
    (arguments.out / "text_emotion.md").write_text(_card(arguments, *counts, tables), encoding="utf-8")


if __name__ == "__main__":
    main()
