"""Fitting the model of `agent.dialogue.knowledge.answerable` on questions that are labelled with their section."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent.dialogue.domain import Fact
from agent.dialogue.knowledge.answerable import Answerable, inputs
from agent.dialogue.knowledge.questions import Question
from agent.dialogue.knowledge.search import Candidate, SearchIndex

STRENGTH = 1.0
"""Inverse regularisation of the standardised weights."""
OWN = 0.2
"""Weight of a question made of a section's own other ways to ask: there are many, and they are not what callers say."""
OUTSIDE = 0.25
"""Weight of a question that belongs to another business altogether: those are many and easy."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A question with the sections that were looked at, and whether each is right."""

    candidates: tuple[Candidate, ...]
    right: tuple[bool, ...]
    weight: float = 1.0


def of_questions(index: SearchIndex, questions: Sequence[Question]) -> list[Judged]:
    """The questions of questions.yaml that sections are to answer or to refuse."""
    places = {fact.source: n for n, fact in enumerate(index.facts)}
    found = []
    for question in questions:
        right = {places[source] for source in question.source if source in places}
        if question.about is not None or (question.source and not right):
            continue
        found.append(_judged(index.candidates(question.ask), right))
    return found


def of_own_wordings(facts: Sequence[Fact], build: Callable[[Sequence[Fact]], SearchIndex]) -> list[Judged]:
    """Other ways to ask as questions, to an index that lacks them; and to one that lacks their section, too."""
    found: list[Judged] = []
    for half in range(2):
        index = build([replace(fact, questions=fact.questions[half::2]) for fact in facts])
        for n, fact in enumerate(facts):
            for question in fact.questions[1 - half :: 2]:
                found.append(_judged(index.candidates(question), {n}, OWN))
                found.append(_judged(index.candidates(question, without=n), set(), OWN))
    return found


def outside(index: SearchIndex, questions: Sequence[str]) -> list[Judged]:
    """Questions that no section answers."""
    return [_judged(index.candidates(question), set(), OUTSIDE) for question in questions]


def _judged(candidates: Sequence[Candidate], right: set[int], weight: float = 1.0) -> Judged:
    return Judged(tuple(candidates), tuple(candidate.section in right for candidate in candidates), weight)


def fit(judged: Sequence[Judged]) -> Answerable:
    """The model of greatest likelihood with a ridge penalty."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rows = [
        (inputs(c.signals), right, j.weight) for j in judged for c, right in zip(j.candidates, j.right, strict=True)
    ]
    values = np.array([row[0] for row in rows])
    scaler = StandardScaler().fit(values)
    model = LogisticRegression(C=STRENGTH, max_iter=5000)
    model.fit(scaler.transform(values), [row[1] for row in rows], sample_weight=[row[2] for row in rows])
    weights = model.coef_[0] / scaler.scale_
    return Answerable(tuple(map(float, weights)), float(model.intercept_[0] - weights @ scaler.mean_))


def judged_best(model: Answerable, judged: Judged) -> tuple[float, bool]:
    """P of the section that the model chooses, and whether that is right."""
    if not judged.candidates:
        return 0.0, False
    scores = [model.probability(candidate.signals) for candidate in judged.candidates]
    best = int(np.argmax(scores))
    return scores[best], judged.right[best]
