"""What Asterisk's dialplan asks us by `CURL()`: where a caller goes once our stream has ended."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent.gateways.gateway import HookRequest
from agent.gateways.ways import Admitted, Asking, Basic, Bearer, Keys, Nonces

_CALL_ID = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
_TARGET = re.compile(
    r"(?:(?P<context>[A-Za-z0-9_-]{1,79}),)?(?P<extension>[A-Za-z0-9+*#_.-]{1,79})"
    r"(?:,(?P<priority>[1-9][0-9]{0,5}|[A-Za-z_][A-Za-z0-9_-]{0,79}))?"
)
"""Nothing in it can end an argument of the dialplan or begin an expression."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the dialplan; priority: a number or a label."""

    extension: str
    context: str | None = None
    priority: str | None = None


def place(target: str) -> Place:
    """Read `extension` or `context,extension` or `context,extension,priority`.

    Raises:
        ValueError: it is neither.
    """
    match = _TARGET.fullmatch(target)
    if match is None or (match["priority"] is not None and match["context"] is None):
        raise ValueError(f"{target[:80]!r} is no place in the dialplan; give extension or context,extension,priority")
    return Place(match["extension"], match["context"], match["priority"])


@dataclass(frozen=True, slots=True)
class DialplanHook:
    """Answers `POST /gateways/NAME/after` with form field `call_id` by the target as plain text, or by nothing at all.

    The request proves itself by HTTP Basic or a bearer token with the gateway's key, as `CURLOPT(userpwd)` sends it.
    """

    gateway: str

    @property
    def media_type(self) -> str:
        return "text/plain"

    def signed(self, request: HookRequest, key: str, wall_s: float) -> bool:
        asking = Asking(self.gateway, "", request.headers)
        keys = Keys(key, wall_s, Nonces())
        return any(isinstance(way.check(asking, keys), Admitted) for way in (Basic(), Bearer()))

    def call_id(self, request: HookRequest) -> str | None:
        said = request.form.get("call_id", "")
        return said if _CALL_ID.fullmatch(said) else None

    def connect(self, request: HookRequest, stream_url: str, after_url: str, parameters: object) -> str:
        """Nothing: the dialplan itself names the address.

        Raises:
            ValueError: always.
        """
        raise ValueError("Asterisk's own configuration names the address of the stream; see docs/gateways/asterisk.md")

    def busy(self) -> str:
        return "busy"

    def after(self, target: str | None) -> str:
        """The target as the dialplan's `Dial` or `Goto` takes it, empty where the call is over.

        Raises:
            ValueError: it is no place in the dialplan.
        """
        if target is None:
            return ""
        place(target)
        return target
