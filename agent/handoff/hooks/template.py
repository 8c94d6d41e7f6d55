"""Any desk with an HTTP API, by a template: path, headers and JSON with `{{names}}` in them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote

from agent.handoff.hooks import wording
from agent.handoff.hooks.events import HandoffEvent, Step
from agent.handoff.hooks.sending import Sender

MOST_TRANSCRIPT = 30_000
"""Characters; Zendesk takes 65,535 a comment, Salesforce 32,000 a long text."""
NAMES = (
    "event_id step at news handoff_id call_id gateway gateway_call_id reason rule priority urgency caller called "
    "language summary intent mood slots note transcript human transfer_to detail recording"
).split()
_PLACE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


class TemplateHook:
    """One request for each event of its steps."""

    def __init__(
        self,
        name: str,
        sender: Sender,
        method: str,
        path: str,
        body: Any,
        steps: Collection[Step],
        headers: Mapping[str, str] | None = None,
        urgency: Mapping[str, str] | None = None,
    ) -> None:
        """`urgency` renames `urgent`, `high` and `normal`.

        Raises:
            ValueError: a `{{name}}` is unknown, or the path does not begin with a slash.
        """
        for where, value in (("path", path), ("headers", dict(headers or {})), ("json", body)):
            check_names(where, value)
        sender.url(path)
        self.name = name
        self._sender = sender
        self._method, self._path, self._body = method, path, body
        self._steps = frozenset(steps)
        self._headers = dict(headers or {})
        self._urgency = dict(urgency or {})

    def wants(self, event: HandoffEvent) -> bool:
        """By its step."""
        return event.step in self._steps

    async def deliver(self, event: HandoffEvent) -> None:
        """Send it.

        Raises:
            OutboundError: it was not taken.
        """
        known = values(event, self._urgency)
        path = fill(self._path, {name: quote(_plain(value), safe="") for name, value in known.items()})
        clean = {name: re.sub(r"[^\x20-\x7e]", "?", _plain(value)) for name, value in known.items()}
        errand = self._sender.errand(event.event_id)
        await errand.ask(
            self._method, path, fill(self._body, known), headers={k: fill(v, clean) for k, v in self._headers.items()}
        )


def values(event: HandoffEvent, urgency: Mapping[str, str]) -> dict[str, Any]:
    """What the names stand for."""
    request = event.request
    named = wording.urgency(request.priority)
    found = {
        "event_id": event.event_id,
        "step": event.step,
        "at": event.at.isoformat(),
        "news": wording.news(event),
        "urgency": urgency.get(named, named),
        "mood": wording.mood(request),
        "slots": wording.slots(request),
        "note": wording.note(request),
        "transcript": wording.transcript(request, MOST_TRANSCRIPT),
        "human": event.human,
        "transfer_to": event.transfer_to,
        "detail": event.detail,
    }
    return found | {name: getattr(request, name) for name in NAMES if name not in found}


def fill(template: Any, known: Mapping[str, Any]) -> Any:
    """`template` with its names replaced: a text that is one name keeps that value's type, absent ones are null there
    and empty within texts."""
    if isinstance(template, Mapping):
        return {key: fill(value, known) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(value, known) for value in template]
    if not isinstance(template, str):
        return template
    whole = _PLACE.fullmatch(template)
    if whole:
        return known[whole[1]]
    return _PLACE.sub(lambda place: _plain(known[place[1]]), template)


def check_names(where: str, template: Any) -> None:
    """See that all names are known.

    Raises:
        ValueError: one is not.
    """
    if isinstance(template, Mapping):
        for key, value in template.items():
            check_names(f"{where}.{key}", value)
    elif isinstance(template, list):
        for number, value in enumerate(template):
            check_names(f"{where}.{number}", value)
    elif isinstance(template, str):
        for name in _PLACE.findall(template):
            if name not in NAMES:
                raise ValueError(f"{where}: {{{{{name}}}}} is unknown; use one of {', '.join(NAMES)}")


def _plain(value: Any) -> str:
    return "" if value is None else str(value)
