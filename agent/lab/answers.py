"""Whether the agent's answer to one utterance was what a scenario expects of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from agent.lab.conversations import pattern_of
from agent.lab.ear import Span
from agent.lab.expectations import Checked, caller_turns, handoff_found, mood, slot_value, words_of
from agent.lab.outcome import Kind
from agent.lab.player import Asked, Played, plain
from agent.lab.unmet import contains
from agent.records.redaction import redact

NEAR_MS = 300.0
"""Clocks of the two ends and the edges of a voice agree to about this."""
LATE_MS = 3000.0
"""The record says this long after an utterance at most that a reply was broken off by it: the agent yields first."""
RESUMED_MS = 4000.0
"""An agent that does not go on within this has not resumed."""

Turn = Mapping[str, Any]


def check_answer(
    asked: Asked,
    played: Played,
    spans: Sequence[Span],
    record: Mapping[str, Any],
    kept: bool,
) -> Checked:
    """Check one inline expectation.

    `record` is as `GET /api/calls/{id}` returns it, or made of what was seen; `kept` says that it is the server's own,
    so that it knows all. spans: the agent's voice at the caller's ear.
    """
    after = _next(asked, played, ("turn", "interruption"))
    wrong = [
        *_timed(asked, after, spans),
        *_gone_on(asked, _next(asked, played, get_args(Kind)), spans, record, kept),
        *_understood(asked, after, record, kept),
    ]
    text = " / ".join(words_of(turn) for turn in agent_turns(asked, after, record["turns"]))
    name = f"{asked.about}: {asked.wanted}"
    return Checked(name, not wrong, "; ".join([*wrong, f"“{text}”"]))


def agent_turns(asked: Asked, after: float, turns: Sequence[Turn]) -> list[Turn]:
    """The agent's turns from the middle of the utterance on, until the caller's next words or keys at `after`."""
    middle = (asked.start_ms + asked.end_ms) / 2 if asked.end_ms > 0 else -NEAR_MS
    return [turn for turn in turns if turn["speaker"] == "agent" and middle < float(turn["started_ms"]) < after]


def _understood(asked: Asked, after: float, record: Mapping[str, Any], kept: bool) -> Iterator[str]:
    wanted = asked.wanted
    theirs = caller_turns(record["turns"], asked.start_ms, asked.end_ms)
    answers = agent_turns(asked, after, record["turns"])
    text = " ".join(words_of(turn) for turn in answers)
    for piece in wanted.text:
        if not _said(text, piece):
            yield f"the answer lacks “{piece}”"
    for piece in wanted.lacks:
        if _said(text, piece):
            yield f"the answer has “{piece}”"
    if wanted.inner and not kept and not any("intent" in turn for turn in record["turns"]):
        yield "what was understood is not known: the server has no record that can be read"
        return
    if wanted.intent is not None:
        yield from _absent("intent", wanted.intent, [turn.get("intent") for turn in theirs])
    for name, value in wanted.slot.items():
        yield from _absent(f"slot {name}", value, [slot_value(turn, name) for turn in theirs])
    if wanted.emotion is not None:
        found = [label for turn in theirs for label in _moods(turn)]
        yield from _absent("emotion", wanted.emotion, [*found, *(mood(turn) for turn in answers)])
    if wanted.handoff is not None and not handoff_found(wanted.handoff, record):
        yield "there was no such handoff"


def _said(text: str, piece: str) -> bool:
    """Whether `piece` was said, letter case and punctuation aside; `/.../` and a mark such as $ are searched for.

    In a record's text a private number or address that was said stands as what hides it.
    """
    if pattern_of(piece) is not None or not plain(piece):
        return contains(text, piece)
    return plain(piece) in plain(text) or plain(redact(piece)) in plain(text)


def _next(asked: Asked, played: Played, kinds: Sequence[Kind]) -> float:
    """When the caller next pressed a key or uttered something of these kinds."""
    uttered = [one.start_ms for one in played.utterances if one.kind in kinds]
    return min((at for at in (*uttered, *played.pressed) if at > asked.end_ms), default=float("inf"))


def _timed(asked: Asked, after: float, spans: Sequence[Span]) -> Iterator[str]:
    wanted = asked.wanted
    if wanted.latency_ms is not None:
        answer = next((span.start_ms for span in spans if asked.end_ms <= span.start_ms < after), None)
        if answer is None:
            yield "no answer was heard"
        elif answer - asked.end_ms > wanted.latency_ms:
            yield f"answered after {answer - asked.end_ms:.0f} ms, not {wanted.latency_ms:.0f}"


def _gone_on(asked: Asked, after: float, spans: Sequence[Span], record: Mapping[str, Any], kept: bool) -> Iterator[str]:
    wanted = asked.wanted
    if wanted.interrupted is not None:
        broke = _broken(asked, after, record) if kept else _went_silent(asked, after, spans)
        if broke is not wanted.interrupted:
            yield "the agent was not interrupted" if wanted.interrupted else "the agent was interrupted"
    if wanted.resumed is not None:
        went_on, how = _resumed(asked, after, spans, record, kept)
        if went_on is not wanted.resumed:
            yield how


def _broken(asked: Asked, after: float, record: Mapping[str, Any]) -> bool:
    """A reply that was under way was broken off for good by the utterance, and not by the next one at `after`."""
    until = min(after, asked.end_ms + LATE_MS)
    return any(
        turn["speaker"] == "agent"
        and turn.get("interrupted")
        and float(turn["started_ms"]) < asked.end_ms
        and asked.start_ms - NEAR_MS < float(turn["ended_ms"]) < until
        for turn in record["turns"]
    )


def _went_silent(asked: Asked, after: float, spans: Sequence[Span]) -> bool:
    """As far as can be heard: the agent was speaking, fell silent, and did not go on at once."""
    over = _speaking(asked, spans)
    return over is not None and not any(
        over.end_ms < span.start_ms < min(after, over.end_ms + 1000.0) for span in spans
    )


def _resumed(
    asked: Asked, after: float, spans: Sequence[Span], record: Mapping[str, Any], kept: bool
) -> tuple[bool, str]:
    over = _speaking(asked, spans)
    if over is None:
        return False, "the agent was not speaking when it began, so there was nothing to resume"
    if kept and _broken(asked, after, record):
        return False, "the agent broke off what it was saying"
    through = over.end_ms > asked.end_ms + NEAR_MS
    again = any(asked.start_ms < span.start_ms < min(after, over.end_ms + RESUMED_MS) for span in spans)
    if through or again:
        return True, "the agent went on"
    return False, f"the agent fell silent {over.end_ms - asked.start_ms:.0f} ms after it began and did not go on"


def _speaking(asked: Asked, spans: Sequence[Span]) -> Span | None:
    return next((span for span in spans if span.start_ms < asked.start_ms < span.end_ms + NEAR_MS), None)


def _moods(turn: Turn) -> list[str]:
    emotion = turn.get("emotion") or {}
    return [str(emotion[name]) for name in ("words", "voice") if name in emotion]


def _absent(what: str, wanted: Any, found: Sequence[Any]) -> Iterator[str]:
    if wanted not in found:
        known = [str(value) for value in found if value is not None]
        yield f"{what} is {', '.join(known) or 'missing'}, not {wanted}"
