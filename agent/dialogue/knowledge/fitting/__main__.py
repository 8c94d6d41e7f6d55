"""Fit the map of wordings and the model of answers on some domains, and measure them on others.

    python -m agent.dialogue.knowledge.fitting --data DIR --fit clinic,travel,education,government --check shop,bank

DIR holds `banking77`, `clinc150` and `bitext_customer_support` as published; only their training parts are read. The
domains of --check are never learnt from. Signals of a domain are made with a map that has not seen it, else its own
wordings would look nearer than callers' ever are.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from agent.config import CONFIGS
from agent.dialogue.domain import Fact
from agent.dialogue.knowledge.answerable import NAMES, WEIGHTS, Answerable
from agent.dialogue.knowledge.fitting.judging import Judged, fit, judged_best, of_own_wordings, of_questions, outside
from agent.dialogue.knowledge.fitting.mapping import Corpus, Floats, learn_map
from agent.dialogue.knowledge.graph import read_graph
from agent.dialogue.knowledge.paraphrase import MAP, ParaphraseEncoder
from agent.dialogue.knowledge.questions import Known, Question, read_questions
from agent.dialogue.knowledge.reading.folder import read_sections
from agent.dialogue.knowledge.search import SearchIndex
from models.contracts import OUT_OF_SCOPE
from models.encoder import SentenceEncoder
from models.training.heads import generic_out_of_scope
from models.training.readers import read_examples

PUBLISHED = ("banking77", "clinc150", "bitext_customer_support")


def main() -> None:
    """Fit, measure, and write the two files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fit", default="clinic,travel,education,government")
    parser.add_argument("--check", default="shop,bank")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    learnt, checked = options.fit.split(","), options.check.split(",")
    encoder = SentenceEncoder(cache_size=200_000)
    domains = {name: _domain(name) for name in (*learnt, *checked)}
    corpora: dict[str, Corpus] = {}
    strange = generic_out_of_scope()
    for name in PUBLISHED:
        groups, left = _published(options.data / name, encoder)
        corpora[name] = groups
        strange += left
    rng = np.random.default_rng(options.seed)
    strange = [strange[n] for n in rng.permutation(len(strange))[:200]]
    for name in learnt:
        corpora[name] = [encoder.encode([f.heading, *f.questions, f.text]) for f in domains[name][0]]
        corpora[f"{name} intents"], _ = _published(CONFIGS / "domains" / name, encoder)
    ours = frozenset(learnt)
    judged: list[Judged] = []
    for name in learnt:
        others = {key: groups for key, groups in corpora.items() if key not in (name, f"{name} intents")}
        unseen = ParaphraseEncoder(encoder, learn_map(others, ours, options.seed))
        judged += _judged(*domains[name], encoder, unseen, strange)
        print(f"{name}: signals made", flush=True)
    mapping = learn_map(corpora, ours, options.seed)
    sharp = ParaphraseEncoder(encoder, mapping.astype(np.float16).astype(np.float32))
    model = fit(judged)
    np.savez_compressed(MAP, mapping=mapping.astype(np.float16), encoder=np.array(encoder.identity))
    found = {name: _measured(model, of_questions(_index(domains[name][0], encoder, sharp), domains[name][1]))
             for name in checked}  # fmt: skip
    _write(model, learnt, checked, options.seed, len(judged), found)
    print(json.dumps(found, indent=1))


def _domain(name: str) -> tuple[Sequence[Fact], Sequence[Question]]:
    folder = CONFIGS / "domains" / name
    problems: list[str] = []
    facts = read_sections(folder / "knowledge", problems)
    graph = read_graph(folder / "graph.yaml", problems)
    if problems:
        raise SystemExit("\n".join(problems))
    known = Known({fact.source for fact in facts}, graph.entities if graph is not None else ())
    return facts, read_questions(folder / "questions.yaml", known)


def _published(folder: Path, encoder: SentenceEncoder) -> tuple[list[Floats], list[str]]:
    """Vectors of the training sentences by intent, and the sentences that are out of scope."""
    groups: dict[str, list[str]] = defaultdict(list)
    for example in read_examples(folder).train:
        groups[example.intent or ""].append(example.text)
    left = groups.pop(OUT_OF_SCOPE, [])
    return [encoder.encode(texts) for texts in groups.values()], left


def _index(facts: Sequence[Fact], encoder: SentenceEncoder, sharp: ParaphraseEncoder) -> SearchIndex:
    return SearchIndex(facts, encoder, sharp=sharp)


def _judged(
    facts: Sequence[Fact],
    questions: Sequence[Question],
    encoder: SentenceEncoder,
    sharp: ParaphraseEncoder,
    strange: Sequence[str],
) -> list[Judged]:
    index = _index(facts, encoder, sharp)
    own = of_own_wordings(facts, lambda some: _index(some, encoder, sharp))
    return [*of_questions(index, questions), *own, *outside(index, strange)]


def _measured(model: Answerable, judged: Sequence[Judged]) -> Mapping[str, Mapping[str, float]]:
    """At some thresholds: the share of answerable questions answered rightly, refused, and of others refused."""
    answerable = [judged_best(model, one) for one in judged if any(one.right)]
    others = [judged_best(model, one) for one in judged if not any(one.right)]
    return {
        f"{least:.2f}": {
            "right first": round(float(np.mean([right for _, right in answerable])), 3),
            "answered rightly": round(float(np.mean([right and p >= least for p, right in answerable])), 3),
            "answerable refused": round(float(np.mean([p < least for p, _ in answerable])), 3),
            "unanswerable refused": round(float(np.mean([p < least for p, _ in others])), 3),
        }
        for least in (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6)
    }


def _write(
    model: Answerable, learnt: Sequence[str], checked: Sequence[str], seed: int, count: int,
    found: Mapping[str, Mapping[str, Mapping[str, float]]],
) -> None:  # fmt: skip
    document = {
        "fitted_on": list(learnt), "questions": count, "seed": seed, "checked_on": list(checked), "checked": found,
        "bias": round(model.bias, 4),
        "weights": dict(zip(NAMES, [round(weight, 4) for weight in model.weights], strict=True)),
    }  # fmt: skip
    WEIGHTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
