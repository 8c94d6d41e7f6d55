"""What pictures callers sent, as the feed tells it: kept for the page that is opened later, as long as a call runs."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any
from urllib.parse import quote

from agent.console.feed import Message

MOST, CALLS = 20, 500
"""Pictures of one call, and calls, of which is known; the oldest go first."""


class Pictures:
    """What was read in pictures; the pictures themselves lie with whoever received them."""

    def __init__(self) -> None:
        self._rows: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()

    def learn(self, message: Message) -> bool:
        """Learn from the feed. It wants no message for itself."""
        picture_id = message.value.get("picture_id")
        if message.kind == "picture" and message.call_id is not None and isinstance(picture_id, str):
            address = f"/console/api/calls/{quote(message.call_id, safe='')}/pictures/{quote(picture_id, safe='')}"
            row = {name: value for name, value in message.value.items() if name not in ("type", "call")}
            rows = self._rows.setdefault(message.call_id, [])
            rows.append(row | {"id": picture_id, "url": address})
            del rows[:-MOST]
            while len(self._rows) > CALLS:
                self._rows.popitem(last=False)
        return False

    def of(self, call_id: str) -> list[dict[str, Any]]:
        """The pictures of a call, oldest first."""
        return list(self._rows.get(call_id, ()))
