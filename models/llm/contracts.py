"""What a language model is asked, and what it streams back, whichever model it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Tool:
    """Something the model may ask for. `parameters` is the JSON Schema of its arguments, an object."""

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for a tool. `arguments` is the text it wrote, which need not be JSON; `id` names the call."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation with the model.

    calls: what an assistant turn asked for. call_id: the call that a tool turn is the result of.
    """

    role: Role
    content: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class TextPiece:
    """More of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is over; always the last delta. `length`: it was cut at `max_tokens`."""

    reason: Literal["stop", "length", "tools", "filtered"]


Delta = TextPiece | ToolCall | Finished
"""Text comes in pieces, tool calls whole."""


class LanguageModel(Protocol):
    """Streams answers. Safe to ask several times at once; see each model for how many are computed at a time."""

    @property
    def name(self) -> str:
        """For logs and records."""
        ...

    @property
    def local(self) -> bool:
        """Whether what it is told stays on this machine or in its private network."""
        ...

    def stream(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        max_tokens: int = 160,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
    ) -> AsyncIterator[Delta]:
        """Answer `messages`. Closing the iterator ends the work, also on the server.

        max_tokens: of the answer. stop: texts before which the answer ends; they are not part of it.

        Raises:
            models.llm.errors.LanguageModelError: while iterating; what came before stands.
        """
        ...

    async def aclose(self) -> None:
        """Give back connections, memory and threads."""
        ...


class Timer(Protocol):
    """The part of a clock that limits need; `agent.clock.Clock` is one."""

    def now_ms(self) -> float:
        """Monotonic time in ms."""
        ...

    async def wait(self, event: asyncio.Event, until_ms: float | None) -> None:
        """Wait until `event` is set, or the time is `until_ms`; clears it again."""
        ...
