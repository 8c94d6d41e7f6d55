"""Train the head that tells whole sentences from cut ones, and write its model card.

    python -m models.training.completeness --data DIR [--domain INTENTS.yaml] [--seed 0] [--out models/weights]

Whole sentences are the questions of Banking77 and CLINC150 and a domain's examples; each is also cut once at a random
word. A cut that is itself a whole sentence of the data is left out. Test splits are only measured.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from models.completeness import word_features
from models.encoder import normalise
from models.heads import LinearHead, save_head

_C = 0.03
_DOMAIN_REPEATS = 6
"""How often the domain's examples count: they are few, and closest to what callers say."""


def read_public(data: Path, split: str) -> list[str]:
    """The sentences of Banking77 and CLINC150, split `train` or `test`."""
    with open(data / "banking77" / "banking_data" / f"{split}.csv", encoding="utf-8", newline="") as file:
        banking = [row["text"] for row in csv.DictReader(file)]
    clinc = json.loads((data / "clinc150" / "data" / "data_full.json").read_text(encoding="utf-8"))
    return banking + [text for key in (split, f"oos_{split}") for text, _ in clinc[key]]


def cut(sentences: list[str], seed: int) -> tuple[list[str], list[str]]:
    """(texts, labels whole | cut): every sentence, and each of two words or more once cut at a random word."""
    random = np.random.default_rng(seed)
    plain = [text for text in (normalise(sentence) for sentence in sentences) if text]
    known = set(plain)
    texts, labels = list(plain), ["whole"] * len(plain)
    for text in plain:
        words = text.split()
        if len(words) < 2:
            continue
        part = " ".join(words[: int(random.integers(1, len(words)))])
        if part not in known:
            texts.append(part)
            labels.append("cut")
    return texts, labels


def measure(head: LinearHead, texts: list[str], labels: list[str]) -> dict[str, float]:
    """AUROC, accuracy at 0.5, and how many cut sentences pass at the threshold that 90 % of the whole ones pass."""
    from sklearn.metrics import roc_auc_score

    whole = np.array([label == "whole" for label in labels])
    scores = np.array([head.probabilities(word_features(text)[None, :])[0][1] for text in texts])
    passing = float(np.quantile(scores[whole], 0.1))
    return {
        "AUROC": float(roc_auc_score(whole, scores)),
        "accuracy": float(np.mean((scores > 0.5) == whole)),
        "cut sentences that pass where 90 % of whole ones do": float(np.mean(scores[~whole] >= passing)),
    }


def fit(texts: list[str], labels: list[str]) -> LinearHead:
    """Logistic regression over the word features; both classes weigh the same."""
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]
    from sklearn.linear_model import LogisticRegression

    vectors = csr_matrix(np.stack([word_features(text) for text in texts]))
    model = LogisticRegression(C=_C, max_iter=300, class_weight="balanced").fit(vectors, labels)
    half: npt.NDArray[np.float32] = (model.coef_[0] / 2).astype(np.float32)
    bias = float(model.intercept_[0]) / 2
    return LinearHead(("cut", "whole"), np.stack([-half, half]), np.array([-bias, bias], dtype=np.float32))


def main() -> None:
    """Train, measure, write weights and card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--domain", type=Path, default=Path("configs/domains/shop/intents.yaml"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "weights")
    arguments = parser.parse_args()
    domain = yaml.safe_load(arguments.domain.read_text(encoding="utf-8"))
    ours = [text for intent in domain["intents"].values() for text in intent["examples"]]
    public = cut(read_public(arguments.data, "train"), arguments.seed)
    texts, labels = list(public[0]), list(public[1])
    for repeat in range(_DOMAIN_REPEATS):
        more = cut(ours, arguments.seed + 1 + repeat)
        texts += more[0]
        labels += more[1]
    head = fit(texts, labels)
    save_head(arguments.out / "completeness.npz", head)
    test = cut(read_public(arguments.data, "test"), arguments.seed + 100)
    # A domain the head has not seen: trained without ours, measured on ours.
    unseen = measure(fit(*public), *cut(ours, arguments.seed + 200))
    figures = {"Banking77 and CLINC150 test": measure(head, *test), "a domain not trained on": unseen}
    rows = [
        f"| {row} | " + " | ".join(f"{table[row] * 100:.1f}" for table in figures.values()) + " |" for row in unseen
    ]
    for name, table in figures.items():
        print(name, {key: round(value, 4) for key, value in table.items()})
    card = f"""# completeness.npz

What it does: tells from how a text begins and ends, and how long it is, whether the sentence is whole or cut.

- Model: logistic regression over hashed words at the edges (4,096 columns, float16).
- Data: Banking77 (CC BY 4.0) and CLINC150 (CC BY 3.0) training splits and the demo shop's examples, each whole and cut
  once at a random word: {labels.count("whole")} whole, {labels.count("cut")} cut.
  Licence of the weights: Apache-2.0, with attribution.
- Made by: `python -m models.training.completeness --data DIR --seed {arguments.seed}`

| % | {" | ".join(figures)} |
|---|{"---|" * len(figures)}
{chr(10).join(rows)}

Limits: English, typed questions rather than speech; a random cut is sometimes a sentence of its own, so 100 % cannot be
reached. It hears nothing: the turn model adds silence and prosody. Rules around it (models/completeness.py) settle
digits, e-mail addresses, yes and no, and hanging words.
"""
    (arguments.out / "completeness.md").write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
