"""What the console needs of the server: its calls, its queue, its feed and its database."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from agent.call.control import CallControl
from agent.clock import Clock
from agent.config import Settings
from agent.console.feed import Feed
from agent.records.audit import AuditTrail
from agent.records.database import Database


class QueueDesk(Protocol):
    """The queue of callers who wait for a person; see `agent.handoff.console_desk`."""

    def on_duty(self, who: str, skills: Sequence[str], languages: Sequence[str], capacity: int = 1) -> None:
        """Offer `who` calls from now on."""
        ...

    def off_duty(self, who: str) -> None:
        """Offer `who` no more calls."""
        ...

    def accept(self, who: str, handoff_id: str) -> None:
        """Give `who` the caller; raises where somebody was faster."""
        ...

    def decline(self, who: str, handoff_id: str) -> None:
        """`who` does not take the caller."""
        ...

    def wrapped_up(self, who: str, handoff_id: str, disposition: str, note: str = "") -> None:
        """`who` is done with a call that was his."""
        ...

    def engaged(self, who: str, call_id: str) -> None:
        """`who` has taken a call over outside the queue."""
        ...

    def released(self, who: str, call_id: str) -> None:
        """`who` no longer has a call taken over outside the queue."""
        ...

    def snapshot(self) -> Mapping[str, Any]:
        """`queue` and `people`, JSON-ready."""
        ...


class Backend(Protocol):
    """The server, as the console sees it. Everything may be missing while it loads."""

    @property
    def clock(self) -> Clock:
        """The server's clock."""
        ...

    @property
    def settings(self) -> Settings:
        """The server's settings."""
        ...

    @property
    def database(self) -> Database | None:
        """The records database."""
        ...

    @property
    def trail(self) -> AuditTrail | None:
        """The server's audit trail, where it has one of its own."""
        ...

    @property
    def feed(self) -> Feed:
        """What happens in calls."""
        ...

    @property
    def desk(self) -> QueueDesk | None:
        """The queue, where there is one."""
        ...

    @property
    def intents(self) -> Collection[str]:
        """Names of the intents that are understood."""
        ...

    @property
    def topics(self) -> Collection[str]:
        """Those of the intents that callers call about: they open a flow."""
        ...

    def calls(self) -> Collection[str]:
        """Ids of the calls that run."""
        ...

    def control(self, call_id: str) -> CallControl | None:
        """The control of a call that runs."""
        ...

    def picture(self, call_id: str, picture_id: str) -> bytes | None:
        """A picture that a caller sent, as JPEG, while it is kept."""
        ...
