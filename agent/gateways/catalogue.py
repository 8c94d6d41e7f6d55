"""Every gateway that the server can serve."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from agent.gateways.gateway import Gateway

_MODULES = (
    "plain",
    "media_streams",
    "freeswitch",
    "conversation_relay",
    "vonage",
    "asterisk",
    "audiosocket",
    "sinch",
    "bandwidth",
    "audiocodes",
    "genesys",
    "jambonz",
    "openai_realtime",
    "rtvi",
)
"""Modules of this package; each has `GATEWAYS`, a tuple of `Gateway`."""


@cache
def gateways() -> dict[str, Gateway]:
    """All of them, by the name in their URL."""
    modules = [import_module(f"agent.gateways.{name}") for name in _MODULES]
    return {gateway.name: gateway for module in modules for gateway in module.GATEWAYS}
