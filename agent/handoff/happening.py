"""What happens to the queue, and what it asks for; see `agent.handoff.waiting`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agent.handoff.contracts import HandoffRequest
from agent.handoff.machine import HandoffState

Ending = Literal["closed", "nobody", "full", "timed_out", "declined", "callback", "caller_left"]


@dataclass(frozen=True, slots=True)
class Enter:
    """A caller is to speak to a person."""

    request: HandoffRequest


@dataclass(frozen=True, slots=True)
class OnDuty:
    """Somebody takes calls from now on, or changes what he takes."""

    who: str
    skills: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    capacity: int = 1


@dataclass(frozen=True, slots=True)
class OffDuty:
    """Somebody takes no more calls; those he has he keeps."""

    who: str


@dataclass(frozen=True, slots=True)
class Accept:
    """Somebody takes a waiting call, asked or not."""

    who: str
    handoff_id: str


@dataclass(frozen=True, slots=True)
class Decline:
    """Somebody does not take the call that rings; he is not asked again for it."""

    who: str
    handoff_id: str


@dataclass(frozen=True, slots=True)
class CallerLeft:
    """The caller hung up."""

    handoff_id: str


@dataclass(frozen=True, slots=True)
class ChoseCallback:
    """The caller would rather be called back."""

    handoff_id: str


@dataclass(frozen=True, slots=True)
class Bridged:
    """Caller and person talk."""

    handoff_id: str


@dataclass(frozen=True, slots=True)
class Over:
    """They no longer do: the call ended, the agent has it back, or it never came about (`failed`)."""

    handoff_id: str
    how: Literal["ended", "handed_back", "failed"]


@dataclass(frozen=True, slots=True)
class HumanLost:
    """The person is gone, the caller is not."""

    who: str
    handoff_id: str


@dataclass(frozen=True, slots=True)
class WrappedUp:
    """The person has noted how it went."""

    who: str
    handoff_id: str


@dataclass(frozen=True, slots=True)
class Engaged:
    """Somebody took over a call outside the queue, or (`on` False) is done with it."""

    who: str
    call_id: str
    on: bool = True


@dataclass(frozen=True, slots=True)
class Doors:
    """The working hours begin or end; `opens_at` as ISO time where known."""

    open: bool
    opens_at: str | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


Event = (
    Enter
    | OnDuty
    | OffDuty
    | Accept
    | Decline
    | CallerLeft
    | ChoseCallback
    | Bridged
    | Over
    | HumanLost
    | WrappedUp
    | Engaged
    | Doors
    | Tick
)


@dataclass(frozen=True, slots=True)
class Announce:
    """Words for a waiting caller. kind: position {position, wait_s}, callback_offer {position, wait_s, key},
    coming {human}, nobody {reason, opens_at}."""

    handoff_id: str
    kind: Literal["position", "callback_offer", "nobody", "coming"]
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ring:
    """Ask `who`."""

    handoff_id: str
    who: str


@dataclass(frozen=True, slots=True)
class Hush:
    """Ask `who` no longer."""

    handoff_id: str
    who: str


@dataclass(frozen=True, slots=True)
class Moved:
    """Write down that the handoff went through these states."""

    handoff_id: str
    states: tuple[HandoffState, ...]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Taken:
    """`human` takes the call."""

    handoff_id: str
    human: str


@dataclass(frozen=True, slots=True)
class Settled:
    """None of our people takes the call, and why."""

    handoff_id: str
    why: Ending


Command = Announce | Ring | Hush | Moved | Taken | Settled
