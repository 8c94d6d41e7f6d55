"""What an action is given and how it fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent.clock import Clock, RealClock
from agent.dialogue.identity import Attempts, CallAttempts

MOST_BYTES = 65_536
"""Longest result of an action, as JSON."""


class ActionFailed(Exception):
    """An action did not do its work.

    `code` is stable and goes into the result as `error`: bad_arguments, bad_result, too_large, or one of
    `agent.outbound.OutboundError`. The message says more; it names fields and kinds, never values.
    """

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class ActionContext:
    """What an action knows of its call.

    key: the idempotency key. caller: the number that calls, None where it is withheld. customer: who the caller was
    proven to be, None before that. language: what is spoken. attempts: failed proofs of identity.
    """

    call_id: str
    key: str
    clock: Clock
    caller: str | None = None
    customer: Mapping[str, Any] | None = None
    language: str = "en"
    attempts: CallAttempts = field(default_factory=lambda: Attempts(RealClock()).for_call(None))


Runnable = Callable[[Mapping[str, Any], ActionContext], Awaitable[Mapping[str, Any]]]
"""Does an action's work.

Raises:
    ActionFailed, agent.outbound.OutboundError: it could not, with a code.
    Exception: anything else is a failure too, named by its type.
"""


class Database(Protocol):
    """What a domain's `database` entry point opens."""

    async def close(self) -> None:
        """Give back connections."""
        ...
