"""What a call's actions did, and what of it is still to be told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from agent.clock import Clock
from agent.dialogue.actions import CallActions
from agent.dialogue.contracts import Acted
from agent.dialogue.needs import Need

MOST_LATE = 16
"""Outcomes of actions waiting to be told; the oldest goes first."""


class Acting:
    """Runs a call's actions and keeps what came of them.

    hidden: argument values that are neither recorded nor shown. done: every outcome, in order. late: those of actions
    with side effects that outlived the turn that wanted them. untold: names of such actions, also while they still run.
    """

    def __init__(self, actions: CallActions, clock: Clock) -> None:
        self._actions = actions
        self._clock = clock
        self.hidden: frozenset[str] = frozenset()
        self.done: list[Acted] = []
        self.late: list[Acted] = []
        self.untold: set[str] = set()

    @property
    def actions(self) -> CallActions:
        """The call's actions."""
        return self._actions

    def fork(self) -> Acting:
        """The same for a preview: what it notes is not seen here."""
        copy = Acting(self._actions.fork(), self._clock)
        copy.done, copy.late = list(self.done), list(self.late)
        return copy

    def take_late(self) -> list[Acted]:
        """What is to be told, once."""
        late, self.late = self.late, []
        self.untold -= {acted.name for acted in late}
        return late

    def keep_late(self, acted: Acted) -> None:
        """Tell this with the next answer."""
        self.untold.add(acted.name)
        if all(kept.idempotency_key != acted.idempotency_key for kept in self.late):
            self.late.append(acted)
            del self.late[:-MOST_LATE]

    async def run(self, need: Need) -> AsyncGenerator[Acted | None, None]:
        """Run an action: None once it takes long enough for its filler, then its outcome.

        When cancelled, an action with side effects goes on and is told later; any other is cancelled too.
        """
        spec = self._actions.spec(need.action)
        hidden = [name for name, value in need.arguments.items() if str(value) in self.hidden]
        task, joined = self._actions.start(need.action, need.arguments, hidden)
        if joined:
            key = self._actions.key(need.action, need.arguments, hidden)
            self.late = [acted for acted in self.late if acted.idempotency_key != key]
            self.untold.discard(need.action)
        done = False
        try:
            if spec.filler and not task.done():
                waited = asyncio.ensure_future(self._clock.sleep_until(self._clock.now_ms() + spec.filler_after_ms))
                try:
                    await asyncio.wait({task, waited}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waited.cancel()
                if not task.done():
                    yield None
            await asyncio.wait({task})
            done = True
        finally:
            if not done:
                if spec.side_effects:
                    self.untold.add(need.action)
                    task.add_done_callback(self._finished_late)
                else:
                    task.cancel()
        acted = task.result()
        if joined:
            acted = Acted(acted.name, acted.arguments, acted.ok, acted.result, acted.idempotency_key, True, 0.0)
        self.done.append(acted)
        yield acted

    def _finished_late(self, task: asyncio.Task[Acted]) -> None:
        if not task.cancelled():
            self.keep_late(task.result())
