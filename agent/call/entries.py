"""What the caller gives without a voice: typed text, one turn after the other, and keys."""

from __future__ import annotations

from collections import deque

from agent.call import floor
from agent.call.hearing import Hearing
from agent.call.human import Bridge
from agent.call.replies import Replies
from agent.call.search import Search
from agent.call.surroundings import Surroundings
from agent.dialogue.contracts import CallerTurn
from models.contracts import OUT_OF_SCOPE, Understood

KEYS_MS = 1500.0
"""Keys this close together belong to one number; '#' ends it at once."""
MOST_KEYS = 40
"""Keys of one number; a caller who never stops pressing is answered all the same."""
MOST_TYPED = 4
"""Typed turns waiting to be understood, one at a time: a caller who floods must not take the models from others."""


class Entries:
    """Makes turns of it, for the agent or for people who have the call."""

    def __init__(
        self, around: Surroundings, hearing: Hearing, replies: Replies, bridge: Bridge, search: Search
    ) -> None:
        self._around = around
        self._clock = around.clock
        self._notes = around.notes
        self._hearing = hearing
        self._replies = replies
        self._bridge = bridge
        self._search = search
        self._entered: CallerTurn | None = None
        self._typed: deque[str] = deque()
        self._keys = ""
        self._keys_ms = 0.0

    def typed(self, text: str) -> None:
        """A turn of the caller came as text; with `MOST_TYPED` waiting it is dropped."""
        if len(self._typed) >= MOST_TYPED:
            self._notes.fault("typed_too_fast", f"{MOST_TYPED} typed turns wait already; send one after the other")
            return
        self._typed.append(text)
        if len(self._typed) == 1:
            self._around.spawn(self._take_typed(), "typed")

    async def _take_typed(self) -> None:
        while self._typed:
            try:
                await self._take(self._typed[0])
            except Exception as error:
                self._replies.part_failed("understanding", error)
            self._typed.popleft()

    async def _take(self, text: str) -> None:
        try:
            understood = await self._hearing.understand(text)
        except Exception as error:
            if not self._bridge.hears_caller:
                raise
            # A person reads it all the same.
            self._notes.fault("not_understood", f"{type(error).__name__}: {error}")
            understood = Understood(OUT_OF_SCOPE, 0.0)
        while not self._bridge.hears_caller and self._replies.holds(self._clock.now_ms()):
            await self._around.wait()
        if self._bridge.hears_caller:
            self._bridge.typed(text, understood)
            return
        language = self._hearing.language_of(text)
        self._enter(CallerTurn(self._around.numbers.now + 1, text, understood, language=language))
        while self._replies.unsettled:
            await self._around.wait()

    def key(self, digit: str) -> None:
        """The caller pressed a key."""
        self._notes.event("key")
        if self._bridge.hears_caller:
            self._bridge.keyed()
            self._search.key(digit)
            return
        self._around.floor.step(floor.Key())
        self._keys_ms = self._clock.now_ms()
        self._keys = (self._keys + digit)[:MOST_KEYS]
        if self._whole and not self._replies.holds(self._keys_ms):
            self._enter_keys()

    def tick(self, now: float) -> float | None:
        """Enter keys where no more follow; returns when to come again, in ms of the clock."""
        if not self._keys or self._replies.holds(now):
            return None
        if self._whole or now >= self._keys_ms + KEYS_MS:
            self._enter_keys()
            return None
        return self._keys_ms + KEYS_MS

    def resume(self, gone_ms: float) -> None:
        """Go on after `gone_ms` that do not count."""
        self._keys_ms += gone_ms

    def forget_keys(self) -> None:
        """Nothing comes of the keys pressed so far."""
        self._keys = ""

    def taken(self) -> CallerTurn | None:
        """The turn that is being entered now, once."""
        turn, self._entered = self._entered, None
        return turn

    @property
    def _whole(self) -> bool:
        return self._keys.endswith("#") or len(self._keys) >= MOST_KEYS

    def _enter_keys(self) -> None:
        keys, self._keys = self._keys, ""
        keys = keys.rstrip("#") or keys
        self._enter(CallerTurn(self._around.numbers.now + 1, "", Understood(OUT_OF_SCOPE, 0.0), dtmf=keys))

    def _enter(self, turn: CallerTurn) -> None:
        self._entered = turn
        self._around.floor.step(floor.Entered())
        self._entered = None
