"""Asterisk: what is known of a handoff as variables of the caller's channel, by ARI, before the dialplan moves it."""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode

from agent.handoff.contracts import HandoffRequest
from agent.handoff.hooks import wording
from agent.handoff.hooks.events import CallOver, HandoffEvent
from agent.handoff.hooks.sending import GOOD, Sender

MOST_VALUE = 250
"""Characters; a variable travels in an address."""
_UNSAFE = re.compile(r"[^\w .:+@/?!%-]+")


class AsteriskHook:
    """Sets `__HANDOFF_...` (the underscores hand them on to the channels that the dialplan dials) once a caller waits.

    Only for calls of the gateway `asterisk`, whose channels ARI controls.
    """

    def __init__(self, name: str, sender: Sender) -> None:
        """`sender` reaches ARI, as http://ast.example.com:8088/ari."""
        self.name = name
        self._sender = sender

    def wants(self, event: HandoffEvent) -> bool:
        """Queued, and by Asterisk."""
        return event.step == "queued" and event.request.gateway == "asterisk"

    async def deliver(self, event: HandoffEvent) -> None:
        """Set the variables, one request each.

        Raises:
            CallOver: the caller has hung up.
            OutboundError: Asterisk refused or cannot be reached.
        """
        errand = self._sender.errand(event.event_id)
        channel = quote(event.request.gateway_call_id, safe="")
        for name, value in variables(event.request).items():
            query = urlencode({"variable": f"__{name}", "value": value})
            answer = await errand.ask("POST", f"/channels/{channel}/variable?{query}", accepted=[*GOOD, 404])
            if answer.status == 404:
                raise CallOver("call_ended", f"{errand.who}: the caller has hung up")


def variables(request: HandoffRequest) -> dict[str, str]:
    """By name; characters that mean something in a dialplan become blanks."""
    told = {
        "HANDOFF_ID": request.handoff_id,
        "HANDOFF_CALL": request.call_id,
        "HANDOFF_REASON": request.reason,
        "HANDOFF_SUMMARY": request.summary,
        "HANDOFF_INTENT": request.intent or "",
        "HANDOFF_LANGUAGE": request.language,
        "HANDOFF_URGENCY": wording.urgency(request.priority),
    }
    return {name: wording.cut(" ".join(_UNSAFE.sub(" ", value).split()), MOST_VALUE) for name, value in told.items()}
