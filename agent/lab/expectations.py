"""What a scripted call must have led to, checked against its record."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

_SLACK_MS = 1200.0
"""A turn begins later than the voice (detection) and ends later than it (the wait for its end)."""
_SUBJECTS = ("greeting", "cue", "answer_to", "interrupted_by", "handoff", "latency", "ended_by")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HandoffExpected(_Part):
    """A handoff with these values; what is None may be anything."""

    reason: str | None = None
    rule: str | None = None
    state: str | None = None


class LatencyExpected(_Part):
    """Every answer stores these parts; their `total` has at most this median, ms."""

    parts: tuple[str, ...]
    total_p50_ms: float | None = Field(None, gt=0)


class Expectation(_Part):
    """One thing that must be true after the call; exactly one subject, and what is asked of it.

    greeting: the agent's turns before the caller spoke. cue: the caller's turns of that line. answer_to: the agent's
    turns after it. interrupted_by: an agent turn that broke off when that line began, heard in part. ended_by: `agent`
    or `caller`. emotion: the caller's, by the words of `cue`, or as judged by the dialogue in `answer_to`.
    contains / contains_any: what was said (of the agent: heard), letter case and punctuation aside.
    """

    name: str
    greeting: bool | None = None
    cue: str | None = None
    answer_to: str | None = None
    interrupted_by: str | None = None
    handoff: HandoffExpected | None = None
    latency: LatencyExpected | None = None
    ended_by: str | None = Field(None, pattern="^(agent|caller)$")
    contains: tuple[str, ...] = ()
    contains_any: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    intent: str | None = None
    slot: Mapping[str, Any] = Field(default_factory=dict)
    emotion: str | None = None
    tone: str | None = None
    action: str | None = None

    @model_validator(mode="after")
    def _one_subject(self) -> Expectation:
        given = [name for name in _SUBJECTS if getattr(self, name) is not None]
        if len(given) != 1:
            choices, has = ", ".join(_SUBJECTS), " and ".join(given) or "none"
            raise ValueError(f"an expectation is about exactly one of {choices}; this one has {has}")
        return self

    @property
    def line(self) -> str | None:
        """The caller's line it is about."""
        return self.cue or self.answer_to or self.interrupted_by


@dataclass(frozen=True, slots=True)
class Checked:
    """Whether an expectation held, and what was found."""

    name: str
    held: bool
    found: str


Times = Mapping[str, tuple[float, float]]
"""When each cue was said: (start, end), ms from the start of the call."""


def check(expectations: Sequence[Expectation], said: Times, ended: str, call: Mapping[str, Any]) -> list[Checked]:
    """Check every expectation against `call`, as `GET /api/calls/{id}` returns it; `ended`: why the line was over."""
    return [_check(expectation, said, ended, call) for expectation in expectations]


def _check(wanted: Expectation, said: Times, ended: str, call: Mapping[str, Any]) -> Checked:
    if wanted.line is not None and wanted.line not in said:
        return Checked(wanted.name, False, f"the caller never got to say {wanted.line!r}")
    turns: list[Mapping[str, Any]] = sorted(call["turns"], key=lambda turn: float(turn["started_ms"]))
    if wanted.ended_by is not None:
        by = "caller" if ended in ("hung_up", "life_over") else "agent"
        return Checked(wanted.name, by == wanted.ended_by, f"ended by the {by} ({ended})")
    if wanted.handoff is not None:
        return _handoff(wanted.name, wanted.handoff, call)
    if wanted.latency is not None:
        return _latency(wanted.name, wanted.latency, turns)
    if wanted.interrupted_by is not None:
        return _interrupted(wanted, said, turns)
    chosen = list(_chosen(wanted, said, turns))
    if not chosen:
        return Checked(wanted.name, False, "no such turn was recorded")
    wrong = list(_wrong(wanted, chosen, call))
    text = " / ".join(words_of(turn) for turn in chosen)
    return Checked(wanted.name, not wrong, "; ".join([*wrong, f"“{text}”"]))


def _chosen(wanted: Expectation, said: Times, turns: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    first = min((start for start, _ in said.values()), default=float("inf"))
    for turn in turns:
        started, ended = float(turn["started_ms"]), float(turn["ended_ms"])
        agent = turn["speaker"] == "agent"
        if wanted.greeting is not None:
            if agent and started < first:
                yield turn
        elif wanted.cue is not None:
            start, end = said[wanted.cue]
            if not agent and _about(started, ended, start, end):
                yield turn
        elif wanted.answer_to is not None and agent:
            start, end = said[wanted.answer_to]
            after = min((other for other, _ in said.values() if other > end), default=float("inf"))
            if end - _SLACK_MS / 2 < started < after:
                yield turn


def caller_turns(turns: Sequence[Mapping[str, Any]], start_ms: float, end_ms: float) -> list[Mapping[str, Any]]:
    """The caller's recorded turns that hold what was said between two times."""
    theirs = [turn for turn in turns if turn["speaker"] == "caller"]
    return [turn for turn in theirs if _about(float(turn["started_ms"]), float(turn["ended_ms"]), start_ms, end_ms)]


def _about(started: float, ended: float, start_ms: float, end_ms: float) -> bool:
    return started < end_ms + _SLACK_MS and ended > start_ms and (started + ended) / 2 < end_ms + _SLACK_MS


def _wrong(wanted: Expectation, turns: Sequence[Mapping[str, Any]], call: Mapping[str, Any]) -> Iterator[str]:
    text = _plain(" ".join(words_of(turn) for turn in turns))
    for piece in wanted.contains:
        if _plain(piece) not in text:
            yield f"lacks “{piece}”"
    if wanted.contains_any and not any(_plain(piece) in text for piece in wanted.contains_any):
        yield f"has none of {', '.join(wanted.contains_any)}"
    for piece in wanted.lacks:
        if _plain(piece) in text:
            yield f"has “{piece}”"
    for name, value in wanted.slot.items():
        yield from _absent(f"slot {name}", value, [slot_value(turn, name) for turn in turns])
    if wanted.intent is not None:
        yield from _absent("intent", wanted.intent, [turn.get("intent") for turn in turns])
    if wanted.emotion is not None:
        yield from _absent("emotion", wanted.emotion, [mood(turn) for turn in turns])
    if wanted.tone is not None:
        tones = [tone for turn in turns for tone in (turn.get("reasons") or {}).get("tones", ())]
        yield from _absent("tone", wanted.tone, tones)
    if wanted.action is not None:
        numbers = {turn["number"] for turn in turns}
        actions = [row for row in call.get("actions", ()) if row.get("turn") in numbers and row.get("ok")]
        yield from _absent("action", wanted.action, [row["name"] for row in actions])


def _absent(what: str, wanted: Any, found: Sequence[Any]) -> Iterator[str]:
    if wanted not in found:
        yield f"{what} is {', '.join(map(str, found)) or 'missing'}, not {wanted}"


def _interrupted(wanted: Expectation, said: Times, turns: Sequence[Mapping[str, Any]]) -> Checked:
    start, end = said[wanted.interrupted_by or ""]
    for turn in turns:
        if turn["speaker"] == "agent" and turn.get("interrupted") and start - 30_000 < float(turn["started_ms"]) < end:
            text, heard = str(turn["text"]), str(turn.get("heard") or "")
            held = 0 < len(heard) < len(text) and text.startswith(heard.rstrip())
            return Checked(wanted.name, held, f"heard {len(heard)} of {len(text)} characters: “{heard}”")
    return Checked(wanted.name, False, "no agent turn before it was interrupted")


def handoff_found(wanted: HandoffExpected, call: Mapping[str, Any]) -> bool:
    """Whether the call has such a handoff."""
    asked = wanted.model_dump(exclude_none=True)
    return any(all(row.get(key) == value for key, value in asked.items()) for row in call.get("handoffs", ()))


def _handoff(name: str, wanted: HandoffExpected, call: Mapping[str, Any]) -> Checked:
    found = [{key: handoff.get(key) for key in ("reason", "rule", "state")} for handoff in call.get("handoffs", ())]
    held = handoff_found(wanted, call)
    return Checked(
        name, held, "; ".join(", ".join(f"{k} {v}" for k, v in row.items()) for row in found) or "no handoff"
    )


def _latency(name: str, wanted: LatencyExpected, turns: Sequence[Mapping[str, Any]]) -> Checked:
    measured = [turn["latency"] for turn in turns if "endpoint_wait" in (turn.get("latency") or {})]
    if not measured:
        return Checked(name, False, "no answer has latency parts")
    absent = sorted({part for parts in measured for part in wanted.parts if part not in parts})
    if absent:
        return Checked(name, False, f"an answer lacks {', '.join(absent)}")
    middle = statistics.median(float(parts["total"]) for parts in measured)
    held = wanted.total_p50_ms is None or middle <= wanted.total_p50_ms
    return Checked(name, held, f"{len(measured)} answers, median {middle:.0f} ms")


def slot_value(turn: Mapping[str, Any], name: str) -> Any:
    """The value of slot `name` in a recorded turn, None where it has none."""
    slot = (turn.get("slots") or {}).get(name)
    return slot.get("value") if isinstance(slot, Mapping) else slot


def mood(turn: Mapping[str, Any]) -> str | None:
    """The caller's mood: by the words of a caller's turn, or as the agent's dialogue judged it in its answer."""
    if turn["speaker"] == "caller":
        label = (turn.get("emotion") or {}).get("words")
    else:
        label = ((turn.get("reasons") or {}).get("emotion") or {}).get("label")
    return label if isinstance(label, str) else None


def words_of(turn: Mapping[str, Any]) -> str:
    """What the caller heard of an agent's turn, or what was recognized of the caller's."""
    heard = turn.get("heard")
    return str(turn["text"] if heard is None else heard)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))
