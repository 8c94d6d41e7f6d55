"""A handoff in words, for desks that show text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.handoff.contracts import HandoffRequest
from agent.handoff.hooks.events import HandoffEvent, Step

URGENT, HIGH = 8, 5
"""Priorities from which a handoff is urgent, or high."""
_SPEAKERS = {"caller": "Caller", "agent": "Agent", "human": "Person"}
_STEPS: Mapping[Step, str] = {
    "queued": "The caller waits for a person.",
    "accepted": "{who} takes the call.",
    "bridged": "{who} and the caller talk.",
    "ended": "The conversation with {who} is over.",
    "callback": "Nobody could take the call: please call back.",
}


def urgency(priority: int) -> str:
    """`urgent`, `high` or `normal`."""
    return "urgent" if priority >= URGENT else "high" if priority >= HIGH else "normal"


def news(event: HandoffEvent) -> str:
    """One line on what happened."""
    who = event.human or event.transfer_to or "Somebody"
    line = _STEPS[event.step].format(who=who)
    return f"{line} {event.detail}".rstrip() if event.detail and event.detail != event.human else line


def note(request: HandoffRequest) -> str:
    """What whoever takes the call reads first."""
    lines = [f"Handed over: {request.reason}", request.summary]
    lines.append(f"Caller: {request.caller or 'unknown'}; language: {request.language}; call: {request.call_id}")
    if request.intent:
        lines.append(f"Wish: {request.intent}")
    lines += [slots(request), f"Mood: {mood(request)}" if request.emotion else ""]
    if request.actions:
        lines.append("Done so far: " + ", ".join(_action(one) for one in request.actions))
    if request.recording:
        lines.append(f"Recording: {request.recording}")
    return "\n".join(line for line in lines if line)


def slots(request: HandoffRequest) -> str:
    """A line for each thing that the caller gave."""
    return "\n".join(f"{name}: {_slot(value)}" for name, value in request.slots.items())


def mood(request: HandoffRequest) -> str:
    """How the caller sounded last."""
    return str(request.emotion[-1].get("label", "")) if request.emotion else ""


def transcript(request: HandoffRequest, most: int) -> str:
    """`0:41 Caller: words` line by line, at most `most` characters, the latest ones."""
    lines: list[str] = []
    left = most
    for row in reversed(request.transcript):
        line = _row(row)
        if len(line) + 1 > left:
            lines.append("...")
            break
        left -= len(line) + 1
        lines.append(line)
    return "\n".join(reversed(lines))


def cut(text: str, most: int) -> str:
    """At most `most` characters."""
    return text if len(text) <= most else text[: max(0, most - 3)] + "..."


def _row(row: Mapping[str, Any]) -> str:
    at = row.get("at_ms")
    seconds = int(at) // 1000 if isinstance(at, int | float) else 0
    who = _SPEAKERS.get(str(row.get("speaker")), str(row.get("speaker")))
    return f"{seconds // 60}:{seconds % 60:02d} {who}: {row.get('text', '')}"


def _slot(value: Any) -> str:
    if isinstance(value, Mapping) and "value" in value:
        return f"{value['value']} ({'verified' if value.get('verified') else 'not verified'})"
    return str(value)


def _action(action: Mapping[str, Any]) -> str:
    return f"{action.get('name')}{'' if action.get('ok', True) else ' (failed)'}"
