"""What differs between two records of one call: words, meaning, emotion, decisions, replies, actions and timing. Pure.

Turns are matched by when the caller spoke, which the recording fixes; numbers may shift where one record has split a
turn that the other has whole.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

from agent.lab.measuring.word_errors import WordErrors, plain_words, word_errors
from agent.lab.replaying.source import Record, caller_turns

APART_MS = 700.0
"""Turns that lie further apart than this are not the same; typed ones have no length and need not overlap."""
MOVED_MS = 500.0
"""A reply that ends this much earlier or later ends at another time for the caller; synthesis alone varies by less."""
SAME_TIME_MS = 1500.0
"""The same decision within this counts as the same."""
DECISIONS = ("pause", "resume", "interrupt", "continue", "retract", "prompt")
"""Events of a record that are decisions of the floor; see `agent.call.conversation`."""
PARTS = (
    "endpoint_wait",
    "recognition",
    "dialogue",
    "synthesis",
    "pacing",
    "leading_silence",
    "total",
)
"""Parts of a reply's latency; see `agent.records.contracts.TurnRecord`."""

Kind = Literal[
    "transcript", "intent", "slots", "emotion", "reply", "decision", "floor", "action", "handoff", "fault", "outcome"
]
Turn = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `old` or `new` is None where that side has no such thing; at_ms: of the call."""

    kind: Kind
    old: Any
    new: Any
    at_ms: float | None = None
    what: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """A turn of the caller in both records, with its answers; None on the side that lacks it."""

    old: Turn | None
    new: Turn | None
    old_reply: Turn | None
    new_reply: Turn | None


@dataclass(frozen=True)
class Comparison:
    """Two records compared.

    words: of the new transcript against the old. latency: medians of (old, new) by part, ms. moved: replies that end at
    another time, as (what the agent said now, shift in ms).
    """

    pairs: tuple[Pair, ...]
    changes: tuple[Change, ...]
    words: WordErrors
    latency: Mapping[str, tuple[float | None, float | None]]
    moved: tuple[tuple[str, float], ...]


def compare(old: Record, new: Record) -> Comparison:
    """Compare the record of a call with that of its replay."""
    pairs = _pairs(old, new)
    changes = [change for pair in pairs for change in _turn_changes(pair)]
    changes += _unprompted(old, new, pairs)
    changes += _decisions(old, new)
    changes += _floor(old, new)
    changes += _listed("action", _actions(old), _actions(new))
    changes += _listed("handoff", _handoffs(old), _handoffs(new))
    changes += _listed("fault", _faults(old), _faults(new))
    changes += _outcome(old["call"], new["call"])
    said = " ".join(str(turn["text"]) for turn in caller_turns(old))
    heard = " ".join(str(turn["text"]) for turn in caller_turns(new))
    return Comparison(
        tuple(pairs),
        tuple(sorted(changes, key=lambda change: -1.0 if change.at_ms is None else change.at_ms)),
        word_errors(said, heard),
        {part: (_median(pairs, part, old=True), _median(pairs, part, old=False)) for part in PARTS},
        tuple(_moved(old, new, pairs)),
    )


def word_diff(old: str, new: str) -> list[tuple[Literal["same", "gone", "new"], str]]:
    """Runs of words that both have, only `old` has, or only `new` has, in reading order; case and points ignored."""
    before, after = old.split(), new.split()
    matcher = SequenceMatcher(None, [_plain(word) for word in before], [_plain(word) for word in after], autojunk=False)
    runs: list[tuple[Literal["same", "gone", "new"], str]] = []
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            runs.append(("same", " ".join(after[c:d])))
            continue
        if b > a:
            runs.append(("gone", " ".join(before[a:b])))
        if d > c:
            runs.append(("new", " ".join(after[c:d])))
    return runs


def _plain(word: str) -> str:
    return " ".join(plain_words(word)) or word


def _pairs(old: Record, new: Record) -> list[Pair]:
    """Turns of the caller matched in order, each with the one of the other record that overlaps it most."""
    before, after = caller_turns(old), caller_turns(new)
    pairs: list[Pair] = []
    left = list(after)
    for turn in before:
        best = max(left, key=lambda one: _overlap_ms(turn, one), default=None)
        if best is None or _overlap_ms(turn, best) < -APART_MS:
            pairs.append(Pair(turn, None, _reply(old, turn), None))
            continue
        left = left[left.index(best) + 1 :]
        pairs.append(Pair(turn, best, _reply(old, turn), _reply(new, best)))
    matched = [pair.new for pair in pairs]
    pairs += [Pair(None, turn, None, _reply(new, turn)) for turn in after if not any(turn is one for one in matched)]
    return sorted(pairs, key=lambda pair: float((pair.new or pair.old or {})["started_ms"]))


def _overlap_ms(one: Turn, other: Turn) -> float:
    """How long both turns went on at once; minus the gap between them where they did not."""
    return float(min(one["ended_ms"], other["ended_ms"])) - float(max(one["started_ms"], other["started_ms"]))


def _reply(record: Record, turn: Turn) -> Turn | None:
    return next((one for one in record["turns"] if one["speaker"] == "agent" and one["number"] == turn["number"]), None)


def _turn_changes(pair: Pair) -> list[Change]:
    one = pair.new or pair.old
    assert one is not None
    at = float(one["started_ms"])
    old, new = pair.old, pair.new
    changes: list[Change] = []
    texts = None if old is None else str(old["text"]), None if new is None else str(new["text"])
    if old is None or new is None or plain_words(str(old["text"])) != plain_words(str(new["text"])):
        changes.append(Change("transcript", *texts, at))
    if old is not None and new is not None:
        for kind, name in (("intent", "intent"), ("slots", "slots")):
            if old[name] != new[name]:
                changes.append(Change("intent" if kind == "intent" else "slots", old[name], new[name], at))
        feelings = _feeling(old), _feeling(new)
        if feelings[0] != feelings[1]:
            changes.append(Change("emotion", *feelings, at))
    said = None if pair.old_reply is None else pair.old_reply["text"]
    says = None if pair.new_reply is None else pair.new_reply["text"]
    if said != says:
        changes.append(Change("reply", said, says, at))
    return changes


def _feeling(turn: Turn) -> dict[str, Any]:
    return {name: turn["emotion"][name] for name in ("words", "voice") if name in turn["emotion"]}


def _unprompted(old: Record, new: Record, pairs: Sequence[Pair]) -> list[Change]:
    """Greetings, prompts, and what was said after a handoff: replies that answer no turn of the caller."""
    answers = [pair.old_reply for pair in pairs], [pair.new_reply for pair in pairs]
    rest = [
        [
            turn
            for turn in record["turns"]
            if turn["speaker"] == "agent" and turn["text"] and not any(turn is one for one in known)
        ]
        for record, known in zip((old, new), answers, strict=True)
    ]
    texts = [[str(turn["text"]) for turn in turns] for turns in rest]
    changes: list[Change] = []
    for tag, a, b, c, d in SequenceMatcher(None, texts[0], texts[1], autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        changes += [Change("reply", turn["text"], None, float(turn["started_ms"])) for turn in rest[0][a:b]]
        changes += [Change("reply", None, turn["text"], float(turn["started_ms"])) for turn in rest[1][c:d]]
    return changes


def _decisions(old: Record, new: Record) -> list[Change]:
    if old["events"] is None:
        counts = [
            {name: int((record["call"]["counters"] or {}).get(name, 0)) for name in DECISIONS} for record in (old, new)
        ]
        return [
            Change("decision", counts[0][name], counts[1][name], None, name)
            for name in DECISIONS
            if counts[0][name] != counts[1][name]
        ]
    changes: list[Change] = []
    for name in DECISIONS:
        times = [
            [float(event["at_ms"]) for event in record["events"] if event["kind"] == name] for record in (old, new)
        ]
        gone, left = [], list(times[1])
        for at in times[0]:
            near = min(left, key=lambda time: abs(time - at), default=None)
            if near is not None and abs(near - at) <= SAME_TIME_MS:
                left.remove(near)
            else:
                gone.append(at)
        changes += [Change("decision", name, None, at) for at in gone]
        changes += [Change("decision", None, name, at) for at in left]
    return changes


def _floor(old: Record, new: Record) -> list[Change]:
    """Stretches in which the floor went through other states."""
    if old["events"] is None:
        return []
    states = [
        [
            (str(event["data"].get("phase")), float(event["at_ms"]))
            for event in record["events"]
            if event["kind"] == "state"
        ]
        for record in (old, new)
    ]
    matcher = SequenceMatcher(None, [name for name, _ in states[0]], [name for name, _ in states[1]], autojunk=False)
    changes: list[Change] = []
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag == "equal":
            continue
        gone, come = [name for name, _ in states[0][a:b]], [name for name, _ in states[1][c:d]]
        at = (states[1][c:d] or states[0][a:b])[0][1]
        changes.append(Change("floor", " > ".join(gone) or None, " > ".join(come) or None, at))
    return changes


def _actions(record: Record) -> list[str]:
    done = []
    for action in record["actions"]:
        arguments = ", ".join(f"{name}={value!r}" for name, value in sorted(action["arguments"].items()))
        done.append(f"{action['name']}({arguments}){'' if action['ok'] else ' failed'}")
    return done


def _handoffs(record: Record) -> list[str]:
    return [f"{handoff['rule']}: {handoff['outcome'] or 'not answered'}" for handoff in record["handoffs"]]


def _faults(record: Record) -> list[str]:
    if record["events"] is None:
        return []
    return sorted(str(event["data"].get("code")) for event in record["events"] if event["kind"] == "fault")


def _listed(kind: Kind, old: Sequence[str], new: Sequence[str]) -> list[Change]:
    before, after = Counter(old), Counter(new)
    gone = [Change(kind, name, None) for name in (before - after).elements()]
    return gone + [Change(kind, None, name) for name in (after - before).elements()]


def _outcome(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """How the call ended. A handed-over call ends with a code of its gateway, which is not compared."""
    ends = [
        str(call["outcome"]) if call["outcome"] == "handed_off" else f"{call['outcome']} ({call['reason']})"
        for call in (old, new)
    ]
    return [Change("outcome", ends[0], ends[1])] if ends[0] != ends[1] else []


def _median(pairs: Sequence[Pair], part: str, old: bool) -> float | None:
    """Over turns that both records have an answer to with this part."""
    both = [
        (pair.old_reply["latency"], pair.new_reply["latency"])
        for pair in pairs
        if pair.old_reply is not None and pair.new_reply is not None
    ]
    values = [float((a if old else b)[part]) for a, b in both if part in a and part in b]
    return statistics.median(values) if values else None


def _moved(old: Record, new: Record, pairs: Sequence[Pair]) -> list[tuple[str, float]]:
    greetings = [
        next((turn for turn in record["turns"] if turn["speaker"] == "agent" and turn["number"] == 0), None)
        for record in (old, new)
    ]
    both = [(greetings[0], greetings[1]), *((pair.old_reply, pair.new_reply) for pair in pairs)]
    shifts = [(b, float(b["ended_ms"]) - float(a["ended_ms"])) for a, b in both if a is not None and b is not None]
    return [(str(turn["text"]), shift) for turn, shift in shifts if abs(shift) > MOVED_MS]
