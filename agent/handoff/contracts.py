"""Handing a caller to a person: what is asked, what travels along, what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent.dialogue.contracts import HandoffOutcome


@dataclass(frozen=True, slots=True)
class HandoffRequest:
    """Everything a person needs to go on with the call; JSON-ready. Texts are redacted, slots and arguments are whole.

    handoff_id is the idempotency key of the webhook. transcript rows: {speaker, text, at_ms}, `text` being what was
    heard for the agent. slots: {name: {value, verified}}. emotion: one {turn, label, anger, activation} a caller turn.
    """

    handoff_id: str
    call_id: str
    gateway: str
    gateway_call_id: str
    reason: str
    rule: str
    priority: int = 0
    caller: str | None = None
    called: str | None = None
    language: str = "en"
    summary: str = ""
    intent: str | None = None
    slots: Mapping[str, Any] = field(default_factory=dict)
    emotion: Sequence[Mapping[str, Any]] = ()
    transcript: Sequence[Mapping[str, Any]] = ()
    actions: Sequence[Mapping[str, Any]] = ()
    recording: str | None = None


@dataclass(frozen=True, slots=True)
class HandoffResult:
    """What became of it.

    accepted: `transfer_to` is where the gateway should send the caller, or None where the desk takes the call itself;
    human: who took it at our own console, to whom the caller then speaks on our line.
    declined / unavailable / failed: the caller stays with the agent, `detail` says why.
    """

    outcome: HandoffOutcome
    transfer_to: str | None = None
    detail: str = ""
    human: str | None = None


class HandoffDesk(Protocol):
    """Queues a handoff, tells the outside, and says what to do with the caller."""

    async def request(self, request: HandoffRequest) -> HandoffResult:
        """Queue `request` and notify. The same handoff_id again returns the first result. Never raises."""
        ...

    async def caller_left(self, handoff_id: str) -> None:
        """The caller hung up while waiting."""
        ...

    async def finished(self, handoff_id: str, outcome: str) -> None:
        """The transfer itself worked (`bridged`) or not (`transfer_failed`)."""
        ...
