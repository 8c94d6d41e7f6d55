"""What a call is about, as the call itself knows it: told to pages after each turn, where it has changed."""

from __future__ import annotations

import asyncio
from typing import Any

from agent.console.backend import Backend
from agent.console.feed import Message
from agent.console.presence import Presence

FACTS = ("intent", "slots", "summary", "language")
"""Of a call's state; what turns say of these is what was understood in them, not what holds."""
AFTER = frozenset({"turn", "action", "state"})
"""Kinds of messages after which they may have changed."""


class Facts:
    """Follows the feed, and asks calls while somebody watches."""

    def __init__(self, backend: Backend, presence: Presence) -> None:
        self._backend = backend
        self._presence = presence
        self._due: set[str] = set()
        self._told: dict[str, dict[str, Any]] = {}

    def follow(self, message: Message) -> bool:
        """Learn from the feed. It wants no message for itself."""
        call_id = message.call_id
        if call_id is None:
            return False
        if message.kind == "call_ended":
            self._told.pop(call_id, None)
        elif message.kind in AFTER and call_id not in self._due and self._presence.watched:
            self._due.add(call_id)
            # Not within the call's own telling of it.
            asyncio.get_running_loop().call_soon(self._tell, call_id)
        return False

    def _tell(self, call_id: str) -> None:
        self._due.discard(call_id)
        control = self._backend.control(call_id)
        if control is None:
            return
        state = control.state()
        facts = {name: state[name] for name in FACTS if name in state}
        if facts and facts != self._told.get(call_id):
            self._told[call_id] = facts
            self._backend.feed.publish("facts", call_id, facts)
