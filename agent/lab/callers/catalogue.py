"""Every gateway that can be simulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module

from agent.lab.line import Dial, LineProtocol

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
"""Modules of this package; each has `CALLERS`, a tuple of `GatewayCaller`."""


@dataclass(frozen=True, slots=True)
class Who:
    """Who calls whom, and what travels along where the gateway can carry it."""

    caller: str | None = None
    called: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GatewayCaller:
    """How to simulate a gateway.

    name: as in `agent.gateways.catalogue`. new: the gateway's half of one call. query: of the URL. subprotocols:
    offered in the handshake. headers: sent with it besides those of authorisation. speaks: the gateway speaks itself,
    so no audio comes from the server. dial: opens another socket than a websocket, from an address.
    """

    name: str
    new: Callable[[Who], LineProtocol]
    query: str = ""
    subprotocols: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    speaks: bool = False
    dial: Callable[[str], Dial] | None = None


def gateway_callers() -> dict[str, GatewayCaller]:
    """All of them, by name."""
    modules = [import_module(f"agent.lab.callers.{name}") for name in _MODULES]
    return {caller.name: caller for module in modules for caller in module.CALLERS}
