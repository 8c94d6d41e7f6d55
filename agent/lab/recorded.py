"""What a server's record says of a call: its replies, where they stopped and went on, and who held the floor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from agent.lab.outcome import CallOutcome

PARTS = ("endpoint_wait", "recognition", "dialogue", "synthesis", "leading_silence", "pacing", "total")
"""Parts of an answer's latency, in the order they pass; a server may leave some out."""
AWAY = frozenset({"transferring", "human", "closing"})
"""States in which the agent may not speak on its own: what the caller says then is not for it to answer."""
EDGE_MS = 500.0
"""A reply that ends this close to the end of the call was ended by it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that sounded. Times in ms of the call. heard: its words that were played."""

    number: int
    started_ms: float
    ended_ms: float
    interrupted: bool
    heard: str
    latency: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Stop:
    """The agent fell silent in the middle of a reply at `at_ms`, until `until_ms` it was undecided what would follow.

    outcome: `resumed` (the same reply went on), `broken` (the rest was never said), `over` (neither: the call ended, or
    nothing was left to say). reply: its place in `Recorded.replies`. by_key: a pressed key did it.
    """

    at_ms: float
    until_ms: float
    outcome: Literal["resumed", "broken", "over"]
    reply: int | None
    by_key: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """The record of one call, or, where there is none, the little that was seen while it ran.

    exists: there is a record. retracts: when a reply was taken back before it was heard; `retracted` is how many were
    counted, which may be more. phases: (at_ms, state). caller: (start, end, text) of what was understood of the caller.
    """

    exists: bool
    replies: tuple[Reply, ...] = ()
    stops: tuple[Stop, ...] = ()
    retracts: tuple[float, ...] = ()
    retracted: int = 0
    phases: tuple[tuple[float, str], ...] = ()
    caller: tuple[tuple[float, float, str], ...] = field(default=())

    def phase_at(self, at_ms: float) -> str | None:
        """The state in force at `at_ms`; None before the first was told."""
        found = None
        for at, phase in self.phases:
            if at > at_ms:
                break
            found = phase
        return found


def read_record(outcome: CallOutcome) -> Recorded:
    """What the record of `outcome` says; with no record, only the states that were seen."""
    record = outcome.record
    if record is None:
        return Recorded(False, phases=tuple((seen.at_ms, seen.value) for seen in outcome.seen if seen.what == "state"))
    turns = sorted(record["turns"], key=lambda turn: float(turn["started_ms"]))
    events = sorted(record.get("events") or (), key=lambda event: float(event["at_ms"]))
    replies = tuple(_reply(turn) for turn in turns if turn["speaker"] == "agent")
    retracts = tuple(float(event["at_ms"]) for event in events if event["kind"] == "retract")
    counted = int((record["call"].get("counters") or {}).get("retract", 0))
    stops = tuple(_stops(events, replies) if events else _stops_by_turns(replies, outcome.duration_ms))
    return Recorded(
        True,
        replies,
        stops,
        retracts,
        max(counted, len(retracts)),
        tuple((float(event["at_ms"]), str(event["data"]["phase"])) for event in events if event["kind"] == "state"),
        tuple(
            (float(turn["started_ms"]), float(turn["ended_ms"]), str(turn["text"]))
            for turn in turns
            if turn["speaker"] == "caller" and turn["text"] and not str(turn["text"]).startswith("[keys")
        ),
    )


def _reply(turn: Mapping[str, Any]) -> Reply:
    heard = turn.get("heard")
    return Reply(
        int(turn.get("number", 0)),
        float(turn["started_ms"]),
        float(turn["ended_ms"]),
        bool(turn["interrupted"]),
        str(turn.get("text", "") if heard is None else heard),
        {name: float(value) for name, value in (turn.get("latency") or {}).items()},
    )


def _stops(events: Sequence[Mapping[str, Any]], replies: Sequence[Reply]) -> Iterator[Stop]:
    """A `pause` ends with `resume`, `interrupt` or `continue`; the last two come without a pause too."""
    paused: float | None = None
    keyed = float("-inf")
    for event in events:
        kind, at = event["kind"], float(event["at_ms"])
        if kind == "key":
            keyed = at
        elif kind == "pause":
            if paused is not None:
                yield Stop(paused, at, "over", _sounding(replies, paused))
            paused = at
        elif kind == "resume" and paused is not None:
            yield Stop(paused, at, "resumed", _sounding(replies, paused))
            paused = None
        elif kind in ("interrupt", "continue"):
            since = at if paused is None else paused
            reply = _sounding(replies, since)
            broken = reply is not None and replies[reply].interrupted
            yield Stop(since, at, "broken" if broken else "over", reply, by_key=at - keyed < EDGE_MS)
            paused = None
    if paused is not None:
        yield Stop(paused, paused, "over", _sounding(replies, paused))


def _stops_by_turns(replies: Sequence[Reply], duration_ms: float) -> Iterator[Stop]:
    for place, reply in enumerate(replies):
        if reply.interrupted and reply.ended_ms < duration_ms - EDGE_MS:
            yield Stop(reply.ended_ms, reply.ended_ms, "broken", place)


def _sounding(replies: Sequence[Reply], at_ms: float) -> int | None:
    """The last reply that began by `at_ms`, unless it was over well before."""
    begun = [place for place, reply in enumerate(replies) if reply.started_ms <= at_ms + EDGE_MS / 10]
    return begun[-1] if begun and replies[begun[-1]].ended_ms >= at_ms - EDGE_MS else None
