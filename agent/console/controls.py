"""What the console asks of a call that runs: `agent.call.control`, and the actions that some calls let a person run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from agent.call.control import CallControl, Mode, Seat, SeatClosed
from agent.call.talk import MODES

__all__ = ["MODES", "CallControl", "Mode", "Runs", "Seat", "SeatClosed"]


@runtime_checkable
class Runs(Protocol):
    """A call whose actions a person can run."""

    def actions(self) -> Sequence[Mapping[str, Any]]:
        """`name`, `description` and `arguments` of each."""
        ...

    async def act(self, who: str, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run one; its outcome, JSON-ready."""
        ...
