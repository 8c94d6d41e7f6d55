"""Tools that the call's client runs: calls that went out, and the results they wait for."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from agent.gateways.base import CallTool

MOST_OPEN = 16
"""Calls that wait for a result at a time."""
MOST_OUTPUT = 65_536
"""Characters of a result."""


class ToolFailed(Exception):
    """The client gave no usable result; the message says why."""


class ClientTools:
    """The tool calls of one call; each ends with its result, or when whoever waits gives up."""

    def __init__(self, send: Callable[[CallTool], None]) -> None:
        self._send = send
        self._open: dict[str, asyncio.Future[str]] = {}

    async def run(self, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Have the client run `name`; a result that is no JSON object is given as {"result": ...}.

        Raises:
            ToolFailed: too many calls are open, or the result is too long.
        """
        if len(self._open) >= MOST_OPEN:
            raise ToolFailed(f"{MOST_OPEN} tool calls of this client wait for their results already")
        call_id = f"call_{secrets.token_hex(8)}"
        waiting = self._open[call_id] = asyncio.get_running_loop().create_future()
        try:
            self._send(CallTool(call_id, name, dict(arguments)))
            output = await waiting
        finally:
            del self._open[call_id]
        if len(output) > MOST_OUTPUT:
            raise ToolFailed(f"{name} gave {len(output)} characters; give at most {MOST_OUTPUT}")
        return _object(output)

    def result(self, call_id: str, output: str) -> bool:
        """Give a call its result; False where none of that id waits."""
        waiting = self._open.get(call_id)
        if waiting is None or waiting.done():
            return False
        waiting.set_result(output)
        return True


def _object(output: str) -> Mapping[str, Any]:
    try:
        value = json.loads(output)
    except (ValueError, RecursionError):
        value = output
    return value if isinstance(value, dict) else {"result": value}
