"""Finds out who is calling, beside the greeting: the business's profile and what the number last called about."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from agent.clock import Clock
from agent.dialogue.actions import CallActions
from agent.dialogue.contracts import Acted
from agent.dialogue.domain import Domain
from agent.dialogue.manner import ProfileSettings
from agent.dialogue.profile import NOBODY, Profile, read_profile, with_history

log = logging.getLogger(__name__)

PROFILE_MS = 150.0
"""How long the greeting waits for the caller's profile: it may set the language. A later one is used from then on."""

Rows = Sequence[Mapping[str, Any]]
History = Callable[[str, int], Awaitable[Rows]]
"""The last calls of a number, at most so many, the latest first; see `agent.records.history.calls_of`."""


class Lookup:
    """What becomes known of one call's caller. Owns what it runs; `close` ends it."""

    def __init__(
        self,
        actions: CallActions,
        settings: ProfileSettings | None,
        clock: Clock,
        languages: Sequence[str],
        history: History | None,
    ) -> None:
        """`settings` None finds out nothing."""
        self._actions = actions
        self._settings = settings
        self._clock = clock
        self._languages = languages
        self._history = history
        self._asked: asyncio.Task[Acted] | None = None
        self._past: asyncio.Task[Rows] | None = None
        self._profile: Profile | None = None

    async def begin(self, caller: str | None) -> None:
        """Ask for the number `caller`; returns when the profile is there, at most `PROFILE_MS` later."""
        settings = self._settings
        if settings is None or caller is None:
            return
        if self._history is not None and settings.history:
            self._past = asyncio.create_task(self._earlier(self._history, caller, settings.history), name="history")
        self._asked, _ = self._actions.start(settings.action, {"phone": caller})
        waited = asyncio.ensure_future(self._clock.sleep_until(self._clock.now_ms() + PROFILE_MS))
        try:
            await asyncio.wait({self._asked, waited}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waited.cancel()

    @property
    def profile(self) -> Profile:
        """The profile as far as it is known by now; the same object until more is."""
        if self._profile is None and self._asked is not None and self._asked.done():
            self._profile = NOBODY
            if not self._asked.cancelled() and self._asked.result().ok:
                self._profile, problems = read_profile(self._asked.result().result, self._languages)
                if problems:
                    log.warning("the caller's profile: %s", "; ".join(problems), extra={"code": "profile"})
        return self._profile or NOBODY

    def with_past(self, profile: Profile, domain: Domain) -> Profile:
        """`profile` with what the last calls were about, in the words of `domain`, for a number that is known."""
        past = self._past
        if not self.profile.known or past is None or not past.done() or past.cancelled():
            return profile
        identity = domain.manner.identity.flow if domain.manner.identity else None
        titles = {
            intent: flow.title for name, flow in domain.flows.items() if name != identity for intent in flow.intents
        }
        return with_history(profile, past.result(), titles, self._clock.wall())

    def close(self) -> None:
        """The call is over."""
        for task in (self._asked, self._past):
            if task is not None:
                task.cancel()

    @staticmethod
    async def _earlier(history: History, caller: str, most: int) -> Rows:
        try:
            return await history(caller, most)
        except Exception:
            log.exception("the caller's earlier calls cannot be read", extra={"code": "history"})
            return ()
