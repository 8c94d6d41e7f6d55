"""The figures of many simulated calls together: percentiles and shares, in all and by tag."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.lab.measuring.word_errors import WordErrors
from agent.lab.recorded import PARTS
from agent.lab.scores import CallScore, TurnScore

_PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure's name in files, its words for people, and whether more of it is better."""

    name: str
    words: str
    more_is_better: bool = False


SPREADS = (
    Figure("first_ms", "first latency"),
    Figure("settled_ms", "settled latency"),
    Figure("stop_ms", "barge-in: voice to silence"),
    *(Figure(f"server_{part}_ms", f"server: {part.replace('_', ' ')}") for part in PARTS),
)
"""Times in ms, pooled over turns as percentiles."""

SHARES = (
    Figure("tasks", "calls that went as expected", more_is_better=True),
    Figure("cut_offs", "turns the agent spoke into"),
    Figure("restarts", "answers begun again though the caller only paused"),
    Figure("restarts_heard", "... of which the caller heard"),
    Figure("false_interruptions", "false interruptions: back-channels, noises, echo"),
    Figure("echo_interruptions", "... of which the agent's own echo"),
    Figure("unprovoked_interruptions", "replies broken off with nobody speaking, no echo"),
    Figure("resumed", "false alarms after which the same reply went on", more_is_better=True),
    Figure("hiccups", "replies that stopped and went on"),
    Figure("missed_interruptions", "interruptions the agent talked on over"),
    Figure("unanswered", "turns without an answer"),
    Figure("dead_air", "turns with more than 3 s of silence"),
    Figure("word_errors", "words understood wrongly"),
)
"""Counts out of something; what they are counted out of is in docs/lab.md."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles of measured times, ms, interpolated linearly."""

    count: int
    p50: float
    p90: float
    p95: float
    p99: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Share:
    """`count` out of `of`."""

    count: int
    of: int

    @property
    def percent(self) -> float | None:
        """In percent; None out of nothing."""
        return 100.0 * self.count / self.of if self.of else None

    def __str__(self) -> str:
        return "-" if not self.of else f"{self.percent:.1f} % ({self.count} of {self.of})"


@dataclass(frozen=True)
class Summary:
    """Figures of some calls. A time of which nothing was measured is not in `spreads`; `shares` has every one."""

    calls: int
    turns: int
    spreads: Mapping[str, Spread]
    shares: Mapping[str, Share]

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "calls": self.calls,
            "turns": self.turns,
            "times_ms": {
                name: {
                    field: getattr(found, field) if field == "count" else round(getattr(found, field), 1)
                    for field in ("count", "p50", "p90", "p95", "p99", "least", "most")
                }
                for name, found in self.spreads.items()
            },
            "shares": {
                name: {
                    "count": found.count,
                    "of": found.of,
                    "percent": None if found.percent is None else round(found.percent, 2),
                }
                for name, found in self.shares.items()
            },
        }


def spread(values: Sequence[float]) -> Spread | None:
    """Percentiles of `values`; None of nothing."""
    if not values:
        return None
    p50, p90, p95, p99 = (float(value) for value in np.percentile(values, _PERCENTILES))
    return Spread(len(values), p50, p90, p95, p99, min(values), max(values))


def summarize(calls: Sequence[CallScore]) -> Summary:
    """The figures of `calls` together."""
    times = (times_of(call.turns) for call in calls)
    pooled: dict[str, list[float]] = {}
    for found in times:
        for name, values in found.items():
            pooled.setdefault(name, []).extend(values)
    spreads = {figure.name: spread(pooled.get(figure.name, ())) for figure in SPREADS}
    return Summary(
        len(calls),
        sum(turn.asks for call in calls for turn in call.turns),
        {name: found for name, found in spreads.items() if found is not None},
        _shares(calls),
    )


def by_tag(calls: Sequence[CallScore]) -> dict[str, Summary]:
    """The figures of each tag, in the order of the tags' names."""
    tags = sorted({tag for call in calls for tag in call.outcome.tags})
    return {tag: summarize([call for call in calls if tag in call.outcome.tags]) for tag in tags}


def times_of(turns: Iterable[TurnScore]) -> dict[str, list[float]]:
    """The measured times of turns by the name of their figure."""
    found: dict[str, list[float]] = {}
    for turn in turns:
        measured = {"first_ms": turn.first_ms, "settled_ms": turn.settled_ms, "stop_ms": turn.stop_ms}
        measured |= {f"server_{part}_ms": value for part, value in turn.parts.items()}
        for name, value in measured.items():
            if value is not None:
                found.setdefault(name, []).append(value)
    return found


def _shares(calls: Sequence[CallScore]) -> dict[str, Share]:
    turns = [turn for call in calls for turn in call.turns]
    asked = [turn for turn in turns if turn.asks]
    plain = [turn for turn in turns if turn.kind == "turn"]
    alarms = [turn for turn in turns if not turn.asks and turn.over_agent]
    over = [turn for turn in turns if turn.kind == "interruption" and turn.over_agent]
    waited = [turn for turn in asked if turn.answered in ("yes", "no")]
    echoing = [call for call in calls if call.echoes and call.recorded.exists]
    silent = [call for call in calls if not call.echoes and call.recorded.exists]
    broke = _count(alarms, lambda turn: turn.broke_off)
    hiccups = _count(alarms, lambda turn: turn.hiccup)
    echo = Share(sum(call.unprovoked for call in echoing), sum(call.replies for call in echoing))
    words = sum((call.words for call in calls if call.words is not None), WordErrors())
    replies = sum(call.replies for call in calls)
    retracts = sum(call.retracts for call in calls)
    return {
        "tasks": Share(sum(call.outcome.succeeded for call in calls), len(calls)),
        "cut_offs": Share(_count(plain, lambda turn: turn.cut_off), len(plain)),
        "restarts": Share(_count(asked, lambda turn: turn.restarted is not None) + retracts, len(asked)),
        "restarts_heard": Share(_count(asked, lambda turn: turn.restarted == "heard"), len(asked)),
        "false_interruptions": Share(broke + echo.count, len(alarms) + echo.of),
        "echo_interruptions": echo,
        "unprovoked_interruptions": Share(sum(call.unprovoked for call in silent), sum(c.replies for c in silent)),
        "resumed": Share(hiccups, hiccups + broke),
        "hiccups": Share(hiccups + sum(call.hiccups for call in calls), replies),
        "missed_interruptions": Share(_count(over, lambda turn: turn.missed), len(over)),
        "unanswered": Share(_count(waited, lambda turn: turn.answered == "no"), len(waited)),
        "dead_air": Share(_count(waited, lambda turn: turn.dead_air_ms > 0), len(waited)),
        "word_errors": Share(words.errors, words.words),
    }


def _count(turns: Sequence[TurnScore], fault: Callable[[TurnScore], bool]) -> int:
    return sum(fault(turn) for turn in turns)
