"""The agent's replies as OpenAI Realtime responses: which response is open, and every event of its life."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agent.gateways.openai_events import Events, Item, Items, function_call, message_item

_USAGE = {"total_tokens": 0, "input_tokens": 0, "output_tokens": 0}
Reason = Literal["turn_detected", "client_cancelled"]


@dataclass(slots=True)
class _Response:
    id: str
    text_only: bool
    requested: bool
    metadata: Mapping[str, str] | None
    output: list[Item] = field(default_factory=list)
    item: Item | None = None
    said: str = ""
    sent: int = 0
    """Bytes of the item's audio sent."""
    before: int = 0
    """Of those, bytes of earlier replies."""
    head: str = ""
    ends: str = ""


class Replies:
    """At most one response is open. What the agent says goes into it; one is opened where none is.

    A response that the client asked for stays open, without content, until the reply that answers it; where that takes
    several replies (a greeting that was begun, then the answer to what the client typed), they share it.
    """

    def __init__(self, events: Events, items: Items, conversation_id: str) -> None:
        self._events = events
        self._items = items
        self._conversation_id = conversation_id
        self._open: _Response | None = None
        self._muted = False
        self._awaited = 0
        self._unwanted = 0
        self._generation: int | None = None
        self.last_id: str | None = None
        """The response opened last."""
        self.text_only = False
        """Whether responses that the client did not ask for are words without audio."""
        self.bytes_per_ms = 48.0
        """Of the audio given to `play`."""
        self.working = False
        """A reply is being worked on or spoken."""
        self._stopped: Item | None = None

    @property
    def active(self) -> bool:
        """Whether a response is open."""
        return self._open is not None

    @property
    def busy(self) -> bool:
        """Whether anything is being said, or worked on."""
        return self._open is not None or self.working

    @property
    def item_id(self) -> str | None:
        """The message under way."""
        return self._open.item["id"] if self._open is not None and self._open.item is not None else None

    @property
    def sent_ms(self) -> float:
        """Audio sent of the message under way."""
        return self._open.sent / self.bytes_per_ms if self._open is not None else 0.0

    @property
    def before_ms(self) -> float:
        """Of that, what earlier replies said."""
        return self._open.before / self.bytes_per_ms if self._open is not None else 0.0

    def request(self, text_only: bool, metadata: Mapping[str, str] | None, awaited: int, muted: bool) -> list[str]:
        """Open a response that the client asked for, in place of any other.

        awaited: replies that begin until the one that answers has begun. muted: the reply under way is not part of it.
        """
        messages = self.cancel("client_cancelled")
        self._awaited, self._unwanted, self._muted = awaited + self._unwanted, 0, muted
        return messages + self._begin(text_only, True, metadata)

    def refuse(self, text_only: bool, metadata: Mapping[str, str] | None, code: str, why: str) -> list[str]:
        """Open a response and close it as failed."""
        messages = self._begin(text_only, True, metadata)
        error = {"type": "invalid_request_error", "code": code, "message": why}
        return messages + self._done("failed", {"type": "failed", "error": error})

    def began(self, generation: int) -> list[str]:
        """A reply is being worked on."""
        messages: list[str] = []
        self.working, self._generation = True, generation
        if self._unwanted:
            self._unwanted -= 1
            self._muted = True
            return messages
        response = self._open
        if response is not None and not response.requested and (response.item is not None or response.output):
            messages = self.cancel("turn_detected")
        self._awaited = max(0, self._awaited - 1)
        self._muted = False
        if self._open is None:
            return messages + self._begin(self.text_only, False, None)
        self._open.before = self._open.sent
        return messages

    def say(self, text: str) -> list[str]:
        """A sentence of the reply, as it is about to be said."""
        if self._muted or not text:
            return []
        messages = self._with_item()
        response = self._open
        assert response is not None
        if response.said and not _closes_up(response.said[-1]):
            text = " " + text
        response.said += text
        kind = "response.output_text.delta" if response.text_only else "response.output_audio_transcript.delta"
        return [*messages, self._part(response, kind, delta=text)]

    def play(self, audio: bytes) -> list[str]:
        """Audio of the reply, in the client's format."""
        response = self._open
        if self._muted or (response.text_only if response is not None else self.text_only):
            return []
        messages = self._with_item() if response is None or response.item is None else []
        response = self._open
        assert response is not None
        response.sent += len(audio)
        # 50 a second of every call: put together without the JSON encoder
        event_id, delta = self._events.event_id(), base64.b64encode(audio).decode("ascii")
        messages.append(f'{response.head}{event_id}","delta":"{delta}"}}')
        return messages

    def done(self, generation: int) -> list[str]:
        """The reply was played."""
        if generation != self._generation:
            return []
        self.working = False
        if self._open is None or self._muted or self._awaited:
            return []
        return self._closed("completed") + self._done("completed", {"type": "completed"})

    def interrupted(self, generation: int, heard_ms: float) -> list[str]:
        """The reply was stopped after `heard_ms` of its audio."""
        if generation != self._generation:
            return []
        self.working = False
        response = self._open
        if response is None or self._muted or self._awaited or (response.requested and response.item is None):
            return []
        item_id, end_ms = self.item_id, self.before_ms + heard_ms
        cut = item_id is not None and not response.text_only and end_ms < self.sent_ms
        messages = self.cancel("turn_detected")
        if cut:
            where = {"item_id": item_id, "content_index": 0, "audio_end_ms": round(end_ms)}
            messages.append(self._events.write("conversation.item.truncated", **where))
        return messages

    def cancel(self, reason: Reason) -> list[str]:
        """Close the open response before its end; what still comes of its reply is dropped."""
        if self._open is None:
            return []
        self._muted = self.working
        self._unwanted, self._awaited = self._awaited, 0
        self._stopped = self._open.item
        return self._closed("incomplete") + self._done("cancelled", {"type": "cancelled", "reason": reason})

    def heard(self, text: str) -> None:
        """What the caller heard of a reply that was stopped, for `conversation.item.retrieve`."""
        if self._stopped is not None:
            content = self._stopped["content"][0]
            content["text" if content["type"] == "output_text" else "transcript"] = text
            self._stopped = None

    def call(self, name: str, arguments: Mapping[str, object], call_id: str) -> list[str]:
        """Call a function of the client's. It ends the response, as a model's does; what is said next opens another."""
        messages = [] if self._open is not None else self._begin(self.text_only, False, None)
        messages += self._closed("completed")
        response = self._open
        assert response is not None
        item = function_call(self._events.new("item"), call_id, name, arguments)
        where = {"response_id": response.id, "output_index": len(response.output)}
        response.output.append(item)
        begun = {**item, "status": "in_progress", "arguments": ""}
        call = {**where, "item_id": item["id"], "call_id": call_id}
        before = self._items.add(item)
        write, said = self._events.write, item["arguments"]
        messages += [
            write("response.output_item.added", **where, item=begun),
            write("conversation.item.added", previous_item_id=before, item=begun),
            write("response.function_call_arguments.delta", **call, delta=said),
            write("response.function_call_arguments.done", **call, name=name, arguments=said),
            write("response.output_item.done", **where, item=item),
            write("conversation.item.done", previous_item_id=before, item=item),
        ]
        return messages + self._done("completed", {"type": "completed"})

    def _begin(self, text_only: bool, requested: bool, metadata: Mapping[str, str] | None) -> list[str]:
        response = _Response(self._events.new("resp"), text_only, requested, metadata)
        self._open, self.last_id = response, response.id
        return [self._events.write("response.created", response=self._shown(response, "in_progress", None))]

    def _shown(self, response: _Response, status: str, details: Mapping[str, Any] | None) -> dict[str, Any]:
        return {
            "object": "realtime.response",
            "id": response.id,
            "status": status,
            "status_details": details,
            "output": response.output,
            "conversation_id": self._conversation_id,
            "output_modalities": ["text"] if response.text_only else ["audio"],
            "metadata": response.metadata,
            "usage": None if status == "in_progress" else _USAGE,
        }

    def _with_item(self) -> list[str]:
        messages = [] if self._open is not None else self._begin(self.text_only, False, None)
        response = self._open
        assert response is not None
        if response.item is not None:
            return messages
        kind = {"type": "output_text", "text": ""} if response.text_only else {"type": "output_audio", "transcript": ""}
        response.item = message_item(self._events.new("item"), "assistant", [kind], "in_progress")
        response.sent = response.before = 0
        response.said = ""
        shown = {**response.item, "content": []}
        part = {"type": "text", "text": ""} if response.text_only else {"type": "audio", "transcript": ""}
        where = {"response_id": response.id, "output_index": len(response.output)}
        response.head = (
            f'{{"type":"response.output_audio.delta","response_id":"{response.id}","item_id":"{response.item["id"]}",'
            f'"output_index":{len(response.output)},"content_index":0,"event_id":"'
        )
        before = self._items.add(response.item)
        response.ends = before or ""
        return [
            *messages,
            self._events.write("response.output_item.added", **where, item=shown),
            self._events.write("conversation.item.added", previous_item_id=before, item=shown),
            self._part(response, "response.content_part.added", part=part),
        ]

    def _part(self, response: _Response, kind: str, **fields: object) -> str:
        assert response.item is not None
        where = {"response_id": response.id, "item_id": response.item["id"], "output_index": len(response.output)}
        return self._events.write(kind, **where, content_index=0, **fields)

    def _closed(self, status: str) -> list[str]:
        """Close the message under way."""
        response = self._open
        if response is None or response.item is None:
            return []
        item, said = response.item, response.said
        item["status"] = status
        content = item["content"][0]
        if response.text_only:
            content["text"] = said
            part = {"type": "text", "text": said}
            ended = [self._part(response, "response.output_text.done", text=said)]
        else:
            content["transcript"] = said
            part = {"type": "audio", "transcript": said}
            ended = [
                self._part(response, "response.output_audio.done"),
                self._part(response, "response.output_audio_transcript.done", transcript=said),
            ]
        where = {"response_id": response.id, "output_index": len(response.output)}
        ended += [
            self._part(response, "response.content_part.done", part=part),
            self._events.write("response.output_item.done", **where, item=item),
            self._events.write("conversation.item.done", previous_item_id=response.ends or None, item=item),
        ]
        response.output.append(item)
        response.item = None
        return ended

    def _done(self, status: str, details: Mapping[str, Any]) -> list[str]:
        response, self._open = self._open, None
        assert response is not None
        return [self._events.write("response.done", response=self._shown(response, status, details))]


def _closes_up(character: str) -> bool:
    """Whether no space follows: Chinese has none between sentences."""
    return character >= "\u2e80"
