"""The report on a run as a JSON document, and reading one back to compare with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.lab.measuring.machine import machine, versions
from agent.lab.scores import CallScore, TurnScore
from agent.lab.summary import Summary, by_tag, summarize
from agent.yamlfile import FileError

VERSION = 1
"""Changes when an earlier report can no longer be compared with."""


@dataclass(frozen=True)
class Run:
    """A run that is over or was broken off, with its calls in the order of their numbers.

    settings: what the calls were and how they were placed, JSON-ready. planned: calls meant to be placed. stopped: why
    not all of them were; None where they were.
    """

    command: str
    settings: Mapping[str, Any]
    calls: Sequence[CallScore]
    planned: int
    stopped: str | None = None
    machine: Mapping[str, Any] = field(default_factory=machine)
    versions: Mapping[str, str] = field(default_factory=versions)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def summary(self) -> Summary:
        """The figures of all calls."""
        return summarize(self.calls)

    @property
    def tags(self) -> dict[str, Summary]:
        """The figures by tag."""
        return by_tag(self.calls)

    def document(self) -> dict[str, Any]:
        """Everything, JSON-ready: settings, machine, figures in all and by tag, every turn, every call."""
        return {
            "measure": "simulate",
            "version": VERSION,
            "command": self.command,
            "at": self.at.isoformat(timespec="seconds"),
            "settings": dict(self.settings),
            "machine": dict(self.machine),
            "versions": dict(self.versions),
            "planned": self.planned,
            "stopped": self.stopped,
            "summary": self.summary.document(),
            "tags": {tag: summary.document() for tag, summary in self.tags.items()},
            "turns": [_turn(call, turn) for call in self.calls for turn in call.turns],
            "calls": [_call(call) for call in self.calls],
        }


class _Stored(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class StoredShare(_Stored):
    """`count` out of `of`."""

    count: int = Field(ge=0)
    of: int = Field(ge=0)


class StoredSummary(_Stored):
    """The shares of a report; its times are taken from the turns."""

    shares: Mapping[str, StoredShare]


class StoredTurn(_Stored):
    """The times of one turn, ms."""

    call: int
    first_ms: float | None
    settled_ms: float | None
    stop_ms: float | None
    parts: Mapping[str, float]

    def times(self) -> dict[str, float]:
        """By the name of the figure."""
        measured = {"first_ms": self.first_ms, "settled_ms": self.settled_ms, "stop_ms": self.stop_ms}
        measured |= {f"server_{part}_ms": value for part, value in self.parts.items()}
        return {name: value for name, value in measured.items() if value is not None}


class StoredCall(_Stored):
    """Which scenario a call was, and how many of its words were understood wrongly."""

    number: int
    scenario: str
    word_errors: StoredShare | None


class StoredReport(_Stored):
    """As much of a report as another is compared with."""

    measure: Literal["simulate"]
    version: Literal[1]
    command: str
    at: datetime
    settings: Mapping[str, Any]
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    summary: StoredSummary
    turns: tuple[StoredTurn, ...]
    calls: tuple[StoredCall, ...]


def read_report(path: Path) -> StoredReport:
    """Read the report of an earlier run.

    Raises:
        FileError: it cannot be read, is no JSON, or is of another version or shape; names every wrong field.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError([f"{path}: cannot be read as JSON: {error}"]) from error
    if isinstance(data, dict) and data.get("measure") == "simulate" and data.get("version") != VERSION:
        raise FileError(
            [f"{path}: version: is {data.get('version')!r}, this program compares version {VERSION}; measure it again"]
        )
    try:
        return StoredReport.model_validate(data)
    except ValidationError as error:
        raise FileError(
            [
                f"{path}: {'.'.join(str(part) for part in item['loc']) or 'the whole file'}: {item['msg']}; "
                "give a file that `agent simulate --json` wrote"
                for item in error.errors()[:5]
            ]
        ) from error


def stored(document: Mapping[str, Any]) -> StoredReport:
    """A document of this run in the form that is compared."""
    return StoredReport.model_validate(document)


def _turn(call: CallScore, turn: TurnScore) -> dict[str, Any]:
    return {
        "call": call.outcome.number,
        "scenario": call.outcome.scenario,
        "step": turn.step,
        "kind": turn.kind,
        "said": turn.text,
        "heard": turn.heard,
        "start_ms": round(turn.start_ms, 1),
        "end_ms": round(turn.end_ms, 1),
        "pauses": [[round(start, 1), round(end, 1)] for start, end in turn.pauses],
        "answered": turn.answered,
        "first_ms": _rounded(turn.first_ms),
        "settled_ms": _rounded(turn.settled_ms),
        "parts": {part: round(value, 1) for part, value in turn.parts.items()},
        "over_agent": turn.over_agent,
        "stop_ms": _rounded(turn.stop_ms),
        "cut_off": turn.cut_off,
        "restarted": turn.restarted,
        "missed": turn.missed,
        "broke_off": turn.broke_off,
        "hiccup": turn.hiccup,
        "dead_air_ms": round(turn.dead_air_ms, 1),
    }


def _call(call: CallScore) -> dict[str, Any]:
    outcome = call.outcome
    return {
        "number": outcome.number,
        "scenario": outcome.scenario,
        "seed": outcome.seed,
        "tags": list(outcome.tags),
        "began_s": round(outcome.began_s, 2),
        "duration_ms": round(outcome.duration_ms, 1),
        "ended": outcome.ended,
        "succeeded": outcome.succeeded,
        "reasons": list(call.reasons),
        "wrongs": list(outcome.wrongs),
        "recorded": call.recorded.exists,
        "replies": call.replies,
        "unprovoked_interruptions": call.unprovoked,
        "hiccups_with_nobody_speaking": call.hiccups,
        "retracts_of_no_turn": call.retracts,
        "word_errors": None if call.words is None else {"count": call.words.errors, "of": call.words.words},
        "agent": [[round(span.start_ms, 1), round(span.end_ms, 1)] for span in outcome.agent],
        "states": [[round(at, 1), phase] for at, phase in call.recorded.phases],
        "recording": None if outcome.recording is None else outcome.recording.name,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
