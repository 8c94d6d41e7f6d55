"""The socket as a call sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

NORMAL = 1000
GOING_AWAY = 1001
POLICY = 1008
TOO_BIG = 1009
INTERNAL = 1011
TIMED_OUT = 4408
"""Private code: the other side sent nothing for too long."""


class Disconnected(Exception):
    """The other side is gone; `code` is its close code (1006 where it sent none)."""

    def __init__(self, code: int = 1006) -> None:
        self.code = code
        super().__init__(f"the gateway closed the socket with code {code}")


class Transport(Protocol):
    """A message socket."""

    async def receive(self) -> str | bytes:
        """The next message.

        Raises:
            Disconnected: there will be none.
        """
        ...

    async def send(self, message: str | bytes) -> None:
        """Send one message.

        Raises:
            Disconnected: it cannot be delivered.
        """
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close the socket; harmless when it is closed already."""
        ...


@runtime_checkable
class Direct(Protocol):
    """A transport whose messages need not wait until the task that reads them runs: half of what a message costs."""

    def directly(self, take: Callable[[str | bytes], bool]) -> None:
        """While somebody waits in `receive`, give each message to `take` as it comes; only if that is False, to them.

        `take` must not block, and must not raise.
        """
        ...
