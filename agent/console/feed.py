"""What happens in calls, told to the pages that watch: never blocks whoever tells, and keeps a bounded amount."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from agent.clock import Clock

MOST_QUEUED = 500
"""Messages that wait for one subscriber; with one more all are dropped, and he is told to ask for everything anew."""
RESET = {"type": "reset"}

log = logging.getLogger(__name__)


class Message:
    """One message, written as JSON once, however many read it."""

    __slots__ = ("_text", "call_id", "key", "kind", "value")

    def __init__(self, value: dict[str, Any]) -> None:
        self.value = value
        self.kind: str = value["type"]
        self.call_id: str | None = value.get("call")
        self.key = _replaces(value)
        self._text: str | None = None

    @property
    def text(self) -> str:
        """It as JSON."""
        if self._text is None:
            self._text = json.dumps(self.value, ensure_ascii=False, default=str)
        return self._text


def _replaces(value: Mapping[str, Any]) -> tuple[str, ...] | None:
    """What a later message of the same key makes worthless while it waits; None where every one counts."""
    kind, call = value["type"], str(value.get("call"))
    if kind == "caption" and not value.get("final"):
        return kind, call, str(value.get("speaker"))
    if kind in ("state", "facts"):
        return kind, call
    return (kind,) if kind in ("agents", "callbacks") else None


class Subscription:
    """The messages for one reader, in order; iterate over it, or take what there is with `batch`."""

    def __init__(self, feed: Feed, call_id: str | None, wanted: Callable[[Message], bool] | None) -> None:
        self._feed = feed
        self._call_id = call_id
        self._wanted = wanted
        self._waiting: OrderedDict[object, Message] = OrderedDict()
        self._arrived = asyncio.Event()
        self.closed = False
        self.dropped = 0
        """Messages that the reader was too slow for."""

    def take(self, message: Message) -> None:
        """Queue a message, if this reader wants it. An unfinished caption or a state replaces one that waits."""
        if self._call_id is not None and message.call_id not in (self._call_id, None):
            return
        if self.closed or (self._wanted is not None and not self._wanted(message)):
            return
        key: object = message.key or message
        if key in self._waiting:
            # Moved to the end: what was told in between stays before it.
            del self._waiting[key]
        elif len(self._waiting) >= MOST_QUEUED:
            self.dropped += len(self._waiting)
            self._waiting.clear()
            reset = Message(dict(RESET))
            self._waiting[reset] = reset
        self._waiting[key] = message
        self._arrived.set()

    async def batch(self) -> list[Message]:
        """Everything that waits, at least one message; empty once it is closed."""
        while not self._waiting and not self.closed:
            self._arrived.clear()
            await self._arrived.wait()
        found = list(self._waiting.values())
        self._waiting.clear()
        return found

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        while found := await self.batch():
            for message in found:
                yield message.value

    def close(self) -> None:
        """Take no more; whoever waits is let go."""
        self.closed = True
        self._feed.forget(self)
        self._arrived.set()


class Feed:
    """Tells subscribers what happens. All texts come in redacted."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._subscribers: dict[Subscription, None] = {}

    def publish(self, kind: str, call_id: str | None, data: Mapping[str, Any]) -> None:
        """Tell everybody who wants to know. Never blocks."""
        if not self._subscribers:
            return
        at = self._clock.wall().isoformat(timespec="milliseconds")
        message = Message({**data, "type": kind, "call": call_id, "at": at})
        for subscriber in tuple(self._subscribers):
            try:
                subscriber.take(message)
            except Exception:
                log.exception("a page could not be told of %s", kind)

    def subscribe(self, call_id: str | None = None, wanted: Callable[[Message], bool] | None = None) -> Subscription:
        """Everything from now on: of one call and of no call, or of all; of that, what is `wanted`."""
        subscription = Subscription(self, call_id, wanted)
        self._subscribers[subscription] = None
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """See `Subscription.close`."""
        self._subscribers.pop(subscription, None)

    @property
    def subscribers(self) -> int:
        """How many read."""
        return len(self._subscribers)
