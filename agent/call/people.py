"""What people at consoles do with one call: take it over, help, act, send it on, end it, give it back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from agent.call import floor
from agent.call.ending import Ending
from agent.call.entries import Entries
from agent.call.guesses import Guesses
from agent.call.handover import Handover
from agent.call.human import Bridge
from agent.call.replies import Replies
from agent.call.search import WORDS_S, Search
from agent.call.secrecy import Secrecy
from agent.call.surroundings import Surroundings, ended
from agent.dialogue.contracts import Acted, Acts
from agent.gateways.base import SendDtmf

SEAT_S, RELOAD_S = 10.0, 3.0
"""How long the console of a person who got the call may take to bring his voice; and to come back, after it left."""


class People:
    """Everybody who may have the call in place of the agent. Whether somebody may is asked by `agent.call.control`."""

    def __init__(
        self,
        around: Surroundings,
        handover: Handover,
        bridge: Bridge,
        replies: Replies,
        guesses: Guesses,
        search: Search,
        entries: Entries,
        ending: Ending,
        secrecy: Secrecy,
    ) -> None:
        self._around = around
        self._dialogue = around.dialogue
        self._floor = around.floor
        self._notes = around.notes
        self._handover = handover
        self._bridge = bridge
        self._replies = replies
        self._guesses = guesses
        self._search = search
        self._entries = entries
        self._ending = ending
        self._secrecy = secrecy
        self._closed = False
        self._returning = False
        self._awaited: asyncio.Task[None] | None = None
        self._lost_in_transfer: str | None = None

    def standing(self) -> dict[str, Any]:
        """Who has the call, and why nothing of it is recorded, where that is so; for consoles."""
        human = self._bridge.human
        queued = self._floor.phase is floor.Phase.TRANSFERRING
        having = "human" if human is not None else "queue" if queued else "agent"
        reply = self._bridge.suggestion if human is not None else None
        return {"with": having, "human": human, "reply": reply, "paused": self._secrecy.paused}

    @property
    def moving(self) -> bool:
        """Whether the caller is being sent elsewhere, or was."""
        there = self._floor.phase is floor.Phase.HUMAN and self._bridge.human is None
        return self._handover.stage == "moving" or (there and not self._returning)

    @property
    def over(self) -> bool:
        """Whether nobody can do anything with the call any more."""
        return self._closed or self._bridge.over

    def close(self) -> None:
        """The call is over; what was said last may still be written down."""
        self._closed = True

    # Having the call

    def taken_by(self, who: str) -> None:
        """`who` has the call from now on; the agent is silent."""
        self._replies.leaving = None
        self._entries.forget_keys()
        self._bridge.human = who
        self._bridge.suggestion = None
        self._bridge.listen_to_caller(True)
        self._bridge.expect(self._around.language)
        self._search.over()
        self._floor.step(floor.TakenOver())
        self._notes.person(who, "took_over")
        self.changed()
        self._bridge.refresh()
        if who not in self._bridge.seats:
            self._await_seat(who, SEAT_S)

    async def given_back(self, who: str, note: str) -> None:
        """`who` gives the call back to the agent; it comes back though nobody waits for that any more."""
        bridge = self._bridge
        self._notes.person(who, "handed_back")
        if note:
            self.note(who, note)
        bridge.human = None
        bridge.close_seat(who, "handed_back")
        self._returning = True
        await ended(self._around.spawn(self._return(who, note), "hand-back"))

    async def _return(self, who: str, note: str) -> None:
        """The agent has the call again as soon as what was typed last is spoken, and what was said last is known."""
        bridge = self._bridge
        try:
            await bridge.sayings.quiet(WORDS_S)
            await bridge.finish()
        finally:
            self._returning = False
        if bridge.over:
            return
        if bridge.human is None and self._floor.phase is floor.Phase.HUMAN:
            bridge.sayings.hush()
            self.agent_has_it()
            self._floor.step(floor.GivenBack())
            self._replies.speak_up(self._dialogue.handed_back(who, note))
            bridge.refresh()
        # Told last: neither the caller nor who took the call meanwhile waits for the desk.
        await self._handover.handed_back()

    def lost(self, who: str) -> None:
        """The console of `who` is gone; where he has the call, another person is looked for."""
        if self.over:
            return
        has = self._bridge.human == who
        if has and self._handover.stage == "moving":
            # What becomes of the caller is known in a moment.
            self._lost_in_transfer = who
            self._bridge.close_seat(who, "lost")
            return
        if has:
            self._notes.person(who, "lost")
            self._bridge.human = None
        self._bridge.close_seat(who, "lost")
        if not has or self._floor.phase is not floor.Phase.HUMAN:
            return
        self._bridge.sayings.hush()
        self._bridge.listen_to_caller(False)
        self._floor.step(floor.PersonLost())
        self._search.again(who)

    def seat_left(self, who: str) -> None:
        """The seat of `who` is gone; where he has the call he may be back in a moment."""
        if self._bridge.human == who:
            self._await_seat(who, RELOAD_S)

    def _await_seat(self, who: str, within_s: float) -> None:
        if self._awaited is not None:
            self._awaited.cancel()
        self._awaited = self._around.spawn(self._seat_comes(who, within_s), "seat")

    async def _seat_comes(self, who: str, within_s: float) -> None:
        await self._around.wait(within_s * 1000.0)
        if self._bridge.human == who and who not in self._bridge.seats:
            self.lost(who)

    def changed(self) -> None:
        """Tell consoles who has the call."""
        self._notes.publish("state", phase=str(self._floor.phase), **self.standing())

    # Helping the agent, and acting in its place

    def instruct(self, who: str, text: str) -> None:
        """Have the agent follow an instruction in its next answer."""
        told = self._dialogue.instruct(text)
        self._guesses.drop_prepared()
        self._notes.event("instruction", who=who, text=text, told=told)
        self._notes.publish("note", who=who, text=text, told=told)

    def note(self, who: str, text: str) -> None:
        """Somebody at a console notes something."""
        self._notes.event("note", who=who, text=text)
        self._notes.publish("note", who=who, text=text)

    def runnable(self) -> list[dict[str, Any]]:
        """Actions that a person who has the call may run."""
        return self._dialogue.runnable() if isinstance(self._dialogue, Acts) else []

    async def act(self, who: str, name: str, arguments: Mapping[str, Any]) -> Acted:
        """Run an action for `who`."""
        if not isinstance(self._dialogue, Acts):
            raise ValueError(f"action {name[:60]!r} is none that can be run here")
        acted = await self._dialogue.act(name, arguments)
        self._notes.event("action_by", who=who, name=name, ok=acted.ok)
        self._notes.acted(self._around.numbers.now, acted)
        return acted

    def press(self, keys: str) -> None:
        """Press keys towards the caller."""
        if not self._around.can.dtmf_out:
            raise ValueError(f"gateway {self._around.call.gateway} sends no keys")
        self._around.outbox.put(SendDtmf(keys))
        self._notes.event("keys_pressed", count=len(keys))

    def pause(self, who: str, on: bool) -> None:
        """Keep neither sound nor words from now on, or again."""
        if self._secrecy.pause(on):
            self._notes.person(who, "paused" if on else "resumed")
            self.changed()

    def agent_has_it(self) -> None:
        """The agent has the call again: a pause that a person asked for is over, as nobody could end it."""
        self._secrecy.pause(False)

    # Letting the call go elsewhere

    async def send_on(self, who: str, target: str) -> None:
        """Send the caller to `target`; where that fails, `who` keeps the call.

        It is done though nobody waits for it any more. Raises ValueError where it failed.
        """
        if self._handover.stage == "moving":
            raise ValueError("the caller is being transferred already")
        self._handover.stage = "moving"
        failed: list[str] = []
        await ended(self._around.spawn(self._send_on(who, target, failed.append), "send-on"))
        if failed:
            raise ValueError(f"the transfer to {target} failed: {failed[0]}")

    async def _send_on(self, who: str, target: str, failed: Callable[[str], None]) -> None:
        self._lost_in_transfer = None
        result = await self._handover.send_on(target, f"{who} transferred the call")
        if result.outcome != "accepted":
            failed(result.detail)
            if self._lost_in_transfer == who:
                self.lost(who)
            return
        self._notes.person(who, "transferred")
        self._bridge.human = None
        self._bridge.close("call_over")
        self._bridge.refresh()
        self._around.spawn(self._ending.moved(), "moved")

    def end_by(self, who: str) -> None:
        """`who` ends the call."""
        self._notes.person(who, "hung_up")
        self._bridge.close("call_over")  # nobody has to come back, nor to be found, while the gateway hangs up
        self._around.spawn(self._ending.hang_up("human_hung_up"), "hang-up")
