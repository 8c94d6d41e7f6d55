"""Turns what a desk does into steps for hooks."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from agent.clock import Clock
from agent.handoff.contracts import HandoffRequest, HandoffResult
from agent.handoff.hooks.events import HandoffEvent, Step

REMEMBERED = 1000
"""Handoffs whose end is still to come; of the oldest beyond them, later steps are not told."""
NOBODY_TO_CALL = frozenset({"the caller left", "the server stops"})
"""Details of results that leave nobody to call back."""


class Told(Protocol):
    """`agent.handoff.hooks.deliveries.Hooks`, as far as it is used here."""

    def tell_now(self, event: HandoffEvent) -> None:
        """Queue `event`; returns at once."""
        ...


@dataclass(slots=True)
class _Known:
    request: HandoffRequest
    human: str | None = None
    transfer_to: str | None = None


class Teller:
    """What a desk calls as things happen; nothing here waits or raises. A handoff that is over is told of no more."""

    def __init__(self, hooks: Told, clock: Clock) -> None:
        self._hooks = hooks
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def queued(self, request: HandoffRequest) -> None:
        """A caller waits; again, where his person was lost."""
        self._known[request.handoff_id] = _Known(request)
        self._known.move_to_end(request.handoff_id)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        self._tell("queued", request.handoff_id)

    def result(self, handoff_id: str, result: HandoffResult) -> None:
        """Somebody takes the call, or nobody does: then `callback`, or `ended` where he declined or is not needed."""
        known = self._known.get(handoff_id)
        if known is None:
            return
        if result.outcome == "accepted":
            known.human, known.transfer_to = result.human, result.transfer_to
            self._tell("accepted", handoff_id, result.detail)
            return
        back = result.outcome != "declined" and result.detail not in NOBODY_TO_CALL
        self._end("callback" if back else "ended", handoff_id, result.detail)

    def finished(self, handoff_id: str, outcome: str) -> None:
        """As `HandoffDesk.finished`: bridged, transfer_failed, ended, handed_back."""
        if outcome == "bridged":
            self._tell("bridged", handoff_id)
        elif outcome == "transfer_failed":
            self._end("callback", handoff_id, "the transfer failed")
        elif outcome in ("ended", "handed_back"):
            self._end("ended", handoff_id, "the agent has the call again" if outcome == "handed_back" else "")

    def caller_left(self, handoff_id: str) -> None:
        """The caller hung up while waiting."""
        self._end("ended", handoff_id, "the caller left")

    def _end(self, step: Step, handoff_id: str, detail: str) -> None:
        self._tell(step, handoff_id, detail)
        self._known.pop(handoff_id, None)

    def _tell(self, step: Step, handoff_id: str, detail: str = "") -> None:
        known = self._known.get(handoff_id)
        if known is not None:
            event = HandoffEvent(step, self._clock.wall(), known.request, known.human, known.transfer_to, detail)
            self._hooks.tell_now(event)
