"""What the OpenAI Realtime gateway's parts share: ids, the writing of events, conversation items, rejected requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent.gateways.messages import MessageError, Weight

MOST_ITEMS = 500
"""Conversation items kept for `conversation.item.retrieve`; the oldest are forgotten, as a long call goes on."""

Item = dict[str, Any]
"""A conversation item in the API's own shape."""


class Rejected(MessageError):
    """A client event that cannot be carried out: answered by an `error` event, the session goes on.

    code, param: as the API names them; `param` is the path of the field.
    """

    def __init__(self, code: str, detail: str, param: str | None = None, weight: Weight = "harmless") -> None:
        super().__init__(code, detail, weight=weight)
        self.param = param


class Events:
    """Writes one connection's events. Every id holds the stem, so that ids of different connections differ."""

    def __init__(self, stem: str) -> None:
        """`stem`: letters, digits and underscores."""
        self._stem = stem
        self._ids = 0
        self._events = 0

    def new(self, kind: str) -> str:
        """A new id: `kind` is item, resp, call, sess or conv."""
        self._ids += 1
        return f"{kind}_{self._stem}_{self._ids}"

    def event_id(self) -> str:
        """The id of the next event."""
        self._events += 1
        return f"event_{self._stem}_{self._events}"

    def write(self, kind: str, **fields: object) -> str:
        """One server event."""
        return json.dumps({"type": kind, "event_id": self.event_id(), **fields}, separators=(",", ":"))

    def error(self, error: MessageError, event_id: object) -> str:
        """The `error` event for a client event; `event_id` is the client's own, where it gave one."""
        body = {
            "type": "invalid_request_error",
            "code": error.code,
            "message": error.detail,
            "param": error.param if isinstance(error, Rejected) else None,
            "event_id": event_id[:512] if isinstance(event_id, str) else None,
        }
        return self.write("error", error=body)


class Items:
    """The conversation's items in order, as far as they are kept."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self.last: str | None = None
        """Id of the newest item."""

    def add(self, item: Item) -> str | None:
        """Keep an item; returns the id of the one before it."""
        before, self.last = self.last, str(item["id"])
        self._items[self.last] = item
        if len(self._items) > MOST_ITEMS:
            del self._items[next(iter(self._items))]
        return before

    def find(self, item_id: str) -> Item | None:
        """The item of that id, None where there is none."""
        return self._items.get(item_id)

    def remove(self, item_id: str) -> None:
        """Forget an item."""
        del self._items[item_id]
        if self.last == item_id:
            self.last = next(reversed(self._items), None)


def message_item(item_id: str, role: str, content: list[dict[str, Any]], status: str = "completed") -> Item:
    """A message of the caller (`user`) or the agent (`assistant`)."""
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "status": status,
        "role": role,
        "content": content,
    }


def function_call(item_id: str, call_id: str, name: str, arguments: Mapping[str, object]) -> Item:
    """A call of a function that the client declared."""
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "function_call",
        "status": "completed",
        "call_id": call_id,
        "name": name,
        "arguments": json.dumps(arguments),
    }


def missing(param: str) -> Rejected:
    """What to raise where a required field is absent."""
    return Rejected("missing_required_parameter", f"Missing required parameter: '{param}'.", param, "malformed")


def invalid(param: str, wanted: str) -> Rejected:
    """What to raise for a field with a value that cannot be used."""
    return Rejected("invalid_value", f"Invalid value of '{param}': send {wanted}.", param, "malformed")
