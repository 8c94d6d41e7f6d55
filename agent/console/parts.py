"""Which calls are whose: read off the feed as it is published, so that it costs no question to the calls."""

from __future__ import annotations

from collections import OrderedDict

from agent.console.feed import Feed, Message, Subscription

WAITING = frozenset({"offered", "queued", "ringing", "briefing"})
"""States of a handoff in which somebody may still look at it to take it."""
MOST_CALLS = 5_000
"""Calls of which is known who had them; the oldest are forgotten, and then looked up in the audit trail."""
SHARED = frozenset({"handoff", "agents", "alert"})
"""Kinds of messages that are for everybody who takes calls."""


class Parts:
    """Who has or had which call, and which calls wait."""

    def __init__(self) -> None:
        self._waiting: dict[str, None] = {}
        self._humans: dict[str, str] = {}
        self._given: dict[str, str] = {}
        self._coming: set[str] = set()
        self._handoffs: dict[str, str] = {}
        self._had: OrderedDict[str, set[str]] = OrderedDict()
        self._parting: Message | None = None

    def listen(self, feed: Feed) -> Subscription:
        """Follow `feed`. Do so before anybody else subscribes: each message is then known here first."""
        return feed.subscribe(wanted=self._learn)

    def human(self, call_id: str) -> str | None:
        """Who has a call now, as far as the feed told."""
        return self._humans.get(call_id)

    def given(self, call_id: str) -> str | None:
        """To whom a call was given; it may be on its way to him."""
        return self._given.get(call_id)

    def handoff(self, call_id: str) -> str | None:
        """The id of the handoff by which a call waits, or came to its person."""
        return self._handoffs.get(call_id)

    def waits(self, call_id: str) -> bool:
        """Whether the caller waits for a person."""
        return call_id in self._waiting

    def calls_of(self, who: str) -> list[str]:
        """The calls that `who` has now."""
        return [call_id for call_id, human in self._humans.items() if human == who]

    def may_see(self, who: str, call_id: str) -> bool:
        """Whether an agent may look at a call: it waits, or he has or had it."""
        return self.waits(call_id) or who in self._had.get(call_id, ())

    def may_hear(self, who: str, message: Message) -> bool:
        """Whether a message is for an agent. The one by which a call waits no more is: it takes it off his list."""
        if message.kind in SHARED or message.call_id is None or message is self._parting:
            return True
        return self.may_see(who, message.call_id)

    def took(self, who: str, call_id: str) -> None:
        """`who` has a call from now on."""
        self._waiting.pop(call_id, None)
        self._humans[call_id] = self._given[call_id] = who
        had = self._had.setdefault(call_id, set())
        had.add(who)
        while len(self._had) > MOST_CALLS:
            self._had.popitem(last=False)

    def gave(self, call_id: str) -> None:
        """Nobody has a call any more."""
        self._humans.pop(call_id, None)
        self._given.pop(call_id, None)
        self._coming.discard(call_id)

    def waiting(self, call_id: str) -> None:
        """The caller waits for a person."""
        self._waiting[call_id] = None

    def _learn(self, message: Message) -> bool:
        call_id, value = message.call_id, message.value
        self._parting = None
        if call_id is None:
            return False
        waited = call_id in self._waiting
        human = value.get("human")
        if message.kind == "call_ended":
            self._waiting.pop(call_id, None)
            self._handoffs.pop(call_id, None)
            self.gave(call_id)
        elif message.kind == "handoff":
            self.moved(call_id, value.get("id"), value.get("state"), human)
        elif message.kind == "state":
            if value.get("with") == "human" and isinstance(human, str) and human:
                self.took(human, call_id)
                self._coming.discard(call_id)
            elif value.get("with") == "queue":
                self.waiting(call_id)
                self._humans.pop(call_id, None)
            else:
                self._waiting.pop(call_id, None)
                if call_id not in self._coming:
                    self.gave(call_id)
        if waited and call_id not in self._waiting:
            self._parting = message
        return False

    def moved(self, call_id: str, handoff_id: object, state: object, human: object) -> None:
        """A handoff is in another state; `human` has it, or is asked."""
        if isinstance(handoff_id, str):
            self._handoffs[call_id] = handoff_id
        if isinstance(human, str) and human and state in ("briefing", "bridged"):
            self.took(human, call_id)
        if human and state == "briefing":
            self._coming.add(call_id)  # the agent takes leave of the caller first
        elif state != "bridged":
            self._coming.discard(call_id)
        if state in WAITING:
            self.waiting(call_id)
            if not human:
                self._given.pop(call_id, None)
        else:
            self._waiting.pop(call_id, None)
