"""Which caller turns are worth a person's label most, and why: from the records, the most informative first."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sqlalchemy import select

from agent.learning.shadow import EVENT as SHADOW_EVENT
from agent.records.database import Call, Database, Event, Label, Turn
from models.contracts import OUT_OF_SCOPE, Encoder
from models.encoder import Vectors, normalise

MOST_CALLS = 2000
"""The latest calls that are looked at."""
SUGGESTED = 3
"""Intents suggested for a turn."""

HANDED_OVER = 0.9
CORRECTED = 0.8
DISAGREED = 0.7
ASKED_AGAIN = 0.6
UNCERTAIN = 0.6
FAILED = 0.4
OUTSIDE = 0.3
LEFT = 0.15
"""How much each reason counts, from 0 to 1: our estimate of how often what it points at is a misunderstanding. A person
took the call over, the caller took the words up again, two models read them differently, the agent had to ask again,
the model was unsure, the call failed, no intent was found, the caller hung up. Several reasons add up as independent
hints do: 1 - (1 - a)(1 - b).
"""
UNSURE_MARGIN = 0.8
"""Lead of the best intent over the second under which a reading is uncertain; the reason counts fully at none."""
CLUSTER, CLUSTER_MOST = 0.5, 0.95
"""What a group of two alike out-of-scope turns counts; each doubling adds `CLUSTER_STEP`, up to the most."""
CLUSTER_STEP = 0.12
ALIKE = 0.6
"""Cosine of sentence vectors from which two out-of-scope turns ask for the same thing."""
MOST_CLUSTERED = 3000
"""Out-of-scope turns that are grouped, the latest; the comparison is quadratic."""

_REPAIRS = frozenset({"clarify", "not understood", "no answer to the question", "offer a person", "does not know"})
"""Decisions of `agent.dialogue.policy` by which the agent shows that it did not understand."""
_CORRECTION = re.compile(
    r"\b(?:i (?:said|meant|mean|asked)|not what i|that'?s (?:not|wrong)|that is (?:not|wrong)|you misunderstood"
    r"|you got (?:it|that) wrong|you didn'?t understand|no,? (?:i|not|the|my|it'?s|that'?s)\b)",
    re.IGNORECASE,
)
"""Words by which a caller takes up again what was taken wrongly; a bare no may answer a question."""


@dataclass(frozen=True, slots=True)
class SaidTurn:
    """A caller turn of the records with what stands around it.

    before: what the caller had heard last. decision: why the agent answered as it did. after: the caller's next words.
    disagreement: what a candidate model read instead. ranking: (intent, probability), best first.
    """

    call_id: str
    turn: int
    text: str
    intent: str | None
    confidence: float
    ranking: tuple[tuple[str, float], ...]
    model: str | None
    opened_at: str
    outcome: str | None
    before: str = ""
    decision: str = ""
    after: str = ""
    handed_over: bool = False
    disagreement: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A turn to be labelled: why, and what it may mean.

    score in [0, 1), higher is more informative; alike: how many turns it stands for, itself included.
    """

    call_id: str
    turn: int
    text: str
    before: str
    intent: str | None
    confidence: float
    model: str | None
    why: tuple[str, ...]
    suggestions: tuple[str, ...]
    score: float
    alike: int = 1
    opened_at: str = field(default="", compare=False)


async def said_turns(database: Database, domains: Collection[str], most_calls: int = MOST_CALLS) -> list[SaidTurn]:
    """The caller turns of the latest calls of `domains` that have words and no label yet, the newest call first."""
    async with database.engine.connect() as connection:
        latest = select(Call.id, Call.opened_at, Call.outcome).where(Call.domain.in_(list(domains)))
        calls = (await connection.execute(latest.order_by(Call.opened_at.desc(), Call.id).limit(most_calls))).all()
        ids = [call.id for call in calls]
        turns: dict[str, list[Mapping[str, Any]]] = {}
        labelled: set[tuple[str, int]] = set()
        apart: dict[tuple[str, int], str] = {}
        for start in range(0, len(ids), 500):
            some = ids[start : start + 500]
            query = select(Turn.__table__).where(Turn.call_id.in_(some))
            for row in (await connection.execute(query.order_by(Turn.number, Turn.started_ms))).mappings():
                turns.setdefault(row["call_id"], []).append(dict(row))
            labels = select(Label.call_id, Label.turn).where(Label.call_id.in_(some))
            labelled |= {(row.call_id, row.turn) for row in await connection.execute(labels)}
            events = select(Event.call_id, Event.data).where(Event.call_id.in_(some), Event.kind == SHADOW_EVENT)
            for event in await connection.execute(events):
                if not event.data.get("agree", True):
                    apart[event.call_id, int(event.data["turn"])] = str(event.data["candidate"]["intent"])
    found: list[SaidTurn] = []
    for call in calls:
        said = _of_call(call.id, call.opened_at.isoformat(), call.outcome, turns.get(call.id, []))
        found += [
            replace(turn, disagreement=apart.get((turn.call_id, turn.turn)))
            for turn in said
            if (turn.call_id, turn.turn) not in labelled
        ]
    return found


def _of_call(call_id: str, opened_at: str, outcome: str | None, rows: Sequence[Mapping[str, Any]]) -> list[SaidTurn]:
    caller = [row for row in rows if row["speaker"] == "caller" and row["text"] and not _keys(row["text"])]
    agent = {row["number"]: row for row in rows if row["speaker"] == "agent"}
    leaving = {n for n, row in agent.items() if row["reasons"].get("decision") == "hand off"}
    blamed: set[int] = set()
    for number in leaving:
        # Whoever asks for a person was understood; what made them ask is the turn before.
        spoken = [row for row in caller if row["number"] <= number]
        if spoken and spoken[-1]["intent"] == "human":
            spoken = spoken[:-1]
        if spoken:
            blamed.add(spoken[-1]["number"])
    found = []
    for place, row in enumerate(caller):
        heard = [reply for n, reply in sorted(agent.items()) if n < row["number"]]
        answer = agent.get(row["number"])
        ranking = row["reasons"].get("ranking") or []
        found.append(
            SaidTurn(
                call_id,
                row["number"],
                row["text"],
                row["intent"],
                row["confidence"] or 0.0,
                tuple((str(name), float(chance)) for name, chance in ranking),
                row["model"],
                opened_at,
                outcome,
                before=(heard[-1]["heard"] or "") if heard else "",
                decision=str(answer["reasons"].get("decision") or "") if answer is not None else "",
                after=caller[place + 1]["text"] if place + 1 < len(caller) else "",
                handed_over=row["number"] in blamed,
            )
        )
    return found


def _keys(text: str) -> bool:
    return text.startswith("[keys ")


def rank(turns: Sequence[SaidTurn], encoder: Encoder | None, limit: int | None = None) -> list[Candidate]:
    """The turns worth a label, the most informative first; equal ones in the order given.

    Turns with the same words are one candidate. Alike out-of-scope turns are one too, told by the vectors of `encoder`
    (None tells only equal words), and shown by the most typical. A turn with no reason to be looked at is left out.
    """
    once: dict[str, SaidTurn] = {}
    same: dict[str, int] = {}
    weight: dict[str, tuple[float, tuple[str, ...]]] = {}
    for turn in turns:
        key = normalise(turn.text)
        if not key:
            continue
        same[key] = same.get(key, 0) + 1
        reasons = reasons_for(turn)
        score = _together(reasons.values())
        if key not in once or score > weight[key][0]:
            once[key], weight[key] = turn, (score, tuple(reasons))
    groups = _groups([key for key, turn in once.items() if turn.intent == OUT_OF_SCOPE], once, encoder)
    candidates = []
    for key, turn in once.items():
        score, why = weight[key]
        alike = same[key]
        if key in groups:
            members = groups[key]
            if members is None:
                continue
            alike = sum(same[member] for member in members)
            score = max(weight[member][0] for member in members)
        if alike > 1 and turn.intent == OUT_OF_SCOPE:
            grouped = min(CLUSTER_MOST, CLUSTER + CLUSTER_STEP * (math.log2(alike) - 1))
            score = _together((score, grouped))
            why = (f"one of {alike} alike turns that no intent fits: a new intent?", *why)
        if not score:
            continue
        suggestions = tuple(name for name, _ in turn.ranking if name != OUT_OF_SCOPE)[:SUGGESTED]
        candidates.append(
            Candidate(
                turn.call_id,
                turn.turn,
                turn.text,
                turn.before,
                turn.intent,
                turn.confidence,
                turn.model,
                why,
                suggestions,
                score,
                alike,
                turn.opened_at,
            )
        )
    candidates.sort(key=lambda candidate: -candidate.score)
    return candidates[:limit]


def reasons_for(turn: SaidTurn) -> dict[str, float]:
    """Why one turn is worth a label, in words, with how much each reason counts; empty where nothing speaks for it."""
    reasons: dict[str, float] = {}
    if turn.handed_over:
        reasons["a person took the call over after it"] = HANDED_OVER
    if _CORRECTION.search(turn.after):
        reasons["the caller corrected it"] = CORRECTED
    if turn.disagreement is not None and turn.disagreement != turn.intent:
        reasons[f"a candidate model read {turn.disagreement}"] = DISAGREED
    if turn.decision in _REPAIRS:
        reasons["the agent had to ask again"] = ASKED_AGAIN
    chances = sorted((chance for _, chance in turn.ranking), reverse=True)
    margin = chances[0] - chances[1] if len(chances) > 1 else 1.0
    if margin < UNSURE_MARGIN:
        reasons[f"uncertain: the best intent leads by {margin:.2f}"] = UNCERTAIN * (1.0 - margin / UNSURE_MARGIN)
    if turn.intent == OUT_OF_SCOPE:
        reasons["no intent fits"] = OUTSIDE
    # How a call ended says little of a turn that nothing else speaks against.
    if reasons and turn.outcome == "failed":
        reasons["the call failed"] = FAILED
    elif reasons and turn.outcome == "caller_left":
        reasons["the caller hung up"] = LEFT
    return reasons


def _together(weights: Iterable[float]) -> float:
    return 1.0 - math.prod(1.0 - weight for weight in weights)


def _groups(
    keys: Sequence[str], turns: Mapping[str, SaidTurn], encoder: Encoder | None
) -> dict[str, tuple[str, ...] | None]:
    """Alike texts: the most typical with all members of its group, the other members with None."""
    keys = keys[:MOST_CLUSTERED]
    if encoder is None or len(keys) < 2:
        return {key: (key,) for key in keys}
    alike = similar(encoder.encode([turns[key].text for key in keys]))
    groups: dict[str, tuple[str, ...] | None] = {}
    for exemplar, members in clusters(alike):
        groups |= dict.fromkeys((keys[member] for member in members), None)
        groups[keys[exemplar]] = tuple(keys[member] for member in members)
    return groups


def similar(vectors: Vectors) -> Vectors:
    """Cosines float32[n, n] of unit vectors[n, width], 0 where two are not alike."""
    cosines = vectors @ vectors.T
    return np.where(cosines >= ALIKE, cosines, 0.0).astype(np.float32)


def clusters(alike: Vectors) -> list[tuple[int, tuple[int, ...]]]:
    """Greedy groups of alike[n, n]: what is alike to most others takes them, again and again; (exemplar, members)."""
    left = np.ones(len(alike), dtype=bool)
    found = []
    while left.any():
        weights = np.where(left, (alike * left).sum(axis=1), -1.0)
        exemplar = int(weights.argmax())
        members = (left & (alike[exemplar] > 0)) | (np.arange(len(alike)) == exemplar)
        found.append((exemplar, tuple(int(index) for index in np.flatnonzero(members))))
        left &= ~members
    return found
