"""A person's hands on a live call: listen in, whisper, take it over, hand it back. What a console needs of a call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from agent.call.conversation import Conversation
from agent.call.floor import Phase
from agent.call.seats import SeatClosed
from agent.call.services import CallServices
from agent.call.talk import MODES, Mode, Stand
from agent.records.contracts import CallOpened

__all__ = ["CallControl", "Gone", "LiveControl", "Mode", "NotYours", "Seat", "SeatClosed", "Taken"]

ACCEPT_S = 20.0
"""How long a person who was given a waiting call waits for the agent's farewell."""
MOST_NOTE = 4000
"""Characters of a note."""
MOST_KEYS = 32
"""Keys pressed at once."""
MOST_TARGET = 200
"""Characters of a transfer's target."""
_KEYS = re.compile(r"[0-9*#A-Da-d]+")
_TARGET = re.compile(r"[\x21-\x7e]+")


class Taken(Exception):
    """Somebody else has the call."""

    def __init__(self, who: str) -> None:
        self.who = who
        super().__init__(f"{who} has the call")


class NotYours(PermissionError):
    """Only for the person who has the call."""


class Gone(Exception):
    """The call is over, or being ended."""


class Seat(Protocol):
    """One browser at one call."""

    @property
    def who(self) -> str:
        """Whose it is."""
        ...

    @property
    def mode(self) -> Mode:
        """listen: hears both; whisper: only people who talk with the caller hear him; talk: speaks with the caller;
        barge: all three hear each other."""
        ...

    @property
    def muted(self) -> bool:
        """Whether his voice goes nowhere."""
        ...

    @property
    def held(self) -> bool:
        """Whether he put the caller on hold."""
        ...

    async def hear(self) -> bytes:
        """The next 20 ms for the browser: 640 bytes, 16-bit little-endian mono at 16 kHz.

        25 frames wait at most; the oldest goes for one more.

        Raises:
            SeatClosed: the call or the seat is over.
        """
        ...

    def speak(self, frame: bytes) -> None:
        """20 ms from the browser, in the same format; 60 to 200 ms wait, by how evenly they come.

        Raises:
            ValueError: it is not 640 bytes long.
        """
        ...

    def change(self, *, mode: Mode | None = None, muted: bool | None = None, held: bool | None = None) -> None:
        """Take part in another way from now on.

        Raises:
            PermissionError: that is only for who has the call.
            SeatClosed: it is over.
            ValueError: the mode is unknown.
        """
        ...

    def leave(self) -> None:
        """Go; harmless when it is over."""
        ...


class CallControl(Protocol):
    """What a console may do with one live call. Every method but `state` may raise `Gone`."""

    @property
    def call_id(self) -> str:
        """Which call."""
        ...

    def state(self) -> dict[str, Any]:
        """Where the call stands, JSON-ready: texts redacted, slot values whole as in a handoff, sensitive ones not."""
        ...

    def join(self, who: str, mode: Mode) -> Seat:
        """Give `who` a seat; an older one of his is closed.

        Raises:
            PermissionError: `talk`, and he does not have the call.
            ValueError: the mode is unknown.
        """
        ...

    async def take_over(self, who: str, handoff_id: str | None = None) -> Seat:
        """Speak with the caller in place of the agent; again for who has the call already, it gives his seat.

        Raises:
            Taken: another has the call.
        """
        ...

    async def hand_back(self, who: str, note: str = "") -> None:
        """Give the call back to the agent, which is told what was said and done.

        Raises:
            NotYours: he does not have the call.
        """
        ...

    def instruct(self, who: str, text: str) -> None:
        """Whisper to the agent: it follows in its next turn.

        Raises:
            ValueError: it is not understood; the message says what is.
        """
        ...

    def say(self, who: str, text: str) -> None:
        """Have our voice say what was typed.

        Raises:
            NotYours: he does not have the call.
            ValueError: the text is empty or too long, or too many wait.
        """
        ...

    def actions(self) -> list[dict[str, Any]]:
        """Actions of the domain that who has the call may run: name, description, arguments with known values."""
        ...

    async def act(self, who: str, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Run one, as the agent would: {ok, result, replayed}.

        Raises:
            NotYours: he does not have the call.
            ValueError: there is no such action, or the arguments are not its own.
        """
        ...

    def press(self, keys: str) -> None:
        """Press keys towards the caller.

        Raises:
            ValueError: they are no keys, or the gateway cannot.
        """
        ...

    def pause(self, who: str, on: bool) -> None:
        """Keep neither sound nor words of the call from now on, or again: the caller says what nobody may keep.

        It is over when the agent has the call again.

        Raises:
            NotYours: he does not have the call.
        """
        ...

    async def transfer(self, who: str, target: str) -> None:
        """Send the caller elsewhere, by the gateway's own means.

        Raises:
            NotYours: he does not have the call.
            ValueError: the target is no target, or the gateway did not take it; the call then stays.
        """
        ...

    async def hang_up(self, who: str) -> None:
        """End the call.

        Raises:
            NotYours: he does not have the call.
        """
        ...

    def human_lost(self, who: str) -> None:
        """His console is gone: where he has the call, the caller is told and another person looked for."""
        ...

    def note(self, who: str, text: str) -> None:
        """Write a note on the call.

        Raises:
            ValueError: it is empty or too long.
        """
        ...


class LiveControl:
    """`CallControl` of a call that the agent holds; see there."""

    def __init__(self, services: CallServices, conversation: Conversation, call: CallOpened, at: datetime) -> None:
        """`at`: when the call began."""
        self._services = services
        self._conversation = conversation
        self._bridge = conversation.bridge
        self._call = call
        self._began_at, self._began_ms = at, services.clock.now_ms()

    @property
    def call_id(self) -> str:
        """Which call."""
        return self._call.call_id

    def state(self) -> dict[str, Any]:
        """See `CallControl.state`."""
        conversation, now = self._conversation, self._services.clock.now_ms()
        summary = conversation.around.summary()
        waiting = conversation.search.waiting_since_ms
        redact = self._services.redact
        return {
            "call_id": self.call_id,
            "gateway": self._call.gateway,
            "caller": self._call.caller,
            "called": self._call.called,
            "language": summary.get("language"),
            "phase": str(conversation.phase),
            **conversation.people.standing(),
            "started_at": self._began_at.isoformat(),
            "duration_s": round((now - self._began_ms) / 1000.0, 1),
            "waiting_s": None if waiting is None else round((now - waiting) / 1000.0, 1),
            "intent": summary.get("intent"),
            "slots": dict(summary.get("slots", {})),
            "emotion": list(summary.get("emotion", ())),
            "summary": redact(str(summary.get("paragraph") or "")),
        }

    def join(self, who: str, mode: Mode) -> Seat:
        """See `CallControl.join`."""
        self._alive()
        if mode not in MODES:
            raise ValueError(f"mode {mode!r} is unknown; use one of {', '.join(MODES)}")
        stand = Stand(mode)
        self._bridge.check(who, stand)
        return self._bridge.seat(who, stand)

    async def take_over(self, who: str, handoff_id: str | None = None) -> Seat:
        """See `CallControl.take_over`. A call has one handoff at a time, so its id tells nothing more."""
        self._alive()
        conversation = self._conversation
        if conversation.search.asking or conversation.search.bridging:
            by = await conversation.search.claim(who, ACCEPT_S)
            self._alive()
            if by not in (None, who):
                raise Taken(str(by))
            if conversation.search.asking or conversation.search.bridging:
                raise Gone("the call is being given to somebody; try again")
        if self._bridge.human not in (None, who):
            raise Taken(self._bridge.human or "")
        if conversation.people.moving:
            raise Gone("the caller is being transferred already")
        seat = self._bridge.seats.get(who)
        if self._bridge.human == who and seat is not None and seat.mode == "talk":
            return seat
        if self._bridge.human is None:
            conversation.people.taken_by(who)
        return self._bridge.seat(who, Stand("talk"))

    async def hand_back(self, who: str, note: str = "") -> None:
        """See `CallControl.hand_back`."""
        self._has(who)
        if self._conversation.people.moving:
            raise Gone("the caller is being transferred already")
        if len(note) > MOST_NOTE:
            raise ValueError(f"note has {len(note)} characters; send {MOST_NOTE} at most")
        await self._conversation.people.given_back(who, note.strip())

    def instruct(self, who: str, text: str) -> None:
        """See `CallControl.instruct`."""
        self._alive()
        self._conversation.people.instruct(who, text)

    def say(self, who: str, text: str) -> None:
        """See `CallControl.say`."""
        self._has(who)
        self._bridge.sayings.say(text, self._conversation.around.language, who)

    def actions(self) -> list[dict[str, Any]]:
        """See `CallControl.actions`."""
        return self._conversation.people.runnable()

    async def act(self, who: str, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """See `CallControl.act`."""
        self._has(who)
        acted = await self._conversation.people.act(who, name, arguments)
        return {"ok": acted.ok, "result": dict(acted.result), "replayed": acted.replayed}

    def press(self, keys: str) -> None:
        """See `CallControl.press`."""
        self._alive()
        if not _KEYS.fullmatch(keys) or len(keys) > MOST_KEYS:
            raise ValueError(f"keys {keys[:40]!r} are no keys; send 1 to {MOST_KEYS} of 0-9, *, #, A-D")
        self._conversation.people.press(keys.upper())

    def pause(self, who: str, on: bool) -> None:
        """See `CallControl.pause`."""
        self._has(who)
        self._conversation.people.pause(who, on)

    async def transfer(self, who: str, target: str) -> None:
        """See `CallControl.transfer`."""
        self._has(who)
        if not _TARGET.fullmatch(target) or len(target) > MOST_TARGET:
            raise ValueError(f"target {target[:40]!r} is none; send a number as +15550100 or a name of the gateway's")
        await self._conversation.people.send_on(who, target)

    async def hang_up(self, who: str) -> None:
        """See `CallControl.hang_up`."""
        self._has(who)
        self._conversation.people.end_by(who)

    def human_lost(self, who: str) -> None:
        """See `CallControl.human_lost`."""
        self._conversation.people.lost(who)

    def note(self, who: str, text: str) -> None:
        """See `CallControl.note`."""
        self._alive()
        text = text.strip()
        if not text or len(text) > MOST_NOTE:
            raise ValueError(f"note has {len(text)} characters; send 1 to {MOST_NOTE}")
        self._conversation.people.note(who, text)

    def _alive(self) -> None:
        if self._conversation.people.over or self._conversation.phase is Phase.CLOSING:
            raise Gone("the call is over")

    def _has(self, who: str) -> None:
        self._alive()
        if self._bridge.human != who:
            raise NotYours("only who has the call can do that; take it over first")
