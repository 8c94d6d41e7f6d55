"""What hooks are told: the steps of handoffs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal, Protocol, get_args

from agent.handoff.contracts import HandoffRequest
from agent.outbound import OutboundError

Step = Literal["queued", "accepted", "bridged", "ended", "callback"]
"""queued: a caller waits for a person. accepted: somebody takes the call. bridged: they talk. ended: they no longer do.
callback: nobody took it, the caller is to be called back."""
STEPS: tuple[Step, ...] = get_args(Step)

_FIELDS = {field.name for field in fields(HandoffRequest)}
_NEEDED = ("handoff_id", "call_id", "gateway", "gateway_call_id", "reason", "rule")


@dataclass(frozen=True, slots=True)
class HandoffEvent:
    """One step of one handoff.

    human: who took it at our own console. transfer_to: where the gateway sends the caller by itself; both are absent
    where whoever accepted is to fetch the caller.
    """

    step: Step
    at: datetime
    request: HandoffRequest
    human: str | None = None
    transfer_to: str | None = None
    detail: str = ""

    @property
    def event_id(self) -> str:
        """The same on every try, another for every step; a handoff may be queued or accepted twice."""
        return f"{self.request.handoff_id}.{self.step}.{int(self.at.timestamp() * 1000)}"

    def plain(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "event_id": self.event_id,
            "step": self.step,
            "at": self.at.isoformat(),
            "human": self.human,
            "transfer_to": self.transfer_to,
            "detail": self.detail,
            "handoff": asdict(self.request),
        }


class Hook(Protocol):
    """Somebody outside who is told: of one handoff in order, of several at once."""

    @property
    def name(self) -> str:
        """As configured; dead letters carry it."""
        ...

    def wants(self, event: HandoffEvent) -> bool:
        """Whether to deliver this event. Pure."""
        ...

    async def deliver(self, event: HandoffEvent) -> None:
        """Tell, trying again within the hook's time.

        The same event may come again, after a failure half-way.

        Raises:
            OutboundError: it was not told.
        """
        ...


def read_event(plain: Mapping[str, Any]) -> HandoffEvent:
    """The reverse of `HandoffEvent.plain`.

    Raises:
        ValueError: names the field that is missing or wrong.
    """
    handoff = plain.get("handoff")
    if not isinstance(handoff, Mapping):
        raise ValueError("handoff is missing; it must be an object")
    for name in _NEEDED:
        if not isinstance(handoff.get(name), str):
            raise ValueError(f"handoff.{name} is {handoff.get(name)!r}; it must be a text")
    step = plain.get("step")
    if step not in STEPS:
        raise ValueError(f"step is {step!r}; it must be one of {', '.join(STEPS)}")
    try:
        at = datetime.fromisoformat(str(plain.get("at")))
    except ValueError as error:
        raise ValueError(f"at is {plain.get('at')!r}; it must be an ISO time") from error
    if at.tzinfo is None:
        raise ValueError(f"at is {plain.get('at')!r}; it must have a zone")
    request = HandoffRequest(**{name: value for name, value in handoff.items() if name in _FIELDS})
    human, transfer_to = plain.get("human"), plain.get("transfer_to")
    return HandoffEvent(step, at, request, human, transfer_to, str(plain.get("detail") or ""))


class CallOver(OutboundError):
    """There is no such call any more."""
