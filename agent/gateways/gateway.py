"""One gateway as the server, the documentation and the lab know it: how it comes in, and what makes its protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from agent.gateways.base import Capabilities, GatewayProtocol
from agent.gateways.rest import CallControl
from agent.gateways.ways import Way


@dataclass(frozen=True, slots=True)
class Opening:
    """What a protocol may read of the request that opened its connection.

    call_id: our own id of the call. headers: by lower-case name. query: of the URL, the first of each name.
    """

    call_id: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Account:
    """How we reach a vendor's own API: `name` is the account or user, `secret` what proves it is us."""

    name: str
    secret: str
    url: str | None = None
    """Another address than the vendor's usual one."""
    number: str | None = None
    """A number of ours that transfers show as the caller's, E.164."""
    wall_s: Callable[[], float] = lambda: 0.0
    """Now, in seconds since 1970, for requests that are signed with the time."""


@dataclass(frozen=True, slots=True)
class HookRequest:
    """A vendor's question what to do with a call. url: the public address, with its query. form: fields, or top-level
    fields of a JSON body as text. headers: by lower-case name. body: as sent."""

    url: str
    method: str
    headers: Mapping[str, str]
    form: Mapping[str, str]
    body: bytes = b""


class VoiceHook(Protocol):
    """How a vendor's script is answered: `POST /gateways/NAME/voice` when a call comes in, `POST /gateways/NAME/after`
    when our stream has ended. Pure."""

    @property
    def media_type(self) -> str:
        """Of the answers."""
        ...

    def signed(self, request: HookRequest, key: str, wall_s: float) -> bool:
        """Whether the vendor signed this request with `key`, lately; in constant time."""
        ...

    def call_id(self, request: HookRequest) -> str | None:
        """The vendor's id of the call, as the stream's start will name it."""
        ...

    def connect(self, request: HookRequest, stream_url: str, after_url: str, parameters: Mapping[str, str]) -> str:
        """Stream the call to `stream_url`; `parameters` and the numbers of caller and called arrive with its start.

        Raises:
            ValueError: a value cannot be written; says which and why.
        """
        ...

    def busy(self) -> str:
        """Refuse the call."""
        ...

    def after(self, target: str | None) -> str:
        """What happens once our stream has ended: connect the caller to `target`, or hang up.

        Raises:
            ValueError: `target` is not what the vendor takes.
        """
        ...


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway's record.

    name: the path segment, `/gateways/NAME`. title: the product's name. new: makes the protocol of one connection.
    capabilities: as declared; a connection's may differ in encoding. ways: how a connection may prove itself, tried in
    order; a path token is always tried first. subprotocols: names of `Sec-WebSocket-Protocol` that are accepted; where
    one is offered and known, it is chosen. refuses: `http` turns a connection away before the upgrade, `message`
    accepts it and sends the protocol's own refusal, since the vendor shows no HTTP error. control: REST of the vendor,
    where it has one and we use it. hook: answers the vendor's script, where it asks us per call. asks_after: it
    asks once more when our stream has ended. shares_key: its
    clients are programs of the operator's, which may use the token key where it has no key of its own. wire: what its
    messages are, for people. verified: against what this was checked.
    """

    name: str
    title: str
    new: Callable[[Opening], GatewayProtocol]
    capabilities: Capabilities
    ways: tuple[Way, ...]
    subprotocols: tuple[str, ...] = ()
    refuses: Literal["http", "message"] = "http"
    control: Callable[[Account], CallControl] | None = None
    hook: VoiceHook | None = None
    asks_after: bool = True
    shares_key: bool = False
    wire: str = ""
    verified: str = ""
