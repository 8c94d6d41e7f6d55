"""What a model may do: the actions of one step, checked outside the model, and their results as evidence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from agent.dialogue.formats import FORMATS
from agent.dialogue.schema import check
from agent.dialogue.writing.contracts import ActionTool, Reason
from agent.dialogue.writing.private import Private
from models.llm.contracts import Tool, ToolCall

LONGEST_RESULT = 4_000
"""Characters of a result that the model is shown."""
MOST_LINES = 200
"""Values of a result that count as evidence."""


class Refused(Exception):
    """A call that may not be made; the message is for the model, `reason` for records."""

    def __init__(self, reason: Reason, message: str) -> None:
        self.reason: Reason = reason
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Result:
    """What an action said, as a passage that sentences may rest on."""

    source: str
    heading: str
    text: str


def offered(tools: Sequence[ActionTool], verified: bool) -> list[Tool]:
    """The tools the model is told of: none that needs a proven caller while this one is not."""
    return [Tool(tool.name, tool.description, tool.parameters) for tool in tools if verified or tool.identity == "none"]


def checked(
    call: ToolCall, tools: Sequence[ActionTool], verified: bool, private: Private
) -> tuple[ActionTool, Mapping[str, Any]]:
    """The action that a call means and its arguments, with private values put back.

    Raises:
        Refused: it is not one of `tools`, the caller has not proven who they are, or the arguments do not fit.
    """
    tool = next((one for one in tools if one.name == call.name), None)
    if tool is None:
        names = ", ".join(one.name for one in offered(tools, verified)) or "none"
        raise Refused("unknown_tool", f"there is no tool {call.name[:40]!r} here; the tools are: {names}")
    if tool.identity == "verified" and not verified:
        raise Refused("not_verified", f"{tool.name} needs a caller who has proven who they are; do not use it")
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise Refused("bad_arguments", "the arguments are not a JSON object")
    restored = _restored(arguments, private)
    if restored is None:
        raise Refused("bad_arguments", "a placeholder in the arguments stands for nothing; copy it as it was given")
    properties = tool.parameters.get("properties", {})
    problems = [f"{name[:40]} is no argument" for name in restored if name not in properties]
    problems += check(restored, tool.parameters, tool.parameters)
    if problems:
        raise Refused("bad_arguments", "; ".join(problems[:5]))
    return tool, restored


def shown(result: Mapping[str, Any], private: Private) -> str:
    """A result as the model sees it."""
    return private.out(json.dumps(result, ensure_ascii=False, default=str))[:LONGEST_RESULT]


def told(tool: ActionTool, result: Mapping[str, Any], today: date, language: str) -> Result:
    """A result as sentences: "status: sent", "not returnable", money and dates as they are spoken."""
    lines = _lines("", result, today, language)[:MOST_LINES]
    heading = f"{tool.name.replace('_', ' ')} {tool.description}"
    return Result(f"action:{tool.name}", heading, "\n".join(lines))


def _restored(value: Any, private: Private) -> Any:
    """`value` with placeholders replaced; None where one stands for nothing."""
    if isinstance(value, str):
        return private.back(value)
    if isinstance(value, list):
        items = [_restored(item, private) for item in value]
        return None if any(new is None and old is not None for new, old in zip(items, value, strict=True)) else items
    if isinstance(value, dict):
        fields = {key: _restored(item, private) for key, item in value.items()}
        return None if any(new is None and value[key] is not None for key, new in fields.items()) else fields
    return value


def _lines(name: str, value: Any, today: date, language: str) -> list[str]:
    if isinstance(value, Mapping):
        if set(value) == {"minor", "currency"}:
            try:
                return [f"{name}: {FORMATS['money'](value, today, language)}"]
            except (ValueError, TypeError):
                return []
        return [line for key, item in value.items() for line in _lines(_words(name, key), item, today, language)]
    if isinstance(value, list | tuple):
        return [line for item in value for line in _lines(name, item, today, language)]
    if isinstance(value, bool):
        return [name if value else f"not {name}"]
    return [] if value is None else [f"{name}: {value}"]


def _words(name: str, key: object) -> str:
    return f"{name} {str(key).replace('_', ' ')}".strip()
