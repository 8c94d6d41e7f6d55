"""What a call leaves behind, and who takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from audio.codec import Pcm16


@dataclass(frozen=True, slots=True)
class CallOpened:
    """A call as it begins. `gateway_call_id` is the carrier's id; `caller`/`called` are E.164 where known."""

    call_id: str
    gateway: str
    gateway_call_id: str
    domain: str
    caller: str | None = None
    called: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One thing said by one side.

    number counts turns of the call from 0 (the greeting). `text` is what was recognized or meant; `heard` is, for the
    agent, what the caller really heard (None for the caller's own words). Times are ms from the start of the call.
    `latency` holds the parts of the reply's latency in ms: endpoint_wait, recognition (what was left of it and of
    understanding when the turn was over), dialogue (until its first sentence), synthesis, pacing, leading_silence, and
    their total. `reasons` says why. model is the version that understood a caller's turn.
    """

    number: int
    speaker: str
    text: str
    started_ms: float
    ended_ms: float
    heard: str | None = None
    interrupted: bool = False
    must_hear: bool = False
    intent: str | None = None
    confidence: float | None = None
    slots: Mapping[str, Any] = field(default_factory=dict)
    emotion: Mapping[str, Any] = field(default_factory=dict)
    latency: Mapping[str, float] = field(default_factory=dict)
    reasons: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None


@dataclass(frozen=True, slots=True)
class ActionRecord:
    """An action that ran in a turn; arguments and result are JSON-ready."""

    turn: int
    name: str
    arguments: Mapping[str, Any]
    ok: bool
    result: Mapping[str, Any]
    idempotency_key: str
    replayed: bool = False
    took_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class CallFinished:
    """How a call ended. outcome: completed, handed_off, caller_left, failed or refused; `reason` is a short code."""

    outcome: str
    reason: str
    duration_ms: float
    counters: Mapping[str, int] = field(default_factory=dict)


class Recording(Protocol):
    """A stereo recording streamed to disk as the call happens: caller left, agent right, 8 kHz, 16 bit."""

    def caller(self, samples: Pcm16, at_ms: float) -> None:
        """Samples[n] at 8 kHz heard from the caller; `at_ms` of the first sample, from the start of the call."""
        ...

    def agent(self, samples: Pcm16, at_ms: float) -> None:
        """Samples[n] at 8 kHz that the caller's side played at `at_ms`."""
        ...

    def pause(self) -> None:
        """Leave silence in both channels from here on."""
        ...

    def resume(self) -> None:
        """Record again."""
        ...

    def mute(self, from_ms: float, to_ms: float) -> bool:
        """Silence both channels between two times, written already or not; False where it is too late for that."""
        ...


class CallRecord(Protocol):
    """The open record of one call. The calls here never block and never raise; they queue for the writer.

    The queue is bounded; when it is full the oldest `event` goes first, a turn or an action never does.
    """

    recording: Recording | None

    def event(self, kind: str, at_ms: float, data: Mapping[str, Any] | None = None) -> None:
        """Something that happened: a fault, a state change, a mark, a DTMF key (redacted)."""
        ...

    def turn(self, turn: TurnRecord) -> None:
        """A turn is complete; the same number and speaker again replaces it (what was heard is known later)."""
        ...

    def action(self, action: ActionRecord) -> None:
        """An action ran."""
        ...

    async def flush(self) -> None:
        """Wait until everything queued so far is committed."""
        ...

    async def finish(self, end: CallFinished) -> Mapping[str, str]:
        """Close the record and the recording; returns paths of what was left behind: recording, transcript."""
        ...


class Records(Protocol):
    """Where calls are kept."""

    async def open_call(self, call: CallOpened) -> CallRecord:
        """Begin the record of a call."""
        ...
