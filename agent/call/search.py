"""The search for a person: the caller waits, is told how long, and is moved to who was found."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from agent.call import floor
from agent.call.announcing import announcement, wants_callback, words
from agent.call.ending import Ending
from agent.call.handover import Announced, Handover
from agent.call.human import Bridge
from agent.call.replies import Replies
from agent.call.surroundings import Surroundings
from agent.dialogue.contracts import HandOff, HangUp, Part, Say
from agent.handoff.contracts import HandoffResult
from models.contracts import AFFIRM, Understood

WORDS_S = 10.0
"""How long words to a caller who waits are waited for before others follow."""
_NOBODY = HandoffResult("unavailable")
_FAREWELL = (floor.Phase.THINKING, floor.Phase.SPEAKING, floor.Phase.YIELDING)
"""Phases of the agent's last words before a person has the call."""

log = logging.getLogger(__name__)


class Search:
    """One call's searches, one at a time. `taken` is told which person at a console was found and has the call now.

    `stays` is told that nobody was found, and the agent has it again.
    """

    def __init__(
        self,
        around: Surroundings,
        handover: Handover,
        bridge: Bridge,
        replies: Replies,
        ending: Ending,
        taken: Callable[[str], None],
        stays: Callable[[], None],
    ) -> None:
        self._around = around
        self._clock = around.clock
        self._handover = handover
        self._bridge = bridge
        self._replies = replies
        self._ending = ending
        self._taken = taken
        self._told_to_stay = stays
        self.waiting_since_ms: float | None = None
        """Since when the caller waits for a person."""
        self._seeking: asyncio.Task[None] | None = None
        self._callback_key: str | None = None
        self._result = _NOBODY

    @property
    def asking(self) -> bool:
        """Whether a person is being looked for."""
        return self.waiting_since_ms is not None

    @property
    def bridging(self) -> bool:
        """Whether a person at a console was found who does not have the call yet."""
        phase = self._around.floor.phase
        return self._result.human is not None and phase in (floor.Phase.TRANSFERRING, *_FAREWELL)

    def begin(self) -> None:
        """The caller was told that he will be connected: find somebody."""
        leaving, self._replies.leaving = self._replies.leaving, None
        handoff = leaving.handoff if leaving is not None else None
        handoff = handoff or HandOff("a part of the agent failed", "fault", 1)
        self._seek(lambda: self._handover.ask(handoff, self._announce), farewell=leaving is not None)

    def again(self, who: str) -> None:
        """`who`, who had the call, is gone: find another."""
        handoff = HandOff("the person who had the call was cut off", "human_lost", 2)
        self._seek(lambda: self._handover.lost(who, handoff, self._announce), farewell=True, words_first=True)
        self._bridge.sayings.say(words("lost", self._around.language), self._around.language)

    def over(self) -> None:
        """Somebody has the call: nothing is left of what was found."""
        self._result = _NOBODY

    def move(self) -> None:
        """The farewell was heard: hand the caller over to who was found."""
        self._around.spawn(self._move(), "move")

    async def claim(self, who: str, within_s: float) -> str | None:
        """Wait until a call that waits for a person is somebody's, best `who`'s; returns who has, or had, the claim."""
        if self.asking:
            await asyncio.sleep(0)  # a search that was begun just now has asked the desk after this
        if self.asking:
            try:
                if self._handover.queue is None:
                    raise LookupError("the desk has no people of ours")
                self._handover.queue.accept(who, self._handover.handoff_id)
            except Exception as error:
                by = getattr(error, "by", None)
                if not by:
                    log.info("the call is taken out of the queue: %s", error)
                    self._withdraw()
                    return None
                if by != who:
                    return str(by)
        until = self._clock.now_ms() + within_s * 1000.0
        while (self.asking or self.bridging) and self._clock.now_ms() < until and not self._bridge.over:
            await self._around.wait()
        return self._bridge.human

    def key(self, digit: str) -> None:
        """The caller, who waits, pressed a key: it may be the one to be called back."""
        if digit == self._callback_key:
            self._call_back()

    def heard(self, text: str, understood: Understood) -> None:
        """The caller, who waits, said something: it may be that he wants to be called back."""
        if self._callback_key is None:
            return
        said = understood.slot("yes_no")
        if wants_callback(text, understood.intent == AFFIRM or (said is not None and said.value is True)):
            self._call_back()

    def _withdraw(self) -> None:
        """Search no more. All at once: whoever takes the call has it before anything is waited for."""
        seeking, self._seeking = self._seeking, None
        if seeking is not None:
            seeking.cancel()
        self._wait_in_queue(False)
        self._handover.withdraw()
        self._around.spawn(self._handover.tell_withdrawn(), "withdraw")

    def _seek(self, find: Callable[[], Awaitable[HandoffResult]], farewell: bool, words_first: bool = False) -> None:
        """Find a person while the caller waits. words_first: what he is being told is told to its end."""
        self._wait_in_queue(True)
        self._seeking = self._around.spawn(self._find(find, farewell, words_first), "transfer")

    async def _find(self, find: Callable[[], Awaitable[HandoffResult]], farewell: bool, words_first: bool) -> None:
        try:
            self._result = await find()
            if words_first:
                await self._bridge.sayings.quiet(WORDS_S)
        finally:
            if self._seeking is asyncio.current_task():
                self._wait_in_queue(False)
        if self._result.outcome != "accepted":
            self._stays(self._result)
        elif not farewell:
            await self._move()
        else:
            self._replies.speak_up(self._around.dialogue.handoff_outcome("accepted"), farewell=True)

    def _wait_in_queue(self, on: bool) -> None:
        self.waiting_since_ms = self._clock.now_ms() if on else None
        self._callback_key = None
        queue: Any = self._handover.queue
        if queue is None:
            return
        self._bridge.waiting = on
        self._bridge.music = getattr(getattr(queue, "settings", None), "hold", "silence") == "music"
        if not on:
            self._bridge.sayings.hush()
        self._bridge.listen_to_caller(on)
        self._bridge.refresh()

    def _announce(self, announced: Announced) -> None:
        text = announcement(announced.kind, announced.values, self._around.language)
        if announced.kind == "callback_offer":
            self._callback_key = str(announced.values.get("key", "1"))
        if text is not None and self.waiting_since_ms is not None:
            try:
                self._bridge.sayings.say(text, self._around.language)
            except ValueError as error:
                self._around.notes.fault("announcement_dropped", str(error))

    def _call_back(self) -> None:
        self._callback_key = None
        if self._handover.queue is not None:
            self._around.notes.event("callback_chosen")
            self._handover.queue.choose_callback(self._handover.handoff_id)

    async def _move(self) -> None:
        if self._result.human is not None:
            who = self._result.human
            self._result = await self._handover.move(self._result)
            self._taken(who)
            return
        while self._bridge.air.away and self._around.can.transfer != "rest":
            # Nobody takes a message now, and a script at the end of a broken stream is not ours.
            await self._around.wait()
        self._result = await self._handover.move(self._result)
        if self._result.outcome != "accepted":
            self._stays(self._result)
            return
        self._around.floor.step(floor.TransferEnded(worked=True))
        await self._ending.moved()

    def _stays(self, result: HandoffResult) -> None:
        self._told_to_stay()
        self._around.floor.step(floor.TransferEnded(worked=False))
        if result.outcome == "unavailable" and result.detail == "callback":
            parts = _given(Say(words("callback", self._around.language), "warm"), HangUp("callback"))
            self._replies.speak_up(parts)
            return
        self._replies.speak_up(self._around.dialogue.handoff_outcome(result.outcome, result.detail))


async def _given(*parts: Part) -> AsyncIterator[Part]:
    for part in parts:
        yield part
