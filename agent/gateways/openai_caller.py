"""The caller's side of an OpenAI Realtime conversation: the input buffer, its items, what waits for an answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from agent.gateways.messages import shown
from agent.gateways.openai_events import Events, Item, Items, Rejected, invalid, message_item, missing
from agent.gateways.openai_session import SessionSettings

LEAST_MS = 100.0
"""Audio that can be committed, as the API has it."""
MOST_MS = 60_000.0
"""Audio that a client that pushes to talk may have waiting: minutes of speech are no turn."""
_ROLES: dict[str, tuple[str, ...]] = {
    "user": ("input_text",),
    "system": ("input_text",),
    "assistant": ("output_text", "text"),
}

Turn = str | bytes
"""What waits for an answer: typed text, or committed audio in the client's format."""


class Caller:
    """What the caller said and typed.

    Two ways: the agent detects turns (`speech`, `said`), or the client pushes to talk: its audio is kept until it is
    committed, and its turns until `take`.
    """

    def __init__(self, events: Events, items: Items, settings: SessionSettings) -> None:
        self._events = events
        self._items = items
        self._settings = settings
        self._buffer = bytearray()
        self._buffered_ms = 0.0
        self._turns: list[Turn] = []
        self._held_ms = 0.0
        self._typed: deque[str] = deque(maxlen=16)
        self._speaking: str | None = None
        self._stopped = False
        self._since_ms = 0.0
        self._seconds = 0.0
        self._unheard: str | None = None
        self._partial = ""

    @property
    def waits(self) -> bool:
        """Whether something the caller said was not answered or not even understood yet."""
        return self._speaking is not None or self._unheard is not None

    def append(self, audio: bytes) -> None:
        """Audio came, in the client's format.

        Raises:
            Rejected: more than `MOST_MS` would wait.
        """
        ms = self._ms(audio)
        if self._settings.pushes_to_talk:
            if self._buffered_ms + self._held_ms + ms > MOST_MS:
                detail = f"Over {MOST_MS / 1000.0:.0f} s of audio wait; commit and create a response, or clear."
                raise Rejected("input_audio_buffer_full", detail, "audio")
            self._buffer += audio
        self._buffered_ms += ms

    def clear(self) -> None:
        """Forget what was appended; of audio that was passed on already that is impossible."""
        self._buffer.clear()
        self._buffered_ms = 0.0

    def commit_by_client(self) -> list[str]:
        """The client says that the turn is over.

        Raises:
            Rejected: the buffer holds too little.
        """
        if self._buffered_ms < LEAST_MS:
            detail = (
                f"Error committing input audio buffer: buffer too small. Expected at least {LEAST_MS:.0f}ms of audio"
            )
            raise Rejected("input_audio_buffer_commit_empty", f"{detail}, but it has {self._buffered_ms:.2f}ms.")
        if self._settings.pushes_to_talk:
            self._turns.append(bytes(self._buffer))
            self._held_ms += self._buffered_ms
        self._seconds = self._buffered_ms / 1000.0
        self.clear()
        return self.commit()

    def commit(self) -> list[str]:
        """The turn under way becomes an item."""
        item_id = self._speaking or self._events.new("item")
        self._speaking, self._stopped, self._unheard = None, False, item_id
        self._buffered_ms = 0.0
        item = message_item(item_id, "user", [{"type": "input_audio", "transcript": None}])
        return [
            self._events.write("input_audio_buffer.committed", previous_item_id=self._items.last, item_id=item_id),
            *self._added(item),
        ]

    def follows_speech(self) -> bool:
        """Whether the last command said that the caller stopped; forgets it."""
        stopped, self._stopped = self._stopped, False
        return stopped

    def speech(self, on: bool, at_ms: float) -> list[str]:
        """The caller began to speak or stopped, `at_ms` of the audio."""
        if not on:
            if self._speaking is None:
                return []
            self._stopped, self._seconds = True, max(0.0, at_ms - self._since_ms) / 1000.0
            fields = {"audio_end_ms": round(at_ms), "item_id": self._speaking}
            return [self._events.write("input_audio_buffer.speech_stopped", **fields)]
        if self._speaking is None:
            self._speaking, self._since_ms, self._partial = self._events.new("item"), at_ms, ""
        fields = {"audio_start_ms": round(at_ms), "item_id": self._speaking}
        return [self._events.write("input_audio_buffer.speech_started", **fields)]

    def said(self, text: str, final: bool) -> list[str]:
        """What was recognized; only shown where the client wants transcription."""
        if not final:
            return self._growing(text)
        if text in self._typed:
            self._typed.remove(text)
            return []
        messages = self.commit() if self._speaking is not None and self._unheard is None else []
        item_id, self._unheard, self._partial = self._unheard, None, ""
        item = self._items.find(item_id) if item_id is not None else None
        if item is None:
            return messages
        item["content"][0]["transcript"] = text
        if not self._settings.transcribes:
            return messages
        kind = "conversation.item.input_audio_transcription.completed"
        usage = {"type": "duration", "seconds": round(self._seconds, 3)}
        return [*messages, self._events.write(kind, item_id=item_id, content_index=0, transcript=text, usage=usage)]

    def _growing(self, text: str) -> list[str]:
        # a delta can only add: a guess that takes words back is left to the final transcript
        item_id = self._speaking or self._unheard
        more = text.removeprefix(self._partial)
        if not self._settings.transcribes or item_id is None or len(more) + len(self._partial) != len(text) or not more:
            return []
        self._partial = text
        kind = "conversation.item.input_audio_transcription.delta"
        return [self._events.write(kind, item_id=item_id, content_index=0, delta=more)]

    def create(self, given: Mapping[str, Any], max_text: int) -> list[str]:
        """Add an item of the client's: a user's text waits for `take`, anything else is only kept.

        Raises:
            Rejected: it is not an item that this agent takes.
        """
        match given.get("type"):
            case "message":
                role, content = given.get("role"), given.get("content")
                if not isinstance(role, str) or role not in _ROLES:
                    raise invalid("item.role", "'user', 'assistant' or 'system'")
                parts = [_text(part, number, _ROLES[role]) for number, part in enumerate(_list(content))]
                self._new_id(given)
                if role == "user":
                    self._type(" ".join(part["text"].strip() for part in parts).strip(), max_text)
                elif role == "assistant":
                    self._turns = [turn for turn in self._turns if isinstance(turn, bytes)]  # it was answered before
                return self.keep(given, role=role, content=parts)
            case "function_call":
                names = {name: given.get(name) for name in ("call_id", "name", "arguments")}
                for name, value in names.items():
                    if not isinstance(value, str):
                        raise missing(f"item.{name}")
                return self.keep(given, **names)
            case kind:
                detail = f"Items of type {shown(kind)} are not taken."
                raise Rejected(
                    "invalid_value", detail, "item.type", "harmless" if isinstance(kind, str) else "malformed"
                )

    def keep(self, given: Mapping[str, Any], **fields: object) -> list[str]:
        """Add an item as the client gave it.

        Raises:
            Rejected: its id cannot be used.
        """
        item_id = self._new_id(given) or self._events.new("item")
        item = {"id": item_id, "object": "realtime.item", "type": given["type"], "status": "completed", **fields}
        return self._added(item)

    def _new_id(self, given: Mapping[str, Any]) -> str | None:
        item_id = given.get("id")
        if item_id is None:
            return None
        if not isinstance(item_id, str) or not 1 <= len(item_id) <= 64 or self._items.find(item_id):
            raise invalid("item.id", "a new id of 1 to 64 characters")
        return item_id

    def take(self) -> list[Turn]:
        """What waits for an answer, in order; texts in a row are one turn."""
        turns: list[Turn] = []
        for turn in self._turns:
            if isinstance(turn, str) and turns and isinstance(turns[-1], str):
                turns[-1] = f"{turns[-1]} {turn}"
            else:
                turns.append(turn)
        self._typed.extend(turn for turn in turns if isinstance(turn, str))
        self._turns, self._held_ms = [], 0.0
        return turns

    def _type(self, text: str, max_text: int) -> None:
        if not text:
            raise invalid("item.content", "text")
        waiting = sum(len(turn) + 1 for turn in self._turns if isinstance(turn, str))
        if waiting + len(text) > max_text:
            detail = f"Text of {waiting + len(text)} characters waits for an answer; the limit is {max_text}."
            raise Rejected("string_above_max_length", detail, "item.content")
        self._turns.append(text)

    def _added(self, item: Item) -> list[str]:
        before = self._items.add(item)
        kinds = ("conversation.item.added", "conversation.item.done")
        return [self._events.write(kind, previous_item_id=before, item=item) for kind in kinds]

    def _ms(self, audio: bytes) -> float:
        encoding = self._settings.input_encoding
        return len(audio) * 1000.0 / (encoding.rate * (2 if encoding.codec == "pcm16" else 1))


def _list(content: object) -> list[object]:
    if not isinstance(content, list) or not content:
        raise invalid("item.content", "a list of parts")
    return content


def _text(part: object, number: int, kinds: tuple[str, ...]) -> dict[str, Any]:
    param = f"item.content[{number}]"
    if not isinstance(part, dict) or part.get("type") not in kinds:
        raise invalid(f"{param}.type", f"{kinds[0]!r}; audio comes by input_audio_buffer.append, images are not taken")
    text = part.get("text")
    if not isinstance(text, str) or "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise invalid(f"{param}.text", "text")
    return {"type": kinds[0], "text": text}
