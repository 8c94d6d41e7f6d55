"""OpenAI's chat completions protocol: the body of a request, and streamed chunks as deltas. No network here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from models.llm.contracts import Delta, Finished, Message, TextPiece, Tool, ToolCall
from models.llm.errors import LanguageModelError

DONE = "[DONE]"
MOST_GARBAGE = 8
"""Chunks that cannot be read before the stream is given up; one or two come from proxies, more from no model."""
MOST_CALLS = 8
"""Tool calls in one answer; further ones are left out."""
MOST_ARGUMENTS = 16_384
"""Characters of one call's arguments."""

_FINISHED: Mapping[str, Literal["stop", "length", "tools", "filtered"]] = {
    "length": "length",
    "tool_calls": "tools",
    "function_call": "tools",
    "content_filter": "filtered",
}


def request_body(
    model: str,
    messages: Sequence[Message],
    tools: Sequence[Tool],
    max_tokens: int,
    temperature: float,
    stop: Sequence[str],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """The JSON object to POST; `options` are further keys of the server's own and win."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [_message(message) for message in messages],
        "stream": True,
        "max_tokens": max_tokens,
        "temperature": temperature,
    }
    if stop:
        body["stop"] = list(stop)
    if tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters) or {"type": "object", "properties": {}},
                },
            }
            for tool in tools
        ]
    return body | dict(options)


def _message(message: Message) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.calls:
        written["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.calls
        ]
    if message.role == "tool":
        written["tool_call_id"] = message.call_id
    return written


@dataclass
class _Call:
    id: str
    name: str
    arguments: str


class AnswerReader:
    """Chunks of one answer as deltas: text as it comes, tool calls once they are whole, `Finished` last.

    Some servers never send `[DONE]`, others no finish reason: either of them ends an answer.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._reason: Literal["stop", "length", "tools", "filtered"] | None = None
        self._garbage = 0
        self._understood = 0
        self._thoughts = Thoughts()
        self.over = False
        """Nothing more is expected."""

    def read(self, data: str) -> list[Delta]:
        """The deltas of one chunk, or of a whole completion from a server that does not stream.

        Raises:
            LanguageModelError: `bad_response` or `failed`.
        """
        if self.over:
            return []
        if data.strip() == DONE:
            return self._finish(self._reason or "stop")
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            chunk = None
        if not isinstance(chunk, dict):
            return self._skip(data)
        if chunk.get("error"):
            raise LanguageModelError("failed", f"the model's server says: {said(chunk)}")
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            return self._skip(data)
        self._understood += 1
        return self._choice(choices[0]) if choices and isinstance(choices[0], dict) else []

    def end(self) -> list[Delta]:
        """The deltas that the end of the stream completes.

        Raises:
            LanguageModelError: `cut_off` in the middle of an answer, `bad_response` where there was none.
        """
        if self.over:
            return []
        if self._reason is not None:
            return self._finish(self._reason)
        if not self._understood:
            raise LanguageModelError("bad_response", "the model's server sent nothing that is a chat completion")
        raise LanguageModelError("cut_off", "the stream ended in the middle of an answer")

    def _choice(self, choice: Mapping[str, Any]) -> list[Delta]:
        whole = choice.get("message")
        delta = whole if isinstance(whole, dict) else choice.get("delta")
        deltas: list[Delta] = []
        if isinstance(delta, dict):
            text = delta.get("content")
            spoken = self._thoughts.feed(text) if isinstance(text, str) else ""
            if spoken:
                deltas.append(TextPiece(spoken))
            for piece in delta.get("tool_calls") or ():
                if isinstance(piece, dict):
                    self._tool(piece)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._reason = _FINISHED.get(reason, "stop")
        if isinstance(whole, dict):
            deltas += self._finish(self._reason or "stop")
        return deltas

    def _tool(self, piece: Mapping[str, Any]) -> None:
        """Add a fragment to its call: by index; without one, a fragment with a name begins a new call."""
        function = piece.get("function")
        function = function if isinstance(function, dict) else {}
        name, arguments = function.get("name"), function.get("arguments")
        if isinstance(arguments, dict):  # whole and already read, as some servers send it
            arguments = json.dumps(arguments)
        index, identity = piece.get("index"), piece.get("id")
        call = self._by_index.get(index) if isinstance(index, int) else None
        if call is None and not isinstance(index, int) and not name and self._calls:
            call = self._calls[-1]
        if call is None:
            if len(self._calls) >= MOST_CALLS:
                return
            call = _Call("", "", "")
            self._calls.append(call)
            if isinstance(index, int):
                self._by_index[index] = call
        if isinstance(identity, str) and not call.id:
            call.id = identity
        if isinstance(name, str) and not call.name:
            call.name = name
        if isinstance(arguments, str):
            call.arguments = (call.arguments + arguments)[:MOST_ARGUMENTS]

    def _finish(self, reason: Literal["stop", "length", "tools", "filtered"]) -> list[Delta]:
        self.over = True
        rest = self._thoughts.end()
        deltas: list[Delta] = [TextPiece(rest)] if rest else []
        deltas += [ToolCall(one.id or f"call-{n}", one.name, one.arguments) for n, one in enumerate(self._calls, 1)]
        return [*deltas, Finished("tools" if self._calls and reason == "stop" else reason)]

    def _skip(self, data: str) -> list[Delta]:
        self._garbage += 1
        if self._garbage >= MOST_GARBAGE:
            raise LanguageModelError(
                "bad_response", f"{self._garbage} chunks are no chat completion, the last is {data[:40]!r}"
            )
        return []


class Thoughts:
    """Leaves out what a reasoning model thinks aloud between <think> and </think>: it is never spoken."""

    _OPEN, _CLOSE = "<think>", "</think>"

    def __init__(self) -> None:
        self._inside = False
        self._held = ""

    def feed(self, text: str) -> str:
        """The part of the text so far that is surely no thought."""
        self._held += text
        spoken = ""
        while True:
            mark = self._CLOSE if self._inside else self._OPEN
            before, found, after = self._held.partition(mark)
            if found:
                spoken += "" if self._inside else before
                self._held, self._inside = after, not self._inside
                continue
            keep = next((n for n in range(min(len(mark) - 1, len(before)), 0, -1) if mark.startswith(before[-n:])), 0)
            spoken += "" if self._inside else before[: len(before) - keep]
            self._held = before[len(before) - keep :]
            return spoken

    def end(self) -> str:
        """What was held back and turned out to be no mark."""
        rest = "" if self._inside else self._held
        self._held = ""
        return rest


def said(document: Any) -> str:
    """What an error document says, at most 200 characters."""
    error = document.get("error") if isinstance(document, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    if not isinstance(message, str) and isinstance(document, dict):
        message = document.get("message") or document.get("detail")
    return message[:200] if isinstance(message, str) else "no reason given"
