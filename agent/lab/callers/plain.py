"""Our own protocol, as `agent call` speaks it."""

from __future__ import annotations

from agent.lab.callers.catalogue import GatewayCaller, Who
from agent.lab.plain_client import PlainClient


def _new(who: Who) -> PlainClient:
    return PlainClient(8000, caller=who.caller, called=who.called, parameters=who.parameters)


CALLERS = (GatewayCaller("plain", _new),)
