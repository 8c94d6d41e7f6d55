"""What every part of one conversation works with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from agent.call.live_floor import LiveFloor
from agent.call.notes import Notes
from agent.call.numbers import TurnNumbers
from agent.call.outbox import Outbox
from agent.call.services import CallServices
from agent.clock import Clock
from agent.dialogue.contracts import Dialogue
from agent.gateways.base import Capabilities
from agent.records.contracts import CallOpened

POLL_MS = 20.0
"""How often something that has to wait looks again."""

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
End = Callable[[str, str, int], None]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """One call. spawn: begins a task that the call owns. wake: has `advance` called soon. end: ends the call."""

    services: CallServices
    can: Capabilities
    outbox: Outbox
    notes: Notes
    call: CallOpened
    dialogue: Dialogue
    floor: LiveFloor
    numbers: TurnNumbers
    spawn: Spawn
    wake: Callable[[], None]
    end: End

    @property
    def clock(self) -> Clock:
        """The clock of the call."""
        return self.services.clock

    async def wait(self, ms: float = POLL_MS) -> None:
        """Let time pass."""
        await self.clock.sleep_until(self.clock.now_ms() + ms)

    def summary(self) -> dict[str, Any]:
        """What the dialogue knows of the call."""
        try:
            return dict(self.dialogue.summary())
        except Exception as error:
            self.notes.fault("summary_failed", f"{type(error).__name__}: {error}")
            return {}

    @property
    def language(self) -> str:
        """What is spoken with the caller."""
        return str(self.summary().get("language") or self.services.settings.recognizer.language)


async def ended(task: asyncio.Task[None] | None) -> None:
    """Wait until a task has ended, however it ends."""
    if task is not None and not task.done():
        await asyncio.wait({task})
