"""Tools for models without a protocol for them: told in the system message, asked for in the answer's text.

The form is that of Hermes and Qwen: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from models.llm.contracts import Message, Tool, ToolCall

_CALL = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|$)", re.DOTALL)


def tell(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Message]:
    """`messages` with the tools in the system message, and earlier calls written out."""
    told = [replace(message, content=_written(message), calls=()) for message in messages]
    if not tools:
        return told
    signatures = "\n".join(
        json.dumps({"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)})
        for tool in tools
    )
    text = (
        f"You may use these tools and no others:\n{signatures}\n"
        'To use one, answer with nothing but <tool_call>{"name": "...", "arguments": {...}}</tool_call>'
    )
    if told and told[0].role == "system":
        return [replace(told[0], content=f"{told[0].content}\n\n{text}"), *told[1:]]
    return [Message("system", text), *told]


def find(text: str) -> tuple[str, list[ToolCall]]:
    """An answer without its calls, and the calls; what is between the marks but is no call has no name."""
    calls = []
    for n, match in enumerate(_CALL.finditer(text), 1):
        try:
            document = json.loads(match[1])
        except (ValueError, RecursionError):
            document = None
        document = document if isinstance(document, dict) else {}
        name, arguments = document.get("name"), document.get("arguments", {})
        written = arguments if isinstance(arguments, str) else json.dumps(arguments)
        calls.append(ToolCall(f"call-{n}", name if isinstance(name, str) else "", written))
    return _CALL.sub("", text).strip(), calls


def _written(message: Message) -> str:
    calls = [
        f'<tool_call>{{"name": {json.dumps(call.name)}, "arguments": {call.arguments or "{}"}}}</tool_call>'
        for call in message.calls
    ]
    return "\n".join(filter(None, [message.content, *calls]))
