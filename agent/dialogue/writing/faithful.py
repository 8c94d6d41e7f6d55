"""Whether a sentence says only what the sections say.

Deterministic checks first, each of which may refuse: values, names, covered words, and, clause by clause, values that
belong to something else and denials the wrong way round. Then the meaning, by sentence vectors. The checks refuse true
sentences rather than pass false ones: what is refused is replaced by the section's own words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt

from agent.dialogue.writing.contracts import Reason
from agent.dialogue.writing.evidence import Clause, Evidence, clause, parts
from agent.dialogue.writing.terms import COST, all_stems, content_stems, matched, names, opposite, roles
from agent.dialogue.writing.values import Value, figures, values

COVERED = 0.83
"""Least share of a sentence's content words that the sections must have: all of up to five, one in six may be new."""
NEAR = 0.56
"""Least cosine between a sentence and the nearest sentence, part or headed sentence of the sections."""
BESIDE = 0.5
"""What a word counts that a clause has in its heading, or left out and means, beside one that it says itself."""
WHOLE = 0.7
"""Least share of a clause's content words in the one clause it rests on: words from all over the sections do not do."""
AHEAD = 0.2
"""How much better a clause with another value of the same kind must fit before the value counts as someone else's."""
ALIKE = 0.1
"""Clauses whose fits differ by no more speak of the same thing."""

WINDOW = 5
"""Words before a value that say what it is a value of, in a sentence that joins facts."""

_LEAD = re.compile(r"(yes|yeah|no|nope)\b[\s,.!:;—-]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be said: `text`, which rests on `source`; or why nothing may."""

    text: str
    source: str = ""
    reason: Reason | None = None


def judge(sentence: str, evidence: Evidence, question: str = "", joins: bool = False) -> Verdict:
    """All checks of `sentence` but the one by meaning. A "yes" or "no" at its front goes where nothing supports it.

    joins: it may join facts that stand apart, as a summary does; then a clause need not rest on a single other one.
    """
    lead = _LEAD.match(sentence)
    body = sentence[lead.end() :] if lead else sentence
    if sentence.rstrip().endswith(("?", "？")):
        return Verdict("", reason="question")
    reason = _unknown(body, evidence)
    if reason is not None:
        return Verdict("", reason=reason)
    clauses = [clause(part) for part in parts(body)]
    reason = next((found for one in clauses if (found := _contradicts(one, evidence, joins)) is not None), None)
    if reason is not None:
        return Verdict("", reason=reason)
    best = max(evidence.clauses, key=lambda known: sum(fit(one, known) for one in clauses))
    if lead and not _leads(lead[1].lower().startswith("y"), best, evidence, question):
        return Verdict(body[:1].upper() + body[1:], best.source)
    return Verdict(sentence, best.source)


def near(sentence: npt.NDArray[np.float32], windows: npt.NDArray[np.float32]) -> bool:
    """Whether a sentence's unit vector, float32[width], is close to one of `windows`, float32[n, width]."""
    return bool(len(windows)) and float(np.max(windows @ sentence)) >= NEAR


def fit(answer: Clause, known: Clause) -> float:
    """How much of what an answer's clause speaks of a known clause speaks of, in [0, 1]."""
    if not answer.content:
        return 0.0
    own = [float(matched(one, _said(known))) for one in answer.content]
    beside = [BESIDE * matched(one, known.context) for one in answer.content]
    return sum(map(max, own, beside)) / len(own)


def _said(known: Clause) -> frozenset[str]:
    """Its stems; who names an amount says what something costs."""
    return known.stems | {COST} if any(value.rival == "amount" for value in known.values) else known.stems


def _covered(answer: Clause, known: Clause) -> float:
    words = _said(known) | known.context
    return sum(matched(one, words) for one in answer.content) / len(answer.content)


def _unknown(body: str, evidence: Evidence) -> Reason | None:
    """What of the sentence no section has at all."""
    stems = list(dict.fromkeys(content_stems(body)))
    found = values(figures(body))
    if not evidence.clauses or not (stems or any(value.kind != "word" or value.rival == "amount" for value in found)):
        return "empty"
    if not all(any(value.supported_by(known) for known in evidence.values) for value in found):
        return "value"
    if not all(name in evidence.words for name in names(body)):
        return "name"
    priced = any(value.rival == "amount" for value in evidence.values)
    known_stems = evidence.stems | {COST} if priced else evidence.stems
    if stems and sum(matched(one, known_stems) for one in stems) / len(stems) < COVERED:
        return "unsupported"
    return None


def _contradicts(one: Clause, evidence: Evidence, joins: bool) -> Reason | None:
    """What of a clause belongs to something else, or is the other way round."""
    for value in one.values:
        having = [known for known in evidence.clauses if _has(known, value)]
        rivals = [
            known
            for known in evidence.clauses
            if not _has(known, value) and any(other.rival == value.rival for other in known.values)
        ]
        if rivals and joins and not _next_to(one, value, having, rivals):
            return "value"
        if rivals and not joins and not any(_belongs(one, value, known, rivals) for known in having):
            return "value"
    if not one.content:
        return None
    if joins:
        return "negation" if one.denies and not any(known.denies for known in evidence.clauses) else None
    if _crossed(one, evidence.clauses):
        return "value"
    covered = [_covered(one, known) for known in evidence.clauses]
    most = max(covered)
    if most < WHOLE:
        return "unsupported"
    covering = [known for share, known in zip(covered, evidence.clauses, strict=True) if share == most]
    best = max(fit(one, known) for known in covering)
    alike = [known for known in covering if fit(one, known) >= best - ALIKE]
    if all(known.denies != one.denies or _reverses(one, known) for known in alike):
        return "negation"
    if not one.denies and any(known.denies and _speaks_of(one, known) for known in alike):
        return "negation"
    if _swaps(one, evidence.clauses) or all(_turned(one, known) for known in alike):
        return "negation"
    rest = [word for word in one.content if not any(matched(word, _said(known) | known.context) for known in alike)]
    denied = [known for known in evidence.clauses if known.denies]
    if not one.denies and any(
        matched(word, known.stems) for known in denied if _speaks_of(one, known) for word in rest
    ):
        return "negation"
    for value in one.values:
        having = [known for known in evidence.clauses if _has(known, value)] if value.kind != "word" else []
        if having and not any(_covered(one, known) >= WHOLE or _beside(one, known, covering) for known in having):
            return "value"
    return None


def _beside(one: Clause, known: Clause, covering: Sequence[Clause]) -> bool:
    """Whether a clause goes on in the sentence that the answer rests on, and nothing in the answer is only there."""
    siblings = [other for other in covering if _same_sentence(known, other)]
    missing = [word for word in one.content if not matched(word, known.stems)]
    return bool(siblings) and not any(matched(word, other.stems) for word in missing for other in siblings)


def _swaps(one: Clause, clauses: Sequence[Clause]) -> bool:
    """Whether the answer says "you" do what the sections say "we" do, or the reverse."""
    known = {role for clause_ in clauses for role in roles(clause_.text)}
    verbs = {verb for _, verb in known}
    return any(verb in verbs and (who, verb) not in known for who, verb in roles(one.text))


def _turned(one: Clause, known: Clause) -> bool:
    """Whether opposites that both have, as "old" and "new", stand the other way round."""
    said, told = all_stems(one.text), all_stems(known.text)
    return any(
        other is not None
        and {word, other} <= set(said) & set(told)
        and (said.index(word) < said.index(other)) != (told.index(word) < told.index(other))
        for word in set(said)
        for other in (opposite(word),)
    )


def _speaks_of(one: Clause, known: Clause) -> bool:
    """Whether the answer has half of what a known clause speaks of."""
    return 2 * sum(matched(word, frozenset(one.content)) for word in known.content) >= len(known.content)


def _crossed(one: Clause, clauses: Sequence[Clause]) -> bool:
    """Whether two values of the answer are of two clauses that one sentence sets against each other."""
    owners = {value: [known for known in clauses if _has(known, value)] for value in one.values}
    return any(
        left.rival != right.rival
        and not any(known in owners[right] for known in owners[left])
        and any(_same_sentence(known, other) for known in owners[left] for other in owners[right])
        for left, right in combinations(one.values, 2)
    )


def _same_sentence(known: Clause, other: Clause) -> bool:
    return known.sentence == other.sentence and known.source == other.source


def _belongs(one: Clause, value: Value, known: Clause, rivals: Sequence[Clause]) -> bool:
    """Whether the clause that has a value is the one spoken of, rather than one that has another value of that kind."""
    also = [other for other in one.values if other.rival == value.rival and other is not value]
    others = [
        rival for rival in rivals if not (_same_sentence(rival, known) and any(_has(rival, other) for other in also))
    ]
    elsewhere = [word for word in one.content if not matched(word, known.stems | known.context)]
    if any(matched(word, rival.stems) for rival in others for word in elsewhere):
        return False
    pairs = _pairs(one.text)
    if any(_same_sentence(rival, known) and _own(one, value, rival) > _own(one, value, known) for rival in others):
        return False
    return all(
        fit(one, rival) <= fit(one, known) + AHEAD
        and (fit(one, rival) < fit(one, known) or len(pairs & _pairs(rival.text)) <= len(pairs & _pairs(known.text)))
        for rival in others
    )


def _own(one: Clause, value: Value, known: Clause) -> int:
    """How many words and other values of the answer a clause has itself."""
    also = [other for other in one.values if other.rival != value.rival]
    return sum(matched(word, _said(known)) for word in one.content) + sum(_has(known, other) for other in also)


def _pairs(text: str) -> set[tuple[str, str]]:
    """Words that stand side by side."""
    stems = all_stems(text)
    return set(pairwise(stems))


def _next_to(one: Clause, value: Value, having: Sequence[Clause], rivals: Sequence[Clause]) -> bool:
    """Whether the words beside a value are rather those of a clause that has it than of one that has another."""
    plain = figures(one.text)
    begin = max((other.end for other in one.values if other.end <= value.start), default=0)
    words = plain[begin : value.start].split()[-WINDOW:] + plain[value.end :].split()[:2]
    beside = set(all_stems(" ".join(words)))
    best, rival = (max((len(beside & known.stems) for known in group), default=0) for group in (having, rivals))
    return best >= rival


def _has(known: Clause, value: Value) -> bool:
    return any(value.supported_by(other) for other in known.values)


def _reverses(one: Clause, known: Clause) -> bool:
    """Whether the answer has what the known clause lacks, or a word whose opposite it has instead of the word."""
    if any(matched(word, known.lacking) and not matched(word, one.lacking) for word in one.content):
        return True
    return any(
        other is not None and other in known.stems and not matched(word, known.stems)
        for word in one.stems
        for other in (opposite(word),)
    )


def _leads(yes: bool, best: Clause, evidence: Evidence, question: str) -> bool:
    """Whether the section answers the question with that yes or no, in words or by saying all that was asked."""
    if best.source in evidence.answers_yes:
        return evidence.answers_yes[best.source] == yes
    asked: Sequence[str] = content_stems(question)
    covered = bool(asked) and all(matched(one, best.stems | best.context) for one in asked)
    return covered and best.denies != yes
